"""Worker: Theodolite's PPO on CartPole-v1 through the public `train`. Arguments: seeds, updates in a chunk."""

import sys

import jax
from compile_time import compile_s, watch
from worker import serve

from theodolite.control import ppo
from theodolite.core.evaluate import episode_scores
from theodolite.core.train import train
from theodolite.envs.registry import make

NUM_ENVS, TESTS, TEST_SEEDS = 64, 128, 5
SETTINGS = ppo.Config(rollout=64, epochs=4, minibatches=4, learning_rate=1e-3, hidden=(64, 64))
SEEDS, UPDATES = (int(given) for given in sys.argv[1:] or (1, 50))

envs = make("CartPole-v1", num_envs=NUM_ENVS)
run = train(ppo.agent, SETTINGS, envs, updates=10**9, every=UPDATES, seeds=SEEDS)


def chunk() -> dict:
    jax.block_until_ready(next(run))
    return {"steps": SEEDS * UPDATES * NUM_ENVS * SETTINGS.rollout}


def first() -> dict:
    watch()
    return {**chunk(), **compile_s()}


def score() -> dict:
    """Mean return of the sampled policy after UPDATES updates, for every seed."""
    play = jax.jit(lambda s, key: episode_scores(lambda obs, k: ppo.act(s, obs, k)[0], tests, key)[0].mean())
    tests, returns = envs._replace(num_envs=TESTS), []
    for seed in range(TEST_SEEDS):
        state = next(train(ppo.agent, SETTINGS, envs, updates=UPDATES, every=UPDATES, seed=seed)).carry.agent
        returns.append(float(play(jax.tree.map(lambda x: x[0], state), jax.random.key(1_000 + seed))))
    return {"returns": returns}


serve(first, {"chunk": chunk, "score": score})
