"""Textures of meshes that a network sees through a camera: 3D feature visualisation and 3D style transfer.

    *_, last = optimise(network, channel("fire7", 5), fourier(512), through(views(mesh, 128, 192, key)))

is all of the first: the parameterisation draws a texture, and the transform looks at the mesh from a random side. The
gradient reaches the texture through the lookup alone. Style transfer compares Gram matrices over many views:

    minimise  w mean |A(frame) - A(original)|  +  Σ_layers mean |G + stop(M - G) - G_style|
    M <- d M + (1 - d) G,  over 1 - dᵗ             the mean Gram matrix of the recent views, with this view's gradient

so that a view need not contain the whole style. Differences from the article: 1. M is corrected for its start at zero;
2. views are drawn from a stack that is rasterised once, not anew at each step.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from theodolite.core.arrays import PRNGKey, Scalar
from theodolite.interpret.vision.mesh import Mesh, edges, normals
from theodolite.interpret.vision.network import Network
from theodolite.interpret.vision.objectives import Objective, grams
from theodolite.interpret.vision.optimize import Score
from theodolite.interpret.vision.parameterizations import SD, Parameterization, colour, cppn
from theodolite.interpret.vision.rasterise import (
    AnyArray,
    Camera,
    Views,
    baked,
    fragments,
    interpolated,
    lookup,
    projected,
    render,
)
from theodolite.interpret.vision.transforms import Transform

Texture = Float[np.ndarray, "T U 3"]
BATCH = 8
"""Views that are looked at together when a texture is judged."""


def through(views: Views, batch: int = 1) -> Transform:
    """The transform that looks at a mesh painted with a texture [1, T, U, C], from `batch` of these views, on black."""
    stack = jnp.concatenate([jnp.asarray(views.uv), jnp.asarray(views.mask)[..., None]], -1)

    def apply(key: PRNGKey, textures: Float[Array, "1 T U C"]) -> Float[Array, "N H W C"]:
        seen = stack[jax.random.randint(key, (batch,), 0, len(stack))]
        return render(textures[0], seen[..., :2], seen[..., 2])

    return apply


def solid(mesh: Mesh, size: int, width: int = 24, depth: int = 8, head: float = 0.1) -> Parameterization:
    """A texture that is a CPPN of the point in space that it is painted on: it has no seams whatever the charts."""
    points, _ = baked(mesh, size)
    drawn = cppn(size, width=width, depth=depth, head=head, inputs=(np.sqrt(3) * points).astype(np.float32))
    return drawn._replace(text=f"solid {drawn.text}")


def solid_pyramid(mesh: Mesh, size: int, cells: tuple[int, ...] = (4, 8, 16, 32)) -> Parameterization:
    """A sum of grids that fill space, from coarse to fine, and of the texels themselves.

    What is coarse is smooth along the surface. A Fourier texture is smooth along the atlas, and so across charts that
    are neighbours there alone.
    """
    points, _ = baked(mesh, size)
    levels = [_trilinear(points.reshape(-1, 3), n) for n in cells]

    def init(key: PRNGKey) -> PyTree:
        keys = jax.random.split(key, len(cells) + 1)
        shapes = [*((n**3, 3) for n in cells), (size * size, 3)]
        return [SD * jax.random.normal(k, shape) for k, shape in zip(keys, shapes, strict=True)]

    def apply(params: PyTree) -> Float[Array, "1 T T 3"]:
        canvas = params[-1]
        for grid, (corners, weights) in zip(params, levels, strict=False):
            canvas = canvas + jnp.einsum("pkc,pk->pc", grid[corners], weights)
        return jax.nn.sigmoid(colour(canvas)).reshape(1, size, size, 3)

    return Parameterization(init, apply, f"solid pyramid, {len(cells)} levels")


def _trilinear(points: Float[np.ndarray, "P 3"], n: int) -> tuple[Int[Array, "P 8"], Float[Array, "P 8"]]:
    """The eight nodes of an n x n x n grid over [-1, 1]³ around every point, and their weights."""
    at = np.clip((points + 1) / 2 * (n - 1), 0, n - 1 - 1e-4)
    low = at.astype(int)
    share = at - low
    corners, weights = [], []
    for offset in np.ndindex(2, 2, 2):
        where = low + offset
        corners.append((where[:, 0] * n + where[:, 1]) * n + where[:, 2])
        weights.append(np.where(offset, share, 1 - share).prod(1))
    return jnp.asarray(np.stack(corners, 1), jnp.int32), jnp.asarray(np.stack(weights, 1), jnp.float32)


def clay(mesh: Mesh, size: int) -> Texture:
    """A texture for meshes without one: layers of two earths, with the light of a window painted on."""
    points, _ = baked(mesh, size)
    facing, _ = baked(mesh, size, normals(mesh))
    facing /= np.maximum(np.linalg.norm(facing, axis=-1, keepdims=True), 1e-6)
    light = 0.35 + 0.65 * (0.5 + 0.5 * facing @ (np.array([0.4, 0.8, 0.45]) / np.linalg.norm([0.4, 0.8, 0.45]))) ** 1.5
    band = 0.5 + 0.5 * np.tanh(4 * np.sin(9 * points[..., 1] + 1.2 * np.sin(3 * points[..., 0])))
    dark, bright = np.array([0.62, 0.36, 0.25]), np.array([0.93, 0.86, 0.72])
    return ((dark + (bright - dark) * band[..., None]) * light[..., None]).astype(np.float32)


class Style(NamedTuple):
    """What a texture is to look like."""

    targets: dict[str, Float[Array, "_ _"]]
    """Gram matrices of the style, by layer."""
    content: str
    """The layer at which a frame shall resemble the frame with the original paint."""
    weight: float = 1.0
    """Of the content."""
    decay: float = 0.95
    """Of the memory of Gram matrices; 0 looks at one view at a time."""


class Memory(NamedTuple):
    """What the recent views looked like."""

    average: dict[str, Float[Array, "_ _"]]
    """Of their Gram matrices, begun at zero."""
    views: Int[Array, ""]
    """How many there were."""


def remember(
    memory: Memory, seen: dict[str, Float[Array, "_ _"]], decay: Scalar
) -> tuple[dict[str, Float[Array, "_ _"]], Memory]:
    """The mean over recent views with the gradient of the present one, and the memory that includes it."""
    average = {n: decay * memory.average[n] + (1 - decay) * jax.lax.stop_gradient(g) for n, g in seen.items()}
    count = memory.views + 1
    complete = 1 - jnp.float32(decay) ** count.astype(jnp.float32)
    effective = {n: g + jax.lax.stop_gradient(average[n] / complete - g) for n, g in seen.items()}
    return effective, Memory(average, count)


def style_targets(network: Network, image: Float[AnyArray, "H W 3"], layers: tuple[str, ...]) -> dict[str, Any]:
    """The Gram matrices of a picture."""
    seen = network.apply(network.params, jnp.asarray(image)[None])
    return {network.layer(n): grams(seen[n])[0] for n in layers}


def begin(style: Style) -> Memory:
    """No view seen yet."""
    return Memory(jax.tree.map(jnp.zeros_like, style.targets), jnp.int32(0))


def style_score(
    network: Network, style: Style, drawn: Parameterization, original: Texture, views: Views, pull: float = 0.01
) -> Score:
    """What `optimize.ascend` maximises to paint a mesh in a style; its memory starts as `begin(style)`.

    `pull` holds the mean colour of the texture near that of the original, which cleans what no view shows.
    """
    look, paint = through(views), jnp.asarray(original)

    def score(fixed: PyTree, params: PyTree, key: PRNGKey, memory: Memory) -> tuple[Scalar, Memory]:
        texture = drawn.apply(params)
        both = look(key, jnp.concatenate([texture, paint[None]], -1))
        seen = network.apply(fixed, both[..., :3])
        goal = jax.lax.stop_gradient(network.apply(fixed, both[..., 3:])[style.content])
        recent, memory = remember(memory, {n: grams(seen[n])[0] for n in style.targets}, style.decay)
        loss = style.weight * jnp.abs(seen[style.content] - goal).mean()
        loss += sum(jnp.abs(recent[n] - g).mean() for n, g in style.targets.items())
        away = texture.mean((0, 1, 2)) - paint.mean((0, 1))
        return -loss - pull * jnp.square(away).sum(), memory

    return score


def over_views(network: Network, objective: Objective, texture: Texture, views: Views) -> float:
    """The mean of an objective over views, such as ones that the optimisation never showed."""
    paint = jnp.asarray(texture)
    return float(np.mean([_scored(network.apply, objective, network.params, paint, *some) for some in _batches(views)]))


@partial(jax.jit, static_argnums=(0, 1))
def _scored(apply: Callable, objective: Objective, params: PyTree, texture: Array, uv: Array, mask: Array) -> Array:
    frames = render(texture, uv, mask)
    return jnp.asarray(objective(apply(params, frames), frames))


def grams_over_views(
    network: Network, layers: tuple[str, ...], texture: Texture, views: Views
) -> dict[str, Float[np.ndarray, "N _ _"]]:
    """The Gram matrices of every view."""
    paint = jnp.asarray(texture)
    parts = [_grams(network.apply, layers, network.params, paint, *some) for some in _batches(views)]
    return {n: np.concatenate([np.asarray(p[n]) for p in parts]) for n in layers}


@partial(jax.jit, static_argnums=(0, 1))
def _grams(
    apply: Callable, layers: tuple[str, ...], params: PyTree, texture: Array, uv: Array, mask: Array
) -> dict[str, Array]:
    seen = apply(params, render(texture, uv, mask))
    return {n: grams(seen[n]) for n in layers}


def _batches(views: Views) -> list[tuple[Array, Array]]:
    """Views in groups of equal size, so that one program serves all; a rest that fills no group is left out."""
    size = min(BATCH, len(views.uv))
    starts = range(0, len(views.uv) - size + 1, size)
    return [(jnp.asarray(views.uv[i : i + size]), jnp.asarray(views.mask[i : i + size])) for i in starts]


def pooled_style(found: dict[str, np.ndarray], targets: dict[str, Any]) -> float:
    """The distance of the mean Gram matrix of all views to the style's, as a share of the style's, over layers."""
    shares = [
        np.abs(found[n].mean(0) - np.asarray(g)).mean() / np.abs(np.asarray(g)).mean() for n, g in targets.items()
    ]
    return float(np.mean(shares))


def between_views(found: dict[str, np.ndarray], targets: dict[str, Any]) -> float:
    """The variance of the Gram matrices from view to view, as a share of the style's squared norm, over layers."""
    spread = lambda g: np.square(g - g.mean(0)).sum((1, 2)).mean()  # noqa: E731
    return float(np.mean([spread(found[n]) / np.square(np.asarray(g)).sum() for n, g in targets.items()]))


