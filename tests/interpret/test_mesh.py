"""Meshes: the shapes' own geometry, seams where charts meet, files back and forth, and files that are no meshes."""

import numpy as np
import pytest

from theodolite.core.errors import UserError
from theodolite.interpret.vision import images, mesh, shapes

CUBE = """v -1 -1 -1
v 3 -1 -1
v 3 1 -1
v -1 1 -1
v 1 0 4
f 1 3 2
f 1 4 3
f 1 2 5
f 2 3 5
f 3 4 5
f 4 1 5
"""


@pytest.fixture(scope="module", params=shapes.SHAPES)
def solid(request):
    return request.param, shapes.shape(request.param)


def volume(m):
    a, b, c = m.vertices[m.faces].astype(float).transpose(1, 0, 2)
    return np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6


def test_shapes_are_fitted_oriented_and_within_the_texture(solid):
    name, m = solid
    low, high = m.vertices.min(0), m.vertices.max(0)
    np.testing.assert_allclose([(high - low).max(), *(low + high)], [2, 0, 0, 0], atol=1e-5)
    assert m.uv.min() >= 0 and m.uv.max() <= 1
    _, welded = mesh.weld(m)
    ends = np.concatenate([welded[m.faces[:, [i, (i + 1) % 3]]] for i in range(3)])
    assert len(np.unique(ends, axis=0)) == len(ends)  # neighbours run along their edge in opposite directions
    assert volume(m) > 0, name


def test_volumes_have_their_closed_forms():
    assert volume(shapes.sphere(96)) == pytest.approx(4 / 3 * np.pi, rel=2e-3)
    ring, hole = 1 / 1.45, 0.45 / 1.45
    assert volume(shapes.torus(96)) == pytest.approx(2 * np.pi**2 * ring * hole**2, rel=3e-3)


def test_patches_pass_through_their_corners_and_keep_straight_lines():
    net = np.stack(np.meshgrid(np.arange(4.0), np.arange(7.0)), -1)
    net = np.concatenate([net, net.sum(-1, keepdims=True)], -1)
    points = shapes.bezier(net, 5)
    assert points.shape == (11, 6, 3)
    np.testing.assert_allclose(points[[0, 0, -1, -1], [0, -1, 0, -1]], net[[0, 0, -1, -1], [0, -1, 0, -1]])
    np.testing.assert_allclose(points[..., 2], points[..., 0] + points[..., 1])


def test_seams_are_where_charts_meet_and_wrapping_is_none():
    assert not mesh.edges(shapes.torus(12)).seam.any()
    found = mesh.edges(shapes.blob(6))
    assert found.seam.sum() == 12 * 6  # the edges of a cube
    assert len(found.sides) == 3 / 2 * 6 * 6 * 6 * 2  # closed: every face has three, every edge two
    points = shapes.blob(6).vertices[found.sides[:, :, :2]]
    np.testing.assert_allclose(points[:, 0], points[:, 1], atol=1e-4)  # both sides name the same two points


def test_normals_of_a_sphere_are_its_points():
    m = shapes.sphere(32)
    np.testing.assert_allclose(mesh.normals(m), m.vertices, atol=0.02)


def test_a_glb_comes_back_as_it_was(tmp_path):
    pytest.importorskip("trimesh")
    m = shapes.blob(4)
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3)) / 255
    mesh.save_glb(tmp_path / "blob.glb", m, images.encode(picture))
    back = mesh.load(tmp_path / "blob.glb")
    np.testing.assert_allclose(back.vertices, m.vertices, atol=1e-6)
    np.testing.assert_allclose(back.uv, m.uv, atol=1e-6)
    np.testing.assert_array_equal(back.faces, m.faces)
    np.testing.assert_allclose(back.texture, picture, atol=1e-6)


def test_an_obj_with_coordinates_keeps_them_and_is_fitted(tmp_path):
    pytest.importorskip("trimesh")
    path = tmp_path / "flat.obj"
    path.write_text("v 5 0 0\nv 9 0 0\nv 5 2 0\nvt 0 0\nvt 0.5 0\nvt 0 0.25\nf 1/1 2/2 3/3\n")
    m = mesh.load(path)
    np.testing.assert_allclose(m.vertices, [[-1, -0.5, 0], [1, -0.5, 0], [-1, 0.5, 0]])
    np.testing.assert_allclose(m.uv, [[0, 0], [0.5, 0], [0, 0.25]])


def test_a_mesh_without_coordinates_is_unwrapped_without_overlaps(tmp_path):
    pytest.importorskip("trimesh")
    pytest.importorskip("xatlas")
    path = tmp_path / "roof.obj"
    path.write_text(CUBE)
    m = mesh.load(path)
    a, b, c = m.uv[m.faces].astype(float).transpose(1, 0, 2)
    (ax, ay), (bx, by) = (b - a).T, (c - a).T
    areas = np.abs(ax * by - ay * bx) / 2
    assert len(m.faces) == 6 and (areas > 0).all() and areas.sum() < 1
    assert volume(m) > 0


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("dots.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\n", "no faces"),
        ("nan.obj", "v 0 0 0\nv nan 0 0\nv 0 1 0\nf 1 2 3\n", "1 vertex with NaN"),
        ("point.obj", "v 0 0 0\nv 0 0 0\nv 0 0 0\nf 1 2 3\n", "in one point"),
        ("broken.glb", "glTF and no more", "cannot be read as GLB"),
        ("model.stl", "solid", "ends in .obj, .ply, .glb"),
        ("absent.ply", None, "no such file"),
    ],
)
def test_what_is_no_mesh_is_refused(tmp_path, name, content, says):
    pytest.importorskip("trimesh")
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=says):
        mesh.load(tmp_path / name)


def test_faces_without_corners_are_refused():
    with pytest.raises(UserError, match="corner 3 but only 3 vertices"):
        mesh.checked(np.eye(3), np.array([[0, 1, 3]]), "it")


def test_an_unknown_shape_names_the_nearest():
    with pytest.raises(UserError, match="Did you mean teapot"):
        shapes.shape("teapod")
