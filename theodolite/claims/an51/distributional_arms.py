"""The runs behind the claims of distributional: every arm on every task, from the same keys, as curves and returns."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from theodolite.claims.an51 import distributional_exact as exact
from theodolite.claims.an51.distributional_heads import Arm, arms, make
from theodolite.control import diagnosis, dqn, iqn
from theodolite.core import replay
from theodolite.core.agent import Agent
from theodolite.core.claim import Job, Row, Size, row
from theodolite.core.env import Box, Discrete, Env, JaxEnvs
from theodolite.core.evaluate import episode_scores
from theodolite.core.train import train
from theodolite.envs import registry

REWARD = 0.1
"""Rewards as learners see them: the squared error then is not all of the loss, nor the linear part of the Huber one."""
BASE = dqn.Config(
    train_every=8, learning_starts=1_000, replay=100_000, batch_size=64, learning_rate=5e-4, discount=0.99,
    target_every=100, epsilon_steps=15_000, hidden=(64, 64), atoms=51, support=(-10.0, 10.0), double=True, n_step=5,
    max_gradient_norm=10.0,
)  # fmt: skip
"""Double targets of five steps, as DQN has them by default: with them DQN solves CartPole within the quick budget."""
LINEAR = replace(
    BASE, hidden=(), learning_rate=2e-3, train_every=4, learning_starts=500, replay=20_000, epsilon_steps=8_000
)
"""For Fourier features, of which a replay holds hundreds per state."""
GAMES = replace(
    BASE, train_every=4, batch_size=32, learning_starts=5_000, learning_rate=2.5e-4, target_every=250,
    epsilon_steps=50_000, hidden=(128,),
)  # fmt: skip
"""For MinAtar: 16 channels of 3 x 3 and a dense layer of 128."""
NUM_ENVS, CHECKPOINTS, TESTS, PROBED = 8, 20, 32, 512


class Task(NamedTuple):
    """A task, and the returns between which scores run from 0 to 1."""

    id: str
    low: float
    high: float
    bounds: tuple[float, ...] = ()
    """Of the inputs of Fourier features."""


TASKS = {
    "CartPole": Task("CartPole-v1", 20.0, 500.0, exact.CARTPOLE_BOUNDS),
    "Acrobot": Task("Acrobot-v1", -500.0, -80.0, (1.0, 1.0, 1.0, 1.0, 5.0, 5.0)),
    "Breakout": Task("MinAtar/Breakout-v1", 0.0, 28.0),
    "Asterix": Task("MinAtar/Asterix-v1", 0.0, 15.0),
}
"""A fixed score of 1 is a solved task; for the games, what gymnax publishes for PPO."""
DEEP = ("CartPole", "Acrobot")
PLAIN = ("DQN", "C51", "QR-DQN")
QUESTION = ("DQN", "QR-DQN", "separate", "separate, small", "two trunks", "ensemble", "ensemble, small", "auxiliary",
            "blocked")  # fmt: skip
"""The arms of the newsletter's question; the others of the study have fewer seeds at size quick."""
STUDY = ("DQN", "C51", *QUESTION[1:], "histogram", "horizons", "hyperbolic", "IQN")
PLAYED = ("Breakout", "Asterix")
"""Games of MinAtar, for the plain arms only: a network per quantile takes eight times as long there."""


class Budget(NamedTuple):
    """What a size buys."""

    seeds: int
    """Of the arms of the question."""
    other_seeds: int
    """Of the other arms on networks."""
    steps: Mapping[str, int]
    """Environment steps by task."""
    control_seeds: int
    """Of the study with Fourier features."""
    control_steps: int
    orders: tuple[tuple[str, int], ...]
    exact_steps: int
    exact_seeds: int
    games: tuple[str, ...] = ()
    game_steps: int = 0
    game_seeds: int = 0


BUDGETS: dict[Size, Budget] = {
    "smoke": Budget(2, 1, {"CartPole": 1_600}, 1, 1_600, (("CartPole", 1),), 200, 1),
    "quick": Budget(20, 10, {"CartPole": 60_000, "Acrobot": 32_000}, 10, 24_000,
                    (("CartPole", 1), ("CartPole", 2), ("CartPole", 3), ("Acrobot", 1), ("Acrobot", 2)), 20_000, 10),
    "full": Budget(20, 10, {"CartPole": 60_000, "Acrobot": 32_000}, 10, 24_000,
                   (("CartPole", 1), ("CartPole", 2), ("CartPole", 3), ("CartPole", 4), ("Acrobot", 1), ("Acrobot", 2)),
                   20_000, 10, games=PLAYED, game_steps=200_000, game_seeds=5),
}  # fmt: skip


def smaller_rewards(agent: Agent) -> Agent:
    """The agent, paid a tenth."""

    def update(s: Any, batch: Any, key: Any):
        return agent.update(s, batch._replace(reward=REWARD * batch.reward), key)

    return agent._replace(update=update)


def with_features(env: Env, order: int, bounds: tuple[float, ...]) -> Env:
    """The environment, showing Fourier features of what it shows."""

    def reset(key: Any):
        state, obs = env.reset(key)
        return state, exact.features(obs, order, bounds)

    def step(key: Any, state: Any, action: Any):
        state, out = env.step(key, state, action)
        seen, last = (exact.features(o, order, bounds) for o in (out.obs, out.last_obs))
        return state, out._replace(obs=seen, last_obs=last)

    size = len(exact.fourier(order, bounds))
    return env._replace(reset=reset, step=step, space=env.space._replace(obs=Box((size,), -1.0, 1.0)))


