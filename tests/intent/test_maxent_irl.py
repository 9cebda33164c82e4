"""Maximum-entropy IRL: gradients against finite differences and unrolled planning, rewards recovered, visits."""

import itertools
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core import newton, tabular
from theodolite.core import soft_planning as sp
from theodolite.core.errors import UserError
from theodolite.core.tabular import MDP
from theodolite.envs.tabular import random_mdp
from theodolite.intent import maxent_irl

S, A, K = 5, 3, 2


@pytest.fixture(autouse=True)
def double():
    """float64."""
    with jax.enable_x64(True):
        yield


@cache
def world(seed=0, branching=K):
    """Drawn by one program, as are all worlds here: operation by operation each would be compiled on its own."""
    return jax.jit(drawn, static_argnums=1)(seed, branching)


def drawn(seed, branching):
    m = sp.sparsify(random_mdp(jax.random.key(seed), S, A, branching=branching, discount=0.8), branching)
    ends = m.available.at[4].set(False) if branching > 1 else m.available
    return sp.SparseMDP(m.successor, m.probability, ends, m.initial, m.discount)


@partial(jax.jit, static_argnames="horizon")
def noisy_expert(m, horizon):
    """Visits that no policy has: what few demonstrations give."""
    state = jax.random.randint(jax.random.key(1), (4, 5), 0, 4, jnp.int32)
    action = jax.random.randint(jax.random.key(2), (4, 4), 0, A, jnp.int32)
    follows = m.successor[state[:, :-1], action, 0]
    state = state.at[:, 1:].set(follows)
    return maxent_irl.expert_of(m, state, action, state[:, :-1] != 4, per_step=horizon is not None)


MODES = [
    ("matching", None, True, 1), ("matching", None, False, 3), ("matching", 4, True, 3), ("matching", 4, False, 2),
    ("likelihood", None, True, 3), ("likelihood", None, False, 2), ("likelihood", 4, True, 1),
    ("likelihood", 4, False, 3),
]  # fmt: skip


@pytest.mark.parametrize(("objective", "horizon", "causal", "ndim"), MODES)
def test_the_gradient_is_that_of_finite_differences(objective, horizon, causal, ndim):
    m, c = world(), maxent_irl.Config(objective=objective, horizon=horizon, causal=causal, temperature=0.7)
    expert, reward = noisy_expert(m, horizon), jax.random.normal(jax.random.key(3), (S, A, K)[:ndim])

    @jax.jit
    def many(rewards):
        found = jax.vmap(partial(maxent_irl.reward_gradient, c, m, expert))(rewards)
        return found.objective, found.reward[0], found.metrics["loss"]

    step = 1e-5
    bumps = step * jnp.eye(reward.size).reshape(-1, *reward.shape)
    objectives, gradient, losses = many(reward[None] + jnp.concatenate([jnp.zeros_like(bumps[:1]), bumps, -bumps]))
    up, down = jnp.split(objectives[1:], 2)
    np.testing.assert_allclose(gradient.ravel(), (up - down) / (2 * step), atol=1e-8)
    np.testing.assert_allclose(losses, -objectives)
    assert np.isfinite(objectives).all()
    assert jnp.abs(gradient).max() > 1e-2


@cache
@partial(jax.jit, static_argnums=0)
def listed(states):
    """A sparse world whose successors are drawn anywhere, the last state an end."""
    keys, (actions, width, discount) = jax.random.split(jax.random.key(states), 2), (4, 3, 0.8)
    successor = jax.random.randint(keys[0], (states, actions, width), 0, states, jnp.int32)
    chance = jax.random.dirichlet(keys[1], jnp.ones(width), (states, actions))
    there = jnp.ones((states, actions), bool).at[-1].set(False)
    return sp.SparseMDP(successor, chance, there, jnp.full(states, 1 / states), jnp.asarray(discount))


