"""The --mesh flag: what it takes for a mesh, what it refuses, and the files that it leaves."""

import numpy as np
import pytest

from theodolite.commands import meshes, style, visualize
from theodolite.core.errors import UserError
from theodolite.interpret.vision import images, shapes


@pytest.mark.parametrize(("name", "says"), [("teapod", "Did you mean teapot"), ("absent.obj", "no such file")])
def test_what_is_no_mesh_is_refused(name, says):
    with pytest.raises(UserError, match=says):
        meshes.read(name)


def test_a_gallery_is_flat_and_so_is_maco():
    flags = visualize.Flags(gallery="fire8", mesh="torus")
    with pytest.raises(UserError, match="--objective"):
        meshes.visualize(flags, None, "torus")
    with pytest.raises(UserError, match="fourier, pixels, laplacian, cppn"):
        meshes.parameterization("maco", shapes.torus(4), 8)


def test_style_wants_a_photograph_or_a_mesh():
    for more in ([], ["--content", "chelsea", "--mesh", "torus"]):
        with pytest.raises(UserError, match="either --content"):
            style.main(["--style", "chelsea", *more])


def test_the_folder_holds_a_texture_a_strip_a_turn_and_a_mesh(tmp_path, monkeypatch):
    monkeypatch.setattr(meshes, "FRAMES", 8)
    monkeypatch.setattr(meshes, "SIDE_OF_FRAMES", 24)
    painted = np.full((16, 16, 3), 0.25, np.float32)
    meshes.write(tmp_path, shapes.torus(6), painted)
    assert {p.name for p in tmp_path.iterdir()} == {"texture.png", "strip.png", "turntable.apng", "mesh.glb"}
    np.testing.assert_allclose(images.read(tmp_path / "texture.png"), 0.25, atol=0.01)
    frame = meshes.turn(shapes.torus(6), painted, 1)[0]
    assert frame.shape == (24, 24, 3) and frame[0, 0].min() == 1 and frame.min() < 0.26