def jumps(mesh: Mesh, texture: Texture, apart: float, per_edge: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Mean absolute differences of colour of points `apart` from each other, across seams and across other edges.

    The points face each other across an edge, each in the plane of its triangle.
    """
    found = edges(mesh)
    corners = mesh.vertices[found.sides].astype(np.float64)
    start, end, opposite = (corners[:, :, i] for i in range(3))
    along = end - start
    length = np.linalg.norm(along, axis=-1)
    height = np.linalg.norm(np.cross(along, opposite - start), axis=-1) / np.maximum(length, 1e-12)
    inward = np.clip(apart / 2 / np.maximum(height, 1e-12), 0, 1)[..., None]
    colours = []
    for t in (np.arange(per_edge) + 0.5) / per_edge:
        on_edge = (1 - t) * mesh.uv[found.sides[:, :, 0]] + t * mesh.uv[found.sides[:, :, 1]]
        uv = (1 - inward) * on_edge + inward * mesh.uv[found.sides[:, :, 2]]
        colours.append(np.asarray(lookup(jnp.asarray(texture), jnp.asarray(uv, jnp.float32))))
    jump = np.abs(np.diff(np.stack(colours), axis=2)).mean((0, 2, 3))
    return jump[found.seam], jump[~found.seam]


def seam_ratio(mesh: Mesh, texture: Texture, apart: float) -> float:
    """How much more colours change across seams than across other edges: 1 where seams are invisible."""
    seams, others = jumps(mesh, texture, apart)
    return float(seams.mean() / max(others.mean(), 1e-6))


class Match(NamedTuple):
    """Pixels of one view that show what another shows too."""

    pixels: Int[np.ndarray, "P 2"]
    """Row and column in the first."""
    at: Float[np.ndarray, "P 2"]
    """Row and column in the second, between pixel centres."""


def matches(mesh: Mesh, one: Camera, other: Camera, size: int, tolerance: float = 0.03) -> Match:
    """Where two cameras see the same point of the surface."""
    places = []
    for eye in (one, other):
        seen = fragments(*projected(mesh.vertices, eye, size), mesh.faces, size)
        at = interpolated(seen, mesh.faces, mesh.vertices)
        places.append(np.where((seen.face >= 0)[..., None], at, np.nan))
    pixels = np.argwhere(np.isfinite(places[0][..., 0]))
    points = places[0][tuple(pixels.T)]
    across, _ = projected(points, other, size)
    at = across[:, ::-1] - 0.5
    nearest = np.round(at).astype(int)
    inside = ((nearest >= 0) & (nearest < size)).all(1)
    there = places[1][tuple(np.clip(nearest, 0, size - 1).T)]
    close = np.linalg.norm(there - points, axis=1) < tolerance  # NaN, the background, is never close
    kept = inside & close
    return Match(pixels[kept], at[kept])


def disagreement(match: Match, one: Float[np.ndarray, "H W 3"], other: Float[np.ndarray, "H W 3"]) -> float:
    """The mean absolute difference of the colours that two pictures give the same points of a surface."""
    first = one[tuple(match.pixels.T)]
    y, x = np.clip(match.at, 0, len(other) - 1.001).T
    top, left = y.astype(int), x.astype(int)
    fy, fx = (y - top)[:, None], (x - left)[:, None]
    upper = other[top, left] * (1 - fx) + other[top, left + 1] * fx
    lower = other[top + 1, left] * (1 - fx) + other[top + 1, left + 1] * fx
    return float(np.abs(first - (upper * (1 - fy) + lower * fy)).mean())
