"""Arms of the MuJoCo claim of `gail`: Hopper and HalfCheetah through EnvPool, experts by our own PPO."""

from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from theodolite.claims.experts import Expert, Recipe, expert
from theodolite.control import ppo
from theodolite.core import demos, normalise
from theodolite.core.agent import Agent
from theodolite.core.claim import Job, Row, Size, row
from theodolite.core.demos import Transitions
from theodolite.core.evaluate import Policy, record
from theodolite.core.train import run_keys, train
from theodolite.envs.registry import make
from theodolite.intent import bc, gail

NUM_ENVS, EVERY, TEST_EPISODES = 64, 20, 50
LEARNER = ppo.Config(rollout=64, epochs=10, minibatches=32)
DISCRIMINATOR = gail.Config(
    learning_rate=3e-4, steps=8, batch_size=1_024, hidden=(64, 64), gradient_penalty=1.0, discount=0.99
)
"""Several small steps per round and a gradient penalty, as the large studies of imitation on MuJoCo found best."""


class Budget(NamedTuple):
    """What a size buys; steps are environment steps."""

    seeds: int
    counts: tuple[int, ...]
    expert_steps: int
    steps: int
    clone_updates: int


BUDGETS: dict[Size, Budget] = {"full": Budget(3, (4, 25), 3_000_000, 2_500_000, 20_001)}
"""full alone: minutes do not buy MuJoCo."""
ENVS = ("Hopper-v5", "HalfCheetah-v5")


def the_expert(env: str, budget: Budget) -> Expert:
    """PPO on the true reward."""
    return expert(Recipe(env, "ppo", budget.expert_steps // (32 * NUM_ENVS), NUM_ENVS, max(budget.counts)))


def score(arm: str, case: str, seed: int, shown: Expert, policy: Policy, curve: dict | None = None) -> list[Row]:
    """Play the policy's mode and normalise its return."""
    tests = make(case.split("/")[0], num_envs=10)
    value = float(np.mean([e.reward.sum() for e in record(policy, tests, TEST_EPISODES, seed=3_000 + seed)]))
    share = float(shown.normalised(np.asarray(value)))
    return [row(arm, case, seed, curve, test_return=value, normalised_return=share)]


def imitation(env: str, count: int, seed: int, budget: Budget) -> list[Row]:
    """GAIL around PPO."""
    shown, envs = the_expert(env, budget), make(env, num_envs=NUM_ENVS)
    t = demos.subsample(shown.demos, count, EVERY, seed)

    def build(c: tuple[gail.Config, ppo.Config, Transitions]) -> Agent:
        own, inner, t = c
        learner = normalise.normalise_obs(ppo.agent(inner), normalise.moments_of(t.obs, t.count))
        return gail.agent(own, learner, t)

    config, updates = (DISCRIMINATOR, LEARNER, t), budget.steps // (LEARNER.rollout * NUM_ENVS)
    steps, curve = [], []
    for chunk in train(build, config, envs, updates=updates, every=max(1, updates // 40), seed=seed):
        steps.append(chunk.update * LEARNER.rollout * NUM_ENVS)
        curve.append(float(chunk.metrics["return"][0, -1]))
    state, agent = jax.tree.map(lambda x: x[0], chunk.carry.agent), build(config)
    return score("gail", f"{env}/{count}", seed, shown, lambda o, k: agent.mode(state, o), {"return": (steps, curve)})


def cloning(env: str, count: int, seed: int, budget: Budget) -> list[Row]:
    """Behavioural cloning of the same thinned pairs."""
    shown, space = the_expert(env, budget), make(env, num_envs=1).space
    t = demos.subsample(shown.demos, count, EVERY, seed)
    config = bc.Config(loss="mean_square")
    state = bc.fit(config, t, run_keys(seed, 1)[0], space, budget.clone_updates)
    return score("bc", f"{env}/{count}", seed, shown, lambda o, k: bc.mode(state, o))


def reference(arm: str, env: str, count: int, seed: int, budget: Budget) -> list[Row]:
    """The uniform policy or the expert's mode: the ends of the scale, in units of true return."""
    shown = the_expert(env, budget)
    value = shown.mode_return if arm == "expert" else shown.random_return
    return [row(arm, f"{env}/{count}", seed, test_return=value, normalised_return=float(arm == "expert"))]


def mujoco_jobs(size: Size, seeds: int | None) -> list[Job]:
    """{random, expert, bc, gail} x tasks x numbers of demonstrations, one job per seed."""
    if size not in BUDGETS:
        return []
    budget = BUDGETS[size]
    ends = {arm: partial(reference, arm) for arm in ("random", "expert")}
    return [
        Job(arm, f"{env}/{count}", (seed,), partial(run, env, count, seed, budget), cost=10 - seed)
        for env in ENVS
        for count in budget.counts
        for seed in range(seeds or budget.seeds)
        for arm, run in {**ends, "bc": cloning, "gail": imitation}.items()
    ]
