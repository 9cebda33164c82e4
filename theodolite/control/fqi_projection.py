"""What a network could represent of Q*: the least error of a fit to Q* itself, without any bootstrapping.

The error of fitted Q-iteration in excess of it is what bootstrapping does to the network's bias (Fu et al. 2019).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from theodolite.control import fqi, weightings
from theodolite.core import optim, oracle
from theodolite.core.arrays import PRNGKey
from theodolite.core.oracle import Oracle


@partial(jax.jit, static_argnames=("steps",))
def projection_error(o: Oracle, c: fqi.Config, keys: Key[Array, " S"], *, steps: int = 3_000) -> Float[Array, " S"]:
    """Least sup-norm error to Q* that a fit of many steps comes by, as a share of the largest Q*: what a network could
    represent. Weights follow the absolute error, which stands in for the sup norm."""
    target = oracle.optimal(o, c.temperature)

    def loss(net: Any) -> tuple[Array, Array]:
        errors = jnp.where(o.reachable[:, None], fqi.look(net, o)[0] - target, 0)
        weights = weightings.normalised(jax.lax.stop_gradient(jnp.abs(errors)))
        return jnp.sum(weights * errors**2), jnp.max(jnp.abs(errors))

    def one(key: PRNGKey) -> Array:
        net = fqi.fresh(c, key, o)

        def step(carry: tuple, _: None) -> tuple[tuple, None]:
            net, opt, best = carry
            (_, worst), gradient = jax.value_and_grad(loss, has_aux=True)(net)
            net, opt = optim.apply(optim.adam(c.learning_rate), gradient, opt, net)
            return (net, opt, jnp.minimum(best, worst)), None

        first = net, optim.adam(c.learning_rate).init(net), jnp.asarray(jnp.inf, target.dtype)
        return jax.lax.scan(step, first, None, length=steps)[0][2]

    return jax.vmap(one)(keys) / jnp.max(jnp.abs(target))
