"""What limits a run of Q-learning, measured where no oracle is: pure functions of Q, transitions and features.

    error           δ = r + γ (1 - terminated) V⁻(s') - Q(s,a), on what was trained on and on fresh data
    overestimate    Q(s,a) less the discounted return that followed
    row ratio       (1/N) Σ_{j≠i} |K_ij| / K_ii, K_ij = ∇Q(i)·∇Q(j): how far a step on one pair moves the others
                    (Achiam et al. 2019)
    effective rank  exp of the entropy of the features' singular values (Roy and Vetterli 2007)
    drift           how far the targets moved since an earlier look
    reach           how far the policy's states are from the buffer's, next to how far they are from each other

Everything is relative to the spread of the values, so numbers compare across tasks. `limits` reads them by rules of
thumb that are ours, in order of how far each is exceeded; they point to what to look at and prove nothing.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PyTree

from theodolite.core.arrays import Scalar

MEASURES = {
    "fit": "root mean squared Bellman error on the buffer, in standard deviations of the values",
    "validation": "the same on fresh transitions of the current policy",
    "gap": "validation over fit: above one, what was learned holds less well where the policy goes",
    "overestimate": "mean of Q less the return that followed, in standard deviations of the values",
    "rank": "effective rank of the features, as a share of their number",
    "row_ratio": "mean row ratio of the kernel: at one, a step on one pair moves the average other as much as itself",
    "drift": "root mean squared move of the targets since the last look, in standard deviations of the values",
    "reach": "median distance of the policy's states to the buffer's, over that to each other; large: never seen",
}


class Rule(NamedTuple):
    """When a measure says that something limits the run, and what."""

    bar: float
    above: bool
    says: str


RULES = {
    "fit": Rule(0.3, True, "It does not fit its own targets: a wider network, more gradient steps or a larger step."),
    "gap": Rule(2.0, True, "It over-fits the buffer: more data, fewer gradient steps per sample, or an early stop."),
    "overestimate": Rule(0.5, True, "Values are too high: double Q-learning, smaller steps, or slower targets."),
    "rank": Rule(0.05, False, "The features have collapsed: fewer gradient steps per target, or a normalised layer."),
    "row_ratio": Rule(1.0, True, "A step generalises more than it learns: smaller steps, or a preconditioned update."),
    "drift": Rule(0.5, True, "Targets move faster than they are fitted: move the target network less often."),
    "reach": Rule(2.0, True, "The policy goes where the buffer has little: more exploration, or a larger buffer."),
}
QFunction = Callable[[Array], Float[Array, "B A"]]


class Transitions(NamedTuple):
    """Single steps, with what each led to before any reset."""

    obs: Array
    action: Int[Array, " B"]
    reward: Float[Array, " B"]
    terminated: Bool[Array, " B"]
    last_obs: Array


def taken(q: Float[Array, "B A"], action: Int[Array, " B"]) -> Float[Array, " B"]:
    """Q of the actions that were taken."""
    return jnp.take_along_axis(q, action[:, None], -1)[:, 0]


def targets(target: QFunction, data: Transitions, discount: Scalar) -> Float[Array, " B"]:
    """r + γ (1 - terminated) max Q⁻(s')."""
    return data.reward + discount * jnp.where(data.terminated, 0, jnp.max(target(data.last_obs), -1))


def bellman_errors(q: QFunction, target: QFunction, data: Transitions, discount: Scalar) -> Float[Array, " B"]:
    """δ of every transition."""
    return targets(target, data, discount) - taken(q(data.obs), data.action)


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


def threshold_rank(features: Float[Array, "B F"], missing: Scalar = 0.01) -> Int[Array, ""]:
    """Fewest singular values whose sum misses no more than a share of the whole (Kumar et al. 2021)."""
    sizes = jnp.linalg.svd(features, compute_uv=False)
    return jnp.sum(jnp.cumsum(sizes) < (1 - missing) * jnp.sum(sizes), dtype=jnp.int32) + 1


def kernel(values: Callable[[Any], Float[Array, " B"]], params: PyTree[Array]) -> Float[Array, "B B"]:
    """K_ij = ∇Q(i)·∇Q(j) over the parameters, by the plain Jacobian: for batches of a few hundred."""
    flat, restore = ravel_pytree(params)
    jacobian = jax.jacrev(lambda x: values(restore(x)))(flat)
    return jacobian @ jacobian.T


def row_ratios(k: Float[Array, "B B"]) -> Float[Array, " B"]:
    """(1/N) Σ_{j≠i} |K_ij| / K_ii of every row."""
    own = jnp.diagonal(k)
    return (jnp.sum(jnp.abs(k), -1) - jnp.abs(own)) / (k.shape[0] * jnp.maximum(own, 1e-30))


def reach(buffer: Float[Array, "N O"], visited: Float[Array, "M O"]) -> Float[Array, ""]:
    """Median distance of visited states to the nearest of the buffer, over that to the nearest other visited one.

    Dimensions are scaled by the buffer's spread; equal states are at a distance of a thousandth.
    """
    scale = jnp.maximum(jnp.std(buffer, 0), 1e-6)[None]
    a, b = (x.reshape(x.shape[0], -1) for x in (visited / scale, buffer / scale))
    own = _distances(a, a) + 1e9 * jnp.eye(a.shape[0], dtype=a.dtype)
    nearest = [jnp.median(jnp.min(d, -1)) for d in (_distances(a, b), own)]
    return (nearest[0] + 1e-3) / (nearest[1] + 1e-3)


def _distances(a: Array, b: Array) -> Array:
    square = jnp.sum(a**2, -1)[:, None] + jnp.sum(b**2, -1)[None] - 2 * a @ b.T
    return jnp.sqrt(jnp.maximum(square, 0))


class Look(NamedTuple):
    """A run at one moment: its functions, what it trains on, and fresh data of its policy with the returns that
    followed."""

    q: QFunction
    target: QFunction
    earlier: QFunction
    """The target of the look before."""
    features: Callable[[Array], Float[Array, "B F"]]
    kernel: Float[Array, "K K"]
    buffer: Transitions
    fresh: Transitions
    returns: Float[Array, " B"]
    discount: Scalar


def measure(x: Look) -> dict[str, Float[Array, ""]]:
    """MEASURES."""
    spread = jnp.maximum(jnp.std(taken(x.q(x.fresh.obs), x.fresh.action)), 1e-6)
    fit, validation = (_size(bellman_errors(x.q, x.target, d, x.discount)) for d in (x.buffer, x.fresh))
    seen = x.features(x.buffer.obs)
    moved = targets(x.target, x.buffer, x.discount) - targets(x.earlier, x.buffer, x.discount)
    flat = [d.obs.reshape(d.obs.shape[0], -1).astype(spread.dtype) for d in (x.buffer, x.fresh)]
    return {
        "fit": fit / spread,
        "validation": validation / spread,
        "gap": validation / jnp.maximum(fit, 1e-9),
        "overestimate": jnp.mean(taken(x.q(x.fresh.obs), x.fresh.action) - x.returns) / spread,
        "rank": effective_rank(seen) / min(seen.shape),
        "row_ratio": jnp.mean(row_ratios(x.kernel)),
        "drift": _size(moved) / spread,
        "reach": reach(*flat),
    }


def _size(errors: Array) -> Array:
    return jnp.sqrt(jnp.mean(errors**2))


def limits(found: dict[str, float]) -> list[tuple[str, float, str]]:
    """The measures that exceed their bars: name, how many times, what it means; the worst first."""
    beyond = []
    for name, rule in RULES.items():
        times = found[name] / rule.bar if rule.above else rule.bar / max(found[name], 1e-9)
        if times > 1:
            beyond.append((name, times, rule.says))
    return sorted(beyond, key=lambda row: -row[1])
