"""A contact sheet of a layer: every channel's picture, all optimised as batches of one program, and real crops beside.

for done in optimise_channels(network, "fire9", range(64)): ...     pictures of as many channels as one batch holds
best_crops(network, "fire9", photographs)                           where photographs excite each channel the most
"""

import base64
import html
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from theodolite.core import devices
from theodolite.core.arrays import PRNGKey, Scalar
from theodolite.interpret.vision import images
from theodolite.interpret.vision.network import Network
from theodolite.interpret.vision.optimize import Chunk, Config, Score, ascend
from theodolite.interpret.vision.parameterizations import Parameterization
from theodolite.interpret.vision.transforms import Transform, standard

BATCH = 16
"""Pictures of one batch, divided among the devices: more are no faster on a CPU and take memory."""
CROP = 3
"""A crop's side is the photograph's shorter side over this."""


class Entry(NamedTuple):
    """A channel: its picture, and crops of photographs that excite it, the best first."""

    channel: int
    picture: Float[np.ndarray, "H W 3"]
    crops: list[Float[np.ndarray, "h w 3"]]


def copies(parameterization: Parameterization, batch: int) -> Parameterization:
    """Pictures that are parameterised like one, every one with parameters of its own: axis 0 of all leaves."""

    def init(key: PRNGKey) -> PyTree:
        return jax.vmap(parameterization.init)(jax.random.split(key, batch))

    def apply(params: PyTree) -> Float[Array, "B H W C"]:
        return jax.vmap(parameterization.apply)(params)[:, 0]

    return Parameterization(init, apply, parameterization.text)


def channels_score(network: Network, layer: str, pictures: Parameterization, transform: Transform) -> Score:
    """Of (the network's parameters, channels [B]): each of `copies` excites its own, some on each device."""

    def excite(weights: PyTree, params: PyTree, which: Array, keys: Array) -> Float[Array, " B"]:
        changed = jax.vmap(lambda key, image: transform(key, image[None])[0])(keys, pictures.apply(params))
        seen = network.apply(weights, changed[..., :3])[layer]
        return seen.mean((1, 2))[jnp.arange(len(which)), which]

    def score(fixed: PyTree, params: PyTree, key: PRNGKey, memory: PyTree) -> tuple[Scalar, PyTree]:
        weights, which = fixed
        keys = jax.random.split(key, len(which))
        return devices.spread(excite, weights, params, which, keys).sum(), memory

    return score


def optimise_channels(
    network: Network,
    layer: str,
    channels: Sequence[int],
    parameterization: Parameterization,
    config: Config | None = None,
    transform: Transform | None = None,
    seed: int = 0,
    batch: int = BATCH,
) -> Iterator[tuple[list[int], Chunk]]:
    """Pictures of channels, `batch` at once, each made as the parameterisation of one picture says.

    Yields, after each chunk, whose pictures they are and how far they have come. The last batch is filled up with its
    own first channel, so that one program serves all. `devices.one_per_core()` beforehand makes it faster on a CPU.
    """
    batch = min(batch, len(channels))
    pictures = copies(parameterization, batch)
    score = channels_score(network, layer, pictures, transform or standard())
    for start in range(0, len(channels), batch):
        own = list(channels[start : start + batch])
        filled = jnp.array(own + own[:1] * (batch - len(own)))
        key = jax.random.fold_in(jax.random.key(seed), start)
        for chunk in ascend(config or Config(), score, pictures, (network.params, filled), key):
            yield own, chunk


def best_crops(
    network: Network, layer: str, photographs: Sequence[Float[np.ndarray, "_ _ 3"]], num: int = 3
) -> list[list[Float[np.ndarray, "h w 3"]]]:
    """For every channel, crops of the photographs around the highest activations, at most one of each photograph."""
    look = jax.jit(lambda params, image: network.apply(params, image[None])[layer][0])
    peaks, places, squares = [], [], []
    for photograph in photographs:
        square = images.square(photograph, network.size)
        seen = np.asarray(look(network.params, jnp.asarray(square)))
        flat = seen.reshape(-1, seen.shape[-1])
        at = np.stack(np.unravel_index(flat.argmax(0), seen.shape[:2]), 1)
        peaks.append(flat.max(0))
        places.append((at + 0.5) / np.array(seen.shape[:2]) * network.size)
        squares.append(square)
    order = np.argsort(-np.array(peaks), axis=0)[:num]
    return [[_around(squares[p], places[p][c]) for p in order[:, c]] for c in range(order.shape[1])]


def _around(square: Float[np.ndarray, "H H 3"], middle: np.ndarray) -> Float[np.ndarray, "h h 3"]:
    side = square.shape[0] // CROP
    top, left = np.clip(np.round(middle - side / 2).astype(int), 0, square.shape[0] - side)
    return square[top : top + side, left : left + side]


STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --quiet: #595959 }
@media (prefers-color-scheme: dark) { :root { --ink: #eee; --paper: #16181a; --quiet: #a8a8a8 } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 78rem; padding: 0 1rem;
       color: var(--ink); background: var(--paper) }
h1 { font-size: 1.4rem; margin: 0 } p { color: var(--quiet); max-width: 46rem }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem }
figure { margin: 0; display: grid; grid-template-columns: 3fr 1fr; gap: 2px }
figure > img { width: 100%; aspect-ratio: 1; border-radius: 4px }
figure div { display: grid; gap: 2px; align-content: start } figure div img { width: 100%; border-radius: 3px }
figcaption { grid-column: 1 / -1; font-size: .85rem; color: var(--quiet) }
"""


def page(network: Network, layer: str, entries: Sequence[Entry], about: str) -> str:
    """One HTML file that holds all its pictures."""
    cells = "\n".join(_cell(layer, entry) for entry in entries)
    title = html.escape(f"{network.name}, {layer}: what {len(entries)} channels want to see")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><h1>{title}</h1><p>{html.escape(about)}</p><main>\n{cells}\n</main></body></html>\n"
    )


def _cell(layer: str, entry: Entry) -> str:
    name = html.escape(f"{layer}:{entry.channel}")
    shown = f'<img src="{_inline(entry.picture)}" alt="Optimised picture of channel {entry.channel}">'
    crops = "".join(
        f'<img src="{_inline(crop)}" alt="Crop of a photograph, rank {i}">' for i, crop in enumerate(entry.crops, 1)
    )
    return f"<figure>{shown}<div>{crops}</div><figcaption>{name}</figcaption></figure>"


def _inline(picture: Float[np.ndarray, "h w 3"] | Array) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(images.encode(picture, "JPEG")).decode()
