"""Comparison of rewards against its definitions as sums, closed forms, and worlds whose answer is known."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core import tabular
from theodolite.core.errors import UserError
from theodolite.core.tabular import MDP
from theodolite.envs.tabular import random_mdp
from theodolite.intent import rewards

S, A, GAMMA = 5, 3, 0.9


def coverage():
    return rewards.Coverage(jnp.array([0.1, 0.3, 0.2, 0.15, 0.25]), jnp.array([0.5, 0.2, 0.3]))


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def draw(seed, shape=(S, A, S)):
    return jax.random.normal(jax.random.key(seed), shape)


def test_the_canonical_form_is_its_definition():
    r, found = np.asarray(draw(0)), rewards.canonical(draw(0), GAMMA, coverage())
    states, actions = np.asarray(coverage().states), np.asarray(coverage().actions)
    for s, a, t in itertools.product(range(S), range(A), range(S)):
        expected = r[s, a, t]
        for b, u in itertools.product(range(A), range(S)):
            p = actions[b] * states[u]
            expected += p * (GAMMA * r[t, b, u] - r[s, b, u])
            expected -= p * GAMMA * sum(states[v] * r[v, b, u] for v in range(S))
        np.testing.assert_allclose(found[s, a, t], expected, atol=1e-12)


def test_shapings_have_one_canonical_form_and_distance_zero_at_any_positive_scale():
    r, potential = draw(1), draw(2, (S,))
    other = 3 * rewards.shaped(r, potential, GAMMA) + 2
    forms = [rewards.canonical(x, GAMMA, coverage()) for x in (3 * r, other)]
    np.testing.assert_allclose(forms[1] - forms[0], (forms[1] - forms[0])[0, 0, 0], atol=1e-12)  # a constant
    np.testing.assert_allclose(
        rewards.canonical(rewards.shaped(0 * r, potential, GAMMA), GAMMA, coverage()), 0, atol=1e-12
    )
    assert rewards.epic_distance(r, other, GAMMA, coverage()) < 1e-12
    assert rewards.epic_distance(r, other, 0.5, coverage()) > 0.01  # shaping of another discount is none


def test_distances_of_opposites_independents_and_nothing():
    r = draw(3)
    assert rewards.epic_distance(r, -r, GAMMA, coverage()) == pytest.approx(1)
    weight = jnp.einsum("s,a,t->sat", coverage().states, coverage().actions, coverage().states)
    x = rewards.canonical(r, GAMMA, coverage())
    y = rewards.canonical(draw(4), GAMMA, coverage())
    x, y = (z - jnp.sum(weight * z) for z in (x, y))
    y = y - x * jnp.sum(weight * x * y) / jnp.sum(
        weight * x * x
    )  # uncorrelated, and canonical forms are a linear space
    assert rewards.epic_distance(x, y, GAMMA, coverage()) == pytest.approx(0.5**0.5, abs=1e-6)
    nothing = rewards.shaped(jnp.zeros((S, A)), draw(5, (S,)), GAMMA)
    assert rewards.epic_distance(r, nothing, GAMMA, coverage()) == pytest.approx(0.5**0.5)
    assert rewards.epic_distance(nothing, 0 * r, GAMMA, coverage()) == 0


def test_epic_is_the_correlation_of_numpy_under_uniform_coverage_and_obeys_the_triangle():
    a, b, c = draw(6), draw(7, (S, A)), draw(8, (S,))
    forms = [np.ravel(rewards.canonical(r, GAMMA, rewards.uniform(S, A))) for r in (a, b)]
    expected = np.sqrt((1 - np.corrcoef(*forms)[0, 1]) / 2)
    assert rewards.epic_distance(a, b, GAMMA) == pytest.approx(expected)
    assert rewards.epic_distance(b, a, GAMMA) == pytest.approx(expected)
    distances = [rewards.epic_distance(x, y, GAMMA) for x, y in ((a, b), (b, c), (a, c))]
    assert distances[2] <= distances[0] + distances[1] + 1e-12
    with pytest.raises(UserError, match="both rewards are of states alone"):
        rewards.epic_distance(c, c, GAMMA)
    with pytest.raises(UserError, match=r"shape \(5,\): expected"):
        rewards.full(c)


def test_potentials_are_found_and_removed():
    mdp = random_mdp(jax.random.key(9), S, A, branching=2, discount=GAMMA)
    r, potential = draw(10, (S, A)), draw(11, (S,))
    other = rewards.shaped(r, potential, GAMMA) + 1.5  # a constant is the shaping of a constant potential
    rest = rewards.without_potential(r, mdp)
    np.testing.assert_allclose(rewards.without_potential(other, mdp), rest, atol=1e-10)
    np.testing.assert_allclose(rewards.potential_of(rewards.shaped(0 * r, potential, GAMMA), mdp), potential, atol=1e-9)
    assert rewards.advantage_distance(r, other, mdp) < 1e-9 < 0.1 < rewards.advantage_distance(r, -r, mdp)
    policies = [tabular.soft_policy(mdp, x, 1.0) for x in (r, rest)]
    np.testing.assert_allclose(*policies, atol=1e-10)


def from_successors(successor, discount=GAMMA):
    transition = jnp.eye(len(successor))[jnp.asarray(successor)]
    return MDP(transition, jnp.full(len(successor), 1 / len(successor)), jnp.float64(discount))


def test_link_components_and_what_they_hide():
    linked = rewards.identifiability(from_successors([[0, 1], [1, 2], [2, 0]]))
    assert (linked.components, linked.free) == (1, 1) and linked.decomposable and linked.recoverable
    ring = rewards.identifiability(from_successors([[1, 1], [2, 2], [0, 0]]))  # nothing can be chosen
    assert (ring.components, ring.free) == (3, 3) and not ring.decomposable
    # even and odd states alternate: each half is linked, the halves are not
    halves = rewards.identifiability(from_successors([[1, 3], [0, 2], [3, 1], [2, 0]]))
    assert (halves.components, halves.free) == (2, 2)
    np.testing.assert_array_equal(halves.component, [0, 1, 0, 1])


def test_what_nobody_reaches_nobody_shows():
    m = from_successors([[0, 1], [1, 0], [0, 2]])
    assert rewards.identifiability(m).recoverable
    from_zero = MDP(m.transition, jnp.eye(3)[0], m.discount)
    found = rewards.identifiability(from_zero)
    assert (found.components, found.unreached) == (1, 1) and not found.recoverable


def test_what_is_free_is_what_leaves_the_policy_alone():
    halves, r = from_successors([[1, 3], [0, 2], [3, 1], [2, 0]]), draw(12, (4,))
    other = r + jnp.array([2.0, -1.0, 2.0, -1.0])
    both = [tabular.soft_policy(halves, jnp.broadcast_to(x[:, None], (4, 2)), 1.0) for x in (r, other)]
    np.testing.assert_allclose(*both, atol=1e-10)
    chance = random_mdp(jax.random.key(13), 6, 3, branching=3)
    assert rewards.identifiability(chance).recoverable


@pytest.mark.parametrize("seed", range(5))
def test_a_deterministic_world_hides_one_constant_per_component(seed):
    found = rewards.identifiability(random_mdp(jax.random.key(seed), 8, 2, branching=1))
    assert found.components == found.free


def test_a_second_world_tells_what_the_first_hides():
    a, b = (random_mdp(jax.random.key(seed), 6, 3, branching=3, discount=GAMMA) for seed in (0, 1))
    slower = MDP(a.transition, a.initial, jnp.float64(0.5))
    assert rewards.shared_freedom(a, a) == 6 and rewards.shared_freedom(a, b) == 1 == rewards.shared_freedom(a, slower)
