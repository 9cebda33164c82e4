"""Arms of the exact claims of `airl`: rewards recovered in random MDPs, and what they are worth under other actions."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from theodolite.core import tabular
from theodolite.core.arrays import Scalar
from theodolite.core.claim import Job, Row, Size, row
from theodolite.core.tabular import MDP
from theodolite.envs.tabular import permute_actions, rewarded_loop
from theodolite.intent import airl_tabular, maxent_irl, rewards

CASES = {"deterministic": "deterministic MDPs", "stochastic": "stochastic MDPs"}
ARMS = ("maxent state", "maxent pair", "airl state", "airl corrected", "airl pair", "advantage")
NUM_MDPS: dict[Size, int] = {"smoke": 2, "quick": 20, "full": 100}
STEPS: dict[Size, int] = {"smoke": 20, "quick": 4_000, "full": 8_000}


def worlds(kind: str, count: int) -> tuple[MDP, MDP, Array]:
    """The first `count` MDPs that meet the theorem's conditions, the same with permuted actions, and the common reward.

    All states are linked, and some policy reaches each of them: nobody shows what a state is worth that nobody sees.
    """
    found, seed = [], 0
    make = jax.jit(partial(rewarded_loop, deterministic=kind == "deterministic"))
    while len(found) < count:
        key = jax.random.key(seed)
        m, reward = make(key)
        about = rewards.identifiability(m)
        if about.decomposable and about.unreached == 0:
            found.append((m, permute_actions(jax.random.fold_in(key, 1), m), reward))
        seed += 1
    return jax.tree.map(lambda *x: jnp.stack(x), *found)


def pair_reward(m: MDP, policy: Array, steps: int) -> Array:
    """MaxEnt IRL of a reward of pairs from zero, by Adam: it matches the visits and leaves open which shaping it is."""
    p = maxent_irl.Expert(tabular.occupancy(m, policy), m.initial)
    world, seen = jax.tree.map(lambda x: x[None], (m, p))
    c = maxent_irl.Config(learning_rate=0.02)
    return maxent_irl.fit(c, lambda r: r[None], jnp.zeros_like(policy), world, seen, steps)[0].params


def learned(arm: str, m: MDP, policy: Array, steps: int) -> Array:
    """The reward that an arm finds from the expert's policy, over states or pairs."""
    if arm == "advantage":  # what a discriminator of pairs without potential is left with: f = log π of the expert
        return jnp.log(policy)
    if arm == "maxent state":
        return maxent_irl.solve_states(m, tabular.occupancy(m, policy)).reward
    if arm == "maxent pair":
        return pair_reward(m, policy, steps // 4)
    options = {"state_only": arm != "airl pair", "corrected": arm == "airl corrected"}
    return airl_tabular.recover(m, policy, steps=steps, **options).tables.g


def measure(arm: str, steps: int, m: MDP, other: MDP, reward: Array) -> dict[str, Scalar]:
    """Reward error with means removed, and the return of the learned reward's optimal policy in the other world.

    1 is the optimal return there and 0 the uniform policy's.
    """
    actions = m.transition.shape[1]
    truth = jnp.broadcast_to(reward[:, None], (reward.size, actions))
    found = learned(arm, m, tabular.soft_policy(m, truth, 1.0), steps)
    pairs = jnp.broadcast_to(found[:, None], truth.shape) if found.ndim == 1 else found
    best, chance, reached = (
        tabular.expected_return(other, policy, truth)
        for policy in (
            tabular.optimal_policy(other, truth), tabular.uniform_policy(other), tabular.optimal_policy(other, pairs)
        )
    )  # fmt: skip
    again = tabular.soft_policy(m, pairs, 1.0)
    return {
        "reward_error": airl_tabular.centred_error(pairs, truth),
        "transfer": (reached - chance) / (best - chance),
        "policy_tv": jnp.max(jnp.abs(again - tabular.soft_policy(m, truth, 1.0)).sum(-1)) / 2,
    }


def exactly(m: MDP) -> MDP:
    """The world with probabilities that sum to one in double precision, and not only as they were drawn."""
    return MDP(m.transition / m.transition.sum(-1, keepdims=True), m.initial, m.discount)


def recovery(arm: str, kind: str, count: int, steps: int) -> list[Row]:
    """One arm on all MDPs of a kind, in float64."""
    with jax.enable_x64(True):
        m, other, reward = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), worlds(kind, count))
        m, other = jax.vmap(exactly)(m), jax.vmap(exactly)(other)
        found = jax.device_get(jax.jit(jax.vmap(partial(measure, arm, steps)))(m, other, reward))
    return [row(arm, CASES[kind], i, **{k: np.asarray(v)[i] for k, v in found.items()}) for i in range(count)]


def tabular_jobs(size: Size, seeds: int | None) -> list[Job]:
    """Every arm on either kind of MDP."""
    count = seeds or NUM_MDPS[size]
    return [
        Job(arm, CASES[kind], tuple(range(count)), partial(recovery, arm, kind, count, STEPS[size]), cost=5)
        for kind in CASES
        for arm in ARMS
    ]
