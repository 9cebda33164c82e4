"""Recurrent cells and a causal transformer that read characters, built for one fused scan.

    vanilla   h' = tanh(x Wx + h W + b)
    GRU       r, u = σ([x, h] W + b);  c = tanh([x, r h] Wc + bc);  h' = u h + (1 - u) c             (TF1's cell)
    LSTM      i, j, f, o = [x, h] W + b;  c' = c σ(f) + σ(i) tanh(j);  h' = tanh(c') σ(o)
    nested    the same gates; c' is the output of an inner cell that reads σ(i) j and remembers σ(f) c, of depth 2

TF1's LSTM adds 1 to f and starts with b = 0; here b starts with 1 in the place of f, which is the same function.

What a layer reads, x Wx + b, is computed for all positions in one product before the scan, in which only the recurrent
products remain. The gradient of a recurrent weight matrix is Σ_t left_tᵀ d pre_t, hence one product after the backward
scan, too: the transposed scan carries none of the weights.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.lax import optimization_barrier
from jaxtyping import Array, Float

from theodolite.core import nets
from theodolite.core.arrays import Arrays, PRNGKey, Scalar, lift

Kind = Literal["rnn", "gru", "lstm", "nlstm", "transformer"]
KINDS: tuple[Kind, ...] = ("rnn", "gru", "lstm", "nlstm", "transformer")
HEADS = 4
Lefts = tuple[Array, ...]
Step = tuple[tuple[Array, ...], Array, Lefts]
"""The next state, the output, and what was multiplied by each recurrent matrix."""


class Recurrent(Arrays):
    """One layer: what it reads of the input, its recurrent matrices, and the biases of the inner levels."""

    read: nets.Linear
    matrices: tuple[Float[Array, "_ _"], ...]
    inner: tuple[Float[Array, " _"], ...]
    kind: str = eqx.field(static=True)

    def __call__(self, x: Float[Array, "T B inputs"]) -> Float[Array, "T B n"]:
        """The output at every position, from a state of zeros."""
        seen = self.read(x)
        if self.kind == "gru":
            width = self.matrices[0].shape[0]
            pre = (seen[..., : 2 * width], seen[..., 2 * width :])
        else:
            pre = (seen, *(jnp.broadcast_to(lift(b, 3), (*seen.shape[:2], len(b))) for b in self.inner))
        return over_time(self.kind, self.matrices, pre)


def step(kind: str, matrices: tuple[Array, ...], state: tuple[Array, ...], pre: tuple[Array, ...]) -> Step:
    """One position; `pre` is what each matrix's product is added to."""
    if kind == "rnn":
        h = jnp.tanh(pre[0] + state[0] @ matrices[0])
        return (h,), h, state
    if kind == "gru":
        h = state[0]
        reset, keep = jnp.split(jax.nn.sigmoid(pre[0] + h @ matrices[0]), 2, axis=-1)
        kept = reset * h
        candidate = jnp.tanh(pre[1] + kept @ matrices[1])
        h = keep * h + (1 - keep) * candidate
        return (h,), h, (state[0], kept)
    h, memories, lefts = _nested(matrices, pre, state[0], state[1:])
    return (h, *memories), h, lefts


def _nested(matrices: tuple, pre: tuple, left: Array, memories: tuple) -> tuple[Array, tuple, Lefts]:
    """An LSTM whose memory is kept by the next level; without one it is the LSTM itself."""
    i, j, f, o = jnp.split(pre[0] + left @ matrices[0], 4, axis=-1)
    kept = jax.nn.sigmoid(f) * memories[0]
    if len(matrices) == 1:
        memory, inner, lefts = kept + jax.nn.sigmoid(i) * jnp.tanh(j), (), ()
    else:
        inside = jnp.concatenate([jax.nn.sigmoid(i) * j, kept], axis=-1)
        memory, inner, lefts = _nested(matrices[1:], pre[1:], inside, memories[1:])
    return jnp.tanh(memory) * jax.nn.sigmoid(o), (memory, *inner), (left, *lefts)


def _scan(kind: str, matrices: tuple, pre: tuple) -> tuple[Array, Lefts]:
    batch, width = pre[0].shape[1], matrices[0].shape[0]
    memories = len(matrices) if kind in ("lstm", "nlstm") else 0
    start = (jnp.zeros((batch, width), pre[0].dtype),) * (1 + memories)

    def one(state: tuple, now: tuple) -> tuple[tuple, tuple]:
        state, out, lefts = step(kind, matrices, state, now)
        return state, (out, lefts)

    return jax.lax.scan(one, start, pre)[1]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def over_time(kind: str, matrices: tuple[Array, ...], pre: tuple[Array, ...]) -> Array:
    """The outputs of a layer at all positions. [T B n]"""
    return _scan(kind, matrices, pre)[0]


def _forward(kind: str, matrices: tuple, pre: tuple) -> tuple[Array, tuple]:
    out, pull, lefts = jax.vjp(partial(_scan, kind, matrices), pre, has_aux=True)
    return out, (pull, lefts)


def _backward(kind: str, kept: tuple, cotangent: Array) -> tuple[tuple, tuple]:
    pull, lefts = kept
    (d_pre,) = pull(cotangent)
    return tuple(map(_outer, lefts, d_pre)), d_pre


def _outer(left: Float[Array, "T B m"], right: Float[Array, "T B gates"]) -> Float[Array, "m gates"]:
    """Σ leftᵀ right; the barrier keeps the transpose out of the product, as in `nets.product`."""
    return optimization_barrier(left.reshape(-1, left.shape[-1]).T) @ right.reshape(-1, right.shape[-1])


