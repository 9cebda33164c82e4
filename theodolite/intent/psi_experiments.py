"""Two tables about ψ: do the exact solvers meet, and which ψ imitates best when demonstrations are few?

`exactness_table` checks the theorem of `psi` on random MDPs. `shrinking_demonstrations` asks what the choice of ψ costs
when the expert's occupancy is only known from samples. With stochastic dynamics no policy has a sampled occupancy
exactly, so "ψ constant", exact matching, is then empty and stands for one of two readings, both of which become exact
with ever more data:

    projection   the valid occupancy nearest to the empirical one in least squares, the limit of ψ quadratic for η → ∞
    read_off     π(a|s) = ρ̂(s,a) / Σ_a ρ̂(s,a), uniform in states never visited: the visits are dropped, the choices
    kept

Read off is also what behavioural cloning by (discounted) counts gives. Everything runs in float64 whatever the caller's
setting.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from theodolite.core import tabular
from theodolite.core.arrays import Metrics, PRNGKey, Scalar
from theodolite.core.errors import UserError, unknown
from theodolite.core.tabular import MDP
from theodolite.envs.tabular import random_mdp
from theodolite.intent import psi as psis
from theodolite.intent import psi_solvers

STATES, ACTIONS, FEATURES = 16, 4, 8
Rows = list[dict[str, str | int | float]]

IMITATORS = ("projection", "read_off", "l2_ball", "simplex", "logistic", "exponential", "quadratic")
"""The rows of `shrinking_demonstrations`; projection and read_off are the two readings of ψ constant."""


class Task(tabular.Arrays):
    """A random MDP with a reward, an expert for it, and features that say nothing about the reward."""

    mdp: MDP
    reward: Float[Array, "S A"]
    expert: Float[Array, "S A"]
    features: Float[Array, "S A K"]


def random_task(key: PRNGKey, *, expert_temperature: Scalar = 0.5) -> Task:
    """16 states, 4 actions, 4 successors each; standard normal rewards; their soft-optimal policy as the expert."""
    mdp_key, reward_key, feature_key = jax.random.split(key, 3)
    mdp = random_mdp(mdp_key, STATES, ACTIONS)
    reward = jax.random.normal(reward_key, (STATES, ACTIONS))
    features = jax.random.uniform(feature_key, (STATES, ACTIONS, FEATURES), minval=-1, maxval=1)
    return Task(mdp, reward, tabular.soft_policy(mdp, reward, expert_temperature), features)


def jensen_shannon(p: Float[Array, "S A"], q: Float[Array, "S A"]) -> Scalar:
    """JS(p, q) = KL(p ‖ m)/2 + KL(q ‖ m)/2 with m = (p + q)/2, in nats."""
    middle = (p + q) / 2
    kl = [jnp.sum(jnp.where(r > 0, r * (jnp.log(jnp.where(r > 0, r, 1)) - jnp.log(middle)), 0)) for r in (p, q)]
    return (kl[0] + kl[1]) / 2


def exactness(name: str, task: Task, temperature: Scalar) -> Metrics:
    """How closely the routes to one optimum meet, for the ψ of that name and the exact expert of one task."""
    psi = psis.registry(task.features)[name]
    expert = tabular.occupancy(task.mdp, task.expert, normalised=True)
    direct = psi_solvers.direct(psi, task.mdp, expert, temperature)
    irl = psi_solvers.irl(psi, task.mdp, expert, temperature)
    divergence = psi.conjugate(direct.occupancy, expert)
    metrics = {
        "occupancy_difference": jnp.max(jnp.abs(direct.occupancy - irl.occupancy)),
        "policy_difference": jnp.max(jnp.abs(direct.policy - irl.policy)),
        "value_difference": jnp.abs(direct.objective - irl.bound),
        "divergence": divergence,
        "matching_error": jnp.max(jnp.abs(direct.occupancy - expert)),
        "codes": jnp.maximum(direct.code, irl.code),
    }
    if name == "logistic":
        closed_form = 2 * jensen_shannon(direct.occupancy, expert) - 2 * jnp.log(2)
        metrics["js_error"] = jnp.abs(divergence - closed_form)
    return jax.tree.map(jnp.asarray, metrics)


def exactness_table(seed: int = 0, *, num_mdps: int = 20, temperature: float = 0.1) -> Rows:
    """One row per ψ and random MDP: the largest differences between occupancy matching and RL ∘ IRL.

    Keys: psi, mdp, occupancy_difference, policy_difference, value_difference (of primal and dual), divergence (ψ* at
    the optimum), matching_error (max |ρ - ρ_E|; zero for ψ constant alone), codes (0: both solvers converged), and for
    the logistic ψ js_error, |ψ* - (2 JS - 2 log 2)|.
    """
    names = psis.registry(psis.one_hot_features(STATES, ACTIONS))
    with jax.enable_x64(True):
        tasks = _tasks(jax.random.split(jax.random.key(seed), num_mdps), 0.5)
        solved = {name: jax.device_get(_exactness(name, tasks, temperature)) for name in names}
    return [
        {"psi": name, "mdp": i, **{metric: values[i].item() for metric, values in solved[name].items()}}
        for name in names
        for i in range(num_mdps)
    ]


@jax.jit
def _tasks(keys: Array, expert_temperature: Scalar) -> Task:
    return jax.vmap(lambda key: random_task(key, expert_temperature=expert_temperature))(keys)


@partial(jax.jit, static_argnums=0)
def _exactness(name: str, tasks: Task, temperature: Scalar) -> Metrics:
    return jax.vmap(lambda task: exactness(name, task, temperature))(tasks)


def empirical_occupancy(
    key: PRNGKey, mdp: MDP, policy: Float[Array, "S A"], num_episodes: int, *, horizon: int = 50
) -> Float[Array, "N S A"]:
    """Discounted visit frequencies of each of N sampled episodes, normalised to sum to one; their mean is the estimate.

    The weights γ^t stop at the horizon, so the mean is biased by at most γ^horizon in total variation: 0.005 at the
    defaults.
    """

    def episode(key: PRNGKey) -> Array:
        start_key, walk_key = jax.random.split(key)
        start = jax.random.categorical(start_key, jnp.log(mdp.initial))
        _, (states, actions) = jax.lax.scan(partial(_walk, mdp, policy), start, jax.random.split(walk_key, horizon))
        weights = mdp.discount ** jnp.arange(horizon, dtype=policy.dtype)
        return jnp.zeros_like(policy).at[states, actions].add(weights / weights.sum())

    return jax.vmap(episode)(jax.random.split(key, num_episodes))


def _walk(mdp: MDP, policy: Array, state: Int[Array, ""], key: PRNGKey) -> tuple[Array, tuple[Array, Array]]:
    action_key, next_key = jax.random.split(key)
    action = jax.random.categorical(action_key, jnp.log(policy[state]))
    following = jax.random.categorical(next_key, jnp.log(mdp.transition[state, action]))
    return following, (state, action)


def imitate(
    name: str, mdp: MDP, empirical: Float[Array, "S A"], features: Float[Array, "S A K"], temperature: Scalar
) -> tuple[Float[Array, "S A"], Int[Array, ""]]:
    """The policy that a row of `IMITATORS` makes of an empirical occupancy, and the solver's code."""
    if name == "read_off":
        return tabular.policy_of(empirical), jnp.int32(0)
    if name == "projection":
        rho, code = psi_solvers.nearest(mdp, empirical)
        return tabular.policy_of(rho), code
    # η = S A: the least-squares distance is then the χ² distance of densities with respect to the uniform measure
    psi = psis.registry(features, strength=float(empirical.size))[name]
    solution = psi_solvers.direct(psi, mdp, empirical, temperature)
    return solution.policy, solution.code


