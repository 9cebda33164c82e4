"""Which network a file of the user's holds, and files that hold none; each network has a test file of its own."""

import numpy as np
import pytest
import slow

from theodolite.core.errors import UserError
from theodolite.interpret.vision import torchvision


def write(path, arrays):
    np.savez(path, **arrays)
    return path


def test_a_file_without_a_known_network_says_what_it_has(tmp_path):
    with pytest.raises(UserError, match=r"its arrays are encoder.w….*of_function"):
        torchvision.read(write(tmp_path / "w.npz", {"encoder.w": np.zeros(2)}))


def test_a_vgg_of_another_depth_or_width_is_refused(tmp_path):
    rng, state = np.random.default_rng(0), {}
    slow.random_conv(rng, state, "features.0", 64, 3, 3, bias=True)
    with pytest.raises(UserError, match="has 1 convolutions, expected 8, 10, 13 or 16"):
        torchvision.read(write(tmp_path / "w.npz", state))
    for number in range(1, 8):
        slow.random_conv(rng, state, f"features.{number}", 8, 8, 3, bias=True)
    with pytest.raises(UserError, match=r"kernel of conv2_1 has the shape \(3, 3, 8, 8\), expected \(3, 3, 64, 128\)"):
        torchvision.read(write(tmp_path / "w.npz", state))


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no file"):
        torchvision.read(tmp_path / "absent.npz")
    for ending, says in (
        (".npz", "no whole .npz"),
        (".safetensors", "no whole safetensors"),
        (".pth", "read from .safe"),
    ):
        path = tmp_path / f"w{ending}"
        path.write_bytes(b"nothing of the kind")
        with pytest.raises(UserError, match=says):
            torchvision.read(path)


def test_an_array_of_objects_is_refused_unread(tmp_path):
    path = tmp_path / "w.npz"
    np.savez(path, w=np.array([{}], dtype=object))
    with pytest.raises(UserError, match="Nothing in it was executed"):
        torchvision.read(path)
