"""Adversarial feature matching: train where errors are large, but keep the mean features of the replay buffer.

    min_θ max_p  E_p[l] ,   l = (Q_θ(s,a) - y)²      subject to   ‖E_p[Φ(s)] - E_ρ[Φ(s)]‖ <= ε

ρ is what was collected, Φ what the last layer reads, no importance weights correct for p. Mass moves to hard items
among those that the features cannot tell apart; elsewhere coverage is kept. Two forms:

    dual         p_i ~ ρ_i exp((l_i - ν·Φ_i)/κ),   ν = argmin κ log Σ ρ_i exp((l_i - ν·(Φ_i - Φ̄))/κ) + ε ‖ν‖
    parametric   p = softmax f_ψ(s,a) over a minibatch; ψ ascends  Σ p l - λ (‖Σ p Φ - Φ̄‖² - ε²),  λ ascends the rest

The dual is convex and solved by Newton's method. κ → ∞ is uniform, ν = 0 is Boltzmann-prioritised replay.

Differences from the paper, whose own settings are unknown:
1. the dual, its temperature κ and the smooth norm √(‖ν‖² + μ²) are ours; 2. losses are measured in their standard
deviations under ρ, features in their root mean square, so that κ and ε mean the same at all scales; 3. both forms act
within a minibatch that was drawn uniformly, or on a whole table.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from theodolite.control.weightings import Minibatch, Sampler, Sight, Weighting, normalised
from theodolite.core import newton, optim
from theodolite.core.arrays import Arrays, Metrics, PRNGKey, Scalar
from theodolite.core.claim import Paper
from theodolite.core.config import config, non_negative, one_of, positive, require, sizes
from theodolite.core.nets import MLP, mlp, orthogonal

PAPER = Paper("Diagnosing Bottlenecks in Deep Q-learning Algorithms", "Fu, Kumar, Soh, Levine", 2019,
              arxiv="1902.10250", venue="ICML")  # fmt: skip
METRICS = {
    "gain": "expected loss under p as a multiple of that under the buffer's distribution",
    "mismatch": "distance of the mean features, in root mean squares of the features",
    "effective": "exp of the entropy of p relative to the buffer's distribution: the share of items that still count",
}
SMOOTHING = (1.0, 0.1, 0.01)
"""μ of the smooth norm, from coarse to fine."""
BRIEF = 6
"""Newton's steps per minibatch, from where the last minibatch ended."""


@config
class Config:
    """The adversary."""

    form: Literal["dual", "parametric"] = "dual"
    """How p is found."""
    kappa: float = 2.0
    """κ: temperature of the dual form, in standard deviations of the loss."""
    epsilon: float = 0.1
    """ε: how far the mean features may move, in root mean squares of the features."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of f_ψ, ReLU."""
    learning_rate: float = 1e-3
    """Of ψ, by Adam, and of λ."""

    def __post_init__(self):
        require(self, form=one_of("dual", "parametric"), kappa=positive, epsilon=non_negative, hidden=sizes())
        require(self, learning_rate=positive)


class State(Arrays):
    """What the adversary remembers: ν of the dual form, or ψ and λ of the parametric one."""

    nu: Float[Array, "*S F"]
    net: MLP | None
    opt: optim.OptState
    multiplier: Float[Array, "*S"]


def init(c: Config, key: PRNGKey, sizes: tuple[int, int, int]) -> State:
    """For so many observations, actions and features; the first p is uniform."""
    num_obs, num_actions, num_features = sizes
    if c.form == "dual":
        return State(jnp.zeros(num_features), None, (), jnp.zeros(()))
    widths = (num_obs + num_actions, *c.hidden, 1)
    net = mlp(key, widths, hidden=orthogonal(2**0.5), head=orthogonal(0.01), activation=jax.nn.relu)
    return State(jnp.zeros(0), net, optim.adam(c.learning_rate).init(net), jnp.zeros(()))


def scaled(
    losses: Float[Array, " N"], features: Float[Array, "N F"], base: Float[Array, " N"]
) -> tuple[Float[Array, " N"], Float[Array, "N F"]]:
    """Losses in standard deviations, and features less their mean in root mean squares, under the base."""
    mean = base @ losses
    tiny = jnp.finfo(losses.dtype).tiny ** 0.5 + 1e-6 * jnp.abs(mean)  # losses that differ by rounding are equal
    deviation = jnp.sqrt(base @ (losses - mean) ** 2)
    size = jnp.sqrt(base @ jnp.sum(features**2, -1))
    return (losses - mean) / jnp.maximum(deviation, tiny), (features - (base @ features)[None]) / jnp.maximum(
        size, 1e-20
    )


def tilted(
    losses: Float[Array, " N"], centred: Float[Array, "N F"], nu: Float[Array, " F"], kappa: Scalar,
    base: Float[Array, " N"],
) -> Float[Array, " N"]:  # fmt: skip
    """p_i ~ ρ_i exp((l_i - ν·Φ_i)/κ)."""
    score = (losses - centred @ nu) / kappa
    score = jnp.where(base > 0, score, -jnp.inf)  # what has no share must not overflow either
    weight = base * jnp.exp(score - jnp.max(score))
    return weight / jnp.sum(weight)


def dual_objective(
    c: Config, losses: Float[Array, " N"], centred: Float[Array, "N F"], base: Float[Array, " N"],
    nu: Float[Array, " F"], mu: Scalar,
) -> Float[Array, ""]:  # fmt: skip
    """κ log Σ ρ exp((l - ν·Φ)/κ) + ε √(‖ν‖² + μ²), for features that are centred."""
    score = (losses - centred @ nu) / c.kappa
    return c.kappa * jax.nn.logsumexp(score, b=base) + c.epsilon * jnp.sqrt(nu @ nu + mu**2)


