"""The types of arrays that appear in every signature, and the base class of every state.

Axis letters are fixed for the whole library: S seeds, T time, E environments, B batch, A actions, O observation.
"""

import equinox as eqx
from jaxtyping import Array, Bool, Float, Key

Arrays = eqx.Module
"""Base of every State: a frozen dataclass that is a pytree of arrays; what is not an array is a static field."""

Scalar = float | Float[Array, "..."]
"""A number that may be a tracer: config floats are traced, so functions annotate them with this, not with float."""
Flag = Bool[Array, "..."]
PRNGKey = Key[Array, ""]
"""One typed key. Used once or split, never both."""
Metrics = dict[str, Array]


def lift(x: Array, rank: int) -> Array:
    """`x` with leading axes of length 1 up to `rank`, because users and our tests may forbid implicit ones."""
    return x.reshape((1,) * (rank - x.ndim) + x.shape)
