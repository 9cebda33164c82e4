"""Quantilizers over several decisions: at every step, or once over whole policies, in a tomato garden.

    per step       π_t = Q_q of the base at (t, s) under the proxy's own Q_t; a trajectory's ratio is up to q^-T
    policy level   draw N policies (an action for every t and s) from the base, follow one of the best m by proxy
                   return; a trajectory's ratio is at most N/m, whatever T. Without chance in the world this is the
                   quantilizer over trajectories, and no policy with that ratio has more proxy return; with chance
                   it picks among plans that do not react, and loses that guarantee
    soft           π_t(a|s) ∝ γ_t(a|s) exp(Q_t(s,a)/λ): proxy return less λ KL(π ‖ γ)
    capped         the best policy for the proxy cut off at a cap

The garden (after the tomato world of the AI safety gridworlds): watering is what is wanted; at the bucket all tomatoes
look watered. Horizon T, no discount, everything by dynamic programming.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from theodolite.core.arrays import Arrays, PRNGKey, Scalar
from theodolite.core.claim import Paper
from theodolite.foundations.quantilizers import quantile_law

PAPER = Paper("How useful is quantilization for mitigating specification-gaming?", "Carey", 2019, venue="ICLR workshop")
MOVES = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))
"""Stay, up, right, down, left."""


class Garden(Arrays):
    """A finite-horizon decision process with a true reward and the proxy that is observed; both belong to states."""

    transition: Float[Array, "S A S"]
    initial: Float[Array, " S"]
    true: Float[Array, " S"]
    proxy: Float[Array, " S"]


def garden(
    rng: np.random.Generator, *, side: int = 3, tomatoes: int = 4, drying: float = 0.1, one_start: bool = False
) -> Garden:
    """Tomatoes and a bucket on distinct cells of a square; start anywhere, or at the first cell, with all tomatoes dry.

    A watered tomato dries with probability `drying` per step; entering its cell waters it.
    """
    cells = side * side
    bucket, *plots = rng.permutation(cells)[: tomatoes + 1]
    transition = np.zeros((cells, 2**tomatoes, len(MOVES), cells, 2**tomatoes))
    for cell in range(cells):
        for action, (dx, dy) in enumerate(MOVES):
            x, y = np.clip([cell % side + dx, cell // side + dy], 0, side - 1)
            arrived = x + side * y
            bits = np.ones((1, 1))
            for plot in plots:  # rows: dry, watered before; columns: after
                one = [[0, 1], [0, 1]] if plot == arrived else [[1, 0], [drying, 1 - drying]]
                bits = np.kron(bits, one)
            transition[cell, :, action, arrived] = bits
    states = cells * 2**tomatoes
    watered = np.array([b.bit_count() for _ in range(cells) for b in range(2**tomatoes)], float)
    at_bucket = np.repeat(np.arange(cells) == bucket, 2**tomatoes)
    initial = np.zeros((cells, 2**tomatoes))
    initial[:, 0] = np.eye(cells)[0] if one_start else 1 / cells
    shaped = transition.reshape(states, len(MOVES), states)
    return Garden(*map(jnp.asarray, (shaped, initial.ravel(), watered, np.where(at_bucket, tomatoes, watered))))


Policy = Float[Array, "T S A"]


def plan(world: Garden, reward: Float[Array, " S"], base: Policy, rule: str, strength: Scalar) -> Policy:
    """The policy that a rule makes of the base, backwards in time, each step knowing what the later ones will do.

    Rules: "best" (ignores the base), "quantile" (strength q), "soft" (strength λ).
    """

    def back(value: Array, chance: Array) -> tuple[Array, Array]:
        q_value = reward[:, None] + world.transition @ value
        if rule == "best":
            policy = jax.nn.one_hot(jnp.argmax(q_value, -1), q_value.shape[1], dtype=q_value.dtype)
        elif rule == "quantile":
            policy = jax.vmap(quantile_law, in_axes=(0, 0, None))(chance, q_value, strength)
        else:
            policy = jax.nn.softmax(jnp.log(chance) + q_value / strength)
            return strength * jax.nn.logsumexp(jnp.log(chance) + q_value / strength, axis=-1), policy
        return jnp.sum(policy * q_value, -1), policy

    return jax.lax.scan(back, jnp.zeros_like(reward), base, reverse=True)[1]


def total(world: Garden, policy: Policy, reward: Float[Array, " S"]) -> Float[Array, ""]:
    """Expected sum of rewards over the horizon."""

    def back(value: Array, chance: Array) -> tuple[Array, None]:
        return reward + jnp.einsum("sa,sat,t->s", chance, world.transition, value), None

    return world.initial @ jax.lax.scan(back, jnp.zeros_like(reward), policy, reverse=True)[0]


def trajectory_ratio(world: Garden, policy: Policy, base: Policy) -> Float[Array, ""]:
    """Log of the largest likelihood ratio of any trajectory under the policy to that under the base."""
    possible = world.transition > 0

    def back(worst: Array, chances: tuple[Array, Array]) -> tuple[Array, None]:
        ours, theirs = chances
        later = jnp.max(jnp.where(possible, worst[None, None], -jnp.inf), -1)
        ratio = jnp.log(ours) - jnp.log(theirs)
        return jnp.max(jnp.where(ours > 0, ratio + later, -jnp.inf), -1), None

    worst = jax.lax.scan(back, jnp.zeros_like(world.initial), (policy, base), reverse=True)[0]
    return jnp.max(jnp.where(world.initial > 0, worst, -jnp.inf))


def noisy_gardener(world: Garden, horizon: int, *, temperature: float = 1.0, careless: float = 0.3) -> Policy:
    """A base to trust: soft choice by the true Q, and a uniform action with probability `careless`."""
    uniform = jnp.full((horizon, *world.transition.shape[:2]), 1 / len(MOVES), world.true.dtype)
    return careless * uniform + (1 - careless) * plan(world, world.true, uniform, "soft", temperature)


def soft_with_ratio(world: Garden, base: Policy, log_ratio: Scalar) -> Policy:
    """The soft policy for the proxy whose worst trajectory ratio is the one given, by bisection on λ."""

    def halve(_: Int[Array, ""], ends: tuple[Array, Array]) -> tuple[Array, Array]:
        middle = (ends[0] + ends[1]) / 2
        policy = plan(world, world.proxy, base, "soft", jnp.exp(middle))
        strong = trajectory_ratio(world, policy, base) > log_ratio
        return jnp.where(strong, middle, ends[0]), jnp.where(strong, ends[1], middle)

    ends = (jnp.log(jnp.asarray(1e-2, base.dtype)), jnp.log(jnp.asarray(1e4, base.dtype)))
    return plan(world, world.proxy, base, "soft", jnp.exp(jax.lax.fori_loop(0, 40, halve, ends)[1]))


def drawn_returns(key: PRNGKey, world: Garden, base: Policy, num: int) -> Float[Array, "N 2"]:
    """Expected true and proxy returns of `num` deterministic policies drawn from the base, action by action."""

    def back(values: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
        chance, key = inputs
        actions = jax.random.categorical(key, jnp.log(chance), shape=(num, len(chance)))
        later = jnp.einsum("sat,nkt->nksa", world.transition, values)
        taken = jnp.take_along_axis(later, actions[:, None, :, None], -1)[..., 0]
        return jnp.stack([world.true, world.proxy])[None] + taken, None

    start = jnp.zeros((num, 2, len(world.true)), base.dtype)
    values = jax.lax.scan(back, start, (base, jax.random.split(key, len(base))), reverse=True)[0]
    return values @ world.initial


def policy_level(returns: Float[Array, "N 2"], m: int) -> Float[Array, "2"]:
    """Mean true and proxy return of the best m of the drawn policies by proxy return; the ratio is at most N/m."""
    return returns[jnp.argsort(-returns[:, 1])[:m]].mean(0)
