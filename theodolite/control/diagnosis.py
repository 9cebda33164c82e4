"""What limits a run that learns Q, measured where no oracle is: pure functions of what a learner says of its data.

    error           δ = y - Q(s,a), y the learner's own target: on the rows it trains on, on rows of the same behaviour
                    that it never got, and on rows of the policy whose values it learns
    overestimate    Σ (Q - G) / Σ (1 - γᵏ): Q(s,a) less the discounted return that followed, where a time limit cut the
                    return by what Q says of the rest; that repeats the bias, γᵏ of it, and so is divided out
    row ratio       (1/N) Σ_{j≠i} |K_ij| / K_ii, K_ij = ∇Q(i)·∇Q(j): how far a step on one pair moves the others
                    (Achiam et al. 2019)
    effective rank  exp of the entropy of the features' singular values (Roy and Vetterli 2007), over that of the
                    network before training on the same rows
    drift           how far targets move where the target network becomes the online one, at its next move
    reach           how far the policy's states are from the buffer's, next to how far those are from each other

Errors, overestimation and drift are in standard deviations of the targets on the buffer, so numbers compare across
tasks. `limits` reads them by rules of thumb that are ours, in order of how far each is exceeded; they point to what to
look at and prove nothing.
"""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PyTree

from theodolite.control import ntk
from theodolite.core.arrays import Scalar
from theodolite.core.findings import MOST

MEASURES = {
    "excess": "largest size of Q on the buffer, as a share of what the largest reward seen, paid for ever, is worth",
    "fit": "root mean squared error on the buffer",
    "validation": "the same on transitions of the same behaviour that were never in the buffer",
    "gap": "validation over fit: above one, part of the fit is learned by heart",
    "shift": "the same error where the greedy policy goes, over fit",
    "overestimate": "Q less the return that followed",
    "rank": "effective rank of the features, over that before training",
    "row_ratio": "mean row ratio of the kernel; near one where every pair moves every other as itself, more where some "
    "gradients are far larger than others",
    "drift": "root mean squared move of the targets at a move of the target network",
    "reach": "median distance of the policy's states to the nearest of the buffer, over that of the buffer's to each "
    "other; large: never seen",
}
"""Those that a run does not allow (no held-out rows, no target network, returns cut at once) are NaN."""


class Rule(NamedTuple):
    """When a measure says that something limits the run, what, and what to try: words by the setting that they turn."""

    bar: float
    above: bool
    says: str
    try_: dict[str, str]


RULES = {
    "excess": Rule(MOST, True, "Values diverged: no policy can earn what they say.", {
        "learning_rate": "a smaller --learning-rate", "target_every": "a larger --target-every", "double": "--double",
        "max_gradient_norm": "a smaller --max-gradient-norm", "damping": "more --damping"}),
    "fit": Rule(0.8, True, "It does not fit its own targets, or chance makes them so.", {
        "hidden": "wider --hidden", "train_every": "a smaller --train-every", "n_step": "a smaller --n-step"}),
    "gap": Rule(1.5, True, "It over-fits the buffer: like transitions that it never trained on fit less.", {
        "train_every": "a larger --train-every", "replay": "a larger --replay"}),
    "shift": Rule(2.0, True, "Distribution shift: values hold less well where the greedy policy goes.", {
        "epsilon_end": "a smaller --epsilon-end", "epsilon_steps": "a smaller --epsilon-steps",
        "prioritised": "--prioritised"}),
    "overestimate": Rule(0.5, True, "Values are higher than what the policy earns: too high, or not learned yet.", {
        "double": "--double", "target_every": "a larger --target-every", "learning_rate": "a smaller --learning-rate"}),
    "rank": Rule(0.25, False, "The features have collapsed.", {
        "train_every": "a larger --train-every", "target_every": "a larger --target-every",
        "learning_rate": "a smaller --learning-rate"}),
    "row_ratio": Rule(0.6, True, "A step on one pair moves the others nearly as far.", {
        "learning_rate": "a smaller --learning-rate", "preq_dqn": "preq_dqn, whose steps allow for it"}),
    "drift": Rule(0.5, True, "Targets move far at a time.", {
        "target_share": "a smaller --target-share at every step", "learning_rate": "a smaller --learning-rate"}),
    "reach": Rule(3.0, True, "The policy goes where the buffer has little.", {
        "replay": "a larger --replay", "epsilon_steps": "a larger --epsilon-steps",
        "epsilon_end": "a larger --epsilon-end"}),
}  # fmt: skip
"""Bars lie beyond what a DQN that learns CartPole well shows from 10,000 to 50,000 steps (fit 0.53 to 0.62, rank 0.28
to 0.36, row ratio 0.49 to 0.54, gap, shift, drift and reach at most 1.1, 0.75, 0.26 and 2.5, overestimate below 0), and
those of rank, row ratio and overestimate within what one shows whose values explode (0.15, 0.62, 4.3)."""
COMING_DOWN = (
    "Values are still higher than what the policy earns, but less so than at the look before: train on before you turn "
    "anything."
)
"""What is said of overestimation instead where it falls: values of a task that costs start too high."""