def imitate_from_samples(
    key: PRNGKey, name: str, num_demos: int, *, temperature: Scalar = 1e-2, horizon: int = 50, one_hot: bool = True
) -> Metrics:
    """Imitate the expert of one random task from `num_demos` episodes; the learner knows the dynamics, not the reward.

    Metrics: normalised_return (0 the uniform policy, 1 the expert), occupancy_distance (total variation to the expert's
    true occupancy), unvisited (share of the expert's true occupancy in states no demonstration saw), code. `one_hot`
    gives l2_ball and simplex one feature per state-action pair, else the task's eight random ones.
    """
    task_key, demo_key = jax.random.split(key)
    task = random_task(task_key)
    empirical = empirical_occupancy(demo_key, task.mdp, task.expert, num_demos, horizon=horizon).mean(0)
    return score(name, task, empirical, temperature, one_hot=one_hot)


def score(
    name: str, task: Task, empirical: Float[Array, "S A"], temperature: Scalar, *, one_hot: bool = True
) -> Metrics:
    """Imitate an empirical occupancy and measure the policy on the true task; the metrics of `imitate_from_samples`."""
    features = psis.one_hot_features(STATES, ACTIONS).astype(empirical.dtype) if one_hot else task.features
    policy, code = imitate(name, task.mdp, empirical, features, temperature)
    true, rho = (tabular.occupancy(task.mdp, p, normalised=True) for p in (task.expert, policy))
    uniform = tabular.occupancy(task.mdp, tabular.uniform_policy(task.mdp), normalised=True)
    low, high, gained = (jnp.sum(occupancy * task.reward) for occupancy in (uniform, true, rho))
    return {
        "normalised_return": (gained - low) / (high - low),
        "occupancy_distance": jnp.sum(jnp.abs(rho - true)) / 2,
        "unvisited": jnp.sum(jnp.where(empirical.sum(-1, keepdims=True) > 0, 0, true)),
        "code": code,
    }


