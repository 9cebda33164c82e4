"""A step that moves Q on a batch by its errors: solve for multipliers, propose, and shorten until it points right.

    K Z = Δ,   θ(α) = θ + α Σ_i Z_i ∇Q(i),   ΔQ(B) = α K Z + O(α²) = α Δ + O(α²)
    accept the largest α of a fixed grid with cos(Q_θ(α)(B) - Q_θ(B), Δ) ≥ η; if none is, change nothing

It is the least-norm solution of J x = Δ, x = Jᵀ (JJᵀ)⁺ Δ, with J the Jacobian, which is never formed (see `ntk`). The
first two α, and if neither passes all others, are tried in one pass each, whose first layer is exact in closed form:
x (W + α W') = x W + α x W'.

A damping λ (a share of K's mean diagonal) replaces K by K + λ. In K's eigenbasis the step then moves Q by w Δ with
w = s / (s + λ), and however small α is the cosine stays below Σ w d² / (|d| |w d|): below η nothing can be accepted.
As λ grows, Z tends to Δ / λ, which is the semi-gradient of temporal-difference learning with rate α / λ.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from theodolite.control import ntk
from theodolite.core.arrays import Scalar
from theodolite.core.config import between, config, inside, non_negative, one_of, positive
from theodolite.core.nets import MLP

Solver = Literal["cholesky", "eigen"]
FLOOR = 1e-30
"""Below it a size is none."""
AT_ONCE = 2
"""Sizes that are tried first: a critic that has learned a little accepts one of them nearly always."""


@config
class Settings:
    """Fields of a Config whose learner takes such steps; CONSTRAINTS are their rules."""

    line_search: bool = True
    """Test the alignment; otherwise `first_alpha` is always taken."""
    eta: float = 0.97
    """η: least cosine of the change on the batch with its errors."""
    first_alpha: float = 1.0
    """The largest α that is tried."""
    decay: float = 0.5
    """From each α to the next smaller one."""
    tries: int = 10
    """Sizes of α that are tried, all at once."""
    solver: Solver = "cholesky"
    """How K Z = Δ is solved: by a Cholesky factor, or among the larger eigenvalues."""
    damping: float = 1e-5
    """λ: added to the kernel's diagonal, as a share of its mean; a large one ends at the semi-gradient."""
    cutoff: float = 1e-5
    """Eigenvalues below this share of the largest count as 0, where the solver is `eigen`."""


CONSTRAINTS = {
    "eta": between(-1, 1), "first_alpha": positive, "decay": inside(0, 1), "tries": positive,
    "solver": one_of("cholesky", "eigen"), "damping": non_negative, "cutoff": non_negative,
}  # fmt: skip


class Rules(NamedTuple):
    """How a step is made."""

    solver: Solver
    damping: Scalar
    """λ, share of K's mean diagonal."""
    cutoff: Scalar
    """The eigenvalues below this share of the largest count as 0; `eigen` alone."""
    rates: Float[Array, " T"]
    """The grid of α, the largest first."""
    eta: Scalar
    """η; below -1 everything is accepted that is finite."""


class Taken(NamedTuple):
    """What a step did."""

    net: MLP
    rate: Float[Array, ""]
    """The accepted α; 0 if none was."""
    skipped: Bool[Array, ""]
    alignment: Float[Array, ""]
    """Cosine of the change and Δ; 0 if nothing changed."""
    attainable: Float[Array, ""]
    """The same for α → 0, which damping and cutoff cap."""
    multipliers: Float[Array, " B"]
    """Z; 0 where the factorisation failed."""
    change: Float[Array, " B"]
    """Of Q on the batch."""
    row_ratio: Float[Array, ""]


def rules(c: Settings) -> Rules:
    """How a step is made by such a Config."""
    tries, eta = (c.tries, c.eta) if c.line_search else (1, -2.0)
    return Rules(c.solver, c.damping, c.cutoff, grid(c.first_alpha, c.decay, tries), eta)


def grid(first: Scalar, decay: Scalar, tries: int) -> Float[Array, " T"]:
    """first · decayᵗ."""
    return first * decay ** jnp.arange(tries, dtype=jnp.result_type(float))