class Rows(NamedTuple):
    """Transitions as the learner sees them: Q of the action that was taken, and the target it should have."""

    obs: Array
    q: Float[Array, " B"]
    target: Float[Array, " B"]


def taken(q: Float[Array, "B A"], action: Int[Array, " B"]) -> Float[Array, " B"]:
    """Q of the actions that were taken."""
    return jnp.take_along_axis(q, action[:, None], -1)[:, 0]


def returns_to_go(
    reward: Float[Array, " T"], discount: Scalar, after: Scalar = 0.0
) -> tuple[Float[Array, " T"], Float[Array, " T"]]:
    """Discounted return from every step of an episode, and the share of γ's weight that `after` stands for.

    `after` is what follows the last step: 0 if the episode terminated, else a value that is not Monte Carlo.
    """

    def backward(total: Array, paid: Array) -> tuple[Array, Array]:
        total = paid + discount * total
        return total, total

    _, found = jax.lax.scan(backward, jnp.asarray(after, reward.dtype), reward, reverse=True)
    left = jnp.arange(reward.size, 0, -1, dtype=reward.dtype)
    return found, discount**left


def effective_rank(features: Float[Array, "B F"]) -> Float[Array, ""]:
    """exp of the entropy of the singular values, from 1 to min(B, F); 1 for features that are all zero."""
    sizes = jnp.linalg.svd(features, compute_uv=False)
    shares = sizes / jnp.maximum(jnp.sum(sizes), 1e-30)
    return jnp.exp(jnp.sum(jax.scipy.special.entr(shares)))


def kernel(values: Callable[[Any], Float[Array, " B"]], params: PyTree[Array]) -> Float[Array, "B B"]:
    """K_ij = ∇Q(i)·∇Q(j) over the parameters, by the plain Jacobian: for batches of a few hundred."""
    flat, restore = ravel_pytree(params)
    jacobian = jax.jacrev(lambda x: values(restore(x)))(flat)
    return jacobian @ jacobian.T


def reach(buffer: Float[Array, "N O"], visited: Float[Array, "M O"]) -> Float[Array, ""]:
    """Median distance of visited states to the nearest of the buffer, over that of the buffer's to another of it.

    Dimensions are scaled by the buffer's spread, but for those that it never changes; equal states are at a distance of
    a thousandth. The buffer's rows are expected to be distinct.
    """
    middle, spread = jnp.mean(buffer, 0), jnp.std(buffer, 0)
    scale = jnp.where(spread > 1e-4 * jnp.abs(middle), jnp.maximum(spread, 1e-6), 1)
    a, b = ((x - middle[None]) / scale[None] for x in (visited, buffer))  # far from 0, squares would cancel
    own = _distances(b, b) + 1e9 * jnp.eye(b.shape[0], dtype=b.dtype)
    nearest = [jnp.median(jnp.min(d, -1)) for d in (_distances(a, b), own)]
    return (nearest[0] + 1e-3) / (nearest[1] + 1e-3)


