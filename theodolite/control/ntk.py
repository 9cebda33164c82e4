"""The first-order effect of a Q-learning step: the tangent kernel of a minibatch, and when a step contracts to Q*.

    Q' = Q + α K D (T Q - Q) + O(α²),     K_ij = ∇Q(i)·∇Q(j),  D = diag(ρ)          pairs i = (s, a)
    K = Σ_l (H_{l-1} H_{l-1}ᵀ + 1) ∘ (G_l G_lᵀ)       layer inputs H, gradients G at pre-activations, ∘ by elements

The sum over layers never forms a Jacobian; the 1 is the bias's. Operators of Achiam, Knight and Abbeel 2019, with their
moduli in the sup norm, are linear in T Q - Q and exact where K is constant: tables and linear features.

    U1 = Q + α (TQ - Q)          1 - (1 - γ) α                     for 0 < α < 1
    U2 = Q + α D (TQ - Q)        1 - (1 - γ) α min ρ               for 0 < α ρ < 1
    U3 = Q + α K D (TQ - Q)      max_i |1 - α K_ii ρ_i| + α γ K_ii ρ_i + (1 + γ) α Σ_{j≠i} |K_ij| ρ_j

`modulus` is the last line; `sufficient` says of every row whether it meets the conditions under which theorem 2 proves
that U3 contracts.
"""

from functools import reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from theodolite.core.arrays import Scalar
from theodolite.core.claim import Paper
from theodolite.core.nets import MLP, Linear

PAPER = Paper(
    "Towards Characterizing Divergence in Deep Q-Learning", "Achiam, Knight, Abbeel", 2019, arxiv="1903.08894"
)


def kernel(net: MLP, obs: Float[Array, "B O"], action: Int[Array, " B"] | None = None) -> Float[Array, "B B"]:
    """The tangent kernel of Q at the pairs of a minibatch, summed over layers; without actions, of a single output."""
    x = parts(net, obs, action)
    return sum_of_layers(x, x)


class Parts(NamedTuple):
    """Q of some pairs, what every layer reads, and Q's gradient at every layer's output before the activation."""

    q: Float[Array, " B"]
    inputs: list[Float[Array, "B _"]]
    gradients: list[Float[Array, "B _"]]


def parts(net: MLP, obs: Float[Array, "B O"], action: Int[Array, " B"] | None = None) -> Parts:
    """Forward and backward through the layers once.

    Rows do not see each other, so one gradient of Σ_i Q_i with respect to a perturbation of all outputs has them all.
    """

    def total(shifts: list[Array]) -> tuple[Array, tuple[Array, list[Array]]]:
        x, inputs = obs, []
        for layer, shift in zip(net.layers[:-1], shifts[:-1], strict=True):
            inputs.append(x)
            x = net.activation(layer(x) + shift)
        out = net.layers[-1](x) + shifts[-1]
        q = out[:, 0] if action is None else jnp.take_along_axis(out, action[:, None], -1)[:, 0]
        return jnp.sum(q), (q, [*inputs, x])

    nothing = [jnp.zeros((obs.shape[0], layer.bias.shape[0]), layer.bias.dtype) for layer in net.layers]
    gradients, (q, inputs) = jax.grad(total, has_aux=True)(nothing)
    return Parts(q, inputs, gradients)


def sum_of_layers(x: Parts, other: Parts) -> Float[Array, "B C"]:
    """Σ_l (H H'ᵀ + 1) ∘ (G G'ᵀ): of two minibatches, how a step on the second moves Q at the pairs of the first."""
    layers = zip(x.inputs, x.gradients, other.inputs, other.gradients, strict=True)
    return reduce(jnp.add, ((h @ k.T + 1) * (g @ f.T) for h, g, k, f in layers))


def pushed(net: MLP, x: Parts, weight: Float[Array, " B"]) -> MLP:
    """Σ_i z_i ∇Q(i), as a network: the step that moves Q at the pairs by K z to first order."""
    scaled = [weight[:, None] * g for g in x.gradients]
    layers = [Linear(h.T @ g, jnp.sum(g, 0)) for h, g in zip(x.inputs, scaled, strict=True)]
    return MLP(tuple(layers), net.activation)


def step(
    q: Float[Array, " N"], backed_up: Float[Array, " N"], k: Float[Array, "N N"], rho: Float[Array, " N"], rate: Scalar
) -> Float[Array, " N"]:
    """U3: Q + α K D (T Q - Q); U2 for K = 1, U1 for ρ = 1 as well."""
    return q + rate * k @ (rho * (backed_up - q))


def row_ratios(k: Float[Array, "B B"]) -> Float[Array, " B"]:
    """(1/N) Σ_{j≠i} |K_ij| / K_ii of every row: how far a step on one pair moves the others, next to itself."""
    own = jnp.maximum(jnp.diagonal(k), 1e-30)
    return (jnp.sum(jnp.abs(k), 1) - own) / (k.shape[0] * own)


def modulus(k: Float[Array, "N N"], rho: Float[Array, " N"], rate: Scalar, discount: Scalar) -> Float[Array, ""]:
    """A Lipschitz constant of U3 in the sup norm; below 1 it contracts to Q*."""
    own = jnp.diagonal(k) * rho
    others = jnp.abs(k) @ rho - jnp.abs(own)
    return jnp.max(jnp.abs(1 - rate * own) + rate * discount * own + (1 + discount) * rate * others)


def sufficient(k: Float[Array, "N N"], rho: Float[Array, " N"], rate: Scalar, discount: Scalar) -> Bool[Array, " N"]:
    """Which rows meet the conditions of theorem 2: α K_ii ρ_i < 1 and (1 + γ) Σ_{j≠i} |K_ij| ρ_j < (1 - γ) K_ii ρ_i."""
    own = jnp.diagonal(k) * rho
    others = jnp.abs(k) @ rho - jnp.abs(own)
    return (rate * own < 1) & ((1 + discount) * others < (1 - discount) * own)
