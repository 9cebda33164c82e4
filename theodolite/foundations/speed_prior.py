"""Speed priors and the halving argument (Demski 2018): is brute force likelier than knowledge?

    complexity prior   2^-l(p)        speed prior  2^-l(p) / t(p)        tilted  2^-l(p) t(p)^-α

The argument: a search of n bits needs 2^(n-k) steps if k bits are known, and knowing them costs k bits of program: each
bit pays for itself, so programs of all k get equal weight and brute-force searchers, which may find loopholes, are no
likelier than informed ones. Here the task is to find a hidden key; `Know(k)` hard-codes its first k bits. What the
argument leaves open are arguments of these functions: whether the program must say where its knowledge ends
(`OVERHEADS`), and whether its time is that of the whole search or of this key (`steps`).

Also here: a small prefix-free machine with Schmidhuber's speed prior on it, S(x) = Σ_i 2^-i Σ_{p gives x in phase i}
2^-l(p), summed exactly, and his algorithm GUESS that samples from it.

NumPy in double precision; a toy, as the author says of the argument itself.
"""

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from theodolite.core.claim import Paper
from theodolite.core.errors import UserError

PAPER = Paper("Exorcizing the Speed Prior?", "Demski", 2018, venue="LessWrong")
SCHMIDHUBER = Paper("The Speed Prior: A New Simplicity Measure Yielding Near-Optimal Computable Predictions",
                    "Schmidhuber", 2002, venue="COLT")  # fmt: skip


def elias_gamma(k: Int[np.ndarray, " K"]) -> Float[np.ndarray, " K"]:
    """Length of the Elias gamma code of k + 1."""
    return 2 * np.floor(np.log2(k + 1)) + 1


OVERHEADS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "free": lambda k: 0.0 * k,
    "Elias gamma": elias_gamma,
    "flag per bit": lambda k: k + 1.0,
}
"""Bits that say where the known bits end: none, the length of a code for k, or a flag before each bit and one after."""
Time = Literal["whole search", "until found"]


def steps(key: int, bits: int, time: Time) -> Float[np.ndarray, " K"]:
    """Steps of Know(k) for k = 0..bits: all 2^(bits-k) candidates, or those up to the key in counting order."""
    left = bits - np.arange(bits + 1)
    return 2.0**left if time == "whole search" else (key & ((1 << left) - 1)) + 1.0


def weights(
    times: Float[np.ndarray, " K"], overhead: str, alpha: float = 1.0, *, shared: float = 0.0
) -> Float[np.ndarray, " K"]:
    """Unnormalised 2^-(shared + k + overhead(k)) t^-alpha of Know(k)."""
    k = np.arange(len(times))
    return 2.0 ** -(shared + k + OVERHEADS[overhead](k)) * times**-alpha


def structure_share(bits: int, alpha: float, insight: int = 12) -> float:
    """Share of the program that sees through the problem, among it and all Know(k) with free overhead.

    Its insight costs a fixed number of bits and turns 2^n steps into n².
    """
    blind = weights(steps(0, bits, "whole search"), "free", alpha).sum()
    sees = 2.0**-insight * float(bits) ** (-2 * alpha)
    return float(sees / (sees + blind))


def p_wrong(bits: int, loopholes: float) -> Float[np.ndarray, " K"]:
    """Probability that Know(k) returns a loophole, for k = 0..bits.

    Every other candidate passes the training test with probability ρ, independently; the search takes the first that
    passes, and the key's place among the N = 2^(bits-k) is uniform: 1 - (1 - (1-ρ)^N) / (N ρ).
    """
    n = 2.0 ** (bits - np.arange(bits + 1))
    if loopholes == 0:
        return np.zeros_like(n)
    missed = -np.expm1(n * np.log1p(-loopholes))
    return np.maximum(0.0, 1 - missed / (n * loopholes))


def found(rng: np.random.Generator, key: int, bits: int, known: int, loopholes: float) -> int:
    """The candidate that Know(k) returns in one world of random loopholes."""
    left = bits - known
    place = key & ((1 << left) - 1)
    passed = np.flatnonzero(rng.random(place) < loopholes)
    first = int(passed[0]) if len(passed) else place
    return key - place + first


Program = tuple[int, ...]


def programs(longest: int) -> Iterator[Program]:
    """All halting programs of at most `longest` bits on the small machine; no program is a prefix of another.

    Instructions take two bits: 00 and 01 write that bit, 10 writes all that was written once more, 11 halts.
    """
    stack: list[Program] = [()]
    while stack:
        head = stack.pop()
        if len(head) + 2 > longest:
            continue
        yield (*head, 1, 1)
        stack += [(*head, 0, 0), (*head, 0, 1), (*head, 1, 0)]


def execute(program: Program) -> tuple[str, int]:
    """What a halting program writes, and its steps: one per instruction and one per bit written.

    Raises:
        UserError: the bits are no halting program.
    """
    written, time = "", 0
    for i in range(0, len(program), 2):
        pair = program[i : i + 2]
        time += 1
        if pair == (1, 1):
            if i + 2 == len(program):
                return written, time
            break
        if len(pair) == 2:
            new = written if pair == (1, 0) else str(pair[1])
            written, time = written + new, time + len(new)
    raise UserError(f"{program} is no halting program: pairs of bits are expected, and 11 at the end alone.")


def speed_prior(longest: int) -> dict[str, float]:
    """S(x) of every output, from all programs of at most `longest` bits.

    Phase i runs p for 2^(i - l(p)) steps, so p counts from phase l(p) + ⌈log2 t(p)⌉ on: 2^-l · 2^(1 - that phase).
    """
    found: dict[str, float] = {}
    for program in programs(longest):
        written, time = execute(program)
        phase = len(program) + int(np.ceil(np.log2(time)))
        found[written] = found.get(written, 0.0) + 2.0 ** (1 - phase - len(program))
    return found


def guess(rng: np.random.Generator) -> str | None:
    """One run of GUESS: the output, or None where time ran out.

    Toss until heads; the number of tosses is i, the budget 2^i. Every bit that the machine asks for is a toss, which
    halves the budget; a step beyond the budget ends the run.
    """
    budget = 2.0 ** rng.geometric(0.5)
    written, time = "", 0
    while True:
        pair = (int(rng.integers(2)), int(rng.integers(2)))
        budget /= 4
        time += 1
        new = "" if pair == (1, 1) else written if pair == (1, 0) else str(pair[1])
        time += len(new)
        if time > budget:
            return None
        if pair == (1, 1):
            return written
        written += new
