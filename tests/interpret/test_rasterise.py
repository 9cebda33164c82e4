"""The rasteriser against rays cast one by one, closed forms and its own coordinates; the lookup against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core.errors import UserError
from theodolite.interpret.vision import rasterise, shapes
from theodolite.interpret.vision.mesh import Mesh

SIZE = 48


def ray(eye, row, column, size):
    """The direction in which a pixel looks."""
    half = np.tan(np.deg2rad(eye.field_of_view) / 2)
    x, y = (2 * (column + 0.5) / size - 1) * half, (1 - 2 * (row + 0.5) / size) * half
    return eye.axes.T @ np.array([x, y, -1.0])


def cast(mesh, eye, direction):
    """Möller and Trumbore, a triangle at a time: the uv of the nearest hit, or None."""
    best, found = np.inf, None
    for face in mesh.faces:
        a, b, c = mesh.vertices[face].astype(float)
        one, two = b - a, c - a
        normal = np.cross(direction, two)
        determinant = one @ normal
        if abs(determinant) < 1e-12:
            continue
        away = eye.eye - a
        u = away @ normal / determinant
        across = np.cross(away, one)
        v, t = direction @ across / determinant, two @ across / determinant
        if u >= 0 and v >= 0 and u + v <= 1 and 0 < t < best:
            best, found = t, mesh.uv[face].T @ np.array([1 - u - v, u, v])
    return found


@pytest.mark.parametrize(("name", "detail"), [("teapot", 2), ("torus", 10), ("blob", 5)])
def test_pixels_see_what_rays_hit(name, detail):
    mesh, eye = shapes.shape(name, detail=detail), rasterise.camera(np.array([0.6, 0.5, -0.7]), 11.0)
    seen = rasterise.look(mesh, [eye], SIZE)
    rng, hits = np.random.default_rng(0), 0
    for row, column in rng.integers(0, SIZE, (30, 2)):
        expected = cast(mesh, eye, ray(eye, row, column, SIZE))
        assert bool(seen.mask[0, row, column]) == (expected is not None)
        if expected is not None:
            hits += 1
            np.testing.assert_allclose(seen.uv[0, row, column], expected, atol=1e-4)
    assert hits >= 5


def test_a_near_and_steep_triangle_is_perspective_correct():
    corners = np.array([[-1, -1, -3], [1, -1, -3], [0, 1, 0.8]], np.float32)
    mesh = Mesh(corners, np.array([[0, 1, 2]], np.int32), np.array([[0, 0], [1, 0], [0.5, 1]], np.float32))
    eye = rasterise.camera(np.array([0.0, 0.0, 1.0]), 2.0, 60.0)
    seen = rasterise.look(mesh, [eye], SIZE)
    rows, columns = np.nonzero(seen.mask[0])
    for i in range(0, len(rows), len(rows) // 12):
        expected = cast(mesh, eye, ray(eye, rows[i], columns[i], SIZE))
        np.testing.assert_allclose(seen.uv[0, rows[i], columns[i]], expected, atol=1e-4)


@pytest.mark.parametrize("size", [8, 33, 128])  # triangles from far below a pixel to a frame
def test_a_square_covers_its_share_and_shows_its_own_coordinates(size):
    corners = np.array([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]], np.float32)
    uv = corners[:, :2] + 0.5
    mesh = Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]], np.int32), uv)
    eye = rasterise.camera(np.array([0.0, 0.0, 1.0]), 10.0)
    seen = rasterise.look(mesh, [eye], size)
    side = size / (2 * 10 * np.tan(np.deg2rad(5)))
    assert abs(np.sqrt(seen.mask.sum()) - side) <= 1
    ramp = (np.arange(size) + 0.5 - size / 2) / side + 0.5
    expected = np.stack(np.meshgrid(ramp, ramp[::-1]), -1)  # u to the right, v upwards
    np.testing.assert_allclose(seen.uv[0][seen.mask[0] > 0], expected[seen.mask[0] > 0], atol=1e-5)


def test_a_sphere_covers_the_disc_of_its_tangents():
    mesh, size, distance = shapes.sphere(64), 160, 12.0
    seen = rasterise.look(mesh, rasterise.random_cameras(jax.random.key(0), 3, (distance, distance)), size)
    radius = np.tan(np.arcsin(1 / distance)) / np.tan(np.deg2rad(5)) / 2  # of the frame
    np.testing.assert_allclose(seen.mask.mean((1, 2)), np.pi * radius**2, rtol=5e-3)


def test_a_texture_of_coordinates_is_rendered_as_the_fragments():
    mesh = shapes.blob(6)
    seen = rasterise.views(mesh, 2, 40, jax.random.key(1))
    n = 256
    u, v = np.meshgrid((np.arange(n) + 0.5) / n, 1 - (np.arange(n) + 0.5) / n)
    ramp = jnp.asarray(np.stack([u, v, 0 * u], -1), jnp.float32)
    frames = rasterise.render(ramp, jnp.asarray(seen.uv), jnp.asarray(seen.mask), 0.25)
    shown = seen.mask > 0
    np.testing.assert_allclose(np.asarray(frames)[shown][:, :2], seen.uv[shown], atol=1e-5)
    np.testing.assert_array_equal(np.asarray(frames)[~shown], 0.25)


def slow_lookup(texture, uv):
    """Bilinear by loops, wrapping."""
    h, w, c = texture.shape
    out = np.zeros((len(uv), c))
    for i, (u, v) in enumerate(uv):
        for row in range(h):
            for column in range(w):
                dx, dy = (abs(a - b) for a, b in ((u % 1 * w, column + 0.5), ((1 - v) % 1 * h, row + 0.5)))
                dx, dy = min(dx, w - dx), min(dy, h - dy)
                out[i] += max(0, 1 - dx) * max(0, 1 - dy) * texture[row, column]
    return out


def test_the_lookup_is_its_definition_and_its_gradient_the_finite_difference():
    rng = np.random.default_rng(0)
    texture, uv = rng.random((4, 5, 2)), rng.uniform(-1.5, 1.5, (40, 2))
    weights = rng.normal(size=(40, 2))
    with jax.enable_x64(True):
        at = jnp.asarray(uv)
        np.testing.assert_allclose(rasterise.lookup(jnp.asarray(texture), at), slow_lookup(texture, uv), atol=1e-9)
        loss = lambda t: (jnp.sin(rasterise.lookup(t, at)) * weights).sum()  # noqa: E731
        gradient = np.asarray(jax.grad(loss)(jnp.asarray(texture)))
        for index in [(0, 0, 0), (3, 4, 1), (2, 0, 1), (1, 3, 0)]:
            step = np.zeros_like(texture)
            step[index] = 1e-6
            difference = (loss(jnp.asarray(texture + step)) - loss(jnp.asarray(texture - step))) / 2e-6
            assert gradient[index] == pytest.approx(float(difference), abs=1e-7)


def test_baked_points_lie_on_the_surface_and_spread_beyond_the_charts():
    points, painted = rasterise.baked(shapes.sphere(48), 64)
    np.testing.assert_allclose(np.linalg.norm(points[painted], axis=-1), 1, atol=2e-3)
    y = np.cos((np.arange(64) + 0.5) / 64 * np.pi)  # the upper row is the north pole
    expected = np.broadcast_to(y[:, None], (64, 64))
    np.testing.assert_allclose(points[painted][:, 1], expected[painted], atol=2e-3)
    alone = np.zeros((8, 8), bool)
    alone[4, 4] = True
    grown = rasterise.spread(np.where(alone[..., None], 0.5, 0.0), alone, steps=2)
    assert (grown[2:7, 2:7] == 0.5).all() and grown.sum() == pytest.approx(12.5)


def test_a_camera_inside_the_mesh_is_refused():
    with pytest.raises(UserError, match="larger distance"):
        rasterise.look(shapes.torus(8), [rasterise.camera(np.array([0.0, 0.0, 1.0]), 0.2)], 16)


def test_many_triangles_are_quick_and_shading_is_brightest_in_front():
    mesh, cameras = shapes.blob(76), rasterise.turntable(1)
    assert len(mesh.faces) > 69_000
    light = rasterise.shading(mesh, cameras, 64)
    assert light.min() >= 0.45 and light.max() <= 1 + 1e-6
