"""Worker: PPO on Hopper-v5 through EnvPool; the time inside `step` is taken by a face around the environment."""

import time
from collections.abc import Callable
from functools import wraps

import jax
from worker import serve

from theodolite.control import ppo
from theodolite.core import train as loop
from theodolite.core.host import HostEnv
from theodolite.envs.registry import make

NUM_ENVS, UPDATES = 64, 8
SETTINGS = ppo.Config(rollout=32, epochs=10, minibatches=32, hidden=(64, 64))
spent = {"stepping": [0.0, 0.0], "collecting": [0.0, 0.0]}


def clocked(f: Callable, name: str) -> Callable:
    """The same function; its wall and processor time are added up."""

    @wraps(f)
    def run(*arguments):
        wall, processor = time.perf_counter(), time.process_time()
        out = f(*arguments)
        spent[name][0] += time.perf_counter() - wall
        spent[name][1] += time.process_time() - processor
        return out

    return run


class Clocked:
    """A host environment whose steps are clocked."""

    def __init__(self, envs: HostEnv):
        self.id, self.num_envs, self.space = envs.id, envs.num_envs, envs.space
        self.reset, self.close, self.step = envs.reset, envs.close, clocked(envs.step, "stepping")


loop.collect_host = clocked(loop.collect_host, "collecting")
run = loop.train(ppo.agent, SETTINGS, Clocked(make("Hopper-v5", num_envs=NUM_ENVS)), updates=10**9, every=UPDATES)


def chunk() -> dict:
    """A chunk with the share of each part: what is not collecting is learning, which the next acting waits for."""
    for clocks in spent.values():
        clocks[:] = 0.0, 0.0
    jax.block_until_ready(next(run))
    kinds = ("wall_s", "cpu_s")
    named = {f"{name}_{kind}": s for name, clocks in spent.items() for kind, s in zip(kinds, clocks, strict=True)}
    return {"steps": UPDATES * NUM_ENVS * SETTINGS.rollout, **named}


serve(chunk, {"chunk": chunk})
