"""Ctrl-C during visualize and style: what there is of the pictures is written, and the exit code says 130."""

import signal
from itertools import islice

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from theodolite import cli
from theodolite.interpret.vision import gallery, images, models, network, optimize, style_transfer

KERNEL = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


@pytest.fixture
def toy(monkeypatch):
    """A network of four channels in place of a pretrained one."""
    net = network.of_function(lambda x: {"fire2": jnp.abs(x[..., :3] @ KERNEL)}, "squeezenet", 32)
    monkeypatch.setattr(models, "load", lambda *_: net)
    where = style_transfer.Layers(("fire2",), ("fire2",), 1.0)
    monkeypatch.setitem(style_transfer.LAYERS, "squeezenet", where)
    monkeypatch.setattr(images, "photos", lambda: ["grace_hopper"])


@pytest.fixture
def interrupt(monkeypatch):
    """(module, name, chunks): the generator of that name is interrupted by a signal after some chunks."""

    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background may ignore it

    def patch(module, name, chunks):
        real = getattr(module, name)

        def stopped(*words, **options):
            yield from islice(real(*words, **options), chunks)
            signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(module, name, stopped)

    yield patch
    signal.signal(signal.SIGINT, usual)


def run(*words) -> int:
    return cli.main([str(word) for word in words])


def test_a_picture_is_kept_as_far_as_it_came(toy, interrupt, tmp_path, capsys):
    interrupt(optimize, "optimise", 1)
    assert run("visualize", "--objective", "channel:fire2:1", "--size", 32, "--steps", 40, "--out", tmp_path) == 130
    said = capsys.readouterr()
    assert "after 32 steps" in said.out and "interrupted; what was finished is saved." in said.err
    assert images.read(tmp_path / "channel-fire2-1.png").shape == (32, 32, 3)


def test_before_the_first_chunk_there_is_nothing_and_that_is_said(toy, interrupt, tmp_path, capsys):
    interrupt(optimize, "optimise", 0)
    assert run("visualize", "--objective", "channel:fire2:1", "--size", 32, "--steps", 2, "--out", tmp_path) == 130
    assert "nothing was finished yet, so nothing is written" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("steps", "chunks", "channels", "reached"),
    [(2, 1, [0, 1], 2), (33, 1, [0, 1], 32), (33, 3, [0, 1], 33)],
    ids=["a whole batch", "a part of the first", "a part of the second"],
)
def test_a_gallery_of_what_is_finished(toy, interrupt, tmp_path, capsys, steps, chunks, channels, reached):
    interrupt(gallery, "optimise_channels", chunks)
    words = ["--size", 32, "--steps", steps, "--batch", 2, "--channels", 0, 1, 3, "--out", tmp_path]
    assert run("visualize", "--gallery", "fire2", *words) == 130
    assert f"shows {len(channels)} channels" in capsys.readouterr().out
    page = (tmp_path / "fire2.html").read_text(encoding="utf-8")
    assert (
        page.count("<figure>") == len(channels) and f"for {reached} steps" in page and "  " not in page.split("<p>")[1]
    )
    assert {p.name for p in tmp_path.glob("*.png")} == {"fire2.png", *(f"fire2-{c}.png" for c in channels)}


def test_a_gallery_of_nothing_is_not_written(toy, interrupt, tmp_path, capsys):
    interrupt(gallery, "optimise_channels", 0)
    assert run("visualize", "--gallery", "fire2", "--size", 32, "--steps", 2, "--out", tmp_path) == 130
    assert "nothing was finished yet" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_style_is_kept_and_so_are_frames(toy, interrupt, tmp_path, capsys):
    interrupt(optimize, "ascend", 1)
    words = ["--size", 32, "--steps", 40, "--out"]
    hopper = ["--content", "grace_hopper", "--style", "grace_hopper"]
    assert run("style", *hopper, *words, tmp_path / "styled.png") == 130
    assert max(images.read(tmp_path / "styled.png").shape) == 32
    frames = ["--objective", "channel:fire2:1", "--to", "channel:fire2:2", "--frames", 3]
    assert run("visualize", *frames, *words, tmp_path) == 130
    assert "after 32 steps" in capsys.readouterr().out
    with Image.open(tmp_path / "channel-fire2-1-to-channel-fire2-2.webp") as film:
        assert film.n_frames == 4
