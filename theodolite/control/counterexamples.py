"""Where bootstrapping with linear features diverges: two classical counter-examples, and what a preconditioner mends.

    δ = r + γ P Φ θ - Φ θ
    semi-gradient     θ' = θ + α Φᵀ (ρ ∘ δ)            converges iff all eigenvalues of I + α Φᵀ D (γ P - I) Φ are small
    preconditioned    θ' = θ + α Φ⁺ δ = θ + α Φᵀ (ΦΦᵀ)⁺ δ,     so Φ θ' = Φ θ + α Π δ with Π = ΦΦ⁺

Where the rows of Φ are independent, Π = 1: the values of all states move as in a table, and converge. Baird's star
(1995) has more features than states and is such a case. Where they are not, a step is the least-squares fit of
Tsitsiklis and Van Roy (1996), who made their example of two states to show that it diverges, with γ > 5/6. Then the
change Π δ does not point along δ, and PreQN's test of alignment refuses it: nothing diverges, and nothing is learned.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from theodolite.core.arrays import Arrays, Scalar
from theodolite.core.claim import Paper

BAIRD = Paper("Residual Algorithms: Reinforcement Learning with Function Approximation", "Baird", 1995, venue="ICML")
TSITSIKLIS = Paper(
    "Feature-Based Methods for Large Scale Dynamic Programming",
    "Tsitsiklis and Van Roy",
    1996,
    venue="Machine Learning",
)


class Prediction(Arrays):
    """Values of one policy in a known chain, from linear features."""

    features: Float[Array, "N D"]
    successor: Float[Array, "N N"]
    """P, of the policy that is evaluated."""
    reward: Float[Array, " N"]
    rho: Float[Array, " N"]
    """How often each state is updated: not how often the policy visits it."""
    discount: Float[Array, ""]

    def error(self, theta: Float[Array, " D"]) -> Float[Array, " N"]:
        """δ."""
        value = self.features @ theta
        return self.reward + self.discount * self.successor @ value - value

    def values(self) -> Float[Array, " N"]:
        """The true values."""
        return jnp.linalg.solve(jnp.eye(self.reward.size) - self.discount * self.successor, self.reward)


def baird(discount: Scalar = 0.99) -> Prediction:
    """The star of seven states: six outer ones of value 2θ_i + θ_8 and a centre θ_7 + 2θ_8, to which all lead."""
    features = np.zeros((7, 8))
    features[range(6), range(6)], features[:6, 7] = 2, 1
    features[6, 6:] = 1, 2
    return _prediction(features, np.full(7, 6), discount)


def two_states(discount: Scalar = 0.99, spare: bool = False) -> Prediction:
    """Values θ and 2θ, both states lead to the second; with `spare`, another feature tells them apart."""
    features = np.array([[1.0, 0.0], [2.0, 1.0]]) if spare else np.array([[1.0], [2.0]])
    return _prediction(features, np.array([1, 1]), discount)


def _prediction(features: np.ndarray, successor: np.ndarray, discount: Scalar) -> Prediction:
    """States that are updated equally often, and pay nothing: the true values are 0."""
    num = len(features)
    kinds = jnp.asarray(features), jnp.eye(num)[successor], jnp.zeros(num), jnp.full(num, 1 / num)
    return Prediction(*kinds, jnp.asarray(discount))


def semi_gradient(p: Prediction, theta: Float[Array, " D"], rate: Scalar) -> Float[Array, " D"]:
    """One expected step of temporal-difference learning."""
    return theta + rate * p.features.T @ (p.rho * p.error(theta))


def preconditioned(p: Prediction, theta: Float[Array, " D"], rate: Scalar) -> Float[Array, " D"]:
    """One step on all states, by the pseudo-inverse of their kernel ΦΦᵀ."""
    return theta + rate * jnp.linalg.pinv(p.features) @ p.error(theta)


def alignment(p: Prediction, theta: Float[Array, " D"]) -> Float[Array, ""]:
    """Cosine of the change of values that the preconditioned step makes, at any rate, with δ; 1 where δ = 0."""
    error = p.error(theta)
    change = p.features @ (jnp.linalg.pinv(p.features) @ error)
    size = jnp.linalg.norm(error) * jnp.linalg.norm(change)
    return jnp.where(size > 0, error @ change / jnp.where(size > 0, size, 1), jnp.where(jnp.any(error != 0), 0, 1.0))


def semi_gradient_modes(p: Prediction, rate: Scalar) -> Complex[Array, " D"]:
    """Eigenvalues of a semi-gradient step: one of size above 1 diverges, and those of 1 stay."""
    drift = p.features.T @ (p.rho[:, None] * (p.discount * p.successor - jnp.eye(p.rho.size))) @ p.features
    return jnp.linalg.eigvals(jnp.eye(drift.shape[0]) + rate * drift)


def preconditioned_modes(p: Prediction, rate: Scalar) -> Complex[Array, " N"]:
    """The same of the map Φθ → Φθ' that a preconditioned step makes of values within the features' span."""
    onto = p.features @ jnp.linalg.pinv(p.features)
    eye = jnp.eye(p.rho.size)
    return jnp.linalg.eigvals(onto @ (eye + rate * (p.discount * p.successor - eye)) @ onto)
