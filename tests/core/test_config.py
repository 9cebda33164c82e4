"""Configurations: floats are leaves, the rest is structure; every rule refuses its own counterexample in words."""

import math
from dataclasses import FrozenInstanceError, fields, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theodolite.core import config as rules
from theodolite.core.config import config, require
from theodolite.core.errors import UserError
from theodolite.core.fields import field_docs


@config
class Inner:
    """A part."""

    rate: float = 0.5
    """How fast."""
    name: str = "plain"
    """Its name."""


@config
class Outer:
    """A whole."""

    width: int = 4
    """How wide."""
    scale: float = 2.0
    """How large."""
    inner: Inner = Inner()
    maybe: float | None = None

    def __post_init__(self):
        require(self, width=rules.positive, scale=rules.positive, maybe=rules.optional(rules.non_negative))


@config
class Narrow(Inner):
    """A part with fields of its own and another default."""

    rate: float = 0.1
    """How fast it is here."""
    own: float = 1.0
    """What is new."""

    def __post_init__(self):
        require(self, rate=rules.positive, own=rules.positive)


def test_fields_of_a_base_keep_their_place_and_their_meaning():
    c = Narrow()
    assert [f.name for f in fields(c)] == ["rate", "name", "own"] and jax.tree.leaves(c) == [0.1, 1.0]
    assert field_docs(Narrow) == {"rate": "How fast it is here.", "name": "Its name.", "own": "What is new."}
    assert jax.tree.structure(c) != jax.tree.structure(Inner()) and isinstance(c, Inner)


def test_leaves_are_the_floats_of_the_config_and_its_parts():
    leaves = jax.tree_util.tree_leaves_with_path(Outer(scale=3.0, maybe=7.0))
    assert {jax.tree_util.keystr(path): leaf for path, leaf in leaves} == {".scale": 3.0, ".inner.rate": 0.5}


def test_a_round_trip_gives_an_equal_config():
    c = Outer(width=5, scale=1.5, inner=Inner(rate=0.25, name="other"), maybe=1.0)
    leaves, structure = jax.tree.flatten(c)
    assert jax.tree.unflatten(structure, leaves) == c
    assert hash(c) == hash(replace(c))


def test_other_structure_for_what_is_static_and_the_same_for_numbers():
    structure = jax.tree.structure(Outer())
    assert jax.tree.structure(Outer(scale=9.0, inner=Inner(rate=0.1))) == structure
    for other in (Outer(width=5), Outer(inner=Inner(name="x")), Outer(maybe=0.0)):
        assert jax.tree.structure(other) != structure


def test_numbers_are_traced_and_new_ones_do_not_recompile():
    count = 0

    @jax.jit
    def f(c):
        nonlocal count
        count += 1
        assert isinstance(c.scale, jax.core.Tracer) and c.width in (4, 5)
        return c.scale * c.inner.rate * c.width

    assert f(Outer()) == 4
    assert f(Outer(scale=3.0)) == 6
    assert count == 1
    assert f(Outer(width=5)) == 5
    assert count == 2


def test_checks_do_not_run_on_tracers_so_gradients_and_sweeps_work():
    gradient = jax.grad(lambda c: c.scale**2 * c.inner.rate)(Outer())
    assert (gradient.scale, gradient.inner.rate) == (2.0, 4.0)
    sweep = jax.tree.map(lambda *x: jnp.array(x), Outer(scale=1.0), Outer(scale=5.0))
    np.testing.assert_array_equal(jax.vmap(lambda c: c.scale * c.width)(sweep), [4, 20])


def test_configs_are_frozen_and_named():
    with pytest.raises(FrozenInstanceError):
        Outer().width = 3
    with pytest.raises(TypeError):
        config(type("C", (), {"__annotations__": {"a": int}}))(1)


def test_the_refusal_says_field_value_rule_and_meaning():
    with pytest.raises(UserError) as refusal:
        Outer(scale=-1.0)
    assert str(refusal.value) == "scale = -1.0: must be > 0. How large."
    with pytest.raises(UserError, match=r"maybe = -1.0: must be >= 0, or be left out\."):
        Outer(maybe=-1.0)


ALL = {
    "at_least": rules.at_least(3),
    "above": rules.above(-2),
    "between": rules.between(1, 2),
    "one_of": rules.one_of("a", "b"),
    "optional": rules.optional(rules.positive),
    "sizes": rules.sizes(),
    "positive": rules.positive,
    "non_negative": rules.non_negative,
    "probability": rules.probability,
    "any_value": rules.any_value,
}


def refused(value, rule) -> bool:
    holder = type("Holder", (), {"field": value})()
    try:
        require(holder, field=rule)
    except UserError as error:
        assert str(error) == f"field = {value}: {rule.says}."
        return True
    return False


@pytest.mark.parametrize("name", ALL)
def test_a_rule_refuses_its_counterexample(name):
    assert refused(ALL[name].counterexample, ALL[name])


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("one_of", "sizes")])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_rule_lets_what_is_not_finite_pass(name, value):
    assert refused(value, ALL[name])


@given(st.floats(-10, 10))
def test_rules_of_numbers_are_their_inequalities(x):
    assert refused(x, ALL["at_least"]) == (x < 3)
    assert refused(x, ALL["above"]) == (x <= -2)
    assert refused(x, ALL["between"]) == (not 1 <= x <= 2)
    assert refused(x, ALL["positive"]) == (x <= 0)
    assert refused(x, ALL["non_negative"]) == (x < 0)
    assert refused(x, ALL["probability"]) == (not 0 <= x <= 1)
    assert refused(x, ALL["optional"]) == (x <= 0)
    assert not refused(x, ALL["any_value"])


def test_other_rules():
    assert not refused("a", ALL["one_of"]) and refused("c", ALL["one_of"])
    assert not refused(None, ALL["optional"])
    assert not refused((), ALL["sizes"]) and not refused((64, 64), ALL["sizes"])
    for bad in ((64, 0), (1.5,), (-1,), (math.nan,)):
        assert refused(bad, ALL["sizes"])
