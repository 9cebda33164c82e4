"""Several discounts learned at once, a head each on the same features (Fedus et al. 2019); any learner's option.

    y_i = R_i + γ_iᵐ (1 - terminated) Q_i(s')                            every head has a return and a target of its own
    γ_i = e_iᵏ,  w_i = e_{i+1} - e_i,  e_i = 1 - bⁱ            Σ_i w_i γ_iᵗ ≈ ∫₀¹ eᵏᵗ de = 1 / (1 + kt)      (section 4)

A lower Riemann sum with H terms, i = 0 to H - 1; b is such that e_H, which closes it, would have `discount` as its own.
What acts is the head of the longest horizon, all others being auxiliary tasks, or the mixture Σ_i w_i Q_i: the value
under hyperbolic discounting as far as `discount` to the power of 1 / k is near 1 and H is large. At the defaults it
discounts faster, since e_H is 0.63. Where actions are choices every head bootstraps from its own best one; where there
is a policy all heads judge it, and it climbs on what acts. One horizon is the plain learner.
"""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from theodolite.core.arrays import Scalar
from theodolite.core.config import Constraint, config, one_of, positive, probability, require
from theodolite.core.replay import Sample


@config
class Settings:
    """Fields of a Config whose learner can predict several horizons; `check` has their rules."""

    discount: float = 0.99
    """γ, per step; with several horizons the limit of the longest."""
    horizons: int = 1
    """Discounts that are learned at once."""
    horizon_rate: float = 0.01
    """k: the mixture of horizons discounts by 1 / (1 + kt)."""
    act_by: Literal["longest", "mixture"] = "longest"
    """Which horizon chooses actions; the others are auxiliary tasks."""


BELOW_ONE = Constraint("must be below 1 where there are several horizons", lambda v: bool(np.float32(v) < 1), 1.0)


def check(c: Settings) -> None:
    """Refuse settings that cannot be.

    Raises:
        UserError: the field, its value and the rule.
    """
    require(c, discount=probability, horizons=positive, horizon_rate=positive, act_by=one_of("longest", "mixture"))
    if c.horizons > 1:
        require(c, discount=BELOW_ONE)


def discounts(c: Settings) -> Float[Array, " H"]:
    """γ_i, the longest horizon last; one horizon is γ itself."""
    if c.horizons == 1:
        return jnp.reshape(jnp.asarray(c.discount, jnp.float32), 1)
    longer = _edges(c)[1:] ** c.horizon_rate  # 0 to a power has no gradient
    return jnp.concatenate([jnp.zeros(1), longer])


def weights(c: Settings) -> Float[Array, " H"]:
    """w_i, which sum to 1."""
    return jnp.ones(1) if c.horizons == 1 else jnp.diff(_edges(c), append=jnp.ones(1))


def _edges(c: Settings) -> Float[Array, " H"]:
    log_base = jnp.log1p(-(c.discount ** (1 / c.horizon_rate))) / c.horizons
    return -jnp.expm1(log_base * jnp.arange(c.horizons, dtype=jnp.float32))


def longest(c: Settings) -> Scalar:
    """The discount of the longest horizon."""
    return discounts(c)[-1]


def returns(c: Settings, b: Sample) -> tuple[Float[Array, "B H"], Float[Array, "B H"]]:
    """The discounted reward of every row at every horizon, and the factor of what follows it."""
    return jax.vmap(b.returns, out_axes=1)(discounts(c))


def acting(c: Settings, values: Float[Array, "*batch H A"]) -> Float[Array, "*batch A"]:
    """The values by which actions are chosen."""
    if c.act_by == "longest":
        return values[..., -1, :]
    return jnp.einsum("h,...ha->...a", weights(c), values)


def targets(c: Settings, b: Sample, following: Float[Array, "B *H"]) -> Float[Array, "B *H"]:
    """R + γᵐ (1 - terminated) times what follows; an axis of horizons where there are several."""
    reward, discount = b.returns(c.discount) if c.horizons == 1 else returns(c, b)
    return reward + discount * following


def judged(c: Settings, values: Float[Array, "*batch"]) -> Float[Array, "..."]:
    """The values that a policy climbs on; an axis of horizons, the last one, where there are several."""
    return values if c.horizons == 1 else acting(c, values[..., None])[..., 0]
