"""Optimisers: optax behind one function, so that learning rates may be tracers."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from theodolite.core.arrays import PRNGKey, Scalar

OptState = PyTree[Array]
Optimiser = Any
"""What optax calls a GradientTransformation; its types know neither Equinox modules nor tuples as parameters."""


def adam(learning_rate: Scalar, *, max_norm: Scalar | None = None, eps: Scalar = 1e-8, b1: Scalar = 0.9) -> Optimiser:
    """Adam, after clipping the global norm of the gradient to `max_norm` if one is given.

    Its moments are one vector: a dozen small arrays would cost a dozen times the fixed cost of every operation.
    """
    steps = [optax.scale_by_adam(b1=b1, eps=eps), optax.scale_by_learning_rate(learning_rate)]
    if max_norm is not None:
        steps.insert(0, optax.clip_by_global_norm(max_norm))
    return as_vector(optax.chain(*steps))


def rmsprop(learning_rate: Scalar, *, max_norm: Scalar, eps: Scalar, decay: Scalar = 0.99) -> Optimiser:
    """RMSProp with ε inside the root, after clipping the global norm of the gradient to `max_norm`."""
    scale = optax.scale_by_rms(decay=decay, eps=eps, eps_in_sqrt=True)
    steps = optax.clip_by_global_norm(max_norm), scale, optax.scale_by_learning_rate(learning_rate)
    return as_vector(optax.chain(*steps))


def as_vector(optimiser: Optimiser) -> Optimiser:
    """The optimiser on all parameters as one vector, like `optax.flatten`, which concatenates them.

    A CPU reads a concatenation that is fused with what follows by masked loads. Those beyond the end of a small array
    may lie on no page, and then each of them takes microseconds: a step of TD3 took twice its time.
    """

    def flat(tree: PyTree) -> Float[Array, " n"]:
        vector = jnp.zeros(sum(x.size for x in jax.tree.leaves(tree)), jnp.result_type(*jax.tree.leaves(tree)))
        start = 0
        for x in jax.tree.leaves(tree):
            vector = jax.lax.dynamic_update_slice_in_dim(vector, x.reshape(-1).astype(vector.dtype), start, axis=0)
            start += x.size
        return vector

    def update(updates: PyTree, state: OptState, params: PyTree | None = None) -> tuple[PyTree, OptState]:
        step, state = optimiser.update(flat(updates), state, None if params is None else flat(params))
        leaves, structure = jax.tree.flatten(updates)
        ends = np.cumsum([x.size for x in leaves])
        parts = [step[end - x.size : end].reshape(x.shape) for x, end in zip(leaves, ends, strict=True)]
        return jax.tree.unflatten(structure, parts), state

    return optax.GradientTransformation(lambda params: optimiser.init(flat(params)), update)


def apply(optimiser: Optimiser, gradient: PyTree, state: OptState, params: PyTree) -> tuple[PyTree, OptState]:
    """One step: the new parameters and the optimiser's new state."""
    with jax.numpy_dtype_promotion("standard"):  # optax relies on it, whatever the caller forbids
        updates, state = optimiser.update(gradient, state, params)
        return optax.apply_updates(params, updates), state


def polyak(slow: PyTree, fast: PyTree, share: Scalar) -> PyTree:
    """The slow copy, moved towards the fast one: a share of 1 copies it exactly."""
    return jax.tree.map(lambda old, new: (1 - share) * old + share * new, slow, fast)


def shuffles(key: PRNGKey, epochs: int, size: int) -> Int[Array, "epochs size"]:
    """A random order of range(size) for every epoch.

    The low bits of each random word carry the index, so one sort of plain integers does it: ten times faster on a CPU
    than `jax.random.permutation`. Words whose high bits tie keep their order, which happens to few pairs.
    """
    mask = jnp.uint32((1 << max(size - 1, 1).bit_length()) - 1)
    words = jax.random.bits(key, (epochs, size), jnp.uint32)
    return (jnp.sort((words & ~mask) | jnp.arange(size, dtype=jnp.uint32)[None]) & mask).astype(jnp.int32)


def conjugate_gradient(
    product: Callable[[Float[Array, " n"]], Float[Array, " n"]], b: Float[Array, " n"], iterations: int
) -> Float[Array, " n"]:
    """An approximate solution x of A x = b, for a positive definite A known by its products."""

    def step(_: Array, carry: tuple) -> tuple:
        x, residual, direction, square = carry
        image = product(direction)
        length = square / jnp.maximum(direction @ image, 1e-20)  # both vanish together at convergence
        x, residual = x + length * direction, residual - length * image
        new_square = residual @ residual
        return x, residual, residual + new_square / jnp.maximum(square, 1e-20) * direction, new_square

    return jax.lax.fori_loop(0, iterations, step, (jnp.zeros_like(b), b, b, b @ b))[0]


def natural_step(
    product: Callable[[Float[Array, " n"]], Float[Array, " n"]],
    gradient: Float[Array, " n"],
    bound: Scalar,
    iterations: int,
) -> Float[Array, " n"]:
    """The step along F⁻¹g whose squared length xᵀFx / 2 in the metric F is `bound`; F is given by its products."""
    direction = conjugate_gradient(product, gradient, iterations)
    length = 0.5 * direction @ product(direction)
    return direction * jnp.sqrt(bound / jnp.maximum(length, 1e-12))
