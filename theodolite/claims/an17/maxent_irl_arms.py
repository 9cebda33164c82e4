"""Arms of the claims of `maxent_irl`: exact gradients, rewards from few demonstrations, outcomes that are chance."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from theodolite.core import soft_planning, tabular
from theodolite.core.arrays import PRNGKey, Scalar
from theodolite.core.claim import Job, Row, Size, row
from theodolite.core.soft_planning import SparseMDP
from theodolite.core.tabular import MDP
from theodolite.envs.tabular import random_mdp
from theodolite.intent import maxent_irl

STATES, ACTIONS, HORIZON = 16, 4, 100
COUNTS: dict[Size, tuple[int, ...]] = {"smoke": (1, 4), "quick": (1, 4, 16, 64, 256), "full": (1, 4, 16, 64, 256)}
SEEDS: dict[Size, int] = {"smoke": 2, "quick": 20, "full": 100}
SLIPS = (0.0, 0.1, 0.3, 0.5)
GRADIENTS = {
    "causal, infinite": maxent_irl.Config(),
    "causal, 10 steps": maxent_irl.Config(horizon=10),
    "2008, infinite": maxent_irl.Config(causal=False),
    "2008, 10 steps": maxent_irl.Config(causal=False, horizon=10),
}


def gradient_errors(arm: str, seeds: int) -> list[Row]:
    """Largest difference of the closed form to finite differences, on a likelihood of visits that no policy has."""
    c = GRADIENTS[arm]

    def error(key: PRNGKey) -> Array:
        mdp_key, reward_key, visit_key = jax.random.split(key, 3)
        m = random_mdp(mdp_key, 6, 3, branching=3)
        reward = jax.random.normal(reward_key, (6, 3))
        shape = (6, 3) if c.horizon is None else (c.horizon, 6, 3)
        expert = maxent_irl.Expert(jax.random.uniform(visit_key, shape), m.initial)
        step, bumps = 1e-5, 1e-5 * jnp.eye(18).reshape(18, 6, 3)

        def objective(r: Array) -> Array:
            return maxent_irl.reward_gradient(c, m, expert, r).objective

        up, down = (jax.vmap(objective)(reward[None] + k * bumps) for k in (1, -1))
        found = maxent_irl.reward_gradient(c, m, expert, reward).reward.ravel()
        return jnp.max(jnp.abs(found - (up - down) / (2 * step)))

    with jax.enable_x64(True):
        errors = jax.jit(jax.vmap(error))(jax.random.split(jax.random.key(0), seeds))
    return [row(arm, "random MDPs", i, gradient_error=e) for i, e in enumerate(np.asarray(errors))]


def sampled(key: PRNGKey, m: MDP, policy: Array, episodes: int) -> Float[Array, "S A"]:
    """Discounted visits per episode, of sampled episodes."""

    def step(state: Array, key: PRNGKey) -> tuple[Array, tuple[Array, Array]]:
        act_key, move_key = jax.random.split(key)
        action = jax.random.categorical(act_key, jnp.log(policy[state])).astype(jnp.int32)
        following = jax.random.categorical(move_key, jnp.log(m.transition[state, action])).astype(jnp.int32)
        return following, (state, action)

    def episode(key: PRNGKey) -> tuple[Array, Array]:
        start_key, run_key = jax.random.split(key)
        start = jax.random.categorical(start_key, jnp.log(m.initial)).astype(jnp.int32)
        end, (states, actions) = jax.lax.scan(step, start, jax.random.split(run_key, HORIZON))
        return jnp.concatenate([states, end[None]]), actions

    return maxent_irl.expert_of(m, *jax.vmap(episode)(jax.random.split(key, episodes))).visits


def regret(m: MDP, truth: Array, found: Array) -> Scalar:
    """What the optimal policy of a reward loses of the true return, as a share of optimal less uniform."""
    best, chance, reached = (
        tabular.expected_return(m, policy, truth)
        for policy in (tabular.optimal_policy(m, truth), tabular.uniform_policy(m), tabular.optimal_policy(m, found))
    )
    return (best - reached) / (best - chance)


def recovered(key: PRNGKey, episodes: int | None) -> tuple[Scalar, Array]:
    """Regret and centred error of a reward of states, from sampled episodes or from exact visits."""
    mdp_key, reward_key, demo_key = jax.random.split(key, 3)
    m, reward = random_mdp(mdp_key, STATES, ACTIONS), jax.random.normal(reward_key, (STATES,))
    truth = jnp.broadcast_to(reward[:, None], (STATES, ACTIONS))
    policy = tabular.soft_policy(m, truth, 1.0)
    exact = episodes is None
    visits = tabular.occupancy(m, policy) if exact else sampled(demo_key, m, policy, episodes)
    found = maxent_irl.solve_states(m, visits, l2=0.0 if exact else 0.1 / episodes).reward
    error = jnp.max(jnp.abs(found - found.mean() - reward + reward.mean()))
    return regret(m, truth, jnp.broadcast_to(found[:, None], truth.shape)), error


def recovery(episodes: int | None, seeds: int) -> list[Row]:
    """One number of demonstrations on random MDPs."""
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(1), seeds)
        found = jax.device_get(jax.jit(jax.vmap(lambda key: recovered(key, episodes)))(keys))
    case = f"random MDPs/{'exact' if episodes is None else episodes}"
    return [row("maxent", case, i, regret=r, reward_error=e) for i, (r, e) in enumerate(zip(*found, strict=True))]


def cliff(key: PRNGKey, slip: Scalar, rows: int = 3, columns: int = 6) -> tuple[SparseMDP, Float[Array, " S"]]:
    """A windy cliff: the lowest row is a start, a drop, and a goal; wind blows down with probability `slip`.

    The drop pays -10 and the goal 10, and both end the episode; other cells cost between 0.5 and 1.5.
    """
    cells, end = rows * columns, rows * columns
    y, x = (jnp.arange(end + 1) // columns, jnp.arange(end + 1) % columns)
    over = (y == 0) & (x > 0)  # drop and goal lead to the end alone
    moves = jnp.array([[0, 1], [0, -1], [1, 0], [-1, 0]])

    def to(down: Array) -> Array:
        ny = jnp.clip(y[:, None] + moves[None, :, 0] - down, 0, rows - 1)
        nx = jnp.clip(x[:, None] + moves[None, :, 1], 0, columns - 1)
        return jnp.where(over[:, None], end, ny * columns + nx)

    successor = jnp.stack([to(jnp.int32(0)), to(jnp.int32(1))], -1).astype(jnp.int32).at[end].set(end)
    chance = jnp.broadcast_to(jnp.stack([1 - slip, jnp.asarray(slip)]), successor.shape)
    available = jnp.ones(successor.shape[:2], bool).at[end].set(False) & ~(over[:, None] & (jnp.arange(4) > 0)[None])
    costs = -jax.random.uniform(key, (cells,), minval=0.5, maxval=1.5)
    reward = jnp.where(over[:end], jnp.where(x[:end] == columns - 1, 10.0, -10.0), costs)
    m = SparseMDP(successor, chance, available, jnp.zeros(end + 1).at[0].set(1.0), jnp.asarray(0.95))
    return m, jnp.append(reward, 0.0)


def misread(causal: bool, steps: int, slip: Scalar, key: PRNGKey) -> Scalar:
    """Regret on the cliff of a reward inferred with or without causal entropy, from a causal expert's exact visits."""
    m, truth = cliff(key, slip)
    expert = maxent_irl.exact_expert(m, soft_planning.plan(m, truth))
    c = maxent_irl.Config(causal=causal, learning_rate=0.1, l2=1e-4)
    world, seen = jax.tree.map(lambda x: x[None], (m, expert))
    found = maxent_irl.fit(c, lambda r: r[None], jnp.zeros_like(truth), world, seen, steps)[0].params
    dense = soft_planning.densify(m)
    wide = [jnp.broadcast_to(r[:, None], dense.transition.shape[:2]) for r in (truth, found.at[-1].set(0))]
    return regret(dense, *wide)