def solve(
    c: Config, losses: Float[Array, " N"], centred: Float[Array, "N F"], base: Float[Array, " N"],
    start: Float[Array, " F"], smoothing: tuple[float, ...] = SMOOTHING, max_steps: int = 100,
) -> newton.Minimum:  # fmt: skip
    """ν, by Newton's method on the dual of scaled losses and centred features."""

    def f(nu: Array, mu: Array) -> Array:
        return dual_objective(c, losses, centred, base, nu, mu)

    def derivatives(nu: Array, mu: Array) -> tuple[Array, Array, Array]:
        p, norm = tilted(losses, centred, nu, c.kappa, base), jnp.sqrt(nu @ nu + mu**2)
        mean = p @ centred
        spread = (centred * p[:, None]).T @ centred - jnp.outer(mean, mean)
        bowl = jnp.eye(nu.size, dtype=nu.dtype) / norm - jnp.outer(nu, nu) / norm**3
        return f(nu, mu), c.epsilon * nu / norm - mean, spread / c.kappa + c.epsilon * bowl

    levels = jnp.asarray(smoothing, start.dtype)
    problem = newton.unconstrained(start)
    return newton.minimise(f, start, problem, levels, derivatives=derivatives, max_steps=max_steps)


def distribution(
    c: Config, losses: Float[Array, " N"], features: Float[Array, "N F"], base: Float[Array, " N"] | None = None
) -> Float[Array, " N"]:
    """p of the dual form over N items, whose shares of the buffer are `base`; uniform if that is left out."""
    share = jnp.full_like(losses, 1 / losses.size) if base is None else base
    relative, centred = scaled(losses, features, share)
    nu = solve(c, relative, centred, share, jnp.zeros_like(centred[0])).x
    return tilted(relative, centred, nu, c.kappa, share)


def update(c: Config, s: State, batch: Minibatch) -> tuple[State, Float[Array, " B"]]:
    """p over a minibatch, and what the adversary remembers of it."""
    uniform = jnp.full_like(batch.squared, 1 / batch.squared.size)
    losses, centred = scaled(batch.squared, batch.features, uniform)
    if c.form == "parametric":
        return _ascended(c, s, batch, losses, centred)
    end = solve(c, losses, centred, uniform, s.nu, SMOOTHING[1:2], BRIEF)
    nu = jnp.where(jnp.all(jnp.isfinite(end.x)), end.x, 0)
    return State(nu, None, (), s.multiplier), tilted(losses, centred, nu, c.kappa, uniform)


def _ascended(c: Config, s: State, batch: Minibatch, losses: Array, centred: Array) -> tuple[State, Float[Array, " B"]]:
    """One step of ψ and λ; p is that before the step."""
    pairs = jnp.concatenate([batch.obs, jax.nn.one_hot(batch.action, _actions(s, batch), dtype=batch.obs.dtype)], -1)

    def descent(net: MLP) -> tuple[Array, tuple[Array, Array]]:
        p = jax.nn.softmax(net(pairs)[:, 0])
        excess = jnp.sum((p @ centred) ** 2) - c.epsilon**2
        return s.multiplier * excess - p @ losses, (p, excess)

    gradient, (p, excess) = jax.grad(descent, has_aux=True)(s.net)
    net, opt = optim.apply(optim.adam(c.learning_rate), gradient, s.opt, s.net)
    return State(s.nu, net, opt, jnp.maximum(0, s.multiplier + c.learning_rate * excess)), p


def _actions(s: State, batch: Minibatch) -> int:
    assert s.net is not None
    return s.net.layers[0].weight.shape[0] - batch.obs.shape[1]


def sampler(c: Config) -> Sampler:
    """For fitted Q-iteration on replayed data: minibatches are drawn uniformly and weigh p."""
    return Sampler(lambda key, sizes: init(c, key, sizes), lambda share, squared: share,
                   lambda s, batch: update(c, s, batch))  # fmt: skip


def weighting(c: Config, base: Weighting, states: bool = False) -> Weighting:
    """The dual form over a whole table: ρ is another weighting; features are the network's, or one-hot states, which
    leaves the choice of actions alone."""

    def weigh(x: Sight) -> Float[Array, "S A"]:
        shares, losses = normalised(base(x)), (x.q - x.target) ** 2
        if states:
            deviation = scaled(losses.ravel(), jnp.zeros((losses.size, 1), losses.dtype), shares.ravel())[0]
            kept = jnp.sum(shares, -1, keepdims=True)
            tilt = jax.nn.softmax(deviation.reshape(losses.shape) / c.kappa + jnp.log(shares + 1e-30), axis=-1)
            return kept * tilt
        features = jnp.repeat(x.features, losses.shape[1], 0)
        return distribution(c, losses.ravel(), features, shares.ravel()).reshape(losses.shape)

    return weigh


def measures(
    p: Float[Array, " N"], losses: Float[Array, " N"], features: Float[Array, "N F"], base: Float[Array, " N"]
) -> Metrics:
    """METRICS of a distribution over items."""
    centred = scaled(losses, features, base)[1]
    relative = jnp.where(p > 0, p * jnp.log(jnp.where(p > 0, p, 1) / jnp.maximum(base, 1e-30)), 0)
    return {"gain": p @ losses / jnp.maximum(base @ losses, 1e-30), "mismatch": jnp.linalg.norm(p @ centred),
            "effective": jnp.exp(-jnp.sum(relative))}  # fmt: skip
