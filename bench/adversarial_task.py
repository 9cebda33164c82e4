"""The task of the GAIL benchmark in JAX, and its demonstrations: seals/CartPole-v0 and PPO's sampled policy on it."""

import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from theodolite.control import ppo
from theodolite.core import demos
from theodolite.core.env import Env, JaxEnvs, auto_reset, time_limit
from theodolite.core.evaluate import record
from theodolite.core.train import train
from theodolite.envs.registry import base

LIMIT, EPISODES = 500, 60


def seals_cartpole() -> Env:
    """CartPole whose physics goes on when the pole has fallen: 1 a step while it is up and the cart on the track."""
    cartpole = base("CartPole-v1")

    def step(key, state, action):
        state, out = cartpole.step(key, state, action)
        state = state.at[2].set((state[2] + math.pi) % (2 * math.pi) - math.pi)
        up = (jnp.abs(state[0]) < 2.4) & (jnp.abs(state[2]) < 12 * 2 * math.pi / 360)
        return state, out._replace(
            obs=state, last_obs=state, reward=up.astype(jnp.float32), terminated=jnp.bool_(False)
        )

    return cartpole._replace(step=step)


def envs(num_envs: int) -> JaxEnvs:
    """Copies that start anew after 500 steps."""
    return JaxEnvs("seals/CartPole-v0", auto_reset(time_limit(seals_cartpole(), LIMIT)), num_envs)


def make_demos(path: Path, updates: int = 150) -> float:
    """Train an expert on the true reward, write its demonstrations, and say what they earned on average."""
    settings, copies = ppo.Config(rollout=64, epochs=4, minibatches=4, learning_rate=1e-3), envs(64)
    for chunk in train(ppo.agent, settings, copies, updates=updates, every=updates):
        expert = jax.tree.map(lambda x: x[0], chunk.carry.agent)
    episodes = record(lambda obs, key: ppo.act(expert, obs, key)[0], copies._replace(num_envs=EPISODES), EPISODES)
    stacked = {name: np.stack([getattr(e, name) for e in episodes]) for name in ("obs", "action", "reward")}
    np.savez(path, **stacked)
    return float(stacked["reward"].sum(1).mean())


def read_demos(path: str) -> demos.Transitions:
    """The demonstrations as our methods take them."""
    with np.load(path) as f:
        cut = np.ones(len(f["obs"]), bool)
        space = seals_cartpole().space
        found = demos.from_arrays(f["obs"], f["action"], f["reward"], ~cut, cut, space=space)
    return demos.transitions(found)
