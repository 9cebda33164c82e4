"""PreQN in control: every arm on the same task with the same widths, batches, exploration and number of steps."""

from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from theodolite.control import dqn, preq_dqn, preqn, sac, td3
from theodolite.core.claim import Row, row
from theodolite.core.env import JaxEnvs
from theodolite.core.errors import NotFinite
from theodolite.core.evaluate import episode_scores, record
from theodolite.core.findings import MOST
from theodolite.core.train import train
from theodolite.envs import registry

TESTS, POINTS = 32, 20
"""Episodes of the final test, and points of a curve."""
SEEN = ("alpha", "skipped", "alignment", "attainable", "row_ratio", "held_out_alignment", "spill", "value")


class Task(NamedTuple):
    """A task, the returns between which scores run from 0 to 1, and how it is learned."""

    id: str
    low: float
    high: float
    num_envs: int
    rollout: int
    train_every: int
    start: int
    """Random steps before the first gradient step."""
    batch_size: int
    hidden: tuple[int, ...]
    worst: float
    """No policy that is known returns less: what a run is given that did not stay finite."""

    def score(self, returned: Any) -> Any:
        """A return between `low` and `high` as a score between 0 and 1."""
        return (returned - self.low) / (self.high - self.low)


TASKS = {
    "Pendulum": Task("Pendulum-v1", -1_200.0, -150.0, 5, 10, 1, 1_000, 64, (64, 64), -3_255.0),
    "InvertedDoublePendulum": Task("InvertedDoublePendulum-v5", 0.0, 9_300.0, 4, 16, 2, 5_000, 128, (128, 128), 0.0),
    "HalfCheetah": Task("HalfCheetah-v5", 0.0, 5_500.0, 4, 16, 2, 5_000, 128, (128, 128), -5_500.0),
}
"""A score of 1 is solved; for HalfCheetah it is what TD3's authors have after 100,000 steps of an older version.

The worst is 200 times Pendulum's largest cost, π² + 0.1 · 8² + 0.001 · 2², and HalfCheetah as fast, backwards.
"""
CHOICES = {"CartPole": Task("CartPole-v1", 20.0, 500.0, 8, 1, 4, 1_000, 64, (64, 64), 8.0)}
"""Where actions are choices; its worst is the shortest episode that there is."""
RATE = 1e-3
"""Of every Adam: the authors' code base, and all arms alike."""
Arm = tuple[Callable[[Any], Any], Any]


def arms(task: str) -> dict[str, Arm]:
    """Every arm on a task."""
    return among_choices(CHOICES[task]) if task in CHOICES else continuous(TASKS[task])


def continuous(t: Task) -> dict[str, Arm]:
    """Every arm where actions are continuous."""
    shared: dict[str, Any] = {
        "rollout": t.rollout, "train_every": t.train_every, "learning_starts": t.start, "random_steps": t.start,
        "replay": 100_000, "batch_size": t.batch_size, "hidden": t.hidden, "policy_learning_rate": RATE,
    }  # fmt: skip
    pre = preqn.Config(held_out=t.batch_size, **shared)
    twin = td3.Config(learning_rate=RATE, **shared)
    one = replace(twin, twin=False, policy_every=1, smoothing=0.0)
    return {
        "PreQN": (preqn.agent, pre),
        "PreQN, no line search": (preqn.agent, replace(pre, line_search=False)),
        "PreQN, relu": (preqn.agent, replace(pre, activation="relu")),
        "PreQN, right across": (preqn.agent, replace(pre, second_batch=t.batch_size, across="right")),
        "PreQN, still across": (preqn.agent, replace(pre, second_batch=t.batch_size, across="still")),
        "no preconditioning": (preqn.agent, replace(pre, line_search=False, damping=float(t.batch_size))),
        "DDPG, no target": (td3.agent, replace(one, target_share=1.0)),
        "DDPG": (td3.agent, one),
        "TD3": (td3.agent, twin),
        "SAC": (sac.agent, sac.Config(learning_rate=RATE, temperature_learning_rate=RATE, **shared)),
    }