over_time.defvjp(_forward, _backward)


class Block(Arrays):
    """Causal self-attention and an MLP, each on normalised input and added to it."""

    mix: nets.Linear
    out: nets.Linear
    up: nets.Linear
    down: nets.Linear

    def __call__(self, x: Float[Array, "T B n"]) -> Float[Array, "T B n"]:
        """The block's output at every position."""
        time, batch, width = x.shape
        query, key, value = (
            part.reshape(time, batch, HEADS, width // HEADS) for part in jnp.split(self.mix(_normalised(x)), 3, axis=-1)
        )
        score = jnp.einsum("tbhd,sbhd->bhts", query, key) / (width // HEADS) ** 0.5
        past = jnp.tril(jnp.ones((time, time), bool))
        weight = jax.nn.softmax(jnp.where(past[None, None], score, -jnp.inf), axis=-1)
        x = x + self.out(jnp.einsum("bhts,sbhd->tbhd", weight, value).reshape(x.shape))
        return x + self.down(jax.nn.gelu(self.up(_normalised(x))))


def _normalised(x: Array) -> Array:
    """Zero mean and unit variance over the last axis; gains are left to the next layer's weights."""
    x = x - x.mean(-1, keepdims=True)
    return x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-5)


class Net(Arrays):
    """Characters to a score for every word, at every position."""

    embedding: Float[Array, "C inputs"]
    positions: Float[Array, "T inputs"] | None
    layers: tuple[Any, ...]
    head: nets.Linear

    def features(self, x: Float[Array, "B T C"]) -> Float[Array, "B T n"]:
        """The last layer's output, from characters as one-hot rows or anything between them; row 0 embeds as zero."""
        table = self.embedding.at[0].set(0)
        x = jnp.swapaxes(x, 0, 1)
        if self.positions is None:  # the first layer reads 28 characters, not a long embedding
            first, *rest = self.layers
            read = nets.Linear(nets.product(table, first.read.weight), first.read.bias)
            x = eqx.tree_at(lambda layer: layer.read, first, read)(x)
        else:
            x, rest = nets.product(x, table) + self.positions[: len(x), None], list(self.layers)
        for layer in rest:
            x = layer(x)
        return jnp.swapaxes(x if self.positions is None else _normalised(x), 0, 1)

    def __call__(self, x: Float[Array, "B T C"]) -> Float[Array, "B T V"]:
        """A score for every word at every position."""
        return self.head(self.features(x))


def _linear(key: PRNGKey, inputs: int, outputs: int) -> nets.Linear:
    return nets.Linear(nets.glorot(1.0)(key, (inputs, outputs)), jnp.zeros(outputs))


def recurrent(key: PRNGKey, kind: str, width: int, depth: int, gate_bias: Scalar, forget_bias: Scalar) -> Recurrent:
    """One layer. Weights of [x, h] are Glorot uniform as one matrix, as the cells of TF1 have them."""
    keys = jax.random.split(key, 2 * depth)
    glorot = nets.glorot(1.0)
    if kind == "gru":
        gates, candidate = glorot(keys[0], (2 * width, 2 * width)), glorot(keys[1], (2 * width, width))
        weight = jnp.concatenate([gates[:width], candidate[:width]], axis=1)
        bias = jnp.concatenate([jnp.full(2 * width, gate_bias), jnp.zeros(width)])
        return Recurrent(nets.Linear(weight, bias), (gates[width:], candidate[width:]), (), kind)
    size = width if kind == "rnn" else 4 * width
    whole = glorot(keys[0], (2 * width, size))
    levels = tuple(glorot(k, (2 * width, size)) for k in keys[1:depth])
    bias = jnp.zeros(size) if kind == "rnn" else jnp.zeros(size).at[2 * width : 3 * width].set(forget_bias)
    return Recurrent(nets.Linear(whole[:width], bias), (whole[width:], *levels), (bias,) * len(levels), kind)


def block(key: PRNGKey, width: int) -> Block:
    """One block of a transformer."""
    a, b, c, d = jax.random.split(key, 4)
    return Block(
        _linear(a, width, 3 * width),
        _linear(b, width, width),
        _linear(c, width, 4 * width),
        _linear(d, 4 * width, width),
    )


def net(
    key: PRNGKey,
    kind: str,
    *,
    width: int,
    layers: int,
    depth: int,
    length: int,
    words: int,
    alphabet: int,
    gate_bias: Scalar,
    forget_bias: Scalar,
) -> Net:
    """A network of `layers` layers; a nested LSTM has one of the given depth."""
    embedding_key, position_key, head_key, *keys = jax.random.split(key, 3 + layers)
    bound = (1 / (alphabet - 1)) ** 0.5
    embedding = jax.random.uniform(embedding_key, (alphabet, width), minval=-bound, maxval=bound)
    make: Callable[[PRNGKey], Any]
    if kind == "transformer":
        make, positions = partial(block, width=width), 0.02 * jax.random.normal(position_key, (length, width))
    else:
        inner = depth if kind == "nlstm" else 1
        make, positions = (
            partial(recurrent, kind=kind, width=width, depth=inner, gate_bias=gate_bias, forget_bias=forget_bias),
            None,
        )
    return Net(embedding, positions, tuple(map(make, keys)), _linear(head_key, width, words))


def recurrent_parameters(one: Net) -> int:
    """Numbers in the layers between embedding and head."""
    return sum(leaf.size for leaf in jax.tree.leaves(one.layers))
