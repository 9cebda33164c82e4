"""The eight domains: sound dynamics, what the sheets say of each, and goals that can be reached in time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core import oracle
from theodolite.core.errors import UserError
from theodolite.envs import oracles

SHAPES = {
    "grid16randomobs": (256, 5, 16, 50), "grid16onehot": (256, 5, 32, 50), "grid64randomobs": (4096, 5, 64, 100),
    "grid64onehot": (4096, 5, 128, 100), "cliffwalk": (26, 2, 16, 50), "pendulum": (1024, 5, 3, 50),
    "mountaincar": (1793, 3, 2, 100), "sparsegraph": (501, 3, 4, 10),
}  # fmt: skip
SMALL = ("grid16onehot", "cliffwalk", "pendulum", "sparsegraph")


@pytest.mark.parametrize("name", SHAPES)
def test_sizes_and_probabilities(name):
    o = oracles.domain(name)
    assert (*o.reward.shape, o.obs.shape[1], o.horizon) == SHAPES[name]
    np.testing.assert_allclose(o.mdp.probability.sum(-1), 1, rtol=1e-6)
    assert o.mdp.successor.min() >= 0 and o.mdp.successor.max() < o.num_states
    assert float(o.mdp.initial.sum()) == 1 and bool(o.reachable[int(o.mdp.initial.argmax())])
    assert float(o.reward.min()) >= 0 and float(o.mdp.discount) == pytest.approx(0.95)


@pytest.mark.parametrize("name", SMALL)
def test_the_optimal_policy_earns_more_than_the_uniform_one_within_an_episode(name):
    found = oracle.scale(oracles.domain(name), 0.1)
    assert float(found.optimal_return) > 1.5 * float(found.random_return) + 1


def test_the_reachable_states_are_those_that_are_visited_in_the_end():
    o = oracles.grid(5)
    long = oracle.Oracle(o.mdp, o.reward, o.obs, o.reachable, 200, o.name)
    visits = oracle.visitation(long, jnp.full(o.reward.shape, 0.2)).sum(1)
    np.testing.assert_array_equal(visits > 0, o.reachable)


def test_a_grid_moves_as_told_but_for_walls_borders_and_slips():
    o = oracles.grid(9, "onehot")
    to, p = np.asarray(o.mdp.successor), np.asarray(o.mdp.probability)
    assert (to[:, 0] == to[:, 4]).all()  # the same listing for every action
    np.testing.assert_allclose(p[40], 0.95 * np.eye(5) + 0.01, rtol=1e-6)
    free = np.flatnonzero(np.asarray(o.reachable))
    for s in free:
        x, y = divmod(s, 9)
        for a, (dx, dy) in enumerate(oracles.MOVES):
            inside = 0 <= x + dx < 9 and 0 <= y + dy < 9
            there = (x + dx) * 9 + y + dy
            assert to[s, 0, a] == (there if inside and there in free else s)
    assert o.reachable.sum() < 81 and np.asarray(o.obs).sum(1).tolist() == [2.0] * 81
    goal = int(np.argmax(np.asarray(o.reward)[:, 0]))
    assert float(o.reward[goal, 0]) == 1 and float(o.reward[40, 0]) == 0  # nearness counts from the start
    sparse = oracles.grid(9, sparse=True)
    assert np.flatnonzero(np.asarray(sparse.reward)[:, 2]).tolist() == [goal]


def test_prizes_are_paid_once():
    for name in ("cliffwalk", "mountaincar", "sparsegraph"):
        o = oracles.domain(name)
        end = o.num_states - 1
        paying = np.asarray(o.reward) > 0
        assert (np.asarray(o.mdp.successor)[paying] == end).all() and (np.asarray(o.reward)[paying] == 10).all()
        assert (np.asarray(o.mdp.successor)[end] == end).all() and not paying[end].any()


def test_the_cliff_is_a_chain():
    o = oracles.cliffwalk()
    to = np.asarray(o.mdp.successor)[:25, :, 0]
    assert (to[:, 0] == 0).all() and to[:, 1].tolist() == list(range(1, 26)) and float(o.reward[24, 1]) == 10
    q = oracle.optimal(o, 0.0)
    np.testing.assert_allclose(q[:25, 1], 10 * 0.95 ** np.arange(24, -1, -1), rtol=1e-5)


def test_a_cell_of_the_pendulum_moves_as_the_equation_says():
    o = oracles.pendulum()
    th, v = -np.pi + 20 * np.pi / 16, -4 + 25 * 0.25
    s = 20 + 32 * 25
    np.testing.assert_allclose(o.obs[s], [np.cos(th), np.sin(th), v], atol=1e-6)
    for a, torque in enumerate(np.linspace(-3, 3, 5)):
        faster = v + (-15 * np.sin(th + np.pi) + 3 * torque) * 0.05
        cell = int((th + 0.05 * faster + np.pi) // (np.pi / 16)) % 32 + 32 * int((min(faster, 3.999) + 4) // 0.25)
        assert int(o.mdp.successor[s, a, 0]) == cell
    start = int(o.mdp.initial.argmax())
    np.testing.assert_allclose(o.obs[start], [np.cos(np.pi / 4), -np.sin(np.pi / 4), 0], atol=1e-6)
    assert float(o.reward.max()) <= 1 and int(o.reward.max(1).argmax()) == 16 + 32 * 16  # upright and still


def test_the_environment_is_the_oracle():
    o = oracles.grid(5)
    env = oracles.environment(o)
    state, obs = env.reset(jax.random.key(0))
    assert int(state) == int(o.mdp.initial.argmax()) and (obs == o.obs[state]).all()
    keys = jax.random.split(jax.random.key(1), 4_000)
    following, step = jax.jit(jax.vmap(env.step, (0, None, None)))(keys, state, jnp.int32(3))
    expected = np.zeros(25)
    np.add.at(expected, np.asarray(o.mdp.successor[state, 3]), np.asarray(o.mdp.probability[state, 3]))
    np.testing.assert_allclose(np.bincount(following, minlength=25) / 4_000, expected, atol=0.02)
    np.testing.assert_array_equal(step.obs, o.obs[following])
    assert (step.reward == o.reward[state, 3]).all() and not (step.terminated | step.truncated).any()


def test_unknown_names_and_sizes_are_refused():
    with pytest.raises(UserError, match=r"domain 'pendulun' is unknown\. Did you mean pendulum"):
        oracles.domain("pendulun")
    with pytest.raises(UserError, match="size = 2"):
        oracles.grid(2)