def copies(task: str, order: int = 0) -> JaxEnvs:
    """Copies of a task; with an order, seen through Fourier features."""
    made = registry.make(TASKS[task].id, num_envs=NUM_ENVS)
    assert isinstance(made, JaxEnvs)
    return made._replace(env=with_features(made.env, order, TASKS[task].bounds)) if order else made


class Learnt(NamedTuple):
    """Steps at checkpoints [C], returns at them [S, C], and per seed: return in the end, largest excess, rank."""

    steps: np.ndarray
    returns: np.ndarray
    final: np.ndarray
    excess: np.ndarray
    rank: np.ndarray


def feature_rank(state: dqn.State | iqn.State) -> Array:
    """Effective rank of the features on states from replay, the mean over trunks; inputs where no layer makes any."""
    rows, net = state.replay.rows.obs, state.learner.net
    where = jnp.arange(PROBED) * (replay.held(state.replay) // PROBED)
    obs = replay.taken(rows, where)
    several = isinstance(net, dqn.Network) and net.advantage.bias.ndim > 1
    trunks = list(_unstacked(net.torso)) if several else [net.torso]
    return jnp.stack([diagnosis.effective_rank(t(obs)) for t in trunks]).mean()


def _unstacked(tree: Any) -> Iterator[Any]:
    for i in range(jax.tree.leaves(tree)[0].shape[0]):
        yield jax.tree.map(lambda x, i=i: x[i], tree)


def learn(arm: Arm, envs: JaxEnvs, steps: int, seed: int, seeds: int) -> Learnt:
    """Train every seed of an arm, and play what it has learned greedily."""
    build = lambda c: smaller_rewards(make(arm)(c))  # noqa: E731
    updates = steps // NUM_ENVS
    every = max(1, updates // CHECKPOINTS)
    at, curve, excess = [], [], []
    for chunk in train(build, arm[0], envs, updates=updates, every=every, seed=seed, seeds=seeds):
        at.append(chunk.update * NUM_ENVS)
        curve.append(np.asarray(chunk.metrics["return"][:, -1]))
        excess.append(np.asarray(chunk.metrics["excess"]).max(1))
    agent, tests = build(arm[0]), envs._replace(num_envs=TESTS)

    def score(state: Any, key: Any) -> Any:
        return episode_scores(lambda obs, _: agent.mode(state, obs), tests, key)[0].mean()

    keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(seed + 2_000)))(jnp.arange(seeds))
    final = jax.jit(lambda states: jax.lax.map(lambda pair: score(*pair), (states, keys)))(chunk.carry.agent)
    ranks = jax.jit(lambda states: jax.lax.map(feature_rank, states))(chunk.carry.agent)
    return Learnt(np.asarray(at), np.stack(curve, 1), np.asarray(final), np.stack(excess, 1).max(1), np.asarray(ranks))


def scaled(task: str, returns: np.ndarray) -> np.ndarray:
    """Returns as scores; one that no episode has produced yet counts as the lowest."""
    t = TASKS[task]
    return (np.nan_to_num(returns, nan=t.low) - t.low) / (t.high - t.low)


def arm_of(name: str, task: str, envs: JaxEnvs, linear: bool) -> Arm:
    """An arm on a task by name."""
    base = LINEAR if linear else GAMES if len(envs.space.obs.shape) == 3 else BASE
    kind = envs.space.action
    assert isinstance(kind, Discrete)
    shape = envs.space.obs.shape
    inputs = shape[0] if len(shape) == 1 else (shape[0] - 2) * (shape[1] - 2) * base.channels
    return arms(base, inputs, kind.num)[name]


def study(name: str, task: str, case: str, order: int, steps: int, seeds: tuple[int, ...]) -> list[Row]:
    """One arm on one task; a row per seed: area under the curve, final score, learning rate, excess."""
    envs = copies(task, order)
    arm = arm_of(name, task, envs, order > 0)
    found = learn(arm, envs, steps, seeds[0], len(seeds))
    areas, finals = scaled(task, found.returns), scaled(task, found.final)
    return [
        row(name, case, seed, {"return": (found.steps, found.returns[i])}, area=areas[i].mean(), final=finals[i],
            final_return=found.final[i], excess=found.excess[i], rank=found.rank[i], learning_rate=arm[0].learning_rate)
        for i, seed in enumerate(seeds)
    ]  # fmt: skip


def jobs(size: Size, seeds: int | None) -> list[Job]:
    """The exact part, the study with Fourier features, and the arms on networks."""
    b = BUDGETS[size]
    who, others, few = (tuple(range(seeds or n)) for n in (b.seeds, b.other_seeds, b.control_seeds))
    found = [
        Job("exact", case, tuple(range(seeds or b.exact_seeds)),
            partial(exact.rows, case, tuple(range(seeds or b.exact_seeds)), b.exact_steps), cost=5)
        for case in exact.CASES
    ]  # fmt: skip
    for task, order in b.orders:
        case = f"{task}, Fourier/{order}"
        size_of = len(exact.fourier(order, TASKS[task].bounds)) / 10
        found += [Job(name, case, few, partial(study, name, task, case, order, b.control_steps, few), cost=size_of)
                  for name in (PLAIN if size != "smoke" else ("C51",))]  # fmt: skip
    for task, steps in b.steps.items():
        for name in STUDY if size != "smoke" else ("DQN", "separate", "IQN"):
            mine = who if name in QUESTION else others
            cost = 60 if name.startswith(("separate", "ensemble", "IQN")) else 20
            found.append(Job(name, task, mine, partial(study, name, task, task, 0, steps, mine), cost=cost))
    for task in b.games:  # seeds one by one: several in one program are slower where there are convolutions
        for name, seed in product(PLAIN, range(seeds or b.game_seeds)):
            run = partial(study, name, task, task, 0, b.game_steps, (seed,))
            found.append(Job(name, task, (seed,), run, cost=100))
    return found