def among_choices(t: Task) -> dict[str, Arm]:
    """Every arm where actions are choices; DQN's settings are those of `distributional`."""
    shared: dict[str, Any] = {
        "rollout": t.rollout, "train_every": t.train_every, "learning_starts": t.start, "replay": 100_000,
        "batch_size": t.batch_size, "hidden": t.hidden, "n_step": 1, "epsilon_steps": 8_000,
    }  # fmt: skip
    plain = dqn.Config(learning_rate=5e-4, target_every=100, double=False, max_gradient_norm=10.0, **shared)
    return {
        "PreQ-DQN": (preq_dqn.agent, preq_dqn.Config(**shared)),
        "DQN": (dqn.agent, plain),
        "DQN, no target": (dqn.agent, replace(plain, target_every=1)),
    }


ARMS = tuple(arms("Pendulum"))
CHOOSING = tuple(arms("CartPole"))


def task_of(name: str) -> Task:
    """A task by its name."""
    return (TASKS | CHOICES)[name]


def study(arm: str, task: str, seeds: tuple[int, ...], steps: int) -> list[Row]:
    """One arm on one task: a row per seed, also for those that did not stay finite."""
    t = task_of(task)
    envs = registry.make(t.id, num_envs=t.num_envs)
    if isinstance(envs, JaxEnvs):
        with suppress(NotFinite):  # one seed stops all of a program: each once more, by itself
            return learn(arm, task, envs, steps, seeds)
        return [r for seed in seeds for r in alone(arm, task, envs, steps, seed)]
    with closing(envs):
        return [r for seed in seeds for r in alone(arm, task, envs, steps, seed)]


def alone(arm: str, task: str, envs: Any, steps: int, seed: int) -> list[Row]:
    """One seed, with keys of its own; one that leaves the numbers has diverged and is given the worst return."""
    try:
        return learn(arm, task, envs, steps, (seed,))
    except NotFinite:
        t = task_of(task)
        return [row(arm, task, seed, score=t.score(t.worst), test_return=t.worst, diverged=1.0)]


def learn(arm: str, task: str, envs: Any, steps: int, seeds: tuple[int, ...]) -> list[Row]:
    """Train, and play what was learned without noise.

    Raises:
        NotFinite: a seed left the numbers.
    """
    t, (build, config) = task_of(task), arms(task)[arm]
    per_update = t.num_envs * t.rollout
    updates = steps // per_update
    chunks, at = [], []
    every = max(1, updates // POINTS)
    for chunk in train(build, config, envs, updates=updates, every=every, seed=seeds[0], seeds=len(seeds)):
        chunks.append({name: np.asarray(x) for name, x in chunk.metrics.items()})
        at.append(chunk.update * per_update)
    final = tested(build(config), chunk.carry.agent, t, len(seeds))
    scores = t.score(final)
    rows = []
    for i, seed in enumerate(seeds):
        curve = {"return": (at, [np.nan_to_num(c["return"][i, -1], nan=t.low) for c in chunks])}
        late = chunks[-max(1, len(chunks) // 2) :]  # the second half of training
        seen = {name: np.mean([c[name][i].mean() for c in late]) for name in SEEN if name in chunks[0]}
        excess = max(float(c["excess"][i].max()) for c in chunks)
        rows.append(row(arm, task, seed, curve, score=scores[i], test_return=final[i], excess=excess,
                        diverged=excess > MOST, **seen))  # fmt: skip
    return rows


def tested(agent: Any, states: Any, t: Task, seeds: int) -> np.ndarray:
    """Mean return of the policy's mode for every seed."""
    tests = registry.make(t.id, num_envs=TESTS if seeds > 1 or t.id in registry.TASKS else 10)
    if not isinstance(tests, JaxEnvs):
        state = jax.tree.map(lambda x: x[0], states)
        played = record(lambda obs, _: agent.mode(state, obs), tests, 10, seed=3_000)
        return np.array([np.mean([e.reward.sum() for e in played])])

    def play(pair: tuple) -> jax.Array:
        return episode_scores(lambda obs, _: agent.mode(pair[0], obs), tests, pair[1])[0].mean()

    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(3_000), jnp.arange(seeds))
    return np.asarray(jax.jit(lambda states: jax.lax.map(play, (states, keys)))(states))
