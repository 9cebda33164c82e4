"""visualize and style: pictures on disk, and one clear sentence for bad usage."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from theodolite import cli
from theodolite.commands import style
from theodolite.interpret.vision import images, models, network, style_transfer

KERNEL = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


@pytest.fixture
def toy(monkeypatch):
    """A network of four channels in place of a pretrained one."""
    net = network.of_function(lambda x: {"fire2": jnp.abs(x[..., :3] @ KERNEL)}, "squeezenet", 32)
    monkeypatch.setattr(models, "load", lambda *_: net)
    where = style_transfer.Layers(("fire2",), ("fire2",), 1.0)
    monkeypatch.setitem(style_transfer.LAYERS, "squeezenet", where)
    monkeypatch.setattr(images, "photos", lambda: ["grace_hopper"])


def test_a_picture_is_written(toy, tmp_path, capsys):
    words = ["--size", "32", "--steps", "2", "--out", str(tmp_path)]
    assert cli.main(["visualize", "--objective", "channel:fire2:1", *words]) == 0
    assert "channel(fire2, 1) of squeezenet" in capsys.readouterr().out
    assert images.read(tmp_path / "channel-fire2-1.png").shape == (32, 32, 3)


def test_a_transparent_picture_is_written(toy, tmp_path):
    words = ["--parameterization", "rgba", "--size", "32", "--steps", "2", "--out", str(tmp_path)]
    assert cli.main(["visualize", "--objective", "channel:fire2:1", *words]) == 0
    with Image.open(tmp_path / "channel-fire2-1.png") as file:
        assert file.mode == "RGBA"


def test_a_gallery_is_written(toy, tmp_path, capsys):
    words = ["--size", "32", "--steps", "2", "--batch", "2", "--channels", "0", "1", "3", "--out", str(tmp_path)]
    assert cli.main(["visualize", "--gallery", "fire2", *words]) == 0
    assert "shows 3 channels of fire2" in capsys.readouterr().out
    assert (tmp_path / "fire2.html").read_text().count("<figure>") == 3
    assert {p.name for p in tmp_path.glob("*.png")} == {"fire2.png", "fire2-0.png", "fire2-1.png", "fire2-3.png"}


def test_frames_go_from_one_objective_to_another_and_back(toy, tmp_path, capsys):
    words = ["--frames", "3", "--size", "32", "--steps", "64", "--no-transforms", "--out", str(tmp_path)]
    ends = ["--objective", "channel:fire2:1", "--to", "channel:fire2:2"]
    assert cli.main(["visualize", *ends, *words]) == 0
    assert "from channel(fire2, 1) to channel(fire2, 2)" in capsys.readouterr().out
    name = "channel-fire2-1-to-channel-fire2-2"
    with Image.open(tmp_path / f"{name}.webp") as film:
        assert film.n_frames == 4 and film.info["loop"] == 0
    strip = images.read(tmp_path / f"{name}.png")
    assert strip.shape == (40, 112, 3)
    first, _, final = (strip[4:36, left : left + 32] for left in (4, 40, 76))
    seen = [np.abs(frame @ KERNEL).mean((0, 1)) for frame in (first, final)]
    assert seen[0][1] > seen[1][1] and seen[1][2] > seen[0][2]


def test_diversity_wants_several_pictures_and_they_come_on_one_sheet(toy, tmp_path):
    words = ["--size", "32", "--steps", "2", "--out", str(tmp_path), "--pictures", "4"]
    assert cli.main(["visualize", "--objective", "channel:fire2:1 + 9*diversity:fire2", *words]) == 0
    (made,) = tmp_path.glob("*.png")
    sheet = images.read(made)
    assert sheet.shape == (76, 76, 3)
    cells = [sheet[y : y + 32, x : x + 32] for y in (4, 40) for x in (4, 40)]
    assert min(np.abs(a - b).max() for i, a in enumerate(cells) for b in cells[:i]) > 0.01


def test_what_is_converted_is_said(tmp_path, capsys):
    for mode, says in (
        ("L", "is grey: its three channels"),
        ("LA", "is grey"),
        ("RGB", ""),
        ("CMYK", "has the colours CMYK"),
    ):
        path = tmp_path / f"{mode}.tif"
        Image.new(mode, (40, 40)).save(path)
        assert style.in_three_colours(str(path)).shape == (40, 40, 3)
        said = capsys.readouterr().err
        assert (f"{mode}.tif {says}" in said and said.count("\n") == 1) if says else not said


def test_style_is_transferred(toy, tmp_path, capsys):
    out = tmp_path / "styled.png"
    words = ["--size", "32", "--steps", "2", "--out", str(out)]
    assert cli.main(["style", "--content", "grace_hopper", "--style", "grace_hopper", *words]) == 0
    assert max(images.read(out).shape) == 32


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["visualize"], "say either --objective"),
        (["visualize", "--objective", "channel:fire3:1"], "no layer 'fire3'. Did you mean fire2"),
        (["visualize", "--objective", "channel:fire2:9"], "channel 9 of fire2"),
        (["visualize", "--gallery", "fire2", "--channels", "9"], "channel 9 of fire2"),
        (["visualize", "--objective", "layer:fire2", "--size", "4"], "--size 4: expected at least 32"),
        (["visualize", "--objective", "channel:fire2:1", "--channels", "3"], "--channels chooses from a gallery"),
        (["visualize", "--objective", "channel:fire2"], "has 1 part after channel"),
        (["visualize", "--objective", "diversity:fire2"], "--pictures 4 makes four"),
        (["visualize", "--gallery", "fire2", "--to", "channel:fire2:1"], "--to makes frames"),
        (["visualize", "--gallery", "fire2", "--pictures", "2"], "--pictures makes several"),
        (["visualize", "--objective", "channel:fire2:1", "--to", "channel:fire2:9"], "channel 9 of fire2"),
        (["visualize", "--objective", "channel:fire2:1", "--to", "channel:fire2:2", "--frames", "1"], "--frames 1"),
        (["visualize", "--objectiv", "layer:fire2"], "no flag --objectiv. Did you mean --objective"),
        (["style", "--content", "no-such-file.png", "--style", "grace_hopper"], "no-such-file.png"),
        (["style", "--content", "grace_hopper", "--style", "grace_hopper", "--steps", "0"], "1 step"),
    ],
)
def test_bad_usage_is_one_sentence(toy, words, said, capsys):
    assert cli.main(words) == 2
    assert said in capsys.readouterr().err