def shown_in(m, length=40):
    """Visits of forty episodes that a uniform policy could have made, some of them passing the end."""
    rng, states = np.random.default_rng(0), m.initial.size
    state, action = np.zeros((40, length + 1), np.int32), rng.integers(0, 4, (40, length)).astype(np.int32)
    state[:, 0] = rng.integers(0, states - 1, 40)
    for t in range(length):
        state[:, t + 1] = np.asarray(m.successor)[state[:, t], action[:, t], rng.integers(0, 3, 40)]
    taken = np.cumsum(state[:, :-1] == states - 1, 1) == 0
    return jax.jit(maxent_irl.expert_of)(m, state, action, taken)


def test_sweeps_over_listed_successors_agree_with_the_dense_exact_solution():
    """Of 300 states; 120 sweeps leave 0.8^120 = 2e-12."""
    m = listed(300)
    dense, reward, expert = (
        jax.jit(sp.densify)(m),
        jax.random.normal(jax.random.key(1), (300,)).at[-1].set(0),
        shown_in(m),
    )
    swept = jax.jit(partial(maxent_irl.reward_gradient, maxent_irl.Config(sweeps=120)))(m, expert, reward)
    exact = jax.jit(partial(maxent_irl.reward_gradient, maxent_irl.Config()))(m, expert, reward)
    np.testing.assert_allclose(swept.reward, exact.reward, atol=1e-9)
    np.testing.assert_allclose(swept.objective, exact.objective, atol=1e-9)
    # a dense world keeps whoever reaches the end; what it earns and chooses there is taken off by hand
    dense_reward = jnp.asarray(
        np.repeat(np.asarray(reward)[:, None], 4, 1) - np.log(4) * (np.arange(300) == 299)[:, None]
    )
    value = jax.jit(tabular.soft_value)(dense, dense_reward, 1.0)
    np.testing.assert_allclose(swept.plan.value, value, atol=1e-9)
    begun = MDP(dense.transition, expert.initial, dense.discount)  # where the demonstrations began
    visits = jax.jit(lambda m, n, r: tabular.occupancy(m, tabular.soft_policy(n, r, 1.0)))(begun, dense, dense_reward)
    gap = np.asarray(expert.visits).sum(-1) - np.asarray(swept.reward)
    np.testing.assert_allclose(gap[:-1], np.asarray(visits).sum(-1)[:-1], atol=1e-9)
    assert np.abs(swept.reward).max() > 1e-2


@pytest.mark.parametrize("objective", ["matching", "likelihood"])
def test_the_gradient_over_thousands_of_states_is_that_of_finite_differences(objective):
    """Along three directions through all 4,096 states at once."""
    m, c = listed(4_096), maxent_irl.Config(objective=objective, sweeps=120)
    expert, reward = shown_in(m), jax.random.normal(jax.random.key(1), (4_096, 4))
    directions, step = jax.random.normal(jax.random.key(2), (3, 4_096, 4)), 1e-4
    gradient = jax.jit(lambda r: maxent_irl.reward_gradient(c, m, expert, r).reward)(reward)
    value = jax.jit(lambda r: maxent_irl.reward_gradient(c, m, expert, r).objective)
    for d in directions:
        slope = (value(reward + step * d) - value(reward - step * d)) / (2 * step)
        np.testing.assert_allclose(jnp.sum(gradient * d), slope, atol=1e-6)
        assert abs(slope) > 1e-3


def test_the_closed_form_is_what_differentiation_through_planning_gives():
    m, c = world(), maxent_irl.Config(objective="likelihood", sweeps=150)
    expert, reward = noisy_expert(m, None), jax.random.normal(jax.random.key(4), (S, A))

    def by_unrolling(r):
        log_policy = sp.plan(m, r, sweeps=150).log_policy
        return jnp.sum(jnp.where(expert.visits > 0, expert.visits * jnp.where(expert.visits > 0, log_policy, 0), 0))

    value, gradient = jax.jit(jax.value_and_grad(by_unrolling))(reward)
    value_of_loss, through_loss = jax.jit(jax.value_and_grad(lambda r: maxent_irl.loss(c, m, expert, r)[0]))(reward)
    np.testing.assert_allclose(value_of_loss, -value, atol=1e-10)
    np.testing.assert_allclose(through_loss, -gradient, atol=1e-10)


