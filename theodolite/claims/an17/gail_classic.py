"""Arms of the classic-control claims of `gail`: imitation from few pairs, and the bias of a reward for living."""

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from theodolite.claims.experts import Expert, Recipe, expert, uniform
from theodolite.control import trpo
from theodolite.core import demos, normalise
from theodolite.core.agent import Agent
from theodolite.core.claim import Job, Row, Size, row
from theodolite.core.demos import Transitions
from theodolite.core.env import JaxEnvs, auto_reset, fixed_horizon, time_limit
from theodolite.core.evaluate import Policy, episode_scores
from theodolite.core.train import run_keys, train
from theodolite.envs.registry import TASKS, base, make
from theodolite.intent import apprenticeship, bc, gail

RewardMap = Literal["softplus", "logsigmoid"]
EXPERT_EPISODES, TEST_EPISODES, NUM_ENVS = 50, 50, 50
LEARNER = trpo.Config(rollout=100, critic_steps=1)
"""5,000 pairs per iteration from 50 environments; one natural-gradient step of the critic, as in the released code."""


class Task(NamedTuple):
    """What the paper sets by hand for each task."""

    every: int
    """Expert pairs are thinned to one in this many."""
    sign: Literal["positive", "negative"]
    """Sign of the learned reward."""
    reward: RewardMap
    """GAIL's reward map."""


CLASSIC = {
    "CartPole-v0": Task(10, "positive", "softplus"),
    "Acrobot-v0": Task(5, "negative", "logsigmoid"),
    "MountainCar-v0": Task(5, "negative", "logsigmoid"),
}


class Budget(NamedTuple):
    """What a size buys."""

    seeds: int
    iterations: int
    counts: tuple[int, ...]
    """Numbers of demonstrated episodes."""
    expert_iterations: int
    tasks: tuple[str, ...] = tuple(CLASSIC)


BUDGETS: dict[Size, Budget] = {
    "smoke": Budget(2, 2, (1,), 20, ("CartPole-v0",)),
    "quick": Budget(3, 80, (1, 10), 101),
    "full": Budget(7, 300, (1, 4, 7, 10), 101),
}
"""full is the paper's protocol."""


def the_expert(task: str, iterations: int) -> Expert:
    """TRPO on the true reward, 5,000 pairs per iteration."""
    return expert(Recipe(task, "trpo", iterations, NUM_ENVS, EXPERT_EPISODES))


def pairs(shown: Expert, task: str, count: int, seeds: tuple[int, ...]) -> Transitions:
    """Thinned demonstrations, drawn anew for every seed; leading axis S.

    Always padded to what ten of the longest episodes fill, so that every count runs the same compiled program.
    """
    every, limit = CLASSIC[task].every, TASKS[task].limit or 0
    thinned = (demos.subsample(shown.demos, count, every, seed) for seed in seeds)
    return demos.stack(demos.pad_to(t, 10 * limit // every) for t in thinned)


def learner(c: trpo.Config, t: Transitions) -> Agent:
    """TRPO whose standardisers start from the demonstrations."""
    return normalise.normalise_obs(trpo.agent(c), normalise.moments_of(t.obs, t.count))


def by_gail(c: tuple[gail.Config, trpo.Config, Transitions]) -> Agent:
    """GAIL around TRPO."""
    own, inner, t = c
    return gail.agent(own, learner(inner, t), t)


def by_apprenticeship(space, c: tuple[apprenticeship.Config, trpo.Config, Transitions]) -> Agent:
    """FEM or GTAL around TRPO."""
    own, inner, t = c
    return apprenticeship.agent(own, learner(inner, t), t, space)


def each_seed(config: PyTree, seeds: int) -> PyTree:
    """The same numbers for every seed, with the leading axis that stacked training wants."""
    return jax.tree.map(lambda x: jnp.broadcast_to(jnp.asarray(x, jnp.float32), (seeds,)), config)


def copies(task: str, num_envs: int) -> JaxEnvs:
    """Copies of a task of ours, in which a whole run is one program."""
    envs = make(task, num_envs=num_envs)
    assert isinstance(envs, JaxEnvs)
    return envs


def test_returns(envs: JaxEnvs, policy: Callable[[PyTree], Policy], states: PyTree, seeds: tuple[int, ...]) -> Array:
    """Mean return of every seed's policy over the test episodes. [S]"""
    keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(2_000)))(jnp.asarray(seeds))
    play = jax.jit(jax.vmap(lambda state, key: episode_scores(policy(state), envs, key)[0].mean()))
    return play(states, keys)


