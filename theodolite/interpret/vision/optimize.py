"""Gradient ascent on an image through a fixed network: objective, parameterisation, transforms, optimiser.

    θ ← Adam(∇_θ objective(network(transform(image(θ)))))        objective and network fixed, image(·) to be chosen

    network = models.load("squeezenet")
    *_, last = optimise(network, objectives.channel("fire9", 12), parameterizations.fourier(224))
    images.save(last.images[0], "channel.png")

Differences from the article's code: 1. the standard transforms are one resampling, not four; 2. what is compared with
the image goes through the same draw of the transforms, without a gradient.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key, PyTree

from theodolite.core import optim
from theodolite.core.arrays import Arrays, PRNGKey, Scalar
from theodolite.core.claim import Paper
from theodolite.core.config import at_least, config, one_of, positive, require
from theodolite.core.errors import NotFinite
from theodolite.interpret.vision.network import Network, prepared, redirect
from theodolite.interpret.vision.objectives import Objective
from theodolite.interpret.vision.parameterizations import Parameterization
from theodolite.interpret.vision.transforms import Transform, standard

PAPER = Paper(
    "Differentiable Image Parameterizations",
    "Mordvintsev, Pezzotti, Schubert, Olah",
    2018,
    url="https://distill.pub/2018/differentiable-parameterizations/",
    venue="Distill",
)
METRICS = {"objective": "what is maximised, at every step, on the transformed image"}
REDIRECTED = 16
"""Steps during which a ReLU that blocks the whole gradient of an image lets through what wakes it up."""
References = Callable[[PRNGKey], Float[Array, "R H W 3"]]
Score = Callable[[PyTree, PyTree, PRNGKey, PyTree], tuple[Scalar, PyTree]]
"""(the network's parameters, θ, key, memory) -> the number to maximise and the memory of the next step."""


@config
class Config:
    """How to ascend."""

    learning_rate: float = 0.05
    """Step size."""
    steps: int = 512
    """How many steps."""
    every: int = 32
    """Steps of one compiled chunk, after each of which progress is seen."""
    optimiser: Literal["adam", "sgd"] = "adam"
    """Adam, or plain steps along the gradient."""

    def __post_init__(self) -> None:
        require(self, learning_rate=positive, steps=at_least(1), every=at_least(1), optimiser=one_of("adam", "sgd"))


class State(Arrays):
    """The parameters of the image, the optimiser's moments, what the objective remembers, and the number of steps."""

    params: PyTree
    opt: PyTree
    memory: PyTree
    step: Int[Array, ""]


class Chunk(NamedTuple):
    """What is known after some steps; the last one is the result."""

    step: int
    images: Float[np.ndarray, "B H W C"]
    objective: Float[np.ndarray, " every"]
    params: PyTree


def init(c: Config, params: PyTree, memory: PyTree = ()) -> State:
    """Before the first step."""
    return State(params, _optimiser(c).init(params), memory, jnp.int32(0))


def _optimiser(c: Config) -> optim.Optimiser:
    return optim.adam(c.learning_rate) if c.optimiser == "adam" else optax.sgd(c.learning_rate)


def update(c: Config, score: Score, fixed: PyTree, s: State, key: PRNGKey) -> tuple[State, Float[Array, ""]]:
    """One step upwards; `fixed` are the network's parameters."""

    rising = (s.step < REDIRECTED).astype(jnp.float32)
    awake = _of_network(lambda params: redirect(params, rising), fixed)
    ascent = jax.value_and_grad(score, argnums=1, has_aux=True)
    (value, memory), gradient = ascent(awake, s.params, jax.random.fold_in(key, s.step), s.memory)
    downhill = jax.tree.map(jnp.negative, gradient)
    params, opt = optim.apply(_optimiser(c), downhill, s.opt, s.params)
    return State(params, opt, memory, s.step + 1), value


def _of_network(change: Callable[[PyTree], PyTree], fixed: PyTree) -> PyTree:
    """What is fixed, the network's parameters in it changed: they are all of it or stand first."""
    return (change(fixed[0]), *fixed[1:]) if isinstance(fixed, tuple) and fixed else change(fixed)


def steps(c: Config, score: Score, fixed: PyTree, s: State, key: PRNGKey, num: int) -> tuple[State, Float[Array, " n"]]:
    """Some steps as one scan: what is compiled."""
    fixed = _of_network(prepared, fixed)
    return jax.lax.scan(lambda state, _: update(c, score, fixed, state, key), s, length=num)


def score_of(
    network: Network,
    objective: Objective,
    parameterization: Parameterization,
    transform: Transform | None = None,
    references: References | None = None,
) -> Score:
    """Objective of network of transform of image; the default transforms are the standard ones.

    The images of `references` follow those of the parameterisation in the batch: they pass through the same draw of the
    transforms along the channels, and no gradient flows into them.
    """
    changed = standard() if transform is None else transform

    def score(fixed: PyTree, params: PyTree, key: PRNGKey, memory: PyTree) -> tuple[Scalar, PyTree]:
        k_transform, k_reference = jax.random.split(key)
        drawn = parameterization.apply(params)
        if references is None:
            seen = changed(k_transform, drawn)
            return objective(network.apply(fixed, seen[..., :3]), seen), memory
        return objective(*beside(network, fixed, drawn, references(k_reference), changed, k_transform)), memory

    return score


def beside(
    network: Network,
    fixed: PyTree,
    drawn: Float[Array, "1 H W 3"],
    others: Float[Array, "R H W 3"],
    transform: Transform,
    key: PRNGKey,
) -> tuple[dict[str, Array], Float[Array, "B h w 3"]]:
    """Activations and images of a picture and what it is compared with, after one draw of the transform.

    A gradient flows into the picture alone, which saves the others' backward pass.
    """
    stack = jnp.concatenate([drawn, *(other[None] for other in others)], -1)
    seen = jnp.stack(jnp.split(transform(key, stack)[0], 1 + len(others), -1))
    own = network.apply(fixed, seen[:1])
    rest = network.apply(fixed, jax.lax.stop_gradient(seen[1:]))
    return {name: jnp.concatenate([own[name], rest[name]]) for name in own}, seen


_steps = jax.jit(steps, static_argnames=("score", "num"))
_apply = jax.jit(lambda parameterization, params: parameterization.apply(params), static_argnums=0)


def ascend(
    c: Config, score: Score, parameterization: Parameterization, fixed: PyTree, key: PRNGKey, memory: PyTree = ()
) -> Iterator[Chunk]:
    """Maximise any score of the parameters of an image, chunk by chunk; the same score compiles once.

    Raises:
        NotFinite: the objective became NaN or infinite; the message names the step.
    """
    k_init, k_steps = jax.random.split(key)
    state, done = init(c, parameterization.init(k_init), memory), 0
    while done < c.steps:
        num = min(c.every, c.steps - done)
        state, values = _steps(c, score=score, fixed=fixed, s=state, key=k_steps, num=num)
        values = np.asarray(values)
        if not np.isfinite(values).all():
            first = done + int(np.argmin(np.isfinite(values))) + 1
            raise NotFinite(
                f"step {first}: the objective is not finite. learning_rate = {float(c.learning_rate):g} may be too "
                "large; the image before it was sound."
            )
        done += num
        yield Chunk(done, np.asarray(_apply(parameterization, state.params)), values, state.params)


@partial(jax.jit, static_argnames=("score", "parameterization"))
def many(
    c: Config,
    score: Score,
    parameterization: Parameterization,
    fixed: PyTree,
    each: PyTree,
    rates: Float[Array, " runs"],
    keys: Key[Array, " runs"],
) -> tuple[PyTree, Float[Array, "runs steps"]]:
    """The parameters after independent ascents as one program: seeds, learning rates and targets side by side.

    `each` are the parts of the score's first argument that differ from run to run, (fixed, each).
    """

    def one(rate: Array, key: PRNGKey, own: PyTree) -> tuple[PyTree, Array]:
        k_init, k_steps = jax.random.split(key)
        own_config = replace(c, rate)
        state = init(own_config, parameterization.init(k_init))
        state, values = steps(own_config, score, (fixed, own), state, k_steps, c.steps)
        return state.params, values

    return jax.vmap(one)(rates, keys, each)


def replace(c: Config, rate: Scalar) -> Config:
    """The same with another learning rate, which may be traced."""
    return jax.tree.map(lambda _: rate, c)


def optimise(
    network: Network,
    objective: Objective,
    parameterization: Parameterization,
    transform: Transform | None = None,
    config: Config | None = None,
    key: PRNGKey | int = 0,
    references: References | None = None,
) -> Iterator[Chunk]:
    """Make images that excite a network as the objective says; the last chunk is the result.

    Raises:
        UserError: the objective reads a layer or a channel that the network lacks.
        NotFinite: the objective became NaN or infinite.
    """
    check(objective, network)
    score = score_of(network, objective, parameterization, transform, references)
    start = jax.random.key(key) if isinstance(key, int) else key
    return ascend(config or Config(), score, parameterization, network.params, start)


def check(objective: Objective, network: Network) -> None:
    """That a network has what an objective reads.

    Raises:
        UserError: a layer that the network lacks, with the nearest names, or a channel out of range.
    """
    for name, index in objective.reads:
        network.layer(name) if index is None else network.channel(name, index)
