"""Sequential quantilizers against enumeration of every trajectory of a small garden."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.foundations import quantilizers_sequential as seq

HORIZON = 3


@pytest.fixture(scope="module")
def small():
    with jax.enable_x64(True):
        world = seq.garden(np.random.default_rng(0), side=2, tomatoes=1)
        yield world, seq.noisy_gardener(world, HORIZON)


def trajectories(world, policy):
    """(probability of the actions, probability of the whole, true sum, proxy sum, steps) of every trajectory."""
    transition, initial, chance = map(np.asarray, (world.transition, world.initial, policy))
    states, actions = range(len(initial)), range(chance.shape[-1])
    for s in (s for s in states if initial[s] > 0):
        for acts in itertools.product(actions, repeat=HORIZON):
            paths = [((s,), initial[s], 1.0)]
            for t, a in enumerate(acts):
                paths = [
                    ((*path, n), p * chance[t, path[-1], a] * transition[path[-1], a, n], c * chance[t, path[-1], a])
                    for path, p, c in paths
                    for n in states
                    if transition[path[-1], a, n] > 0
                ]
            yield from ((path[:-1], acts, p, c) for path, p, c in paths)


def test_the_garden_is_a_decision_process(small):
    world, base = small
    np.testing.assert_allclose(world.transition.sum(-1), 1, atol=1e-12)
    np.testing.assert_allclose(base.sum(-1), 1, atol=1e-12)
    assert np.all(world.proxy >= world.true)
    assert (world.proxy > world.true).sum() == 1  # at the bucket with the one tomato dry


def test_totals_and_ratios_are_those_of_all_trajectories(small):
    world, base = small
    policy = jax.jit(seq.plan, static_argnums=3)(world, world.proxy, base, "quantile", 0.4)
    true, logs = 0.0, []
    chances, trusted = np.asarray(policy), np.asarray(base)
    for path, acts, p, _ in trajectories(world, policy):
        true += p * sum(float(world.true[s]) for s in path)
        ours = [(chances[t, s, a], trusted[t, s, a]) for t, (s, a) in enumerate(zip(path, acts, strict=True))]
        if p > 0:
            logs.append(sum(np.log(x / y) for x, y in ours))
    assert float(seq.total(world, policy, world.true)) == pytest.approx(true, rel=1e-9)
    assert float(seq.trajectory_ratio(world, policy, base)) == pytest.approx(max(logs), rel=1e-9)
    assert max(logs) <= HORIZON * np.log(1 / 0.4) + 1e-12


def test_plans_are_ordered_by_how_freely_they_may_leave_the_base(small):
    world, base = small
    plan = jax.jit(seq.plan, static_argnums=3)
    returns = [
        float(seq.total(world, plan(world, world.proxy, base, "quantile", q), world.proxy)) for q in (1.0, 0.5, 0.1)
    ]
    best = float(seq.total(world, plan(world, world.proxy, base, "best", 0.0), world.proxy))
    assert float(seq.total(world, base, world.proxy)) == pytest.approx(returns[0])
    assert returns[0] < returns[1] < returns[2] <= best + 1e-9
    soft = jax.jit(seq.soft_with_ratio)(world, base, jnp.log(3.0))
    assert float(seq.trajectory_ratio(world, soft, base)) == pytest.approx(np.log(3), abs=1e-4)


def test_drawn_policies_are_the_base_on_average_and_the_best_of_them_are_better(small):
    world, base = small
    returns = jax.jit(seq.drawn_returns, static_argnums=3)(jax.random.key(0), world, base, 4_000)
    for column, reward in enumerate((world.true, world.proxy)):
        exact = float(seq.total(world, base, reward))
        assert abs(float(returns[:, column].mean()) - exact) < 5 * float(returns[:, column].std()) / 4_000**0.5
    every, some = seq.policy_level(returns, 4_000), seq.policy_level(returns, 40)
    np.testing.assert_allclose(every, returns.mean(0))
    assert some[1] > every[1]
    assert float(some[1]) == pytest.approx(float(np.sort(np.asarray(returns[:, 1]))[-40:].mean()))
