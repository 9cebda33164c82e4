"""The tables about ψ: samples estimate what they should, projections project, rows are what they say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core import newton, tabular
from theodolite.core.errors import UserError
from theodolite.envs.tabular import random_mdp
from theodolite.intent import psi_experiments as experiments
from theodolite.intent import psi_solvers


def test_the_empirical_occupancy_estimates_the_true_one():
    mdp = random_mdp(jax.random.key(0), 5, 3, branching=2)
    policy = jax.nn.softmax(jax.random.normal(jax.random.key(1), (5, 3)))
    episodes = experiments.empirical_occupancy(jax.random.key(2), mdp, policy, 3_000)
    np.testing.assert_allclose(episodes.sum((1, 2)), 1, atol=1e-5)
    true = tabular.occupancy(mdp, policy, normalised=True)
    error = np.asarray(episodes.mean(0) - true)
    standard_error = np.asarray(episodes.std(0)) / 3_000**0.5
    assert np.all(np.abs(error) < 4.5 * standard_error + 0.9**50)


def test_the_projection_is_valid_and_nearest():
    with jax.enable_x64(True):
        mdp = random_mdp(jax.random.key(0), 5, 3, branching=2)
        policy = jax.nn.softmax(2 * jax.random.normal(jax.random.key(1), (5, 3)))
        target = experiments.empirical_occupancy(jax.random.key(2), mdp, policy, 2).mean(0)
        rho, code = psi_solvers.nearest(mdp, target)
        matrix, right = tabular.flow(mdp, normalised=True)
        assert int(code) == newton.CONVERGED
        np.testing.assert_allclose(matrix @ rho.ravel(), right, atol=1e-10)
        assert np.min(rho) > 0

        @jax.jit
        def angle(seed):
            other = jax.nn.softmax(5 * jax.random.normal(jax.random.key(seed), (5, 3)))
            return jnp.sum((target - rho) * (tabular.occupancy(mdp, other, normalised=True) - rho))

        for seed in range(200):  # no other valid occupancy makes an acute angle with what is missing
            assert angle(seed) <= 1e-7
        feasible = tabular.occupancy(mdp, policy, normalised=True)
        np.testing.assert_allclose(psi_solvers.nearest(mdp, feasible)[0], feasible, atol=1e-6)


def test_rows_and_improvement_with_data():
    rows = experiments.shrinking_demonstrations([0, 1, 2, 3], (1, 64), imitators=("projection", "read_off", "logistic"))
    assert len(rows) == 3 * 4 * 2
    assert all(row["code"] == newton.CONVERGED for row in rows)
    for name in ("projection", "read_off", "logistic"):
        few, many = (
            np.mean([r["occupancy_distance"] for r in rows if r["psi"] == name and r["demonstrations"] == num])
            for num in (1, 64)
        )
        assert many < few / 2
    again = experiments.shrinking_demonstrations([4, 5, 6, 2], (1, 64), imitators=("logistic",))
    pair = ([r for r in among if r["psi"] == "logistic" and r["seed"] == 2] for among in (again, rows))
    for one, other in zip(*pair, strict=True):
        assert one["normalised_return"] == pytest.approx(other["normalised_return"], abs=1e-6)


def test_one_call_is_one_row():
    metrics = jax.jit(lambda key: experiments.imitate_from_samples(key, "read_off", 4))(jax.random.key(0))
    assert set(metrics) == {"normalised_return", "occupancy_distance", "unvisited", "code"}
    assert 0 < float(metrics["occupancy_distance"]) < 1


def test_bad_requests_are_refused():
    with pytest.raises(UserError, match="logistic"):
        experiments.shrinking_demonstrations([0], imitators=("logistics",))
    with pytest.raises(UserError, match="positive"):
        experiments.shrinking_demonstrations([0], (0, 1))
