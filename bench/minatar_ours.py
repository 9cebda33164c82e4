"""Worker: Theodolite's DQN trains on GAME with SEED for STEPS, and plays 64 episodes twenty times meanwhile."""

import sys

import jax
from worker import serve

from theodolite.control import dqn
from theodolite.core.evaluate import episode_scores
from theodolite.core.train import train
from theodolite.envs.registry import make

GAME, SEED, STEPS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
NUM_ENVS, TESTS, LOOKS = 8, 64, 20


def whole() -> dict:
    envs, agent = make(f"MinAtar/{GAME}-v1", num_envs=NUM_ENVS), dqn.agent(dqn.MINATAR)
    tests, updates = envs._replace(num_envs=TESTS), STEPS // NUM_ENVS
    play = jax.jit(lambda s, key: episode_scores(lambda obs, _: agent.mode(s, obs), tests, key)[0].mean())
    keys, returns = jax.random.split(jax.random.key(1_000 + SEED), LOOKS), []
    for chunk in train(dqn.agent, dqn.MINATAR, envs, updates=updates, every=updates // LOOKS, seed=SEED):
        state = jax.tree.map(lambda x: x[0], chunk.carry.agent)
        returns.append(float(play(state, keys[len(returns)])))
    return {"returns": returns, "steps": STEPS}


serve(whole, {})
