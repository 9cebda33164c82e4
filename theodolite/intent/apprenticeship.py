"""Apprenticeship learning by policy gradient: be paid along the feature differences that still betray the policy.

    c* = argmax_{c in C} E_π[c] - E_E[c],   C = {w·f : ‖w‖₂ <= 1} (FEM)  or  {w·f : w in the simplex} (GTAL)

FEM matches feature expectations (Abbeel & Ng 2004), GTAL plays the game against the worst feature (Syed & Schapire
2007), both with a policy-gradient learner instead of an exact solver (Ho, Gupta & Ermon 2016). Differences from that
paper, all from the code released with GAIL:
1. features are standardised obs and action, their squares in small, and 1; GTAL has their negatives too;
2. the reward w·f / dim f is shifted by its running extreme, to one sign, because its sign decides about survival;
3. w is computed from the batch at hand, in closed form.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from theodolite.core import demos, normalise
from theodolite.core.agent import Agent, Batch, Seen
from theodolite.core.agent import State as LearnerState
from theodolite.core.arrays import Arrays, Metrics, PRNGKey
from theodolite.core.claim import Paper
from theodolite.core.config import config, one_of, require
from theodolite.core.env import Action, Box, Discrete, Obs, Space
from theodolite.core.options import refuse

PAPER = Paper("Model-Free Imitation Learning with Policy Optimization", "Ho, Gupta and Ermon", 2016, arxiv="1605.08478")
METRICS = {
    "feature_gap": "E_E[w·f] - E_π[w·f]: the distance that the class of costs can still see",
    "learned_reward": "mean shifted reward that the learner was paid",
}


@config
class Config:
    """What apprenticeship learning leaves open."""

    costs: Literal["l2_ball", "simplex"] = "l2_ball"
    """The class C of costs: l2_ball is FEM, simplex is GTAL."""
    sign: Literal["positive", "negative"] = "positive"
    """Shift rewards to be positive (episodes end on failure) or negative (they end on success)."""

    def __post_init__(self):
        require(self, costs=one_of("l2_ball", "simplex"), sign=one_of("positive", "negative"))


FEM = Config(costs="l2_ball")
GTAL = Config(costs="simplex")


class State(Arrays):
    """The learner's state, the moments that standardise the features' inputs, and the extreme reward seen so far."""

    learner: LearnerState
    obs_moments: normalise.Moments
    action_moments: normalise.Moments | None
    extreme: Float[Array, ""]


def features(c: Config, s: State, obs: Obs, action: Action, space: Space) -> Float[Array, "*batch F"]:
    """f(s, a): linear and small quadratic features; one block of state features per discrete action."""
    one = jnp.ones((*obs.shape[:-1], 1), obs.dtype)
    seen = s.obs_moments.standardise(obs)
    f = jnp.concatenate([seen, (0.01 * seen) ** 2, one], -1)
    match space.action:
        case Discrete(num=num):
            block = jax.nn.one_hot(action, num, dtype=obs.dtype)
            f = (block[..., :, None] * f[..., None, :]).reshape(*f.shape[:-1], -1)
        case Box():
            assert s.action_moments is not None
            done = s.action_moments.standardise(action)
            f = jnp.concatenate([f, done, (0.01 * done) ** 2], -1)
    return jnp.concatenate([f, -f], -1) if c.costs == "simplex" else f


def weights(c: Config, gap: Float[Array, " F"]) -> Float[Array, " F"]:
    """The w in the class that pays best for closing the gap E_E[f] - E_π[f], in closed form."""
    if c.costs == "l2_ball":
        return gap / (jnp.linalg.norm(gap) + 1e-8)
    return jax.nn.one_hot(jnp.argmax(gap), gap.size, dtype=gap.dtype)


def init(c: Config, learner: Agent, expert: demos.Transitions, key: PRNGKey, space: Space) -> State:
    """A fresh learner; the features are standardised by the expert's moments."""
    continuous = isinstance(space.action, Box)
    return State(
        learner.init(key, space),
        normalise.moments_of(expert.obs, expert.count),
        normalise.moments_of(expert.action, expert.count) if continuous else None,
        jnp.float32(0),
    )


def update(
    c: Config, learner: Agent, expert: demos.Transitions, space: Space, s: State, batch: Batch, key: PRNGKey
) -> tuple[State, Metrics]:
    """Compute w, then let the learner improve on w·f."""
    f = features(c, s, batch.obs, batch.action, space)
    of_expert = normalise.moments_of(features(c, s, expert.obs, expert.action, space), expert.count).mean
    gap = of_expert - f.mean((0, 1))
    w = weights(c, gap)
    raw = f @ w / w.size
    positive = c.sign == "positive"
    extreme = jnp.minimum(s.extreme, raw.min()) if positive else jnp.maximum(s.extreme, raw.max())
    paid = raw - extreme
    bounds = (0.0, jnp.inf) if positive else (-jnp.inf, 0.0)  # what is kept may lie beyond the extreme of this round

    def reward_of(p: Seen) -> Float[Array, "*batch"]:
        return jnp.clip(features(c, s, p.obs, p.action, space) @ w / w.size - extreme, *bounds)

    kept = learner.repay(s.learner, reward_of)
    inner, metrics = learner.update(kept, batch._replace(reward=paid), key)
    metrics = {**metrics, "feature_gap": gap @ w, "learned_reward": paid.mean()}
    return State(inner, s.obs_moments, s.action_moments, extreme), metrics


def agent(c: Config, learner: Agent, expert: demos.Transitions, space: Space) -> Agent:
    """The learner, paid along the feature differences between expert and policy.

    Raises:
        UserError: the learner has options.
    """
    refuse(learner, "apprenticeship learning")
    return Agent(
        init=partial(init, c, learner, expert),
        act=lambda s, obs, key: learner.act(s.learner, obs, key),
        update=partial(update, c, learner, expert, space),
        mode=lambda s, obs: learner.mode(s.learner, obs),
        log_prob=lambda s, obs, action: learner.log_prob(s.learner, obs, action),
        rollout=learner.rollout,
    )
