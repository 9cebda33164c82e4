"""Worker: Theodolite's TD3 on Gymnasium's HalfCheetah-v5 through the public `train`."""

import jax
from worker import serve

from theodolite.control import td3
from theodolite.core.train import train
from theodolite.envs.registry import make

UPDATES, START = 32, 256
SETTINGS = td3.Config(learning_starts=START, random_steps=START)

envs = make("gymnasium/HalfCheetah-v5", num_envs=1)
run = train(td3.agent, SETTINGS, envs, updates=10**9, every=UPDATES)


def chunk() -> dict:
    jax.block_until_ready(next(run).held)
    return {"steps": UPDATES * SETTINGS.rollout}


serve(chunk, {"chunk": chunk})
