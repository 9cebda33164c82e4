"""The ψ view of imitation: a regulariser of costs, and the divergence between occupancies that it implies.

    IRL_ψ(π_E) = argmax_c  -ψ(c) + min_π(-λH(π) + E_π[c]) - E_E[c],      RL(c) = argmin_π -λH(π) + E_π[c]
    RL ∘ IRL_ψ(π_E) = argmin_π -λH(π) + ψ*(ρ_π - ρ_E),                   ψ*(x) = sup_c x·c - ψ(c)

(Ho and Ermon 2016, equations (3), (4) and proposition 3.2, with λ in front of the causal entropy.) Occupancies are
normalised.

| name        | ψ(c)                             | ψ*(ρ_π - ρ_E)            | known as                     |
| ----------- | -------------------------------- | ------------------------ | ---------------------------- |
| constant    | 0                                | 0 where equal, else ∞    | maximum causal entropy IRL   |
| l2_ball     | 0 on {w·f, ‖w‖₂ <= 1}, else ∞    | ‖E_π f - E_E f‖₂         | FEM (Abbeel and Ng)          |
| simplex     | 0 on {w·f, w a distribution}     | max_i E_π f_i - E_E f_i  | GTAL (Syed and Schapire)     |
| logistic    | E_E[-c - log(1 - e^c)], c < 0    | 2 JS(ρ_π, ρ_E) - 2 log 2 | GAIL                         |
| exponential | E_E[-c - 1/c], c < 0             | -2 Σ √(ρ_π ρ_E)          | squared Hellinger distance   |
| quadratic   | ‖c‖²/2η                          | η ‖ρ_π - ρ_E‖²/2         | least squares                |

Only logistic and exponential come from a classifier's surrogate loss φ (proposition A.1), so only they have a loss on
logits and a reward per logit; z is always the logit of "expert". l2_ball and simplex have a cost that is linear in
their features, and constant and quadratic one that is a table: for deep code these are not losses on samples. `smooth`
and `Costs` are what the exact solvers of `psi_solvers` need.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import entr
from jaxtyping import Array, Float

from theodolite.core.arrays import Scalar
from theodolite.core.claim import Paper
from theodolite.core.errors import UserError

PAPER = Paper("Generative Adversarial Imitation Learning", "Ho, Ermon", 2016, arxiv="1606.03476")

Occupancy = Float[Array, "S A"]
Cost = Float[Array, "S A"]

TIGHT = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9)
"""Smoothing schedule of the ψ whose conjugate has kinks; the last entry bounds what smoothing changes, times the number
of features."""
EXACT = (0.0,)
"""The schedule of a smooth conjugate."""

REWARD_MAPS: dict[str, Callable[[Array], Array]] = {
    "softplus": jax.nn.softplus,
    "log_sigmoid": jax.nn.log_sigmoid,
    "logit": lambda z: z,
    "fairl": lambda z: -z * jnp.exp(z),
}
"""Rewards from the discriminator's logit of "expert".

