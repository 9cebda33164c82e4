"""AIRL in a known finite world, with exact occupancies in the place of samples: what it converges to.

    f(s,a,s') = g + γ h(s') - h(s),    π = the soft-optimal policy of f,    logit = f - log π
    θ ← Adam on  E_E[softplus(-logit)] + E_π[softplus(logit)],    expectations under the exact visits of (s,a,s')

Nothing is sampled and the policy always is the best response, so what goes wrong here is AIRL's own. In deterministic
decomposable worlds g of states ends at the reward up to a constant (Fu et al. 2018, theorem C.1). Where chance rules,
f - log π must not depend on s' at the optimum, which g + γ h(s') - h(s) cannot arrange: `corrected` puts E[h(s')|s,a]
of the known dynamics in the place of h(s') and is exact again.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from theodolite.core import optim, tabular
from theodolite.core.arrays import Arrays, Scalar
from theodolite.core.tabular import MDP


class Tables(Arrays):
    """g, over states or pairs, and h."""

    g: Float[Array, "S ..."]
    h: Float[Array, " S"]


class Recovered(Arrays):
    """What AIRL ended with: the tables, its policy, and the largest entry of the last gradient."""

    tables: Tables
    policy: Float[Array, "S A"]
    gradient: Float[Array, ""]


def outcome_rewards(m: MDP, t: Tables, corrected: bool) -> Float[Array, "S A S"]:
    """f(s,a,s')."""
    g = t.g[:, None, None] if t.g.ndim == 1 else t.g[..., None]
    following = (m.transition @ t.h)[..., None] if corrected else t.h[None, None]
    f = g + m.discount * following - t.h[:, None, None]
    return jnp.broadcast_to(f, m.transition.shape)


def best_response(m: MDP, t: Tables, corrected: bool) -> Float[Array, "S A"]:
    """The soft-optimal policy of f at temperature 1."""
    return tabular.soft_policy(m, jnp.sum(m.transition * outcome_rewards(m, t, corrected), -1), 1.0)


def loss(t: Tables, m: MDP, expert: Float[Array, "S A S"], policy: Float[Array, "S A"], corrected: bool) -> Scalar:
    """The discriminator's cross-entropy for normalised visits; the policy counts as constant."""
    visits = tabular.occupancy(m, policy, normalised=True)[..., None] * m.transition
    z = outcome_rewards(m, t, corrected) - jnp.log(policy)[..., None]
    return jnp.sum(expert * jax.nn.softplus(-z)) + jnp.sum(visits * jax.nn.softplus(z))


def recover(
    m: MDP,
    expert: Float[Array, "S A"],
    *,
    state_only: bool,
    corrected: bool = False,
    steps: int = 3_000,
    learning_rate: Scalar = 0.05,
) -> Recovered:
    """AIRL against the policy `expert` until it stands still; the step size falls to zero over `steps`."""
    shown = tabular.occupancy(m, expert, normalised=True)[..., None] * m.transition
    states, actions = expert.shape
    dtype = m.initial.dtype
    start = Tables(jnp.zeros(states if state_only else (states, actions), dtype), jnp.zeros(states, dtype))
    adam = partial(optim.adam, b1=0.5)  # the policy answers at once, so momentum overshoots

    def step(carry: tuple, t: Array) -> tuple[tuple, Array]:
        tables, opt = carry
        policy = jax.lax.stop_gradient(best_response(m, tables, corrected))
        gradient = jax.grad(loss)(tables, m, shown, policy, corrected)
        rate = learning_rate * 0.5 * (1 + jnp.cos(jnp.pi * t / steps))
        size = jnp.maximum(jnp.max(jnp.abs(gradient.g)), jnp.max(jnp.abs(gradient.h)))
        return optim.apply(adam(rate), gradient, opt, tables), size

    first = start, adam(learning_rate).init(start)
    (tables, _), sizes = jax.lax.scan(step, first, jnp.arange(steps, dtype=dtype))
    return Recovered(tables, best_response(m, tables, corrected), sizes[-1])


def centred_error(found: Float[Array, "S ..."], truth: Float[Array, "S ..."]) -> Scalar:
    """Largest difference of two rewards once their means are taken off."""
    return jnp.max(jnp.abs(found - found.mean() - truth + truth.mean()))