def step(
    net: MLP, x: ntk.Parts, obs: Float[Array, "B O"], action: Int[Array, " B"] | None, error: Float[Array, " B"],
    rules: Rules,
) -> Taken:  # fmt: skip
    """One step for errors Δ at pairs whose `ntk.parts` are `x`."""
    k = ntk.sum_of_layers(x, x)
    z = solve(k, error, rules)
    toward = ntk.pushed(net, x, z)
    found = search(net, toward, x.q, obs, action, error, rules)
    moved = jax.tree.map(lambda old, new: jnp.where(found.passed, old + found.rate * new, old), net, toward)
    return Taken(
        net=moved,
        rate=jnp.where(found.passed, found.rate, 0),
        skipped=~found.passed,
        alignment=jnp.where(found.passed, found.alignment, 0),
        attainable=cosine(k @ z, error),
        multipliers=z,
        change=jnp.where(found.passed, found.change, 0),
        row_ratio=jnp.mean(ntk.row_ratios(k)),
    )


class Found(NamedTuple):
    """The largest α that passed the test, with what it does; any other if none did."""

    passed: Bool[Array, ""]
    rate: Float[Array, ""]
    alignment: Float[Array, ""]
    change: Float[Array, " B"]


def search(
    net: MLP, toward: MLP, q: Float[Array, " B"], obs: Float[Array, "B O"], action: Int[Array, " B"] | None,
    error: Float[Array, " B"], rules: Rules,
) -> Found:  # fmt: skip
    """Try the grid, the small sizes only if the large ones fail; where batched, all of them."""

    def tried(rates: Array) -> Found:
        change = along(net, toward, obs, action, rates) - q[None]
        cosines = jax.vmap(cosine, (0, None))(change, error)
        right = jnp.all(jnp.isfinite(change), 1) & ((cosines >= rules.eta) | (rules.eta < -1))
        first = jnp.argmax(right)
        return Found(jnp.any(right), rates[first], cosines[first], change[first])

    large = tried(rules.rates[:AT_ONCE])
    if rules.rates.shape[0] <= AT_ONCE:
        return large
    return jax.lax.cond(large.passed, lambda: large, lambda: tried(rules.rates[AT_ONCE:]))


def solve(k: Float[Array, "B B"], error: Float[Array, " B"], rules: Rules) -> Float[Array, " B"]:
    """Z: (K + λ) Z = Δ, or its solution of least norm among the larger eigenvalues; 0 if that is not finite."""
    jitter = rules.damping * jnp.mean(jnp.diagonal(k))
    if rules.solver == "cholesky":
        factor = jax.scipy.linalg.cho_factor(k + jitter * jnp.eye(k.shape[0], dtype=k.dtype), lower=True)
        z = jax.scipy.linalg.cho_solve(factor, error)
    else:
        values, basis = jnp.linalg.eigh(k)
        kept = values > rules.cutoff * values[-1]
        z = basis @ (jnp.where(kept, 1 / jnp.where(kept, values + jitter, 1), 0) * (basis.T @ error))
    return jnp.where(jnp.all(jnp.isfinite(z)), z, 0)


def along(
    net: MLP, toward: MLP, obs: Float[Array, "B O"], action: Int[Array, " B"] | None, rates: Float[Array, " T"]
) -> Float[Array, "T B"]:
    """Q at the pairs for θ + α θ' at every α."""
    each = rates[:, None, None]
    x = net.layers[0](obs)[None] + each * toward.layers[0](obs)[None]
    for layer, by in zip(net.layers[1:], toward.layers[1:], strict=True):
        weights = layer.weight[None] + each * by.weight[None]
        x = net.activation(x) @ weights + (layer.bias[None] + rates[:, None] * by.bias[None])[:, None]
    return x[..., 0] if action is None else jnp.take_along_axis(x, action[None, :, None], -1)[..., 0]


def cosine(a: Float[Array, " B"], b: Float[Array, " B"]) -> Float[Array, ""]:
    """a·b / (|a| |b|); 0 if either is 0 or not finite."""
    a, b = (v / jnp.maximum(jnp.max(jnp.abs(v)), FLOOR) for v in (a, b))  # squares do not underflow
    size = jnp.sqrt((a @ a) * (b @ b))
    found = a @ b / jnp.maximum(size, FLOOR)
    return jnp.where(jnp.isfinite(found), found, 0)
