"""Shapes with exact texture coordinates, made here: sphere, torus, knot, blob and Newell's teapot.

The sphere's, torus's and knot's coordinates run once around the texture, which wraps, so that they have no seams. The
blob has six charts and the teapot sixteen, as unwrapped scans have: a colour that is continuous on the texture is not
continuous across their borders on the surface, and the other way about.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from theodolite.core.errors import unknown
from theodolite.interpret.vision.mesh import Mesh, fitted

Points = Float[np.ndarray, "rows columns 3"]
Rectangle = tuple[float, float, float, float]
GUTTER = 1 / 64
"""Width of the empty strip around a chart; a bilinear lookup reaches half a texel beyond the chart's edge."""
ROUND = 0.56
"""Newell's quarter of a circle: inner control points lie this far along the tangent."""

# Control points of M. Newell's teapot (1975; F. Crow, "The origins of the teapot", 1987) as (radius, height).
BODY = ((1.4, 2.4), (1.3375, 2.53125), (1.4375, 2.53125), (1.5, 2.4), (1.75, 1.875), (2, 1.35), (2, 0.9), (2, 0.45),
        (1.5, 0.225), (1.5, 0.15))  # fmt: skip
LID = ((0, 3.15), (0.8, 3.15), (0, 2.85), (0.2, 2.7), (0.4, 2.55), (1.3, 2.55), (1.3, 2.4))
BOTTOM = ((1.5, 0.15), (1.5, 0.075), (1.425, 0), (0, 0))
# Its tubes as two curves (x, height), one along each side, and the half width between them.
HANDLE = (((-1.6, 2.025), (-2.3, 2.025), (-2.7, 2.025), (-2.7, 1.8), (-2.7, 1.575), (-2.5, 1.125), (-2, 0.9)),
          ((-1.5, 2.25), (-2.5, 2.25), (-3, 2.25), (-3, 1.8), (-3, 1.35), (-2.65, 0.9375), (-1.9, 0.6)),
          (0.3,) * 7)  # fmt: skip
SPOUT = (((1.7, 1.425), (2.6, 1.425), (2.3, 2.1), (2.7, 2.4), (2.8, 2.475), (2.9, 2.475), (2.8, 2.4)),
         ((1.7, 0.6), (3.1, 0.825), (2.4, 2.025), (3.3, 2.4), (3.525, 2.49375), (3.45, 2.5125), (3.2, 2.4)),
         (0.66, 0.66, 0.25, 0.25, 0.25, 0.15, 0.15))  # fmt: skip


def grid_faces(rows: int, columns: int) -> Int[np.ndarray, "F 3"]:
    """Two triangles per cell of a grid of points that are numbered row by row."""
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    below = corner + columns
    pairs = [np.stack([corner, below + 1, below], 1), np.stack([corner, corner + 1, below + 1], 1)]
    return np.concatenate(pairs).astype(np.int32)


def grid(points: Points, rectangle: Rectangle = (0.0, 0.0, 1.0, 1.0)) -> Mesh:
    """A grid of points as a mesh; rows run along v and columns along u of `rectangle` (u, v, width, height)."""
    rows, columns, _ = points.shape
    u0, v0, width, height = rectangle
    v, u = np.meshgrid(np.linspace(v0, v0 + height, rows), np.linspace(u0, u0 + width, columns), indexing="ij")
    uv = np.stack([u, v], -1).reshape(-1, 2)
    return Mesh(points.reshape(-1, 3).astype(np.float32), grid_faces(rows, columns), uv.astype(np.float32))


def joined(charts: list[Mesh]) -> Mesh:
    """Several meshes as one; triangles without area, such as those at a pole, are left out."""
    starts = np.cumsum([0, *(len(c.vertices) for c in charts)])
    vertices = np.concatenate([c.vertices for c in charts])
    faces = np.concatenate([c.faces + start for c, start in zip(charts, starts, strict=False)]).astype(np.int32)
    a, b, c = vertices[faces].transpose(1, 0, 2)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    return Mesh(vertices, faces[area > 1e-9], np.concatenate([chart.uv for chart in charts]))


def sphere(detail: int = 64) -> Mesh:
    """Radius 1; u is the longitude and v the latitude."""
    latitude, longitude = np.linspace(-np.pi / 2, np.pi / 2, detail + 1), np.linspace(0, 2 * np.pi, 2 * detail + 1)
    r, y = np.cos(latitude)[:, None], np.broadcast_to(np.sin(latitude)[:, None], (detail + 1, 2 * detail + 1))
    return joined([grid(np.stack([r * np.sin(longitude), y, r * np.cos(longitude)], -1))])


def tube(curve: Callable[[np.ndarray], np.ndarray], radius: float, along: int, around: int) -> Mesh:
    """A tube around a closed curve that is parametrised over [0, 2π], framed by the plane of its first two axes."""
    t, a = np.linspace(0, 2 * np.pi, along + 1), np.linspace(0, 2 * np.pi, around + 1)
    centre, step = curve(t), 1e-4
    tangent = (curve(t + step) - curve(t - step)) / (2 * step)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    side = np.cross(tangent, np.array([0.0, 0.0, 1.0]))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    up = np.cross(side, tangent)
    ring = np.cos(a)[:, None, None] * side + np.sin(a)[:, None, None] * up
    return grid(centre + radius * ring)


