"""Which point of a texture each pixel sees: cameras, triangles to pixels in NumPy, and the lookup in JAX.

    pixel -> (u, v) = Σ λ_i (u_i, v_i) / w_i  /  Σ λ_i / w_i,        λ barycentric on the screen, w the depth
    colour = bilinear lookup of the texture at (u, v)

Visibility does not depend on the texture, so it is computed once, outside of what is differentiated; the gradient of
the lookup adds what each pixel wants to the four texels that it reads.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from theodolite.core.arrays import PRNGKey
from theodolite.core.errors import UserError
from theodolite.interpret.vision.mesh import Mesh, normals

AnyArray = Array | np.ndarray
FIELD_OF_VIEW = 10.0
"""Degrees, vertical: the article's."""
DISTANCES = (11.0, 13.0)
"""From which the article looks at a mesh of extent 2."""
CHUNK = 1 << 21
"""Candidates (a triangle and a pixel) that are tested at once."""


class Camera(NamedTuple):
    """An eye that looks at the origin; rows of `axes` are right, up and backwards."""

    eye: Float[np.ndarray, "3"]
    axes: Float[np.ndarray, "3 3"]
    field_of_view: float = FIELD_OF_VIEW


class Fragments(NamedTuple):
    """What each pixel sees: no face is -1."""

    face: Int[np.ndarray, "H W"]
    weights: Float[np.ndarray, "H W 3"]
    """Of the three corners, perspective-correct, adding to 1; zero where nothing is seen."""


class Views(NamedTuple):
    """Pictures of a mesh, less the paint."""

    uv: Float[np.ndarray, "N H W 2"]
    mask: Float[np.ndarray, "N H W"]
    """1 where the surface is seen."""


def camera(direction: Float[np.ndarray, "3"], distance: float, field_of_view: float = FIELD_OF_VIEW) -> Camera:
    """An eye in a direction from the origin, the y axis upwards in the picture."""
    back = direction / np.linalg.norm(direction)
    up = np.array([0.0, 1.0, 0.0]) if abs(back[1]) < 0.9999 else np.array([0.0, 0.0, -np.sign(back[1])])
    right = np.cross(up, back)
    right /= np.linalg.norm(right)
    return Camera(back * distance, np.stack([right, np.cross(back, right), back]), field_of_view)


def random_cameras(key: PRNGKey, count: int, distances: tuple[float, float] = DISTANCES) -> list[Camera]:
    """Directions uniform on the sphere, distances uniform."""
    k_direction, k_distance = jax.random.split(key)
    directions = np.asarray(jax.random.normal(k_direction, (count, 3)), np.float64)
    away = np.asarray(jax.random.uniform(k_distance, (count,), minval=distances[0], maxval=distances[1]), np.float64)
    return [camera(d, float(r)) for d, r in zip(directions, away, strict=True)]


def turntable(count: int, elevation: float = 20.0, distance: float = 12.0) -> list[Camera]:
    """Once around the y axis in equal steps; the elevation is in degrees."""
    angles, height = np.arange(count) * 2 * np.pi / count, np.deg2rad(elevation)
    level = np.cos(height)
    return [camera(np.array([level * np.sin(a), np.sin(height), level * np.cos(a)]), distance) for a in angles]


def projected(
    vertices: Float[np.ndarray, "V 3"], eye: Camera, size: int
) -> tuple[Float[np.ndarray, "V 2"], Float[np.ndarray, " V"]]:
    """Where vertices fall in a picture, in pixels from its upper left corner, and 1 / depth.

    Raises:
        UserError: the camera stands in or before the mesh.
    """
    seen = (vertices.astype(np.float64) - eye.eye) @ eye.axes.T
    depth = -seen[:, 2]
    if depth.min() <= 1e-3:
        raise UserError("the camera is inside the mesh or behind part of it: choose a larger distance.")
    focal = 0.5 * size / np.tan(np.deg2rad(eye.field_of_view) / 2)
    x, y = focal * seen[:, 0] / depth + size / 2, size / 2 - focal * seen[:, 1] / depth
    return np.stack([x, y], 1), 1 / depth