@partial(jax.jit, static_argnums=(2, 3))
def _samples(tasks: Task, keys: Array, nums: tuple[int, ...], horizon: int) -> Float[Array, "seeds nums S A"]:
    """Empirical occupancies of growing numbers of the same episodes."""

    def one(task: Task, key: PRNGKey) -> Array:
        episodes = empirical_occupancy(key, task.mdp, task.expert, max(nums), horizon=horizon)
        return jnp.stack([episodes[:num].mean(0) for num in nums])

    return jax.vmap(one)(tasks, keys)


@partial(jax.jit, static_argnums=(0, 4))
def _scores(name: str, tasks: Task, empirical: Array, temperature: Scalar, one_hot: bool) -> Metrics:
    each_num = jax.vmap(lambda task, rho: score(name, task, rho, temperature, one_hot=one_hot), in_axes=(None, 0))
    return jax.vmap(each_num)(tasks, empirical)


def shrinking_demonstrations(
    seeds: Sequence[int],
    nums: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256),
    *,
    imitators: Sequence[str] = IMITATORS,
    temperature: float = 1e-2,
    expert_temperature: float = 0.5,
    horizon: int = 50,
    one_hot: bool = True,
    report: Callable[[str], None] = lambda name: None,
) -> Rows:
    """One row per imitator, seed (a random MDP with its own demonstrations) and number of demonstrations.

    Keys: psi, seed, demonstrations, and the metrics of `imitate_from_samples`. All imitators see the same episodes, and
    more demonstrations contain the fewer. `report` is called with each imitator's name as it starts.
    """
    for name in imitators:
        if name not in IMITATORS:
            raise unknown("imitator", name, IMITATORS)
    if not seeds or not nums or min(nums) < 1:
        raise UserError(f"seeds = {seeds}, nums = {nums}: at least one seed and positive numbers are needed.")
    rows: Rows = []
    with jax.enable_x64(True):
        keys = jax.vmap(jax.random.split)(jnp.stack([jax.random.key(seed) for seed in seeds]))
        tasks = _tasks(keys[:, 0], expert_temperature)
        empirical = _samples(tasks, keys[:, 1], tuple(nums), horizon)
        for name in imitators:
            report(name)
            metrics = jax.device_get(_scores(name, tasks, empirical, temperature, one_hot))
            for i, seed in enumerate(seeds):
                for j, num in enumerate(nums):
                    row = {metric: values[i, j].item() for metric, values in metrics.items()}
                    rows.append({"psi": name, "seed": int(seed), "demonstrations": int(num), **row})
    return rows