def test_the_objectives_are_one_for_an_expert_without_noise_and_flat_at_its_reward():
    m, reward = world(), jax.random.normal(jax.random.key(5), (S, A, K))
    for horizon in (None, 4):
        expert = jax.jit(lambda h=horizon: maxent_irl.exact_expert(m, sp.plan(m, reward, 0.7, horizon=h)))()
        for objective in ("matching", "likelihood"):
            c = maxent_irl.Config(objective=objective, horizon=horizon, temperature=0.7)
            gradients = jax.jit(partial(maxent_irl.reward_gradient, c))
            at_truth, elsewhere = gradients(m, expert, reward), gradients(m, expert, 2 * reward[::-1])
            np.testing.assert_allclose(at_truth.reward, 0, atol=1e-9)
            np.testing.assert_allclose(at_truth.metrics["mismatch"], 0, atol=1e-9)
            if objective == "matching":
                kept = elsewhere
        np.testing.assert_allclose(kept.reward, elsewhere.reward, atol=1e-9)
        np.testing.assert_allclose(kept.objective, elsewhere.objective, atol=1e-9)


@pytest.mark.parametrize("horizon", [None, 4])
def test_matching_is_flat_at_the_truth_where_outcomes_are_taken_for_choices(horizon):
    """An expert of the 2008 form meets the outcomes of its own paths, not those of the dynamics."""
    m, reward = world(), jax.random.normal(jax.random.key(5), (S, A, K))
    expert = jax.jit(lambda: maxent_irl.exact_expert(m, sp.plan(m, reward, horizon=horizon, causal=False)))()
    c = maxent_irl.Config(objective="matching", horizon=horizon, causal=False)
    gradient = jax.jit(partial(maxent_irl.reward_gradient, c))(m, expert, reward)
    np.testing.assert_allclose(gradient.reward, 0, atol=1e-9)


def test_a_network_over_a_batch_of_worlds_learns_through_the_cotangent():
    """Reward = w · features of the state, shared by worlds that differ in their dynamics."""
    worlds = jax.jit(jax.vmap(lambda seed: drawn(seed, K)))(jnp.arange(6))
    features = jax.random.normal(jax.random.key(6), (6, S, 2))
    truth = jnp.array([1.0, -0.7])
    experts = jax.jit(jax.vmap(lambda m, r: maxent_irl.exact_expert(m, sp.plan(m, r))))(worlds, features @ truth)
    c = maxent_irl.Config(learning_rate=0.05, sweeps=60)
    fit = jax.jit(lambda w: maxent_irl.fit(c, lambda w: features @ w, w, worlds, experts, 250))
    s, metrics = fit(jnp.zeros(2))
    np.testing.assert_allclose(s.params, truth, atol=2e-3)
    assert metrics.keys() == maxent_irl.METRICS.keys()
    assert metrics["loss"][-1] < metrics["loss"][0] and metrics["mismatch"][-1] < 1e-2
    ridge, _ = jax.jit(lambda w: maxent_irl.fit(
        maxent_irl.Config(sweeps=60, l2=100.0), lambda w: features @ w, w, worlds, experts, 250
    ))(jnp.zeros(2))  # fmt: skip
    assert jnp.linalg.norm(ridge.params) < 0.2 * jnp.linalg.norm(truth)


