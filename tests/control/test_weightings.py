"""Weightings of the table against the visits and errors that they stand for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.control import afm, weightings
from theodolite.core import oracle
from theodolite.envs import oracles


@pytest.fixture(scope="module")
def world():
    return oracles.grid(4, "onehot", horizon=10)


@pytest.fixture(scope="module")
def scale(world):
    return oracle.scale(world, 0.1)


@pytest.fixture(scope="module")
def shown(world, scale):
    """What is to be seen, every weighting of it, and the visits that some of them should be: one program."""
    tables = jnp.asarray(np.random.default_rng(0).uniform(size=(5, *scale.q.shape)), jnp.float32)

    @jax.jit
    def everything(scale):
        q, target, *drawn = tables
        x = weightings.Sight(world, scale, 0.1, *map(weightings.normalised, drawn), q, target, jnp.zeros((16, 1)))
        found = {name: weightings.normalised(weigh(x)) for name, weigh in weightings.WEIGHTINGS.items()}
        policies = {
            "pi*": oracle.policy(scale.q, 0.1),
            "random": jnp.full_like(q, 0.2),
            "online": oracle.policy(q, 0.1),
        }
        return x, found, {name: oracle.visitation(world, pi) for name, pi in policies.items()}

    return everything(scale)


@pytest.mark.parametrize("name", weightings.WEIGHTINGS)
def test_weightings_are_what_they_say(shown, name):
    x, found, visits = shown
    errors = np.abs(x.q - x.target)
    known = visits | {"uniform": np.full(errors.shape, 1 / 80), "pi": x.visits, "replay": x.replayed,
                      "replay10": x.recent, "prioritized": errors / errors.sum()}  # fmt: skip
    if name in known:
        np.testing.assert_allclose(found[name], known[name], atol=1e-6)
    else:  # the adversary meets more error than the others
        assert (found[name] * errors).sum() > 1.2 * max((known[n] * errors).sum() for n in visits)


def test_entropy_and_shift():
    flat, point = jnp.full((4, 2), 1 / 8), jnp.zeros((4, 2)).at[0, 0].set(1)
    assert float(weightings.entropy(flat)) == pytest.approx(1, abs=1e-4)
    assert float(weightings.entropy(point)) == pytest.approx(0, abs=1e-4)
    assert float(weightings.shift(flat, point)) == pytest.approx(7 / 8)


def test_the_adversary_of_features_is_a_weighting(world, scale):
    c = afm.Config(kappa=1.0)
    q, target = scale.q, scale.q + jnp.arange(5.0)[None] / 5
    x = weightings.Sight(world, scale, 0.1, q, q, q, q, target, jnp.eye(16))
    base = weightings.normalised(weightings.random(x))
    for states in (False, True):
        weigh = jax.jit(afm.weighting(c, weightings.random, states))
        found = weightings.normalised(weigh(x._replace(oracle=None)))
        assert float(jnp.sum(found * (q - target) ** 2)) > 1.2 * float(jnp.sum(base * (q - target) ** 2))
        assert float(jnp.linalg.norm(found.sum(1) - base.sum(1))) < (1e-5 if states else 0.11)