def _distances(a: Array, b: Array) -> Array:
    square = jnp.sum(a**2, -1)[:, None] + jnp.sum(b**2, -1)[None] - 2 * a @ b.T
    return jnp.sqrt(jnp.maximum(square, 0))


class Look(NamedTuple):
    """A run at one moment."""

    buffer: Rows
    """Distinct rows, any as likely as another."""
    held_out: Rows | None
    """Of the behaviour that the buffer holds, never in it."""
    played: Rows
    """Of the policy whose values are learned."""
    returns: Float[Array, " P"]
    """What followed the played rows, with Q's word for what a time limit cut off."""
    cut: Float[Array, " P"]
    """γᵏ, the weight of that word; 0 where the episode ended by itself."""
    features: Float[Array, "B F"]
    """Of the buffer's rows."""
    fresh: Float[Array, "B F"]
    """The same before training."""
    kernel: Float[Array, "K K"]
    moved: Float[Array, " B"] | None
    """How far the targets of the buffer's rows move at the next move of the target network."""
    largest: Scalar
    """The most that any policy can earn."""


def measure(x: Look) -> dict[str, Float[Array, ""]]:
    """MEASURES. The spread is at least a hundredth of the targets' size, where they hardly differ."""
    spread = jnp.maximum(jnp.maximum(jnp.std(x.buffer.target), 0.01 * _size(x.buffer.target)), 1e-6)
    fit, shift = (_size(rows.target - rows.q) for rows in (x.buffer, x.played))
    validation = jnp.nan if x.held_out is None else _size(x.held_out.target - x.held_out.q)
    own = jnp.mean(1 - x.cut)
    flat = [r.obs.reshape(r.obs.shape[0], -1).astype(spread.dtype) for r in (x.buffer, x.played)]
    return {
        "excess": jnp.where(x.largest > 0, jnp.max(jnp.abs(x.buffer.q)) / jnp.maximum(x.largest, 1e-6), 0),
        "fit": fit / spread,
        "validation": validation / spread,
        "gap": validation / jnp.maximum(fit, 1e-9),
        "shift": shift / jnp.maximum(fit, 1e-9),
        "overestimate": jnp.where(own > 0.05, jnp.mean(x.played.q - x.returns) / own / spread, jnp.nan),
        "rank": effective_rank(x.features) / effective_rank(x.fresh),
        "row_ratio": jnp.mean(ntk.row_ratios(x.kernel)),
        "drift": jnp.asarray(jnp.nan) if x.moved is None else _size(x.moved) / spread,
        "reach": reach(*flat),
    }


def _size(errors: Array) -> Array:
    return jnp.sqrt(jnp.mean(errors**2))


class Limit(NamedTuple):
    """A measure beyond its bar, how many times, and what that means."""

    name: str
    times: float
    says: str


def limits(found: dict[str, float | None], turnable: Collection[str]) -> list[Limit]:
    """The measures that exceed their bars, divergence first, then the worst; None is a measure that there is not.

    `turnable` are the settings that the method has, without switches that are on already.
    """
    beyond = []
    for name, rule in RULES.items():
        value = found[name]
        if value is None:
            continue
        times = value / rule.bar if rule.above else rule.bar / max(value, 1e-9)
        if times > 1:
            beyond.append(Limit("diverged" if name == "excess" else name, times, said(rule, turnable)))
    return sorted(beyond, key=lambda row: (row.name != "diverged", -row.times))


def said(rule: Rule, turnable: Collection[str], what: str = "") -> str:
    """What a rule says, or other words for it, with its advice."""
    advice = [words for setting, words in rule.try_.items() if setting in turnable]
    *others, last = advice or [""]
    listed = f"{', '.join(others)} or {last}" if others else last
    return (what or rule.says) + (f" Try {listed}." if listed else "")