def fragments(
    at: Float[np.ndarray, "V 2"], nearness: Float[np.ndarray, " V"], faces: Int[np.ndarray, "F 3"], size: int
) -> Fragments:
    """The nearest triangle at the centre of every pixel; `nearness` is 1 / depth of every vertex."""
    best = np.zeros(size * size)
    found = list(_candidates(at, nearness, faces, size))
    for pixel, _, _, near in found:
        np.maximum.at(best, pixel, near)
    face, weights = np.full(size * size, -1, np.int32), np.zeros((size * size, 3), np.float32)
    for pixel, which, corner, near in found:
        front = near == best[pixel]
        face[pixel[front]], weights[pixel[front]] = which[front], corner[front]
    return Fragments(face.reshape(size, size), weights.reshape(size, size, 3))


def _candidates(at: np.ndarray, nearness: np.ndarray, faces: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, ...]]:
    """(pixel, face, weights of the corners, nearness) of every pixel centre in a triangle.

    Triangles are grouped by the power of two that bounds their box, so that each group is one array.
    """
    corners = at[faces]
    three = tuple(corners.transpose(1, 0, 2))
    low = np.maximum(np.ceil(np.minimum.reduce(three) - 0.5), 0).astype(np.int64)
    high = np.minimum(np.floor(np.maximum.reduce(three) - 0.5), size - 1).astype(np.int64)
    width, height = (high - low + 1).T
    side = np.maximum(width, height)
    group = np.where((width > 0) & (height > 0), np.ceil(np.log2(np.maximum(side, 1))).astype(int), -1)
    for power in range(group.max(initial=-1) + 1):
        members, side = np.flatnonzero(group == power), 1 << power
        step = max(1, CHUNK // side**2)
        y, x = (offset.ravel() for offset in np.mgrid[:side, :side])
        for start in range(0, len(members), step):
            some = members[start : start + step]
            px, py = low[some, 0, None] + x, low[some, 1, None] + y
            boxed = (px <= high[some, 0, None]) & (py <= high[some, 1, None])
            row, column = np.nonzero(boxed)
            yield _inside(corners, nearness, faces, size, some[row], px[row, column], py[row, column])


def _inside(
    corners: np.ndarray, nearness: np.ndarray, faces: np.ndarray, size: int, face: np.ndarray, px: np.ndarray,
    py: np.ndarray,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """Of the candidates those whose pixel centre lies in their triangle, with perspective-correct weights."""
    (x0, y0), (x1, y1), (x2, y2) = corners[face].transpose(1, 2, 0)
    x, y = px + 0.5, py + 0.5
    area = (y1 - y2) * (x0 - x2) + (x2 - x1) * (y0 - y2)
    with np.errstate(divide="ignore", invalid="ignore"):  # triangles on edge have no area and are not seen
        first = ((y1 - y2) * (x - x2) + (x2 - x1) * (y - y2)) / area
        second = ((y2 - y0) * (x - x2) + (x0 - x2) * (y - y2)) / area
    flat = np.stack([first, second, 1 - first - second], 1)
    held = (flat >= -1e-9).all(1) & (np.abs(area) > 1e-12)
    flat, face = flat[held], face[held]
    scaled = flat * nearness[faces[face]]
    near = scaled.sum(1)
    return py[held] * size + px[held], face.astype(np.int32), (scaled / near[:, None]).astype(np.float32), near


def interpolated(
    seen: Fragments, faces: Int[np.ndarray, "F 3"], values: Float[np.ndarray, "V C"]
) -> Float[np.ndarray, "H W C"]:
    """What every pixel sees of a quantity that is known at the vertices."""
    return np.einsum("hwi,hwic->hwc", seen.weights, values[faces[np.maximum(seen.face, 0)]]).astype(np.float32)


def look(mesh: Mesh, cameras: list[Camera], size: int) -> Views:
    """The mesh from each camera, `size` pixels square."""
    uv, mask = np.zeros((len(cameras), size, size, 2), np.float32), np.zeros((len(cameras), size, size), np.float32)
    for i, eye in enumerate(cameras):
        seen = fragments(*projected(mesh.vertices, eye, size), mesh.faces, size)
        uv[i], mask[i] = interpolated(seen, mesh.faces, mesh.uv), seen.face >= 0
    return Views(uv, mask)


def views(mesh: Mesh, count: int, size: int, key: PRNGKey, distances: tuple[float, float] = DISTANCES) -> Views:
    """The mesh from random sides."""
    return look(mesh, random_cameras(key, count, distances), size)


def shading(mesh: Mesh, cameras: list[Camera], size: int, ambient: float = 0.45) -> Float[np.ndarray, "N H W"]:
    """Brightness under a lamp beside the camera, for the reader's eye alone: nothing is optimised through it."""
    unit, lights = normals(mesh), np.ones((len(cameras), size, size), np.float32)
    for i, eye in enumerate(cameras):
        seen = fragments(*projected(mesh.vertices, eye, size), mesh.faces, size)
        lamp = eye.axes.T @ np.array([-0.35, 0.45, 1.0])
        normal = interpolated(seen, mesh.faces, unit)
        length = np.maximum(np.linalg.norm(normal, axis=-1), 1e-6) * np.linalg.norm(lamp)
        facing = np.einsum("hwc,c->hw", normal, (eye.axes.T @ np.array([0.0, 0.0, 1.0])))
        cosine = np.einsum("hwc,c->hw", normal, lamp) * np.where(facing < 0, -1, 1) / length
        lights[i] = np.where(seen.face >= 0, ambient + (1 - ambient) * np.maximum(cosine, 0), 1)
    return lights


def lookup(texture: Float[AnyArray, "T U C"], uv: Float[AnyArray, "*batch 2"]) -> Float[Array, "*batch C"]:
    """Bilinear: texel centres lie at half integers, v runs upwards, and the texture wraps on both axes."""
    texture, uv = jnp.asarray(texture), jnp.asarray(uv)
    height, width, _ = texture.shape
    x, y = uv[..., 0] * width - 0.5, (1 - uv[..., 1]) * height - 0.5
    left, top = jnp.floor(x), jnp.floor(y)
    right_share, low_share = (x - left)[..., None], (y - top)[..., None]
    column, row = left.astype(jnp.int32), top.astype(jnp.int32)

    def texel(down: int, right: int) -> Array:
        return texture[(row + down) % height, (column + right) % width]

    upper = texel(0, 0) * (1 - right_share) + texel(0, 1) * right_share
    lower = texel(1, 0) * (1 - right_share) + texel(1, 1) * right_share
    return upper * (1 - low_share) + lower * low_share


def render(
    texture: Float[AnyArray, "T U C"],
    uv: Float[AnyArray, "N H W 2"],
    mask: Float[AnyArray, "N H W"],
    background: float = 0.0,
) -> Float[Array, "N H W C"]:
    """Pictures of a painted mesh before a plain colour; the article's background is black."""
    seen = jnp.asarray(mask)[..., None]
    return lookup(texture, uv) * seen + background * (1 - seen)


def baked(
    mesh: Mesh, size: int, values: Float[np.ndarray, "V C"] | None = None
) -> tuple[Float[np.ndarray, "T T C"], Bool[np.ndarray, "T T"]]:
    """The point of the surface that every texel is painted on, and which texels are painted on any.

    With `values`, that quantity of the vertices instead of their place. Texels around a chart continue it, since
    lookups near its edge read them too.
    """
    at = np.stack([mesh.uv[:, 0], 1 - mesh.uv[:, 1]], 1).astype(np.float64) * size
    seen = fragments(at, np.ones(len(at)), mesh.faces, size)
    painted = seen.face >= 0
    return spread(interpolated(seen, mesh.faces, mesh.vertices if values is None else values), painted), painted


def spread(
    texture: Float[np.ndarray, "T U C"], painted: Bool[np.ndarray, "T U"], steps: int = 8
) -> Float[np.ndarray, "T U C"]:
    """Texels outside of every chart become the mean of their painted neighbours, ring by ring."""
    texture, known = np.where(painted[..., None], texture, 0).astype(np.float32), painted.astype(np.float32)
    for _ in range(steps):
        offsets = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        weight = np.sum([np.roll(known, o, (0, 1)) for o in offsets], axis=0)
        total = np.sum([np.roll(texture * known[..., None], o, (0, 1)) for o in offsets], axis=0)
        new = (known == 0) & (weight > 0)
        texture[new] = total[new] / weight[new][..., None]
        known = known + new
    return texture
