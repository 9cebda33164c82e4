"""Arms of technique 4 of `image_parameterizations`: pictures with an alpha channel in front of random backgrounds.

Light adds up linearly: c = background (1 - α) + colour α, then the network sees c^(1/2.2). What is maximised is
a channel's mean, as in the article, or its neuron in the middle, times 1 - (mean of α): what is not needed becomes
transparent.
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
from theodolite.interpret.vision.transparency import GAMMA, composite, displayed, random_background

LAYER, UNITS = "fire6", (12, 200)
CHANNEL, NEURON = "channel", "neuron"
FULL, UNPAID, BLACK, OPAQUE = "paid for opacity", "opacity is free", "static black", "opaque"
UNSEEN = 64
HIDDEN, REPLACED = "transparent part replaced", "opaque part replaced"


def alpha_score(kind: str, arm: str, parameterization: kinds.Parameterization, pixels: int) -> Any:
    """The unit, times what is left to see through; what differs is its number."""
    net, change, behind = network("squeezenet"), transforms.standard(), random_background(pixels)

    def score(fixed: Any, params: Any, key: Any, memory: Any) -> Any:
        weights, index = fixed
        k_behind, k_change = jax.random.split(key)
        rgba = parameterization.apply(params)
        if arm == OPAQUE:
            rgba = rgba.at[..., 3].set(1.0)
        background = jnp.zeros_like(rgba[..., :3]) if arm == BLACK else behind.apply(behind.init(k_behind))
        seen = net.apply(weights, change(k_change, composite(rgba, background)))[LAYER]
        value = unit(kind, seen)[0, index]
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


def unit(kind: str, seen: Any) -> Any:
    """Of activations [B, h, w, C] the means of channels, or their neurons in the middle, [B, C]."""
    return seen.mean((1, 2)) if kind == CHANNEL else seen[:, seen.shape[1] // 2, seen.shape[2] // 2]


def reaction(kind: str, index: int, seen: Any) -> np.ndarray:
    """The unit for every picture of a batch."""
    net = network("squeezenet")
    return unit(kind, np.asarray(_applied(net.apply, net.params, jnp.asarray(seen))))[:, index]


def transparency(kind: str, size: Size, seeds: tuple[int, ...]) -> list[Row]:
    """Every arm on every unit: how opaque, how much of the opaque picture's reaction is kept, what a swap changes."""
    n, rows = SIZES[size], []
    units = UNITS[: n["targets"]]
    behind = unseen_backgrounds(n["pixels"], UNSEEN if size != "smoke" else 4)
    made, opaque = kinds.rgba(n["pixels"]), {}
    for arm in (OPAQUE, FULL, UNPAID, BLACK):
        runs = tuned(
            alpha_score(kind, arm, made, n["pixels"]), made, network("squeezenet").params, lambda t, s: units[t],
            len(units), seeds, Config(steps=n["steps"]),
        )  # fmt: skip
        pictures = drawn(made, runs)[:, :, 0]
        if arm == OPAQUE:
            pictures[..., 3] = 1
        for t, index in enumerate(units):
            for i, seed in enumerate(seeds):
                rgba, case = pictures[t, i], f"{kind}, {LAYER} {index}"
                here = reaction(kind, index, composite(rgba[None], behind))
                opaque.setdefault((t, i), here.mean())
                found = {"alpha": rgba[..., 3].mean(), "retention": here.mean() / opaque[t, i], "rate": runs.rate}
                shown = {"picture": packed(displayed(rgba))} if i == 0 and t == len(units) - 1 else None
                rows.append(row(arm, case, seed, shown, **found))
                if arm == FULL:
                    rows += swaps(kind, index, rgba, behind, here, case, seed)
    return rows


def swaps(
    kind: str, index: int, rgba: np.ndarray, behind: np.ndarray, here: np.ndarray, case: str, seed: int
) -> list[Row]:
    """Relative change of the reaction when what shines through, or what is painted, gives way to another background."""
    other = np.roll(behind, 1, axis=0)
    veil = np.broadcast_to(rgba[None, ..., 3:], (len(other), *rgba.shape[:2], 1))
    unpainted = reaction(kind, index, composite(np.concatenate([other, veil], -1), behind))
    through = reaction(kind, index, composite(rgba[None], other))
    return [
        row(HIDDEN, case, seed, change=np.mean(np.abs(through - here)) / here.mean()),
        row(REPLACED, case, seed, change=np.mean(here - unpainted) / here.mean()),
    ]


def alpha_jobs(size: Size, seeds: int | None) -> list[Job]:
    """The work."""
    who = tuple(range(seeds or SIZES[size]["seeds"]))
    return [Job("transparency", k, who, partial(transparency, k, size, who), cost=30) for k in (NEURON, CHANNEL)]