def adversarial(
    build: Callable[[PyTree], Agent],
    own: PyTree,
    t: Transitions,
    envs: JaxEnvs,
    seeds: tuple[int, ...],
    iterations: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Train every seed on its own demonstrations: test returns [S], environment steps [C], training returns [S, C]."""
    config = (each_seed(own, len(seeds)), each_seed(LEARNER, len(seeds)), t)
    every = max(1, iterations // 20)
    curve, steps = [], []
    for chunk in train(build, config, envs, updates=iterations, every=every, seeds=len(seeds), stacked=True):
        curve.append(np.asarray(chunk.metrics["return"][:, -1]))
        steps.append(chunk.update * LEARNER.rollout * NUM_ENVS)

    def policy(c_and_state: tuple) -> Policy:
        c, state = c_and_state
        return lambda obs, key: build(c).mode(state, obs)

    tests = envs._replace(num_envs=TEST_EPISODES)
    returns = test_returns(tests, policy, (config, chunk.carry.agent), seeds)
    return np.asarray(returns), np.asarray(steps), np.stack(curve, -1)


def rows(arm: str, case: str, shown: Expert, seeds: tuple[int, ...], returns: np.ndarray, curves=None) -> list[Row]:
    """One row per seed: the return, and the return between the uniform policy (0) and the expert (1)."""
    normalised = shown.normalised(np.asarray(returns, np.float64))
    drawn = [None] * len(seeds) if curves is None else [{"return": (curves[0], c)} for c in curves[1]]
    return [
        row(arm, case, seed, curve, test_return=value, normalised_return=share)
        for seed, value, share, curve in zip(seeds, returns, normalised, drawn, strict=True)
    ]


def reference(arm: str, task: str, count: int, seeds: tuple[int, ...], budget: Budget) -> list[Row]:
    """The uniform policy, or the expert's demonstrations as they are."""
    shown = the_expert(task, budget.expert_iterations)
    if arm == "expert":
        rng = np.random.default_rng(0)
        totals = np.asarray([e.reward.sum() for e in shown.demos.episodes])
        returns = np.asarray([rng.choice(totals, len(totals)).mean() for _ in seeds])
    else:
        envs = copies(task, TEST_EPISODES)
        returns = test_returns(envs, lambda _: uniform(envs.space), jnp.zeros(len(seeds)), seeds)
    return rows(arm, f"{task}/{count}", shown, seeds, np.asarray(returns))


def cloning(task: str, count: int, seeds: tuple[int, ...], budget: Budget) -> list[Row]:
    """Behavioural cloning, 1,001 minibatches."""
    shown, envs = the_expert(task, budget.expert_iterations), copies(task, TEST_EPISODES)
    fit = jax.jit(jax.vmap(lambda t, key: bc.fit(bc.Config(), t, key, envs.space, 1_001)))
    states = fit(pairs(shown, task, count, seeds), run_keys(0, len(seeds)))
    returns = test_returns(envs, lambda s: lambda obs, key: bc.mode(s, obs), states, seeds)
    return rows("bc", f"{task}/{count}", shown, seeds, np.asarray(returns))


def imitation(arm: str, task: str, count: int, seeds: tuple[int, ...], budget: Budget) -> list[Row]:
    """GAIL, FEM or GTAL on the thinned demonstrations."""
    shown, envs, setting = the_expert(task, budget.expert_iterations), copies(task, NUM_ENVS), CLASSIC[task]
    if arm == "gail":
        build, own = by_gail, gail.Config(reward=setting.reward)
    else:
        costs = (apprenticeship.FEM if arm == "fem" else apprenticeship.GTAL).costs
        build, own = partial(by_apprenticeship, envs.space), apprenticeship.Config(costs=costs, sign=setting.sign)
    t = pairs(shown, task, count, seeds)
    returns, *curves = adversarial(build, own, t, envs, seeds, budget.iterations)
    return rows(arm, f"{task}/{count}", shown, seeds, returns, curves)


def imitation_jobs(size: Size, seeds: int | None) -> list[Job]:
    """{random, expert, bc, fem, gtal, gail} x tasks x numbers of demonstrations."""
    budget = BUDGETS[size]
    who = tuple(range(seeds or budget.seeds))
    jobs = []
    for task in budget.tasks:
        for count in budget.counts:
            case = f"{task}/{count}"
            jobs += [Job(a, case, who, partial(reference, a, task, count, who, budget)) for a in ("random", "expert")]
            jobs.append(Job("bc", case, who, partial(cloning, task, count, who, budget), cost=2))
            for arm in ("fem", "gtal", "gail"):
                jobs.append(Job(arm, case, who, partial(imitation, arm, task, count, who, budget), cost=100))
    return jobs


BIAS_BUDGETS: dict[Size, Budget] = {
    "smoke": Budget(2, 2, (1,), 20, ("CartPole-v0",)),
    "quick": Budget(3, 60, (10,), 101, ("CartPole-v0", "MountainCar-v0")),
    "full": Budget(7, 150, (10,), 101, ("CartPole-v0", "MountainCar-v0")),
}


def bias(reward: RewardMap, task: str, horizon: str, source: str, seeds: tuple[int, ...], budget: Budget) -> list[Row]:
    """GAIL with one reward map on one kind of horizon, shown the expert's pairs or the uniform policy's."""
    shown = the_expert(task, budget.expert_iterations)
    envs = copies(task, NUM_ENVS)
    if horizon == "fixed":
        limit = TASKS[task].limit
        assert limit is not None
        envs = envs._replace(env=auto_reset(time_limit(fixed_horizon(base(task)), limit)))
    who = shown if source == "expert" else expert(Recipe(task, "uniform", 0, NUM_ENVS, EXPERT_EPISODES))
    t = pairs(who, task, budget.counts[0], seeds)
    own = gail.Config(reward=reward, absorbing=horizon == "absorbing", discount=LEARNER.discount)
    returns, *curves = adversarial(by_gail, own, t, envs, seeds, budget.iterations)
    return rows(reward, f"{task}, {source} shown/{horizon}", shown, seeds, returns, curves)


def bias_jobs(size: Size, seeds: int | None) -> list[Job]:
    """The cells of {tasks} x {expert, random demonstrations} x {horizons} x {reward maps} that the claim judges."""
    budget = BIAS_BUDGETS[size]
    who = tuple(range(seeds or budget.seeds))
    maps: tuple[RewardMap, ...] = ("softplus", "logsigmoid")
    cells = product(budget.tasks, ("expert", "random"), ("variable", "fixed", "absorbing"), maps)
    judged = [cell for cell in cells if is_judged(*cell)]
    return [
        Job(reward, f"{task}, {source} shown/{horizon}", who,
            partial(bias, reward, task, horizon, source, who, budget), cost=30)
        for task, source, horizon, reward in judged[: 1 if size == "smoke" else None]
    ]  # fmt: skip


def is_judged(task: str, source: str, horizon: str, reward: str) -> bool:
    """True for the cells that an expectation of the claim speaks of."""
    if source == "random":
        return (task, reward) == ("CartPole-v0", "softplus")
    return horizon != "fixed"
