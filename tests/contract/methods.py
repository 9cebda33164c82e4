"""Every method that learns in an environment, as the contract suite walks it, and a JAX task behind a NumPy face."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from theodolite.control import dqn, iqn, ppo, preq_dqn, preqn, sac, td3, trpo
from theodolite.core import demos
from theodolite.core.agent import Agent
from theodolite.core.drive import EPISODE_METRICS, step_keys
from theodolite.core.env import Box, Discrete, JaxEnvs, Space, Step
from theodolite.core.normalise import normalise_obs, normalise_reward
from theodolite.core.train import run_keys, update_keys
from theodolite.envs.registry import make
from theodolite.intent import airl, apprenticeship, gail, gan_gcl
from theodolite.safety import a2oc

ENVS = make("CartPole-v1", num_envs=4, max_episode_steps=14)
CONTINUOUS = make("Pendulum-v1", num_envs=4, max_episode_steps=9)
ROLLOUT = 16


def expert(space: Space) -> demos.Transitions:
    """Three random episodes, two of which terminate."""
    rng, lengths = np.random.default_rng(0), (12, 9, 7)
    obs = [rng.normal(size=(n + 1, *space.obs.shape)).clip(-1, 1) for n in lengths]
    if isinstance(space.action, Discrete):
        actions = [(o[:-1, -1] > 0).astype(np.int32) for o in obs]
    else:
        actions = [np.tanh(o[:-1, :1]) for o in obs]
    return demos.transitions(demos.from_arrays(obs, actions, None, [True, False, True], space=space))


class Method(NamedTuple):
    """A row of the suite: `make(config)` is the agent, `metrics` what its updates must report."""

    make: Callable[[Any], Agent]
    config: Any
    metrics: set[str]
    envs: JaxEnvs = ENVS
    mode_is_likeliest: bool = True
    """Of a squashed Gaussian the mode is the median."""


PPO = ppo.Config(rollout=ROLLOUT, epochs=2, minibatches=2, hidden=(8,))
TRPO = trpo.Config(rollout=ROLLOUT, conjugate_iterations=3, fisher_every=2, backtracks=4, critic_steps=2, hidden=(8,))
SMALL: dict[str, Any] = {
    "rollout": ROLLOUT, "train_every": 32, "learning_starts": 64, "replay": 256, "batch_size": 8, "target_every": 2,
    "epsilon_steps": 500, "hidden": (8,),
}  # fmt: skip
DQN = dqn.Config(**SMALL, n_step=2, double=False)
RAINBOW = replace(dqn.RAINBOW, **SMALL, support=(0.0, 10.0), atoms=6)
DQN_WITH_ALL = replace(RAINBOW, horizons=2, act_by="mixture", trunks=2)
"""Rainbow's settings, which are all of one horizon, and what they leave out."""
IQN = iqn.Config(**SMALL, n_step=2, double=False, levels=3, target_levels=4, policy_levels=5, cosines=6)
PREQN = preqn.Config(
    rollout=ROLLOUT, train_every=32, learning_starts=64, random_steps=80, replay=256, batch_size=8, hidden=(8,),
    held_out=4,
)  # fmt: skip
PREQ_DQN = preq_dqn.Config(
    rollout=ROLLOUT, train_every=32, learning_starts=64, replay=256, batch_size=8, n_step=2, epsilon_steps=500,
    hidden=(8,),
)  # fmt: skip
TD3 = td3.Config(
    rollout=ROLLOUT, train_every=16, learning_starts=64, random_steps=64, replay=256, batch_size=8, hidden=(8,)
)
SAC = sac.Config(
    rollout=ROLLOUT, train_every=16, learning_starts=64, random_steps=64, replay=256, batch_size=8, hidden=(8,)
)
DDPG = replace(TD3, twin=False, policy_every=1, smoothing=0.0)
A2OC = a2oc.Config(rollout=ROLLOUT, num_options=3, psi=0.1, hidden=(8,))
GAIL = gail.Config(hidden=(8,))


def gail_with(learner: Callable[[Any], Agent]) -> Callable[[Any], Agent]:
    """A maker of GAIL from (its configuration, the learner's, demonstrations)."""
    return lambda c: gail.agent(c[0], learner(c[1]), c[2])


def apprentice(c: tuple) -> Agent:
    """Apprenticeship learning from (its configuration, PPO's, demonstrations)."""
    return apprenticeship.agent(c[0], ppo.agent(c[1]), c[2], ENVS.space)


def learning_from(module: Any, learner: Callable[[Any], Agent]) -> Callable[[Any], Agent]:
    """A maker of AIRL or GAN-GCL from (its configuration, the learner's, demonstrations)."""
    return lambda c: module.agent(c[0], learner(c[1]), c[2])


