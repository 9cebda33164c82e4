"""Are two rewards the same? Shaping and its removal, EPIC distance, and what demonstrations can tell of a reward.

    shaped:     r'(s,a,s') = r(s,a,s') + γ Φ(s') - Φ(s)          leaves every optimal policy as it is (Ng et al. 1999)
    canonical:  C(r)(s,a,s') = r(s,a,s') + E[γ r(s',A,S') - r(s,A,S') - γ r(S,A,S')]     the same for all shapings of r
    EPIC:       √((1 - ρ)/2), with ρ the correlation of C(r_a) and C(r_b)                (Gleave et al. 2021)

All is exact in finite worlds. Rewards are arrays over (s), (s,a) or (s,a,s'); expectations are over the distributions
given for states and actions, uniform if left out, and do not depend on any dynamics, so a distance of 0 means equal
up to shaping and a positive scale in every world over the same states and actions.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from theodolite.core import tabular
from theodolite.core.arrays import Scalar
from theodolite.core.claim import Paper
from theodolite.core.errors import UserError
from theodolite.core.tabular import MDP

PAPER = Paper("Quantifying Differences in Reward Functions", "Gleave et al.", 2021, arxiv="2006.13900")
Reward = Float[Array, "S ..."]


def full(reward: Reward, num_actions: int | None = None) -> Float[Array, "S A S"]:
    """The reward as an array over (s, a, s'); `num_actions` is needed for a reward of states alone.

    Raises:
        UserError: the shape is none of (S), (S, A), (S, A, S).
    """
    states = reward.shape[0]
    if reward.ndim == 1 and num_actions is not None:
        return jnp.broadcast_to(reward[:, None, None], (states, num_actions, states))
    if reward.ndim == 2:
        return jnp.broadcast_to(reward[..., None], (*reward.shape, states))
    if reward.ndim == 3 and reward.shape[2] == states:
        return reward
    raise UserError(
        f"the reward has the shape {reward.shape}: expected (S, A) or (S, A, S), or (S,) with num_actions given."
    )


def shaped(
    reward: Reward, potential: Float[Array, " S"], discount: Scalar, num_actions: int | None = None
) -> Float[Array, "S A S"]:
    """r + γ Φ(s') - Φ(s)."""
    return full(reward, num_actions) + discount * potential[None, None] - potential[:, None, None]


def expected(mdp: MDP, reward: Reward) -> Float[Array, "S A"]:
    """The reward of pairs, averaged over the world's successors."""
    return jnp.sum(mdp.transition * full(reward, mdp.transition.shape[1]), -1)


def potential_of(reward: Reward, mdp: MDP) -> Float[Array, " S"]:
    """The Φ whose shaping explains the most of a reward, in least squares over the pairs of a world; Φ(0) free."""
    states = mdp.initial.size
    pairs = expected(mdp, reward)
    effect = mdp.discount * mdp.transition - jnp.eye(states, dtype=pairs.dtype)[:, None]
    return jnp.linalg.lstsq(effect.reshape(-1, states), pairs.reshape(-1))[0]


def without_potential(reward: Reward, mdp: MDP) -> Float[Array, "S A"]:
    """What is left of a reward of pairs once the shaping that explains the most of it is taken off.

    Rewards have the same remainder in a world if and only if they differ there by shaping, constants included.
    """
    potential = potential_of(reward, mdp)
    return expected(mdp, reward) - (tabular.backup(mdp, jnp.zeros(mdp.transition.shape[:2], potential.dtype), potential)
                                    - potential[:, None])  # fmt: skip


def advantage_distance(a: Reward, b: Reward, mdp: MDP, temperature: Scalar = 1.0) -> Scalar:
    """Largest difference of the soft advantages α log π: 0 if and only if the soft-optimal policies are the same."""
    log_policies = [jnp.log(tabular.soft_policy(mdp, expected(mdp, r), temperature)) for r in (a, b)]
    return temperature * jnp.max(jnp.abs(log_policies[0] - log_policies[1]))


class Coverage(NamedTuple):
    """The distributions of states and of actions over which rewards are compared, independent of each other."""

    states: Float[Array, " S"]
    actions: Float[Array, " A"]


def uniform(num_states: int, num_actions: int) -> Coverage:
    """Every state and every action as likely as the others."""
    return Coverage(jnp.full(num_states, 1 / num_states), jnp.full(num_actions, 1 / num_actions))


def canonical(reward: Reward, discount: Scalar, coverage: Coverage) -> Float[Array, "S A S"]:
    """The reward without its potential: equal for all shapings of it, whatever the dynamics."""
    r = full(reward, coverage.actions.size)
    ahead = jnp.einsum("sat,a,t->s", r, coverage.actions, coverage.states)  # E[r(s, A, S')]
    mean = coverage.states @ ahead
    return r + discount * ahead[None, None] - ahead[:, None, None] - discount * mean


def epic_distance(a: Reward, b: Reward, discount: Scalar, coverage: Coverage | None = None) -> Scalar:
    """EPIC pseudometric in [0, 1]: 0 for the same reward up to shaping and scale, 1 for its opposite.

    A reward that is only shaping has nothing to correlate; its distance to every other is 1/√2, as if independent, and
    0 to another such.

    Raises:
        UserError: neither reward says how many actions there are.
    """
    given = next((r.shape[1] for r in (a, b) if r.ndim > 1), None)
    if coverage is None and given is None:
        raise UserError("both rewards are of states alone: give a coverage, which says how many actions there are.")
    over = coverage or uniform(a.shape[0], given or 1)
    weight = jnp.einsum("s,a,t->sat", over.states, over.actions, over.states)
    x, y = (canonical(r, discount, over) for r in (a, b))
    x, y = x - jnp.sum(weight * x), y - jnp.sum(weight * y)
    spread = [jnp.sqrt(jnp.sum(weight * z**2)) for z in (x, y)]
    # canonical forms of pure shaping are rounding errors
    small = [s < 1e3 * jnp.finfo(s.dtype).eps * jnp.max(jnp.abs(full(r, over.actions.size))) + 1e-30
             for s, r in zip(spread, (a, b), strict=True)]  # fmt: skip
    x, y = (z / jnp.where(none, 1, s) for z, none, s in zip((x, y), small, spread, strict=True))
    correlation = jnp.where(small[0] | small[1], (small[0] & small[1]).astype(x.dtype), 1 - _half_square(weight, x - y))
    return jnp.sqrt((1 - jnp.clip(correlation, -1, 1)) / 2)


def _half_square(weight: Array, difference: Array) -> Array:
    """1 - ρ of standardised variables, without the cancellation of 1 - E[xy]."""
    return jnp.sum(weight * difference**2) / 2


class Identifiability(NamedTuple):
    """What a demonstrator's policy can tell of its reward in a world."""

    component: Int[np.ndarray, " S"]
    """Label of every state's class under 1-step links."""
    components: int
    free: int
    """Constants by which a reward of states can change without changing the policy; 1 is the overall constant."""
    unreached: int
    """States that no policy reaches from the start, where nothing can be demonstrated."""

    @property
    def decomposable(self) -> bool:
        """All states are linked (Fu et al. 2018, definition C.1)."""
        return self.components == 1

    @property
    def recoverable(self) -> bool:
        """A reward of states is determined up to one constant, everywhere."""
        return self.free == 1 and self.unreached == 0


def identifiability(mdp: MDP, tolerance: float = 1e-6) -> Identifiability:
    """Link components, and the dimension of what a reward of states may hide.

    Two states are linked if some state may reach both in one step. A change v of the values goes unseen if no choice
    changes E[v(s')], so `free` is the number of states less the rank of all P(·|s,a) - P(·|s,a'). In a deterministic
    world that is the number of link components; chance can only lower it if it mixes them.
    """
    transition = np.asarray(mdp.transition, float)
    states = len(transition)
    component = np.arange(states)
    for reached in np.asarray((transition > 0).any(1)):
        found = np.unique(component[reached])
        component[np.isin(component, found)] = found.min() if len(found) else 0
    apart = (transition - transition[:, :1]).reshape(-1, states)
    labels = np.unique(component, return_inverse=True)[1]
    free = states - int(np.linalg.matrix_rank(apart, tol=tolerance))
    return Identifiability(labels, int(labels.max()) + 1, free, int((~_reached(mdp)).sum()))


def _reached(mdp: MDP) -> np.ndarray:
    """States that some policy reaches from the start."""
    follows, reached = np.asarray((np.asarray(mdp.transition) > 0).any(1)), np.asarray(mdp.initial) > 0
    for _ in range(reached.size):
        reached = reached | follows[reached].any(0)
    return reached


def shared_freedom(a: MDP, b: MDP, tolerance: float = 1e-6) -> int:
    """Dimension of the rewards of pairs that no demonstrator in either of two worlds shows; 1 is the constant alone.

    One world hides all S potentials. A shaping in both must be one reward: Φ - γ P Φ = Φ' - γ' P' Φ' (Cao et al. 2021).
    """
    states = a.initial.size
    effects = [
        (np.eye(states)[:, None] - float(m.discount) * np.asarray(m.transition, float)).reshape(-1, states)
        for m in (a, b)
    ]
    return 2 * states - int(np.linalg.matrix_rank(np.concatenate([effects[0], -effects[1]], 1), tol=tolerance))
