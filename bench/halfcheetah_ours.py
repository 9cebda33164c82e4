"""Worker: Theodolite trains METHOD on HalfCheetah-v5 with SEED for STEPS, then plays."""

import sys
from collections import deque

import jax
import numpy as np
from worker import serve

from theodolite.control import sac, td3
from theodolite.core.evaluate import record
from theodolite.core.train import train
from theodolite.envs.registry import make

METHOD, SEED, STEPS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
MODULE, EPISODES, EVERY = {"td3": td3, "sac": sac}[METHOD], 10, 100
START = min(10_000, STEPS // 4)


def whole() -> dict:
    c = MODULE.Config(learning_starts=START, random_steps=START)
    updates = STEPS // c.rollout
    run = train(MODULE.agent, c, make("HalfCheetah-v5", num_envs=1), updates=updates, every=EVERY, seed=SEED)
    (last,) = deque(run, maxlen=1)
    agent, state = MODULE.agent(c), jax.tree.map(lambda x: x[0], last.carry.agent)
    tests = make("HalfCheetah-v5", num_envs=EPISODES)
    played = record(lambda obs, _: agent.mode(state, obs), tests, EPISODES, seed=1_000 + SEED)
    return {"return": float(np.mean([e.reward.sum() for e in played])), "steps": STEPS}


serve(whole, {})