AIRL = airl.Config(steps=2, batch_size=12, replay=100, hidden=(8,), potential_hidden=(4,))
GCL = gan_gcl.Config(horizon=4, steps=2, batch_size=3, hidden=(8,))
OF_GAIL = gail.METRICS.keys() | ppo.METRICS.keys()
OF_APPRENTICE = apprenticeship.METRICS.keys() | ppo.METRICS.keys()
EXPERT, CONTINUOUS_EXPERT = expert(ENVS.space), expert(CONTINUOUS.space)
METHODS = {
    "ppo": Method(ppo.agent, PPO, {*ppo.METRICS}),
    "ppo, continuous": Method(ppo.agent, PPO, {*ppo.METRICS}, CONTINUOUS),
    "trpo": Method(trpo.agent, TRPO, {*trpo.METRICS}),
    "dqn": Method(dqn.agent, DQN, {*dqn.METRICS}),
    "dqn with every option": Method(dqn.agent, DQN_WITH_ALL, {*dqn.METRICS}),
    "qr_dqn": Method(dqn.agent, replace(DQN, head="quantile", atoms=4), {*dqn.METRICS}),
    "iqn": Method(iqn.agent, IQN, {*iqn.METRICS}),
    "a2oc": Method(lambda c: normalise_obs(a2oc.agent(c)), A2OC, {*a2oc.METRICS}),
    "preqn": Method(preqn.agent, PREQN, {*preqn.METRICS}, CONTINUOUS),
    "preq_dqn": Method(preq_dqn.agent, PREQ_DQN, {*preq_dqn.METRICS}),
    "trpo, continuous": Method(trpo.agent, TRPO, {*trpo.METRICS}, CONTINUOUS),
    "td3": Method(td3.agent, TD3, {*td3.METRICS}, CONTINUOUS),
    "ddpg, two horizons": Method(td3.agent, replace(DDPG, horizons=2, act_by="mixture"), {*td3.METRICS}, CONTINUOUS),
    "sac": Method(sac.agent, SAC, {*sac.METRICS}, CONTINUOUS, mode_is_likeliest=False),
    "gail of ppo": Method(gail_with(ppo.agent), (GAIL, PPO, EXPERT), {*OF_GAIL}),
    "gail of trpo": Method(
        gail_with(trpo.agent),
        (gail.Config(absorbing=True, replay=100, batch_size=20, gradient_penalty=1.0, hidden=(8,)), TRPO, EXPERT),
        gail.METRICS.keys() | trpo.METRICS.keys(),
    ),
    "gail, continuous": Method(gail_with(ppo.agent), (GAIL, PPO, CONTINUOUS_EXPERT), {*OF_GAIL}, CONTINUOUS),
    "airl of trpo": Method(
        learning_from(airl, trpo.agent), (AIRL, TRPO, EXPERT), airl.METRICS.keys() | trpo.METRICS.keys()
    ),
    "airl, continuous": Method(
        learning_from(airl, ppo.agent),
        (AIRL, PPO, CONTINUOUS_EXPERT),
        airl.METRICS.keys() | ppo.METRICS.keys(),
        CONTINUOUS,
    ),
    "airl of sac": Method(
        learning_from(airl, sac.agent),
        (replace(AIRL, reward="f"), replace(SAC, learn_temperature=False), CONTINUOUS_EXPERT),
        airl.METRICS.keys() | sac.METRICS.keys(),
        CONTINUOUS,
        mode_is_likeliest=False,
    ),
    "gan_gcl": Method(
        learning_from(gan_gcl, ppo.agent), (GCL, PPO, EXPERT), gan_gcl.METRICS.keys() | ppo.METRICS.keys()
    ),
    "fem": Method(apprentice, (apprenticeship.FEM, PPO, EXPERT), {*OF_APPRENTICE}),
    "gtal": Method(apprentice, (apprenticeship.GTAL, PPO, EXPERT), {*OF_APPRENTICE}),
    "normalise_obs and normalise_reward": Method(
        lambda c: normalise_reward(normalise_obs(ppo.agent(c))), PPO, {*ppo.METRICS}, CONTINUOUS
    ),
}
DRIVERS = {*EPISODE_METRICS}


@partial(jax.jit, static_argnums=0)
def reset_by(envs: JaxEnvs, key: jax.Array) -> tuple:
    """Every copy's start in a run of that key."""
    _, env_key = jax.random.split(jax.random.fold_in(key, 0))
    return jax.vmap(envs.env.reset)(jax.random.split(env_key, envs.num_envs))


@partial(jax.jit, static_argnums=0)
def step_by(envs: JaxEnvs, key: jax.Array, update: int, t: int, state: Any, action: jax.Array) -> tuple:
    """Every copy's step at `t` of an update in a run of that key."""
    env_key = step_keys(update_keys(key, update)[0], t)[1]
    return jax.vmap(envs.env.step)(jax.random.split(env_key, envs.num_envs), state, action)


class NumpyFace:
    """A JAX task as a host environment that draws with exactly the keys of the JAX driver."""

    def __init__(self, envs: JaxEnvs, rollout: int, seed: int = 0):
        self._envs, self.id, self.num_envs, self.space = envs, envs.id, envs.num_envs, envs.space
        self._rollout, self._key, self._steps = rollout, run_keys(seed, 1)[0], 0

    def reset(self, seed: int) -> np.ndarray:
        """The driver's own start, whatever the seed."""
        self._state, obs = reset_by(self._envs, self._key)
        return np.asarray(obs)

    def step(self, action: np.ndarray) -> Step:
        """One step of every copy."""
        update, t = divmod(self._steps, self._rollout)
        self._state, out = step_by(self._envs, self._key, update, t, self._state, jnp.asarray(action))
        self._steps += 1
        return jax.tree.map(np.asarray, out)

    def close(self) -> None:
        """Nothing is held."""


def is_action(space: Space, action: jax.Array, leading: tuple[int, ...]) -> bool:
    """Whether an array of actions belongs to a space."""
    if isinstance(space.action, Discrete):
        return action.shape == leading and action.dtype == jnp.int32 and bool((action < space.action.num).all())
    assert isinstance(space.action, Box)
    return action.shape == (*leading, *space.action.shape) and action.dtype == jnp.float32
