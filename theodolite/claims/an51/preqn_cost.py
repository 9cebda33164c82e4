"""What a preconditioned step of a critic costs, in steps of TD3's critics on the same batch: measured in turns.

PreQN's is the dearest case, in which every size of the step is tried and none accepted; a step whose first sizes are
accepted costs little more than one without line search.
"""

import time
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from theodolite.control import actor_critic, preqn, td3
from theodolite.core import optim, replay
from theodolite.core.arrays import Metrics
from theodolite.core.claim import Row, row
from theodolite.core.env import Box, Space

SPACE = Space(Box((17,)), Box((6,), -1.0, 1.0))
"""HalfCheetah's."""
SHAPES = {"64 64/64": ((64, 64), 64), "256 256/100": ((256, 256), 100), "256 256/256": ((256, 256), 256)}
STEPS, TURNS = 20, 9


class Timed(NamedTuple):
    """A program that makes some steps of critics, and where it starts."""

    run: Any
    start: Any


def batch(size: int) -> replay.Sample:
    """A random one."""
    keys = jax.random.split(jax.random.key(0), 4)
    obs, last_obs = (jax.random.normal(k, (size, 17)) for k in keys[:2])
    action = jax.random.uniform(keys[2], (size, 6), minval=-1.0)
    one, never = jnp.ones(size), jnp.zeros(size, bool)
    reward = jax.random.normal(keys[3], (size, 1))
    return replay.Sample(obs, action, reward, jnp.ones(size, jnp.int32), never, last_obs, jnp.arange(size), one)


def steps(shape: str) -> dict[str, Timed]:
    """Programs of both learners' critic steps: targets by their own rule, then the step, slow copies included."""
    hidden, size = SHAPES[shape]
    b, key = batch(size), jax.random.key(1)
    ours = preqn.Config(replay=size, learning_starts=0, hidden=hidden, rollout=1, eta=1.0)  # no cosine reaches it
    one_try = preqn.Config(replay=size, learning_starts=0, hidden=hidden, rollout=1, line_search=False)
    theirs = td3.Config(replay=size, learning_starts=0, hidden=hidden, rollout=1)
    regression = actor_critic.regression(theirs.learning_rate)

    def precondition(c: preqn.Config, now: preqn.Learner, _: None) -> tuple[preqn.Learner, Metrics]:
        critics, _, m = preqn.critic_step(c).step(now.critics, None, b, preqn.targets(c, now, b))
        return preqn.Learner(now.policy, critics, now.policy_opt), m

    def regress(now: td3.Learner, _: None) -> tuple[td3.Learner, Metrics]:
        target = td3.targets(theirs, now, b, key)
        critics, memory, m = regression.step(now.critics, now.critic_memory, b, target)
        slow = optim.polyak(now.slow_critics, critics, theirs.target_share)
        return td3.Learner(now.policy, critics, now.slow_policy, slow, now.policy_opt, memory, now.updates + 1), m

    first = preqn.init(ours, key, SPACE).learner
    return {
        "PreQN": Timed(_many(partial(precondition, ours)), first),
        "PreQN, no line search": Timed(_many(partial(precondition, one_try)), first),
        "TD3": Timed(_many(regress), td3.init(theirs, regression, key, SPACE).learner),
    }


def _many(one: Any) -> Any:
    return jax.jit(lambda now: jax.lax.scan(one, now, None, length=STEPS)[0])


def cost(shape: str, seeds: tuple[int, ...]) -> list[Row]:
    """Processor time per step over TD3's in the same turn: a row per seed, the median of its turns."""
    programs = steps(shape)
    for p in programs.values():
        jax.block_until_ready(p.run(p.start))
    rows = []
    for seed in seeds:
        spent: dict[str, list[float]] = {arm: [] for arm in programs}
        for _ in range(TURNS):
            for arm, p in programs.items():
                began = time.process_time()
                jax.block_until_ready(p.run(p.start))
                spent[arm].append((time.process_time() - began) / STEPS)
        for arm, taken in spent.items():
            ratio = float(np.median(np.array(taken) / np.array(spent["TD3"])))
            rows.append(row(arm, shape, seed, relative_cost=ratio, milliseconds=1e3 * np.median(taken)))
    return rows
