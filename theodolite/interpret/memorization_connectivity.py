"""What a guess rests on: gradients of the chosen word's score with respect to every earlier character.

    norm        connectivity(t, u) = ‖ ∂ score_u[word] / ∂ x_t ‖, x_t the one-hot character at t <= u
    square      the same squared, which is what the article's files hold although its formula is the norm
    input       | x_t · ∂ score / ∂ x_t |
    integrated  | x_t · mean_a ∂ score(a x) / ∂ x_t |, integrated gradients from the zero embedding
    occlusion   | score - score with x_t as padding |

The score is the word's logit; a common offset of all logits cancels in the softmax but not there, so the controls are
its log-probability and its lead over the runner-up. All positions of one target are one backward pass, all targets one
`vmap`. No character after u can matter, and the result is exactly zero there.
"""

from itertools import pairwise
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from theodolite.core.arrays import Scalar
from theodolite.interpret.memorization_cells import Net
from theodolite.interpret.memorization_text import ALPHABET, PADDING, SPACE

Score = Literal["logit", "log_prob", "contrast"]
Method = Literal["norm", "square", "input", "integrated", "occlusion"]
SCORES: tuple[Score, ...] = ("logit", "log_prob", "contrast")
MAPS: tuple[tuple[Method, Score], ...] = (
    *(("norm", kind) for kind in SCORES),
    ("input", "logit"), ("integrated", "logit"), ("occlusion", "logit"),
)  # fmt: skip
"""What `every_map` returns, in order; squares follow from norms."""
IG_STEPS = 32


def score(row: Float[Array, " V"], word: Int[Array, ""], kind: Score | Array = "logit") -> Float[Array, ""]:
    """The word's logit, its log-probability, or its logit minus that of the best other word; `kind` may be traced."""
    others = jnp.where(jnp.arange(len(row), dtype=word.dtype) == word, -jnp.inf, row)
    every = jnp.stack([row[word], jax.nn.log_softmax(row)[word], row[word] - others.max()])
    return every[SCORES.index(kind) if isinstance(kind, str) else kind]


def gradients(
    net: Net,
    x: Float[Array, "T C"],
    positions: Int[Array, " K"],
    words: Int[Array, " K"],
    kind: Score | Int[Array, " K"] = "logit",
) -> Float[Array, "K T C"]:
    """∂ score / ∂ x at all T inputs, for K targets (position, word); `kind` is a score's name, or an index for each."""
    hidden, pull = jax.vjp(lambda x: net.features(x[None])[0], x)
    kinds = jnp.full(len(positions), SCORES.index(kind)) if isinstance(kind, str) else kind

    def one(position: Array, word: Array, which: Array) -> Array:
        at = jax.grad(lambda h: score(net.head(h), word, which))(hidden[position])
        return pull(jnp.zeros_like(hidden).at[position].set(at))[0]

    return jax.vmap(one)(positions, words, kinds)


def every_map(
    net: Net, characters: Int[Array, " T"], positions: Int[Array, " K"], words: Int[Array, " K"]
) -> Float[Array, "M K T"]:
    """Connectivity by all of the MAPS, from one program that reads the sequence forward once."""
    x, count = jax.nn.one_hot(characters, ALPHABET), len(positions)
    kinds = jnp.repeat(jnp.arange(len(SCORES)), count)
    g = gradients(net, x, jnp.tile(positions, len(SCORES)), jnp.tile(words, len(SCORES)), kinds)
    norms = jnp.sqrt((g * g).sum(-1)).reshape(len(SCORES), count, -1)
    others = [
        jnp.abs((g[:count] * x[None]).sum(-1)),
        jnp.abs(integrated(net, characters, positions, words)),
        jnp.abs(occlusion(net, characters, positions, words)),
    ]
    return jnp.concatenate([norms, jnp.stack(others)])


def connectivity(
    net: Net,
    characters: Int[Array, " T"],
    positions: Int[Array, " K"],
    words: Int[Array, " K"],
    method: Method = "norm",
    kind: Score = "logit",
) -> Float[Array, "K T"]:
    """How much each character matters to each target, by one of the methods."""
    x = jax.nn.one_hot(characters, ALPHABET)
    if method == "occlusion":
        return jnp.abs(occlusion(net, characters, positions, words, kind))
    if method == "integrated":
        return jnp.abs(integrated(net, characters, positions, words, kind))
    g = gradients(net, x, positions, words, kind)
    if method == "input":
        return jnp.abs((g * x[None]).sum(-1))
    square = (g * g).sum(-1)
    return square if method == "square" else jnp.sqrt(square)