def torus(detail: int = 64) -> Mesh:
    """Radii 1 and 0.45; u runs along and v around."""
    return fitted(tube(lambda t: np.stack([np.cos(t), np.sin(t), 0 * t], 1), 0.45, 2 * detail, detail))


def knot(detail: int = 64) -> Mesh:
    """A trefoil; u runs along and v around."""

    def trefoil(t: np.ndarray) -> np.ndarray:
        return np.stack([np.sin(t) + 2 * np.sin(2 * t), np.cos(t) - 2 * np.cos(2 * t), -np.sin(3 * t)], 1)

    return fitted(tube(trefoil, 0.62, 6 * detail, detail // 2))


def blob(detail: int = 32) -> Mesh:
    """A sphere with bumps, unwrapped as the six sides of a cube."""
    line = np.tan(np.linspace(-np.pi / 4, np.pi / 4, detail + 1))  # equal angles, so that cells have like sizes
    b, a = np.meshgrid(line, line, indexing="ij")
    charts = []
    for side in range(6):
        axis, sign = side % 3, 1.0 if side < 3 else -1.0
        cube = np.stack([np.full_like(a, sign), sign * a, b], -1)
        direction = np.roll(cube / np.linalg.norm(cube, axis=-1, keepdims=True), axis, axis=-1)
        x, y, z = np.moveaxis(direction, -1, 0)
        bumps = 0.13 * np.sin(4 * x + 1) * np.sin(4 * y - 0.5) * np.sin(4 * z + 0.3) + 0.1 * np.sin(3 * y + 2 * x)
        charts.append(grid(direction * (1 + bumps)[..., None], _cell(side % 3, side // 3, 3, 2)))
    return fitted(joined(charts))


def _cell(column: int, row: int, columns: int, rows: int, v0: float = 0.0, height: float = 1.0) -> Rectangle:
    """A cell of a table of charts that fills the strip of the texture from v0 upwards, less its gutter."""
    width, step = 1 / columns, height / rows
    return column * width + GUTTER / 2, v0 + row * step + GUTTER / 2, width - GUTTER, step - GUTTER


def _bernstein(degree_three_pieces: int, detail: int) -> Float[np.ndarray, "points controls"]:
    """Rows of weights of the control points of a chain of cubic Bézier curves that share their ends."""
    t = np.linspace(0, 1, detail + 1)[:, None]
    cubic = np.concatenate([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], 1)
    weights = np.zeros((degree_three_pieces * detail + 1, 3 * degree_three_pieces + 1))
    for piece in range(degree_three_pieces):
        weights[piece * detail : (piece + 1) * detail + 1, 3 * piece : 3 * piece + 4] = cubic
    return weights


def bezier(net: Points, detail: int) -> Float[np.ndarray, "P Q 3"]:
    """Points of the bicubic patches that a net of (3m + 1) x (3n + 1) control points makes."""
    down, across = (_bernstein((size - 1) // 3, detail) for size in net.shape[:2])
    return np.einsum("pi,qj,ijk->pqk", down, across, net)


def _revolved(profile: tuple, quarter: int) -> Points:
    """The control net of a quarter turn of a profile about the vertical axis."""
    turn = np.array([[1, 0], [1, ROUND], [ROUND, 1], [0, 1]])
    for _ in range(quarter):
        turn = np.stack([-turn[:, 1], turn[:, 0]], 1)
    radius, height = np.array(profile, float).T
    flat = radius[:, None, None] * turn[None]
    net = np.stack([flat[..., 0], np.broadcast_to(height[:, None], flat.shape[:2]), -flat[..., 1]], -1)
    return net[:, ::-1]


def _half_tube(inner: tuple, outer: tuple, width: tuple, side: float) -> Points:
    """The control net of one half of the handle or the spout."""
    a, b, w = np.array(inner, float), np.array(outer, float), side * np.array(width, float)
    rows = [(a, 0 * w), (a, w), (b, w), (b, 0 * w)]
    ring = np.stack([np.stack([at[:, 0], at[:, 1], z], -1) for at, z in rows], 1)
    return ring if side > 0 else ring[:, ::-1]


def teapot(detail: int = 10) -> Mesh:
    """Newell's 32 patches in 16 charts: quarters of the body, lid and bottom, halves of the handle and spout."""
    nets = [(_revolved(BODY, q), _cell(q, 0, 4, 1, 0.6, 0.4)) for q in range(4)]
    nets += [(_revolved(LID, q), _cell(q, 0, 8, 1, 0.34, 0.26)) for q in range(4)]
    nets += [(_revolved(BOTTOM, q), _cell(4 + q, 0, 8, 1, 0.34, 0.26)) for q in range(4)]
    halves = [(part, side) for part in (HANDLE, SPOUT) for side in (1.0, -1.0)]
    nets += [(_half_tube(*part, side), _cell(i, 0, 4, 1, 0.0, 0.34)) for i, (part, side) in enumerate(halves)]
    return fitted(joined([grid(bezier(net, detail), rectangle) for net, rectangle in nets]))


SHAPES: dict[str, Callable[..., Mesh]] = {
    "sphere": sphere, "torus": torus, "knot": knot, "blob": blob, "teapot": teapot
}  # fmt: skip


def shape(name: str, **options: Any) -> Mesh:
    """A shape by its name.

    Raises:
        UserError: there is none of that name.
    """
    if name not in SHAPES:
        raise unknown("shape", name, SHAPES, f"The shapes are {', '.join(SHAPES)}; or give a file.")
    return partial(SHAPES[name], **options)()
