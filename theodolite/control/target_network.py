"""A network that learns by Adam, and a copy that follows it now and then, from which targets are made.

θ ← θ - Adam(∇L),   every C-th step   θ⁻ ← (1 - τ) θ⁻ + τ θ                    τ = 1 copies, C = 1 averages (Polyak)
"""

import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree

from theodolite.core import optim
from theodolite.core.arrays import Arrays
from theodolite.core.config import config, positive, probability


@config
class Settings:
    """Fields of a Config; CONSTRAINTS are their rules."""

    learning_rate: float = 2.5e-4
    """Step size of Adam."""
    adam_epsilon: float = 1e-8
    """Adam's ε; 1.5e-4 is usual on Atari."""
    max_gradient_norm: float = 1_000.0
    """Global norm to which the gradient is clipped; 10 is usual where rewards are clipped to 1."""
    double: bool = True
    """Choose the next action by the online network, and value it by the target network."""
    target_every: int = 200
    """Gradient steps between two moves of the target network."""
    target_share: float = 1.0
    """How far it moves towards the online one: 1 copies it, 0.005 at every step is Polyak averaging."""


CONSTRAINTS = {
    **dict.fromkeys(("learning_rate", "adam_epsilon", "max_gradient_norm", "target_every"), positive),
    "target_share": probability,
}


class Learner(Arrays):
    """What gradient steps change."""

    net: PyTree
    target: PyTree
    opt: optim.OptState
    updates: Int[Array, ""]


def fresh(c: Settings, net: PyTree) -> Learner:
    """A network that has not learned yet, and a copy that is equal to it."""
    return Learner(net, net, optimiser(c).init(net), jnp.int32(0))


def optimiser(c: Settings) -> optim.Optimiser:
    """Adam on a gradient of clipped global norm."""
    return optim.adam(c.learning_rate, max_norm=c.max_gradient_norm, eps=c.adam_epsilon)


def step(c: Settings, now: Learner, gradient: PyTree) -> Learner:
    """One gradient step, and now and then a move of the copy."""
    net, opt = optim.apply(optimiser(c), gradient, now.opt, now.net)
    updates = now.updates + 1
    share = jnp.where(updates % c.target_every == 0, c.target_share, 0.0)
    return Learner(net, optim.polyak(now.target, net, share), opt, updates)
