"""Arms of the transfer claims of `airl`: learn in one world, then act in another whose dynamics differ."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from theodolite.claims import experts
from theodolite.claims.an17.gail_classic import copies, each_seed, test_returns
from theodolite.claims.experts import Expert, Recipe, expert
from theodolite.control import ppo
from theodolite.core import demos, normalise
from theodolite.core.agent import Agent
from theodolite.core.claim import Job, Row, Size, row
from theodolite.core.env import JaxEnvs
from theodolite.core.evaluate import Policy
from theodolite.core.train import train
from theodolite.envs import maze
from theodolite.intent import airl, gail, gan_gcl, learned_reward
from theodolite.intent.learned_reward import LearnedReward, Seen

NUM_ENVS, TEST_EPISODES, EXPERT_EPISODES, HORIZON = 20, 20, 50, 100
LEARNER = ppo.Config(rollout=HORIZON, minibatches=10, learning_rate=1e-3, discount=0.99, squash=True, hidden=(32, 32))
MEMORY = 300_000
"""Transitions that the long memory holds: every one of the quick size, half of the full one's."""
GRID = 15
"""Cells along a side of the map of a reward."""


class World(NamedTuple):
    """Where a reward is learned, and where it has to hold."""

    train: str
    test: str
    expert: str
    """Whose temperature the oracle shares: it fits the size of the rewards, a good swimmer's being 0.02 a step. A
    learned reward is in units of entropy and has temperature 1."""


WORLDS = {
    "maze": World("PointMaze-WayLeft-v1", "PointMaze-WayRight-v1", "soft ppo"),
    "swimmer": World("LinkSwimmer-v0", "LinkSwimmer-SwappedDrag-v0", "soft ppo, small rewards"),
}


class Budget(NamedTuple):
    """What a size buys in one pair of worlds."""

    seeds: int
    iterations: int
    """Of learning in the first world, and again in the second."""
    expert_iterations: int


BUDGETS: dict[Size, dict[str, Budget]] = {
    "smoke": {"maze": Budget(2, 1, 30)},
    "quick": {"maze": Budget(10, 150, 150), "swimmer": Budget(5, 75, 75)},
    "full": {"maze": Budget(20, 300, 200), "swimmer": Budget(10, 100, 100)},
}
Recipes = dict[str, tuple[Callable[[PyTree], Agent], PyTree]]


def soft(c: ppo.Config) -> Agent:
    """PPO on standardised observations."""
    return normalise.normalise_obs(ppo.agent(c))


def learns_by(module) -> Callable[[PyTree], Agent]:
    """The maker of a method around that learner, from (its configuration, the learner's, demonstrations)."""
    return lambda c: module.agent(c[0], soft(c[1]), c[2])


METHODS: Recipes = {
    "airl state": (learns_by(airl), airl.Config(discount=LEARNER.discount)),
    "airl state, long memory": (learns_by(airl), airl.Config(discount=LEARNER.discount, replay=MEMORY)),
    "airl pair": (learns_by(airl), airl.Config(discount=LEARNER.discount, inputs="obs_action")),
    "gan_gcl state": (learns_by(gan_gcl), gan_gcl.Config(horizon=HORIZON, inputs="obs")),
    "gan_gcl pair": (learns_by(gan_gcl), gan_gcl.Config(horizon=HORIZON)),
    "gail policy": (learns_by(gail), gail.Config(reward="logit", learning_rate=1e-3, steps=20, batch_size=256,
                                                 hidden=(32, 32))),
}  # fmt: skip


def the_expert(world: World, iterations: int) -> Expert:
    """PPO with the price of entropy that soft IRL assumes, on the true reward of the first world."""
    return expert(Recipe(world.train, world.expert, iterations, NUM_ENVS, EXPERT_EPISODES))


def last_state(build: Callable, config: PyTree, envs: JaxEnvs, seeds: int, iterations: int, stacked: bool) -> PyTree:
    """The agents of all seeds after training."""
    *_, last = train(build, config, envs, updates=iterations, every=iterations, seeds=seeds, stacked=stacked)
    return jax.tree.map(jnp.copy, last.carry.agent)


def modes(build: Callable, config: PyTree) -> Callable[[PyTree], Policy]:
    """States to the policies that are tested."""
    agent = build(config)
    return lambda state: lambda obs, key: agent.mode(state, obs)


