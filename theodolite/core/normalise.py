"""Running moments, and the wrappers that standardise what an agent sees and what it is paid."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Real

from theodolite.core.agent import Agent, Batch, RewardOf, Seen, State
from theodolite.core.arrays import Arrays, Metrics, PRNGKey, Scalar, lift
from theodolite.core.env import Obs, Space


class Moments(Arrays):
    """Count-weighted mean and variance of everything seen; the leading axes of what is added are averaged over."""

    mean: Float[Array, " *shape"]
    variance: Float[Array, " *shape"]
    count: Float[Array, ""]

    def standardise(self, x: Real[Array, "..."], clip: float = 10.0) -> Float[Array, "..."]:
        """(x - mean) / sd, clipped; a column that never varied maps to 0 until it does."""
        mean, variance = lift(self.mean, x.ndim), lift(self.variance, x.ndim)
        return jnp.clip((x.astype(mean.dtype) - mean) / jnp.sqrt(variance + 1e-8), -clip, clip)

    def restore(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """The inverse of `standardise`, within the clip range."""
        return x * jnp.sqrt(lift(self.variance, x.ndim) + 1e-8) + lift(self.mean, x.ndim)


def no_moments(shape: tuple[int, ...]) -> Moments:
    """Mean 0, variance 1, from nothing: the first data replace them."""
    return Moments(jnp.zeros(shape), jnp.ones(shape), jnp.float32(0))


def moments_of(x: Float[Array, "n *shape"], count: Int[Array, ""]) -> Moments:
    """The moments of the first `count` rows."""
    valid = jnp.arange(x.shape[0]) < count
    size = count.astype(x.dtype)
    row = valid.reshape(-1, *[1] * (x.ndim - 1))
    mean = jnp.where(row, x, 0).sum(0) / size
    return Moments(mean, jnp.where(row, (x - mean[None]) ** 2, 0).sum(0) / size, size)


def merge(a: Moments, b: Moments) -> Moments:
    """The moments of both samples together, exactly (Chan et al. 1979)."""
    total = a.count + b.count
    shift = b.mean - a.mean
    spread = a.variance * a.count + b.variance * b.count + shift**2 * a.count * b.count / total
    return Moments(a.mean + shift * b.count / total, spread / total, total)


def add(m: Moments, x: Real[Array, "..."]) -> Moments:
    """The moments after seeing `x` too, all of whose leading axes are averaged over."""
    axes = tuple(range(x.ndim - m.mean.ndim))
    return merge(m, Moments(x.mean(axes), x.var(axes), jnp.float32(x.size // max(m.mean.size, 1))))


class NormalisedObs(Arrays):
    """The wrapped agent's state and the moments of the observations it was trained on."""

    inner: State
    moments: Moments


def _own(options: int, obs: Obs) -> Obs:
    """The environment's part of an observation."""
    return obs[..., :-options] if options else obs


def _seen(options: int, m: Moments, obs: Obs) -> Obs:
    """What the wrapped agent sees."""
    standard = m.standardise(_own(options, obs))
    return jnp.concatenate([standard, obs[..., -options:].astype(standard.dtype)], -1) if options else standard


def normalise_obs(agent: Agent, initial: Moments | None = None) -> Agent:
    """The agent, seeing standardised observations. `initial` starts the moments from data, such as demonstrations.

    An update uses the moments that acting used, and only then takes the new observations in; what an agent replays
    stays standardised as it was. The marks of an option in force stay as they are: standardised, those of a rare option
    would be huge, and none would be a number.
    """

    own, seen = partial(_own, agent.options), partial(_seen, agent.options)

    def init(key: PRNGKey, space: Space) -> NormalisedObs:
        start = no_moments(space.obs.shape) if initial is None else initial
        return NormalisedObs(agent.init(key, space), start)

    def update(s: NormalisedObs, batch: Batch, key: PRNGKey) -> tuple[NormalisedObs, Metrics]:
        standard = batch._replace(obs=seen(s.moments, batch.obs), last_obs=seen(s.moments, batch.last_obs))
        inner, metrics = agent.update(s.inner, standard, key)
        return NormalisedObs(inner, add(s.moments, own(batch.obs))), metrics

    def repay(s: NormalisedObs, reward: RewardOf) -> NormalisedObs:
        def of(p: Seen) -> Float[Array, "..."]:  # a row stands for what its numbers mean to the agent now
            obs, next_obs = (s.moments.restore(own(x)) for x in (p.obs, p.next_obs))
            return reward(p._replace(obs=obs, next_obs=next_obs))

        return NormalisedObs(agent.repay(s.inner, of), s.moments)

    return agent._replace(
        init=init,
        act=lambda s, obs, key: agent.act(s.inner, seen(s.moments, obs), key),
        update=update,
        repay=repay,
        mode=lambda s, obs: agent.mode(s.inner, seen(s.moments, obs)),
        log_prob=lambda s, obs, action: agent.log_prob(s.inner, seen(s.moments, obs), action),
    )


class NormalisedReward(Arrays):
    """The wrapped agent's state, every environment's running discounted return, and its moments."""

    inner: State
    discounted: Float[Array, " E"]
    moments: Moments


def normalise_reward(agent: Agent, discount: Scalar = 0.99, clip: float = 10.0) -> Agent:
    """The agent, paid rewards divided by the running sd of the discounted return, then clipped; not centred.

    Not for learned rewards: their scale changes with every update, and the long memory of this one lags behind.
    """

    def init(key: PRNGKey, space: Space) -> NormalisedReward:
        return NormalisedReward(agent.init(key, space), jnp.zeros(space.num_envs), no_moments(()))

    def update(s: NormalisedReward, batch: Batch, key: PRNGKey) -> tuple[NormalisedReward, Metrics]:
        def forward(total: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
            reward, over = row
            total = total * discount + reward
            return jnp.where(over, 0, total), total

        over = batch.terminated | batch.truncated
        discounted, returns = jax.lax.scan(forward, s.discounted, (batch.reward, over))
        moments = add(s.moments, returns)
        scaled = jnp.clip(batch.reward / jnp.sqrt(moments.variance + 1e-8), -clip, clip)
        inner, metrics = agent.update(s.inner, batch._replace(reward=scaled), key)
        return NormalisedReward(inner, discounted, moments), metrics

    def repay(s: NormalisedReward, reward: RewardOf) -> NormalisedReward:
        def of(p: Seen) -> Float[Array, "..."]:
            return jnp.clip(reward(p) / jnp.sqrt(s.moments.variance + 1e-8), -clip, clip)

        return NormalisedReward(agent.repay(s.inner, of), s.discounted, s.moments)

    return agent._replace(
        init=init,
        act=lambda s, obs, key: agent.act(s.inner, obs, key),
        update=update,
        repay=repay,
        mode=lambda s, obs: agent.mode(s.inner, obs),
        log_prob=lambda s, obs, action: agent.log_prob(s.inner, obs, action),
    )
