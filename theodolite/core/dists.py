"""Action distributions as pytrees: sample, log_prob, entropy, kl, mode; the event is the last axis of Gaussians."""

import math
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from theodolite.core.arrays import PRNGKey, lift

LOG_2PI = math.log(2 * math.pi)


@runtime_checkable
class Distribution(Protocol):
    """What every distribution offers; all in nats."""

    def sample(self, key: PRNGKey) -> Array:
        """One draw per batch entry."""
        ...

    def mode(self) -> Array:
        """The most likely value."""
        ...

    def log_prob(self, value: Array) -> Float[Array, "*batch"]:
        """Log density or log mass."""
        ...

    def entropy(self) -> Float[Array, "*batch"]:
        """Entropy."""
        ...

    def kl(self, other: Any) -> Float[Array, "*batch"]:
        """KL(self ‖ other)."""
        ...


class Categorical(NamedTuple):
    """A choice among A actions by unnormalised logits."""

    logits: Float[Array, "*batch A"]

    def sample(self, key: PRNGKey) -> Int[Array, "*batch"]:
        """One index per batch entry, by inverting the cumulative distribution: one uniform each, not A of them."""
        uniform = jax.random.uniform(key, (*self.logits.shape[:-1], 1))
        cumulative = jnp.cumsum(jax.nn.softmax(self.logits), axis=-1)
        return jnp.sum(uniform > cumulative[..., :-1], axis=-1, dtype=jnp.int32)

    def mode(self) -> Int[Array, "*batch"]:
        """The most likely index."""
        return jnp.argmax(self.logits, axis=-1).astype(jnp.int32)

    def log_prob(self, value: Int[Array, "*batch"]) -> Float[Array, "*batch"]:
        """Log mass."""
        log_probs = jax.nn.log_softmax(self.logits)
        # a product with the one-hot choice is faster than a gather, forwards and backwards
        chosen = jax.nn.one_hot(value, self.logits.shape[-1], dtype=log_probs.dtype)
        return jnp.sum(log_probs * chosen, axis=-1)

    def entropy(self) -> Float[Array, "*batch"]:
        """-Σ p log p."""
        log_probs = jax.nn.log_softmax(self.logits)
        return -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)

    def kl(self, other: "Categorical") -> Float[Array, "*batch"]:
        """Σ p (log p - log q)."""
        log_p, log_q = jax.nn.log_softmax(self.logits), jax.nn.log_softmax(other.logits)
        return jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=-1)


class Normal(NamedTuple):
    """Independent Gaussians over the last axis."""

    mean: Float[Array, "*batch A"]
    log_std: Float[Array, "*#batch A"]

    @property
    def _log_std(self) -> Float[Array, "*#batch A"]:
        return lift(self.log_std, self.mean.ndim)

    def sample(self, key: PRNGKey) -> Float[Array, "*batch A"]:
        """mean + std * standard normal."""
        return self.mean + jnp.exp(self._log_std) * jax.random.normal(key, self.mean.shape)

    def mode(self) -> Float[Array, "*batch A"]:
        """The mean."""
        return self.mean

    def log_prob(self, value: Float[Array, "*batch A"]) -> Float[Array, "*batch"]:
        """Log density."""
        z = (value - self.mean) * jnp.exp(-self._log_std)
        return jnp.sum(-0.5 * z**2 - self._log_std - 0.5 * LOG_2PI, axis=-1)

    def entropy(self) -> Float[Array, "*batch"]:
        """Σ log_std + (1 + log 2π)/2."""
        log_std = jnp.broadcast_to(self.log_std, self.mean.shape)
        return jnp.sum(log_std + 0.5 * (1 + LOG_2PI), axis=-1)

    def kl(self, other: "Normal") -> Float[Array, "*batch"]:
        """Σ log(q/p) + (p² + (μp - μq)²) / 2q² - 1/2, with p, q the standard deviations."""
        log_ratio = self._log_std - other._log_std
        shift = ((self.mean - other.mean) * jnp.exp(-other._log_std)) ** 2
        return jnp.sum(0.5 * (jnp.exp(2 * log_ratio) + shift - 1) - log_ratio, axis=-1)


def _log_slope(u: Float[Array, "..."]) -> Float[Array, "..."]:
    """log(1 - tanh² u) without cancellation."""
    return 2 * (math.log(2) - u - jax.nn.softplus(-2 * u))


class TanhNormal(NamedTuple):
    """A Gaussian squashed by tanh into a box, the unit box [-1, 1] unless its centre and half width say otherwise."""

    mean: Float[Array, "*batch A"]
    log_std: Float[Array, "*#batch A"]
    centre: Float[Array, "*batch A"] | float = 0.0
    half_width: Float[Array, "*batch A"] | float = 1.0

    @property
    def _before(self) -> Normal:
        return Normal(self.mean, self.log_std)

    def sample(self, key: PRNGKey) -> Float[Array, "*batch A"]:
        """tanh of a Gaussian draw, scaled into the box."""
        return self.centre + self.half_width * jnp.tanh(self._before.sample(key))

    def sample_and_log_prob(self, key: PRNGKey) -> tuple[Float[Array, "*batch A"], Float[Array, "*batch"]]:
        """A draw and its log density, from what was drawn before squashing: exact however close to a bound it is."""
        before = self._before.sample(key)
        slope = _log_slope(before) + jnp.log(self.half_width)
        action = self.centre + self.half_width * jnp.tanh(before)
        return action, self._before.log_prob(before) - jnp.sum(slope, axis=-1)

    def mode(self) -> Float[Array, "*batch A"]:
        """tanh of the mean: the median, and the action that evaluation plays."""
        return self.centre + self.half_width * jnp.tanh(self.mean)

    def log_prob(self, value: Float[Array, "*batch A"]) -> Float[Array, "*batch"]:
        """Log density, with the Jacobian of tanh; values are kept a rounding error inside the box."""
        inside = jnp.clip((value - self.centre) / self.half_width, -1 + 1e-6, 1 - 1e-6)
        slope = jnp.log1p(-(inside**2)) + jnp.log(self.half_width)
        return self._before.log_prob(jnp.arctanh(inside)) - jnp.sum(slope, axis=-1)

    def entropy(self) -> Float[Array, "*batch"]:
        """The Gaussian's entropy plus E[log(1 - tanh²)], by Gauss-Hermite quadrature, plus the log half width."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(16)
        std = jnp.broadcast_to(jnp.exp(self.log_std), self.mean.shape)[..., None]
        u = self.mean[..., None] + std * lift(jnp.asarray(nodes, self.mean.dtype), std.ndim)
        correction = _log_slope(u) @ jnp.asarray(weights / math.sqrt(2 * math.pi), self.mean.dtype)
        return self._before.entropy() + jnp.sum(correction + jnp.log(self.half_width), axis=-1)

    def kl(self, other: "TanhNormal") -> Float[Array, "*batch"]:
        """That of the Gaussians: both are squashed by the same bijection."""
        return self._before.kl(other._before)
