"""Arms of technique 4 of `image_parameterizations`: pictures with an alpha channel in front of random backgrounds.

Light adds up linearly: c = background (1 - α) + colour α, then the network sees c^(1/2.2). What is maximised is
a neuron in the middle times 1 - (mean of α), so whatever the neuron does not need becomes transparent.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from theodolite.claims.an17.image_parameterizations_runs import SIZES, drawn, network, packed, tuned
from theodolite.core.claim import Job, Row, Size, row
from theodolite.interpret.vision import images, transforms
from theodolite.interpret.vision import parameterizations as kinds
from theodolite.interpret.vision.optimize import Config

LAYER, NEURONS = "fire6", (12, 77, 200, 301)
FULL, UNPAID, BLACK, OPAQUE = "paid for opacity", "opacity is free", "static black", "opaque"
GAMMA, UNSEEN = 2.2, 64
HIDDEN, REPLACED = "transparent part replaced", "opaque part replaced"


def random_background(pixels: int, batch: int = 1) -> kinds.Parameterization:
    """Smooth noise: a spectrum of sd 0.2 that decays with the power 1.5, in natural colours."""
    return kinds.to_rgb(kinds.spectrum(pixels, batch, 3, decay=1.5, sd=0.2))


def composite(rgba: Any, background: Any) -> Any:
    """What the network sees of a picture in linear light in front of a background in linear light."""
    alpha = rgba[..., 3:]
    light = background * (1 - alpha) + rgba[..., :3] * alpha
    return jnp.maximum(light, 1e-4) ** (1 / GAMMA)


def alpha_score(arm: str, parameterization: kinds.Parameterization, pixels: int) -> Any:
    """The neuron in the middle, times what is left to see through; what differs is the neuron."""
    net, change, behind = network("squeezenet"), transforms.standard(), random_background(pixels)

    def score(fixed: Any, params: Any, key: Any, memory: Any) -> Any:
        weights, index = fixed
        k_behind, k_change = jax.random.split(key)
        rgba = parameterization.apply(params)
        if arm == OPAQUE:
            rgba = rgba.at[..., 3].set(1.0)
        background = jnp.zeros_like(rgba[..., :3]) if arm == BLACK else behind.apply(behind.init(k_behind))
        seen = net.apply(weights, change(k_change, composite(rgba, background)))[LAYER]
        value = seen[:, seen.shape[1] // 2, seen.shape[2] // 2, index].mean()
        return value * (1 - rgba[..., 3].mean()) if arm in (FULL, BLACK) else value, memory

    return score


def unseen_backgrounds(pixels: int, num: int) -> np.ndarray:
    """Noise that no run has seen, and parts of photographs, half and half, in linear light."""
    noise = random_background(pixels, num // 2)
    drawn_ = np.asarray(noise.apply(noise.init(jax.random.key(31_337))))
    rng, parts = np.random.default_rng(31_337), []
    photographs = [images.read(name, as_rgb=True) for name in images.photos() if name not in images.GREY]
    for i in range(num - num // 2):
        photograph = photographs[i % len(photographs)]
        top, left = (int(rng.integers(0, size - pixels + 1)) for size in photograph.shape[:2])
        parts.append(photograph[top : top + pixels, left : left + pixels] ** GAMMA)
    return np.concatenate([drawn_, np.stack(parts)]).astype(np.float32)


_applied = jax.jit(lambda apply_, params, x: apply_(params, x)[LAYER], static_argnums=0)


def reaction(index: int, seen: Any) -> np.ndarray:
    """The neuron in the middle for every picture of a batch."""
    net = network("squeezenet")
    found = np.asarray(_applied(net.apply, net.params, jnp.asarray(seen)))
    return found[:, found.shape[1] // 2, found.shape[2] // 2, index]


def transparency(size: Size, seeds: tuple[int, ...]) -> list[Row]:
    """Every arm on every neuron: how opaque, how much of the opaque picture's reaction is kept, what a swap changes."""
    n, rows = SIZES[size], []
    neurons = NEURONS[: min(3, n["targets"])]
    behind = unseen_backgrounds(n["pixels"], UNSEEN if size != "smoke" else 4)
    made, opaque = kinds.rgba(n["pixels"]), {}
    for arm in (OPAQUE, FULL, UNPAID, BLACK):
        runs = tuned(
            alpha_score(arm, made, n["pixels"]), made, network("squeezenet").params, lambda t, s: neurons[t],
            len(neurons), seeds, Config(steps=n["steps"]),
        )  # fmt: skip
        pictures = drawn(made, runs)[:, :, 0]
        if arm == OPAQUE:
            pictures[..., 3] = 1
        for t, index in enumerate(neurons):
            for i, seed in enumerate(seeds):
                rgba, case = pictures[t, i], f"{LAYER}, {index}"
                here = reaction(index, composite(rgba[None], behind))
                opaque.setdefault((t, i), here.mean())
                found = {"alpha": rgba[..., 3].mean(), "retention": here.mean() / opaque[t, i], "rate": runs.rate}
                shown = {"picture": packed(displayed(rgba))} if i == 0 else None
                rows.append(row(arm, case, seed, shown, **found))
                if arm == FULL:
                    rows += swaps(index, rgba, behind, here, case, seed)
    return rows


def swaps(index: int, rgba: np.ndarray, behind: np.ndarray, here: np.ndarray, case: str, seed: int) -> list[Row]:
    """Relative change of the reaction when what shines through, or what is painted, gives way to another background."""
    other = np.roll(behind, 1, axis=0)
    unpainted = reaction(
        index,
        composite(
            np.concatenate([other, np.broadcast_to(rgba[None, ..., 3:], (len(other), *rgba.shape[:2], 1))], -1), behind
        ),
    )
    through = reaction(index, composite(rgba[None], other))
    return [
        row(HIDDEN, case, seed, change=np.mean(np.abs(through - here)) / here.mean()),
        row(REPLACED, case, seed, change=np.mean(here - unpainted) / here.mean()),
    ]


def displayed(rgba: np.ndarray) -> np.ndarray:
    """The picture in sRGB, with its alpha."""
    return np.concatenate([rgba[..., :3] ** (1 / GAMMA), rgba[..., 3:]], -1)


def alpha_jobs(size: Size, seeds: int | None) -> list[Job]:
    """The work."""
    who = tuple(range(seeds or SIZES[size]["seeds"]))
    return [Job("transparency", LAYER, who, partial(transparency, size, who), cost=30)]