def chance(arm: str, slip: float, seeds: int, steps: int) -> list[Row]:
    """One arm on cliffs of one slipperiness."""
    with jax.enable_x64(True):
        program = jax.jit(jax.vmap(partial(misread, arm == "causal", steps), (None, 0)))
        found = program(jnp.asarray(slip), jax.random.split(jax.random.key(2), seeds))
    return [row(arm, f"windy cliff/{slip:g}", i, regret=r) for i, r in enumerate(np.asarray(found))]


def jobs(size: Size, seeds: int | None) -> list[Job]:
    """All the work behind the claims."""
    count = seeds or SEEDS[size]
    who = tuple(range(count))

    def job(arm: str, case: str, run: Callable[[], list[Row]], cost: float) -> Job:
        return Job(arm, case, who, run, cost=cost)

    found = [job(arm, "random MDPs", partial(gradient_errors, arm, count), 2) for arm in GRADIENTS]
    for episodes in (*COUNTS[size], None):
        case = f"random MDPs/{'exact' if episodes is None else episodes}"
        found.append(job("maxent", case, partial(recovery, episodes, count), 3))
    steps = 20 if size == "smoke" else 800
    for slip in SLIPS[: 1 if size == "smoke" else None]:
        for arm in ("causal", "2008"):
            found.append(job(arm, f"windy cliff/{slip:g}", partial(chance, arm, slip, count, steps), 10))
    return found
