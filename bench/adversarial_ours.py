"""Worker: Theodolite's GAIL or AIRL on seals/CartPole-v0.

Arguments: gail or airl, demonstrations, return to reach, most rounds.
"""

import sys
import time
from collections.abc import Iterator
from itertools import count

import jax
import jax.numpy as jnp
from adversarial_task import envs, read_demos
from compile_time import compile_s, watch
from worker import serve

from theodolite.control import ppo
from theodolite.core.agent import Agent
from theodolite.core.train import Chunk, train
from theodolite.intent import airl, gail

METHOD, PATH, TARGET, MOST = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
NUM_ENVS, ROLLOUT = 8, 2_048
LEARNERS = {
    "gail": ppo.Config(rollout=ROLLOUT, learning_rate=4e-4, discount=0.95, epochs=5, minibatches=256),
    "airl": ppo.Config(
        rollout=ROLLOUT, learning_rate=5e-4, discount=0.95, epochs=5, minibatches=256, clip=0.1, value_coefficient=0.1
    ),
}
REWARDS = {
    "gail": gail.Config(
        steps=8, batch_size=1_024, entropy_bonus=0.0, hidden=(32, 32), learning_rate=1e-3, activation="relu"
    ),
    "airl": airl.Config(
        steps=16, batch_size=2_048, inputs="obs_action", replay=0, learning_rate=1e-3, hidden=(32,), activation="relu"
    ),
}
MODULES = {"gail": gail, "airl": airl}
SETTINGS = REWARDS[METHOD], LEARNERS[METHOD], read_demos(PATH)
seeds = count()


def agent(c: tuple) -> Agent:
    return MODULES[METHOD].agent(c[0], ppo.agent(c[1]), c[2])


def begin(seed: int, every: int, updates: int = 10**9) -> Iterator[Chunk]:
    return train(agent, SETTINGS, envs(NUM_ENVS), updates=updates, every=every, seed=seed)


run = begin(1_000, 5)


def chunk() -> dict:
    jax.block_until_ready(next(run))
    return {"steps": 5 * NUM_ENVS * ROLLOUT}


def first() -> dict:
    watch()
    return {**chunk(), **compile_s()}


def reach() -> dict:
    """A run with a new seed until the last episodes earned enough.

    Its time leaves out the first round, in which the program is compiled, and counts another round in its place.
    """
    for c in begin(next(seeds), 1, MOST):
        learnt = float(jnp.mean(c.metrics["return"]))
        if c.update == 1:
            wall, processor = time.perf_counter(), time.process_time()
        if learnt >= TARGET:
            break
    spent = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - processor}
    rounds = {kind: s * c.update / (c.update - 1) for kind, s in spent.items()}
    return {**rounds, "steps": c.update * NUM_ENVS * ROLLOUT, "return": learnt, "reached": learnt >= TARGET}


serve(first, {"chunk": chunk, "reach": reach})