softplus is -log(1 - D), the negated best cost under the logistic ψ: the paper's reward, never negative. log_sigmoid is
log D, never positive; it has the same discriminator but is no ψ's best cost, so no fixed objective is descended. logit
is AIRL's log D - log(1 - D): at the best D its expectation is -KL(ρ_π ‖ ρ_E). fairl (Ghasemipour et al. 2019) takes z
as log ρ_E/ρ_π, and its expectation under ρ_π is -KL(ρ_E ‖ ρ_π).
"""


class Costs(NamedTuple):
    """The costs with finite ψ, by parameters w: what the IRL solver searches.

    `penalty(w, expert, μ)` is ψ(cost(w)) plus a barrier or ridge of weight μ, the conjugate of what `smooth` adds.
    """

    start: Callable[[Occupancy], Float[Array, " n"]]
    cost: Callable[[Array, Occupancy], Cost]
    penalty: Callable[[Array, Occupancy, Scalar], Scalar]
    positive: bool = False
    sums_to_one: bool = False


class Psi(NamedTuple):
    """A cost regulariser with everything that follows from it; `policy` and `expert` are normalised occupancies.

    `value(c, expert)` is ψ(c), ∞ outside its domain. `conjugate(policy, expert)` is ψ*(policy - expert). `best_cost`
    attains the supremum, None where nothing does. `smooth(policy, expert, μ)` is a differentiable stand-in that tends
    to the conjugate as μ goes to 0. `reward_map` and `loss(z on policy samples, z on expert samples)` are None where ψ
    is not a surrogate loss.
    """

    name: str
    value: Callable[[Cost, Occupancy], Scalar]
    conjugate: Callable[[Occupancy, Occupancy], Scalar]
    best_cost: Callable[[Occupancy, Occupancy], Cost] | None
    smooth: Callable[[Occupancy, Occupancy, Scalar], Scalar]
    costs: Costs
    smoothing: tuple[float, ...] = EXACT
    reward_map: Callable[[Array], Array] | None = None
    loss: Callable[[Array, Array], Scalar] | None = None
    features: Float[Array, "S A K"] | None = None


def constant(tolerance: Scalar = 1e-6) -> Psi:
    """ψ = 0: any cost is as good as any other, so the occupancies must be equal. Entries count as equal within
    `tolerance`.

    If no policy has the expert's occupancy (an empirical one, say) IRL is unbounded and RL ∘ IRL is not defined; the
    minimiser of `smooth` then tends to the valid occupancy that is nearest in least squares, `psi_solvers.nearest`.
    """
    return Psi(
        name="constant",
        value=lambda c, expert: jnp.zeros((), c.dtype),
        conjugate=lambda policy, expert: jnp.where(jnp.max(jnp.abs(policy - expert)) <= tolerance, 0, jnp.inf),
        best_cost=None,
        smooth=lambda policy, expert, mu: jnp.sum((policy - expert) ** 2) / (2 * mu),
        costs=Costs(
            start=lambda expert: jnp.zeros(expert.size, expert.dtype),
            cost=lambda w, expert: w.reshape(expert.shape),
            penalty=lambda w, expert, mu: mu / 2 * jnp.sum(w**2),  # of all costs that explain the expert, the least
        ),
        smoothing=TIGHT,
    )


def quadratic(strength: Scalar = 1.0) -> Psi:
    """ψ(c) = ‖c‖²/2η with η = `strength`: least squares between occupancies."""
    return Psi(
        name="quadratic",
        value=lambda c, expert: jnp.sum(c**2) / (2 * strength),
        conjugate=lambda policy, expert: strength / 2 * jnp.sum((policy - expert) ** 2),
        best_cost=lambda policy, expert: strength * (policy - expert),
        smooth=lambda policy, expert, mu: strength / 2 * jnp.sum((policy - expert) ** 2),
        costs=Costs(
            start=lambda expert: jnp.zeros(expert.size, expert.dtype),
            cost=lambda w, expert: w.reshape(expert.shape),
            penalty=lambda w, expert, mu: jnp.sum(w**2) / (2 * strength),
        ),
    )


def one_hot_features(num_states: int, num_actions: int) -> Float[Array, "S A K"]:
    """One feature per state-action pair: costs of the class are then tables."""
    return jnp.eye(num_states * num_actions).reshape(num_states, num_actions, -1)


def _gap(features: Array, policy: Occupancy, expert: Occupancy) -> Float[Array, " K"]:
    """E_π f - E_E f."""
    return jnp.einsum("sa,sak->k", policy - expert, features)


def _weights(features: Array, c: Cost) -> tuple[Array, Array]:
    """The least-squares weights of a cost in its (linearly independent) features, and whether they reproduce it."""
    matrix = features.reshape(-1, features.shape[-1])
    w = jnp.linalg.solve(matrix.T @ matrix, matrix.T @ c.ravel())
    slack = jnp.sqrt(jnp.finfo(c.dtype).eps)
    return w, jnp.max(jnp.abs(matrix @ w - c.ravel())) <= slack * (1 + jnp.max(jnp.abs(c)))


def l2_ball(features: Float[Array, "S A K"]) -> Psi:
    """Costs w·f with ‖w‖₂ <= 1: feature expectations are matched in Euclidean distance (FEM)."""

    def value(c: Cost, expert: Occupancy) -> Scalar:
        w, representable = _weights(features, c)
        return jnp.where(representable & (jnp.linalg.norm(w) <= 1 + jnp.sqrt(jnp.finfo(c.dtype).eps)), 0, jnp.inf)

    def best_cost(policy: Occupancy, expert: Occupancy) -> Cost:
        gap = _gap(features, policy, expert)
        norm = jnp.linalg.norm(gap)
        return features @ (gap / jnp.where(norm > 0, norm, 1))

    def smooth(policy: Occupancy, expert: Occupancy, mu: Scalar) -> Scalar:
        # min_t t - μ log(t² - ‖y‖²), attained where t² - ‖y‖² = 2 μ t
        t = mu + jnp.sqrt(mu**2 + jnp.sum(_gap(features, policy, expert) ** 2))
        return t - mu * jnp.log(2 * mu * t)

    return Psi(
        name="l2_ball",
        value=value,
        conjugate=lambda policy, expert: jnp.linalg.norm(_gap(features, policy, expert)),
        best_cost=best_cost,
        smooth=smooth,
        costs=Costs(
            start=lambda expert: jnp.zeros(features.shape[-1], expert.dtype),
            cost=lambda w, expert: features @ w,
            penalty=lambda w, expert, mu: -mu * _log_or_minus_inf(1 - jnp.sum(w**2)),
        ),
        smoothing=TIGHT,
        features=features,
    )


def simplex(features: Float[Array, "S A K"]) -> Psi:
    """Costs w·f with w a distribution: the worst feature counts, max_i E_π f_i - E_E f_i (GTAL)."""
    num = features.shape[-1]

    def value(c: Cost, expert: Occupancy) -> Scalar:
        w, representable = _weights(features, c)
        slack = jnp.sqrt(jnp.finfo(c.dtype).eps)
        inside = (jnp.min(w) >= -slack) & (jnp.abs(jnp.sum(w) - 1) <= slack)
        return jnp.where(representable & inside, 0, jnp.inf)

    return Psi(
        name="simplex",
        value=value,
        conjugate=lambda policy, expert: jnp.max(_gap(features, policy, expert)),
        best_cost=lambda policy, expert: features[..., jnp.argmax(_gap(features, policy, expert))],
        smooth=lambda policy, expert, mu: _smooth_max(_gap(features, policy, expert), mu),
        costs=Costs(
            start=lambda expert: jnp.full(num, 1 / num, expert.dtype),
            cost=lambda w, expert: features @ w,
            penalty=lambda w, expert, mu: -mu * jnp.sum(jnp.log(w)),
            positive=True,
            sums_to_one=True,
        ),
        smoothing=TIGHT,
        features=features,
    )


def _smooth_max(y: Float[Array, " K"], mu: Scalar) -> Scalar:
    """min_t t - μ Σ log(t - y_i), the interior-point smoothing of the maximum; its gradient is a distribution."""
    top = jax.lax.stop_gradient(jnp.max(y))

    def towards_root(over: Array, y: Array) -> Array:
        # Newton's step for Σ μ/(over + top - y_i) = 1; from the left it never overshoots, the sum being convex
        slack = over + top - y
        return over + (jnp.sum(mu / slack) - 1) / jnp.sum(mu / slack**2)

    fixed = jax.lax.stop_gradient(y)
    over = jax.lax.fori_loop(0, 40, lambda _, over: towards_root(over, fixed), jnp.asarray(mu, y.dtype))
    over = towards_root(over, y)  # one step more, differentiated: it carries the exact derivative of the root
    return top + over - mu * jnp.sum(jnp.log(over + top - y))


def _log_or_minus_inf(x: Scalar) -> Array:
    return jnp.where(x > 0, jnp.log(jnp.where(x > 0, x, 1)), -jnp.inf)


def surrogate(
    name: str,
    phi: Callable[[Array], Array],
    *,
    conjugate: Callable[[Occupancy, Occupancy], Array],
    best_logit: Callable[[Occupancy, Occupancy], Array],
    penalty: Callable[[Array], Array],
) -> Psi:
    """ψ_φ of a strictly decreasing convex loss φ (proposition A.1): ψ* = -Σ min_u ρ_π φ(u) + ρ_E φ(-u), c = -φ(u).

    Args:
        name: of the ψ.
        phi: the loss φ, positive; u is the logit of "policy", -z.
        conjugate: one entry's ψ*, a closed form in (ρ_π, ρ_E).
        best_logit: the z = -u that attains it; log-ratio-like, may be infinite where an occupancy is zero.
        penalty: g_φ(-w) for costs -w < 0, with ψ(c) = Σ ρ_E g_φ(c) and g_φ(c) = -c + φ(-φ⁻¹(-c)).

    `value` is the closure of ψ: where the expert never goes the best cost is the supremum 0, which the paper's c < 0
    excludes.
    """

    def value(c: Cost, expert: Occupancy) -> Scalar:
        inside = jnp.all((c < 0) | ((c == 0) & (expert == 0)))
        return jnp.where(inside, jnp.sum(jnp.where(c < 0, expert * penalty(jnp.where(c < 0, -c, 1)), 0)), jnp.inf)

    return Psi(
        name=name,
        value=value,
        conjugate=lambda policy, expert: jnp.sum(conjugate(policy, expert)),
        best_cost=lambda policy, expert: -phi(-best_logit(policy, expert)),
        smooth=lambda policy, expert, mu: jnp.sum(conjugate(policy, expert)),
        costs=Costs(
            start=lambda expert: phi(jnp.zeros(expert.size, expert.dtype)),
            cost=lambda w, expert: -w.reshape(expert.shape),
            penalty=lambda w, expert, mu: jnp.sum(expert * penalty(w.reshape(expert.shape))),
            positive=True,
        ),
        reward_map=lambda z: phi(-z),
        loss=lambda on_policy, on_expert: jnp.mean(phi(-on_policy)) + jnp.mean(phi(on_expert)),
    )


def _log_ratio(expert: Occupancy, policy: Occupancy) -> Array:
    """log ρ_E/ρ_π, zero where neither goes."""
    return jnp.where((expert == 0) & (policy == 0), 0, jnp.log(expert) - jnp.log(policy))


def logistic() -> Psi:
    """ψ_GA of the paper, φ(u) = log(1 + e^-u): ψ* = 2 JS - 2 log 2, minus the least loss; c = log(1 - D)."""
    return surrogate(
        "logistic",
        lambda u: jax.nn.softplus(-u),
        # ρ_π log ρ_π/(ρ_π + ρ_E) + ρ_E log ρ_E/(ρ_π + ρ_E)
        conjugate=lambda policy, expert: entr(policy + expert) - entr(policy) - entr(expert),
        best_logit=lambda policy, expert: _log_ratio(expert, policy),
        penalty=lambda w: w - jnp.log(-jnp.expm1(-w)),
    )


def exponential() -> Psi:
    """φ(u) = e^-u, boosting's loss: ψ* = -2 Σ √(ρ_π ρ_E), squared Hellinger distance minus 2; c = -√(ρ_E/ρ_π)."""
    return surrogate(
        "exponential",
        lambda u: jnp.exp(-u),
        conjugate=lambda policy, expert: -2 * jnp.sqrt(expert) * jnp.sqrt(policy),
        best_logit=lambda policy, expert: _log_ratio(expert, policy) / 2,
        penalty=lambda w: w + 1 / w,
    )


def registry(features: Float[Array, "S A K"], *, strength: Scalar = 1.0) -> dict[str, Psi]:
    """Every ψ by name; `features` are those of l2_ball and simplex, `strength` that of quadratic."""
    entries = (constant(), l2_ball(features), simplex(features), logistic(), exponential(), quadratic(strength))
    return {psi.name: psi for psi in entries}


def reward_map(name: str) -> Callable[[Array], Array]:
    """A reward map by name, see `REWARD_MAPS`."""
    if name not in REWARD_MAPS:
        raise UserError(f"reward map {name!r} is unknown: it must be one of {', '.join(REWARD_MAPS)}.")
    return REWARD_MAPS[name]
