"""The runs behind the claims of distributional: every arm on every task, from the same keys, as curves and returns."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from theodolite.claims.an51 import distributional_exact as exact
from theodolite.claims.an51.distributional_heads import Arm, arms, make
from theodolite.control import diagnosis, dqn
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
    train_every=4, learning_starts=500, replay=20_000, batch_size=64, learning_rate=5e-4, discount=0.99,
    target_every=100, epsilon_steps=8_000, hidden=(64, 64), atoms=51, support=(-10.0, 10.0), double=False, n_step=1,
    max_gradient_norm=10.0,
)  # fmt: skip
GAMES = replace(
    BASE, batch_size=32, replay=100_000, learning_starts=5_000, learning_rate=2.5e-4, target_every=250,
    epsilon_steps=100_000, hidden=(128,),
)  # fmt: skip
"""For MinAtar: 16 channels of 3 x 3 and a dense layer of 128."""
NUM_ENVS, CHECKPOINTS, TESTS, PROBED = 8, 20, 32, 512
TRIAL_SEED = 1_000
"""Learning rates are chosen on seeds from here on."""


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
    "SpaceInvaders": Task("MinAtar/SpaceInvaders-v1", 0.0, 131.0),
}
"""A fixed score of 1 is a solved task; for the games, what gymnax publishes for PPO."""
DEEP = ("CartPole", "Acrobot")
PLAIN = ("DQN", "C51", "QR-DQN")
STUDY = (*PLAIN, "separate", "separate, small", "two trunks", "ensemble", "ensemble, small", "auxiliary", "blocked",
         "histogram", "horizons", "hyperbolic")  # fmt: skip
IN_GAMES = ("DQN", "QR-DQN", "separate", "separate, small", "ensemble", "auxiliary", "blocked", "horizons")


class Budget(NamedTuple):
    """What a size buys."""

    seeds: int
    steps: int
    control_seeds: int
    """Of the study with Fourier features."""
    orders: tuple[tuple[str, int], ...]
    exact_steps: int
    exact_seeds: int
    tasks: tuple[str, ...] = DEEP
    games: tuple[str, ...] = ()
    game_steps: int = 0
    game_seeds: int = 0
    rates: tuple[float, ...] = (1.0,)
    """Multiples of the learning rate among which every arm chooses."""
    trials: int = 0


BUDGETS: dict[Size, Budget] = {
    "smoke": Budget(2, 1_600, 1, (("CartPole", 1),), 200, 1, ("CartPole",)),
    "quick": Budget(20, 24_000, 10, (("CartPole", 1), ("CartPole", 2), ("CartPole", 3), ("Acrobot", 1), ("Acrobot", 2)),
                    20_000, 5),
    "full": Budget(30, 100_000, 30, (("CartPole", 1), ("CartPole", 2), ("CartPole", 3), ("CartPole", 4),
                                     ("Acrobot", 1), ("Acrobot", 2)), 20_000, 20,
                   games=("Breakout", "Asterix", "SpaceInvaders"), game_steps=1_000_000, game_seeds=5,
                   rates=(0.3, 1.0, 3.0), trials=4),
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


def feature_rank(state: dqn.State) -> Array:
    """Effective rank of the features on states from replay, the mean over trunks; inputs where no layer makes any."""
    rows = state.replay.rows.obs
    where = jnp.arange(PROBED) * (replay.held(state.replay) // PROBED)
    obs, torso = replay.taken(rows, where), state.learner.net.torso
    trunks = [torso] if state.learner.net.advantage.bias.ndim == 1 else list(_unstacked(torso))
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


def chosen(name: str, task: str, arm: Arm, envs: JaxEnvs, steps: int, budget: Budget) -> Arm:
    """The arm at the learning rate whose mean area under the curve is the largest on the trial seeds."""
    c, head = arm
    options = [(replace(c, learning_rate=c.learning_rate * rate), head) for rate in budget.rates]
    if len(options) == 1:
        return options[0]
    areas = [scaled(task, learn(o, envs, steps, TRIAL_SEED, budget.trials).returns).mean() for o in options]
    return options[int(np.argmax(areas))]


def arm_of(name: str, task: str, envs: JaxEnvs, linear: bool) -> Arm:
    """An arm on a task by name."""
    base = replace(BASE, hidden=(), learning_rate=2e-3) if linear else GAMES if len(envs.space.obs.shape) == 3 else BASE
    kind = envs.space.action
    assert isinstance(kind, Discrete)
    shape = envs.space.obs.shape
    inputs = shape[0] if len(shape) == 1 else (shape[0] - 2) * (shape[1] - 2) * base.channels
    return arms(base, inputs, kind.num)[name]


def study(name: str, task: str, case: str, order: int, steps: int, seeds: tuple[int, ...], budget: Budget) -> list[Row]:
    """One arm on one task; a row per seed: area under the curve, final score, learning rate, excess."""
    envs = copies(task, order)
    arm = chosen(name, task, arm_of(name, task, envs, order > 0), envs, steps, budget)
    found = learn(arm, envs, steps, 0, len(seeds))
    areas, finals = scaled(task, found.returns), scaled(task, found.final)
    return [
        row(name, case, seed, {"return": (found.steps, found.returns[i])}, area=areas[i].mean(), final=finals[i],
            final_return=found.final[i], excess=found.excess[i], rank=found.rank[i], learning_rate=arm[0].learning_rate)
        for i, seed in enumerate(seeds)
    ]  # fmt: skip


def jobs(size: Size, seeds: int | None) -> list[Job]:
    """The exact part, the study with Fourier features, and the arms on networks."""
    b = BUDGETS[size]
    who, few, several = (tuple(range(seeds or n)) for n in (b.seeds, b.control_seeds, max(b.game_seeds, 1)))
    found = [
        Job("exact", case, tuple(range(seeds or b.exact_seeds)),
            partial(exact.rows, case, tuple(range(seeds or b.exact_seeds)), b.exact_steps), cost=5)
        for case in exact.CASES
    ]  # fmt: skip
    for task, order in b.orders:
        case = f"{task}, Fourier/{order}"
        found += [Job(name, case, few, partial(study, name, task, case, order, b.steps, few, b), cost=10)
                  for name in (PLAIN if size != "smoke" else ("C51",))]  # fmt: skip
    for task in b.tasks:
        for name in STUDY if size != "smoke" else ("DQN", "separate"):
            cost = 60 if name.startswith(("separate", "ensemble")) else 20
            found.append(Job(name, task, who, partial(study, name, task, task, 0, b.steps, who, b), cost=cost))
    for task in b.games:
        for name in IN_GAMES:
            run = partial(study, name, task, task, 0, b.game_steps, several, b._replace(rates=(1.0,)))
            found.append(Job(name, task, several, run, cost=3_000 if name in ("separate", "ensemble") else 400))
    return found