@pytest.mark.parametrize("branching", [1, 3])
def test_newton_finds_a_batch_of_state_rewards_up_to_a_constant_by_either_way(branching):
    keys = jax.random.split(jax.random.key(7), 4)
    worlds = jax.jit(jax.vmap(lambda key: random_mdp(key, 6, 3, branching=branching)))(keys)
    truth = jax.random.normal(jax.random.key(8), (4, 6))
    states = jnp.broadcast_to(jnp.eye(6)[:, None], (6, 3, 6))

    def recover(m, r):
        visits = tabular.occupancy(m, tabular.soft_policy(m, states @ r, 0.5))
        slow = maxent_irl.solve(m, visits, states, temperature=0.5)
        quick = maxent_irl.solve_states(m, visits, temperature=0.5)
        again = [tabular.occupancy(m, tabular.soft_policy(m, states @ x, 0.5)) for x in (slow.x, quick.reward)]
        bellman = tabular.soft_value(m, states @ quick.reward, 0.5) - quick.value
        return slow, quick, visits - again[0], visits - again[1], bellman

    slow, quick, *gaps = jax.jit(jax.vmap(recover))(worlds, truth)
    assert (slow.code == newton.CONVERGED).all() and (quick.code == newton.CONVERGED).all()
    for gap in gaps:
        np.testing.assert_allclose(gap, 0, atol=1e-6)
    if branching == 3:  # every state is linked to every other
        for found in (slow.x, quick.reward):
            centred = [np.asarray(x) - np.mean(x, 1, keepdims=True) for x in (found, truth)]
            np.testing.assert_allclose(*centred, atol=1e-4)


def test_curvature_of_features_is_the_projection_of_the_whole():
    @jax.jit
    def both():
        m, f = random_mdp(jax.random.key(9), 4, 2, branching=2), jax.random.normal(jax.random.key(10), (4, 2, 3))
        reward, flat = jax.random.normal(jax.random.key(11), (4, 2)), f.reshape(-1, 3)
        whole = tabular.soft_curvature(m, reward, 0.6)
        return maxent_irl.curvature(m, tabular.soft_policy(m, reward, 0.6), f) / 0.6, flat.T @ whole @ flat

    np.testing.assert_allclose(*both(), atol=1e-10)


def test_visits_of_episodes_are_counted():
    dense = jax.jit(lambda: random_mdp(jax.random.key(12), S, A, branching=K, discount=0.8))()
    rng = np.random.default_rng(0)
    state, action = rng.integers(0, S, (3, 5)), rng.integers(0, A, (3, 4))
    sparse = jax.jit(sp.sparsify, static_argnums=1)(dense, K)
    for n, t in itertools.product(range(3), range(4)):  # a possible path
        state[n, t + 1] = rng.choice(np.asarray(sparse.successor)[state[n, t], action[n, t]])
    taken = np.arange(4)[None] < np.array([4, 2, 3])[:, None]
    expected, outcomes = np.zeros((4, S, A)), np.zeros((S, A, S))
    for n, t in itertools.product(range(3), range(4)):
        if taken[n, t]:
            expected[t, state[n, t], action[n, t]] += 0.8**t / 3
            outcomes[state[n, t], action[n, t], state[n, t + 1]] += 0.8**t / 3
    count = jax.jit(maxent_irl.expert_of, static_argnames="per_step")
    found = count(dense, state, action, taken, per_step=True)
    np.testing.assert_allclose(found.visits, expected, atol=1e-12)
    np.testing.assert_allclose(found.outcomes, outcomes, atol=1e-12)
    np.testing.assert_allclose(found.initial, np.bincount(state[:, 0], minlength=S) / 3, atol=1e-12)
    listed = count(sparse, state, action, taken)
    np.testing.assert_allclose(listed.visits, expected.sum(0), atol=1e-12)
    by_state = np.zeros((S, A, S))
    for s, a, k in itertools.product(range(S), range(A), range(K)):
        by_state[s, a, sparse.successor[s, a, k]] += listed.outcomes[s, a, k]
    np.testing.assert_allclose(by_state, outcomes, atol=1e-12)


@pytest.mark.parametrize(("name", "value"), [
    ("objective", "guessing"), ("horizon", 0), ("sweeps", 0), ("temperature", 0.0), ("learning_rate", 0.0), ("l2", -1.0)
])  # fmt: skip
def test_bad_settings_are_refused_by_name(name, value):
    broken = object.__new__(maxent_irl.Config)
    for field, good in vars(maxent_irl.Config()).items():
        object.__setattr__(broken, field, value if field == name else good)
    with pytest.raises(UserError, match=f"{name} = {value}: must"):
        broken.__post_init__()
