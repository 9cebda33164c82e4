"""Configurations: frozen dataclasses whose floats are traced by JAX and whose other fields are static.

A new learning rate therefore does not recompile, a sweep over a float is a `vmap` over stacked configs, and a
hyper-gradient is `jax.grad`. Checks run when a config is constructed, never on tracers.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, NamedTuple, TypeVar, cast, dataclass_transform, get_type_hints

import jax

from theodolite.core.errors import UserError
from theodolite.core.fields import field_docs

C = TypeVar("C")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def config(cls: type[C]) -> type[C]:
    """Freeze a dataclass and register it as a pytree whose leaves are its float fields (and nested configs)."""
    cls = dataclass(frozen=True, kw_only=True)(cls)
    kind, own = get_type_hints(cls), [f.name for f in fields(cast(Any, cls))]
    traced = [name for name in own if kind[name] is float or is_dataclass(kind[name])]
    static = [name for name in own if name not in traced]

    def flatten_with_keys(c: C):
        leaves = [(jax.tree_util.GetAttrKey(name), getattr(c, name)) for name in traced]
        return leaves, tuple(getattr(c, name) for name in static)

    def unflatten(values: tuple, leaves: Iterable) -> C:
        c = object.__new__(cls)  # skips __post_init__: leaves may be tracers, which cannot be checked
        for name, value in zip(traced + static, (*leaves, *values), strict=True):
            object.__setattr__(c, name, value)
        return c

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten)
    return cls


class Constraint(NamedTuple):
    """A rule for one field: how to say it, how to test it, and a value that breaks it (for the tests)."""

    says: str
    holds: Callable[[Any], bool]
    counterexample: Any


def at_least(low: float) -> Constraint:
    """`value >= low`."""
    return Constraint(f"must be >= {low:g}", lambda v: v >= low, low - 1)


def above(low: float) -> Constraint:
    """`value > low`."""
    return Constraint(f"must be > {low:g}", lambda v: v > low, low)


def between(low: float, high: float) -> Constraint:
    """`low <= value <= high`."""
    return Constraint(f"must lie between {low:g} and {high:g}", lambda v: low <= v <= high, high + 1)


def inside(low: float, high: float) -> Constraint:
    """`low < value < high`."""
    return Constraint(f"must lie between {low:g} and {high:g}, and be neither", lambda v: low < v < high, high)


def one_of(*values: Any) -> Constraint:
    """`value` is one of the listed ones."""
    return Constraint("must be one of " + ", ".join(map(str, values)), lambda v: v in values, "no such value")


def optional(rule: Constraint) -> Constraint:
    """None, or a value that obeys `rule`."""
    return Constraint(f"{rule.says}, or be left out", lambda v: v is None or rule.holds(v), rule.counterexample)


def sizes(says: str = "must be a sequence of positive integers, such as 64 64") -> Constraint:
    """A tuple of layer widths."""
    return Constraint(says, lambda v: all(isinstance(n, int) and n > 0 for n in v), (0,))


positive = above(0)
non_negative = at_least(0)
probability = between(0, 1)
any_value = Constraint("must be finite", lambda v: True, math.nan)


def require(c: Any, **constraints: Constraint) -> None:
    """Check fields of a config under construction against their constraints.

    Raises:
        UserError: the field, its value, the rule and the field's meaning.
    """
    for name, rule in constraints.items():
        value = getattr(c, name)
        numbers = value if isinstance(value, tuple) else (value,)
        finite = all(math.isfinite(v) for v in numbers if isinstance(v, float))
        if not finite or not rule.holds(value):
            raise UserError(f"{name} = {value}: {rule.says}." + _meaning(type(c), name))


def _meaning(cls: type, name: str) -> str:
    documented = field_docs(cls)
    return f" {documented[name]}" if name in documented else ""