def integrated(
    net: Net, characters: Int[Array, " T"], positions: Int[Array, " K"], words: Int[Array, " K"], kind: Score = "logit"
) -> Float[Array, "K T"]:
    """Integrated gradients, with sign, along the straight line from zero embeddings; midpoints of `IG_STEPS` pieces."""
    x = jax.nn.one_hot(characters, ALPHABET)

    def one(total: Array, share: Scalar) -> tuple[Array, None]:
        return total + gradients(net, share * x, positions, words, kind), None

    shares = (jnp.arange(IG_STEPS, dtype=x.dtype) + 0.5) / IG_STEPS
    total = jax.lax.scan(one, jnp.zeros((len(positions), *x.shape)), shares)[0]
    return (total * x[None]).sum(-1) / IG_STEPS


def occlusion(
    net: Net, characters: Int[Array, " T"], positions: Int[Array, " K"], words: Int[Array, " K"], kind: Score = "logit"
) -> Float[Array, "K T"]:
    """Score minus the score with one character replaced by padding, for every character."""
    length = len(characters)
    without = jnp.where(jnp.eye(length, dtype=bool), PADDING, characters[None])
    hidden = net.features(jax.nn.one_hot(jnp.concatenate([characters[None], without]), ALPHABET))

    def one(position: Array, word: Array) -> Array:
        found = jax.vmap(lambda h: score(net.head(h), word, kind))(hidden[:, position])
        return found[0] - found[1:]

    return jax.vmap(one)(positions, words)


def letters_read(characters: Int[np.ndarray, "N T"]) -> Int[np.ndarray, "N T"]:
    """How many letters of the current word were read at each position: 0 at its space, -1 in the padding."""
    at = np.arange(characters.shape[1])[None]
    start = np.maximum.accumulate(np.where(characters == SPACE, at, 0), axis=1)
    return np.where(characters == PADDING, -1, at - start)


class Reach(NamedTuple):
    """Where the connectivity of a target lies."""

    lag: Float[Array, " K"]
    """Mean distance in characters, weighted by connectivity."""
    share: Float[Array, " K"]
    """Share before the current word."""
    spread: Float[Array, " K"]
    """exp(entropy): over how many characters it is spread."""


def reach(strength: Float[Array, "K T"], positions: Int[Array, " K"], read: Int[Array, " K"]) -> Reach:
    """The three of each target; `read` letters of its word lie before or at it."""
    weight = strength / jnp.maximum(strength.sum(-1, keepdims=True), 1e-30)
    behind = positions[:, None] - jnp.arange(strength.shape[1], dtype=positions.dtype)[None]
    entropy = -(weight * jnp.log(jnp.maximum(weight, 1e-30))).sum(-1)
    lag = (weight * behind.astype(weight.dtype)).sum(-1)
    return Reach(lag, jnp.where(behind > read[:, None], weight, 0).sum(-1), jnp.exp(entropy))


def words_before(characters: Int[np.ndarray, " T"], position: int) -> list[slice]:
    """The words that end before the one at `position`, each with its space."""
    starts = [int(t) for t in np.flatnonzero(characters[: position + 1] == SPACE)]
    return [slice(a, b) for a, b in pairwise(starts)]


def deletions(
    characters: Int[np.ndarray, " T"],
    strength: Float[np.ndarray, " T"],
    position: int,
    count: int,
    generator: np.random.Generator,
) -> tuple[Int[np.ndarray, " T"], Int[np.ndarray, " T"]] | None:
    """The sequence without its `count` most connected past words, and without as many random ones.

    None if it has no more than these.
    """
    words = words_before(characters, position)
    if len(words) <= count:
        return None
    order = np.argsort([-float(strength[word].sum()) for word in words], kind="stable")[:count]
    both = []
    for chosen in (order, generator.choice(len(words), count, replace=False)):
        left = characters.copy()
        for i in chosen:
            left[words[i]] = PADDING
        both.append(left)
    return both[0], both[1]