def paid(space) -> Callable[[PyTree], Agent]:
    """The maker of a fresh learner that a reward pays, from (the learner's configuration, the reward)."""
    return lambda c: learned_reward.paid_by(partial(learned_reward.ground, c[1]), soft(c[0]), space)


def retrained(task: str, reward: LearnedReward, seeds: tuple[int, ...], iterations: int) -> Array:
    """True returns in a world of fresh policies trained there on every seed's reward. [S]"""
    envs = copies(task, NUM_ENVS)
    build = paid(envs.space)
    config = each_seed(replace(LEARNER, temperature=1.0), len(seeds)), reward
    states = last_state(build, config, envs, len(seeds), iterations, stacked=True)
    return test_returns(envs._replace(num_envs=TEST_EPISODES), modes(soft, LEARNER), states, seeds)


def transfer(arm: str, name: str, seeds: tuple[int, ...], budget: Budget) -> list[Row]:
    """One method: its return where it learned, and that of its reward (GAIL: of its policy) in either world."""
    world, (build, own) = WORLDS[name], METHODS[arm]
    shown = the_expert(world, budget.expert_iterations)
    t = demos.transitions(shown.demos)
    envs, others = copies(world.train, NUM_ENVS), copies(world.test, TEST_EPISODES)
    config = own, LEARNER, t
    states = last_state(build, config, envs, len(seeds), budget.iterations, stacked=False)
    policy = modes(build, config)
    imitated = test_returns(envs._replace(num_envs=TEST_EPISODES), policy, states, seeds)
    if arm == "gail policy":
        again, moved, maps = imitated, test_returns(others, policy, states, seeds), [None] * len(seeds)
    else:
        again, moved = (retrained(task, states.reward, seeds, budget.iterations) for task in (world.train, world.test))
        maps = reward_maps(states.reward) if name == "maze" else [None] * len(seeds)
    shares = shown.normalised(np.asarray(imitated, np.float64))
    return [
        row(arm, name, s, curve, imitation_share=share, self_return=a, transfer_return=m)
        for s, share, a, m, curve in zip(seeds, shares, again, moved, maps, strict=True)
    ]


def oracle(name: str, seeds: tuple[int, ...], budget: Budget) -> list[Row]:
    """A policy trained on the true reward of the second world."""
    world = WORLDS[name]
    envs = copies(world.test, NUM_ENVS)
    config = replace(LEARNER, temperature=experts.LEARNERS[world.expert][1].temperature)
    states = last_state(soft, config, envs, len(seeds), budget.iterations, stacked=False)
    returns = test_returns(envs._replace(num_envs=TEST_EPISODES), modes(soft, config), states, seeds)
    return [row("true reward", name, s, transfer_return=r) for s, r in zip(seeds, returns, strict=True)]


def cells() -> np.ndarray:
    """Places of the map, rows upwards. [GRID², 2]"""
    along = np.linspace(maze.LOW + maze.REACH, maze.HIGH - maze.REACH, GRID)
    return np.stack(np.meshgrid(along, along), -1).reshape(-1, 2)


def reward_maps(reward: LearnedReward) -> list[dict]:
    """g of every seed at rest and without action, over the maze, as a curve for the figure."""
    obs = jnp.asarray(np.pad(cells(), ((0, 0), (0, 2))), jnp.float32)
    nothing = jnp.zeros((len(obs), 2))
    seen = Seen(obs, nothing, obs, jnp.zeros(len(obs), bool))
    found = np.asarray(jax.jit(jax.vmap(lambda r: learned_reward.ground(r, seen)))(reward))
    return [{"reward_map": (range(len(g)), g)} for g in found]


def transfer_jobs(size: Size, seeds: int | None) -> list[Job]:
    """Every method and the oracle in every world."""
    jobs = []
    for name, budget in BUDGETS[size].items():
        who = tuple(range(seeds or budget.seeds))
        arms = list(METHODS)[: 1 if size == "smoke" else None]
        jobs += [Job(a, name, who, partial(transfer, a, name, who, budget), cost=100) for a in arms]
        jobs.append(Job("true reward", name, who, partial(oracle, name, who, budget), cost=50))
    return jobs
