"""Photographs in and pictures out: exact round trips, light against the standard's table, and every bad file."""

import io
import struct
import zlib

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from theodolite.core.errors import UserError
from theodolite.interpret.vision import images


@pytest.fixture
def colours():
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def file(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def deep_png(side=16, value=0x8040):
    """A PNG of three colours of 16 bits, which Pillow can read but not write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + struct.pack(">H", value) * 3 * side
    header = struct.pack(">IIBBBBB", side, side, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row * side)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_a_saved_picture_is_read_back_exactly(name, colours, tmp_path):
    picture = (colours / 255).astype("f4")
    images.save(tmp_path / name, jnp.asarray(picture))
    np.testing.assert_array_equal(images.read(tmp_path / name), picture)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_jpeg_is_turned_upright(colours, tmp_path):
    smooth = np.broadcast_to(np.linspace(0, 255, 64, dtype="u1")[None, :, None], (32, 64, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    found = images.decode(file(Image.fromarray(smooth.copy()), "JPEG", exif=exif, quality=95), "a.jpg")
    assert found.shape == (64, 32, 3)
    np.testing.assert_allclose(found, np.broadcast_to(np.linspace(0, 1, 64)[:, None, None], (64, 32, 3)), atol=0.02)


def test_colours_behind_a_palette_or_an_opaque_alpha_are_colours(colours):
    opaque = np.concatenate([colours, np.full((20, 30, 1), 255, "u1")], -1)
    np.testing.assert_array_equal(images.decode(file(Image.fromarray(opaque)), "a"), (colours / 255).astype("f4"))
    palette = Image.fromarray(colours).quantize(16)
    np.testing.assert_array_equal(images.decode(file(palette), "a") * 255, np.asarray(palette.convert("RGB")))


GREY = np.arange(400, dtype="u1").reshape(20, 20)
HALF = np.dstack([np.full((16, 16, 3), 100, "u1"), np.full((16, 16), 51, "u1")])
ODD = {
    "grey": (lambda: file(Image.fromarray(GREY)), "is grey", lambda x: np.array_equal(x[..., 1] * 255, GREY)),
    "transparent": (lambda: file(Image.fromarray(HALF)), "is transparent in places", lambda x: (x == 224 / 255).all()),
    "16-bit grey": (
        lambda: file(Image.fromarray(GREY.astype("u2") * 257)),
        "has 16 bits or more",
        lambda x: np.array_equal(x[..., 2] * 255, GREY),
    ),
    "16-bit colour": (deep_png, "has 16 bits or more", lambda x: (x == 128 / 255).all()),
    "one bit": (
        lambda: file(Image.fromarray(GREY > 100)),
        "is grey",
        lambda x: np.array_equal(x[..., 0] == 1, GREY > 100),
    ),
    "cmyk": (lambda: file(Image.new("CMYK", (16, 16)), "TIFF"), "has the colours CMYK", lambda x: (x == 1).all()),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_has_not_three_colours_of_8_bits_is_refused_or_converted_when_asked(kind):
    make, says, right = ODD[kind]
    with pytest.raises(UserError, match=f"a.png {says}.*, expected three colours of 8 bits each. .*as_rgb=True"):
        images.decode(make(), "a.png")
    assert right(images.decode(make(), "a.png", as_rgb=True))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", r"is no image that can be read\. Give"),
        (b"%PDF-1.4 something", "is no image"),
        (file(Image.new("RGB", (64, 64)))[:60], "is damaged or cut short"),
        (file(Image.effect_noise((64, 64), 50).convert("RGB"), "JPEG")[:700], "is damaged or cut short"),
        (file(Image.new("RGB", (1, 200))), "is 1x200 pixels, expected at least 16"),
        (file(Image.new("F", (20, 20)), "TIFF"), "has fractions for colours"),
    ],
)
def test_what_is_no_photograph_is_refused(content, says, tmp_path):
    (tmp_path / "photo.png").write_bytes(content)
    with pytest.raises(UserError, match=f"photo.png {says}"):
        images.read(tmp_path / "photo.png")


def test_an_image_that_would_fill_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UserError, match="is no image that can be read"):
        images.decode(file(Image.new("RGB", (20, 20))), "bomb.png")


def test_absent_files_and_names(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"chelsee cannot be read \(No such file.*Did you mean chelsea"):
        images.read("chelsee")
    with pytest.raises(UserError, match="cannot be read"):
        images.read(tmp_path)
    monkeypatch.setattr(images, "find_spec", lambda module: None)
    with pytest.raises(UserError, match="comes in the package scikit-image: pip install scikit-image"):
        images.read("coffee")
    assert images.photos() == []


def test_packaged_photographs_are_read_without_importing_their_packages():
    assert "grace_hopper" in images.photos(), "matplotlib's, which is always there"
    assert images.read("grace_hopper").shape == (600, 512, 3)


def test_squares_are_of_the_middle():
    wide = np.zeros((20, 60, 3), "f4")
    wide[:, 20:40] = 1
    np.testing.assert_array_equal(images.square(wide, 20), np.ones((20, 20, 3)))
    assert images.resized(wide, (10, 15)).shape == (10, 15, 3)


@pytest.mark.parametrize("name", ["a.png", "a.apng", "a.webp", "a.gif"])
def test_an_animation_has_its_frames_and_repeats(name, tmp_path):
    frames = np.linspace(0, 1, 4)[:, None, None, None] * np.ones((4, 24, 24, 3))
    images.animate(tmp_path / name, frames, 0.2)
    with Image.open(tmp_path / name) as found:
        assert found.n_frames == 4 and found.info.get("loop") == 0
        for i in range(4):
            found.seek(i)
            np.testing.assert_allclose(np.asarray(found.convert("RGB")) / 255, frames[i], atol=0.05)
            assert found.info["duration"] == 200


def test_a_contact_sheet_has_its_pictures_in_rows():
    pictures = np.linspace(0, 1, 5)[:, None, None, None] * np.ones((5, 12, 20, 3))
    sheet = images.sheet(pictures, columns=3, gap=2)
    assert sheet.shape == (2 * 14 + 2, 3 * 22 + 2, 3)
    for i in range(5):
        top, left = 2 + i // 3 * 14, 2 + i % 3 * 22
        np.testing.assert_allclose(sheet[top : top + 12, left : left + 20], pictures[i], atol=1 / 255)
    assert (sheet[16:28, 46:66] == 1).all(), "the place that is left over is white"
    captioned = images.sheet(pictures, columns=3, gap=2, captions=["12", "13"])
    assert (
        captioned.shape[0] > sheet.shape[0]
        and captioned[14:28, 2:22].min() < 0.5
        and captioned[14:28, 46:66].min() == 1
    )


def test_pictures_that_cannot_be_written_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"the ending '.bmp' says no kind of picture, expected .png"):
        images.save(tmp_path / "a.bmp", np.zeros((4, 4, 3)))
    with pytest.raises(UserError, match="values that are not finite"):
        images.save(tmp_path / "a.png", np.full((4, 4, 3), np.nan))
    with pytest.raises(UserError, match="at least one frame"):
        images.animate(tmp_path / "a.gif", [])
    with pytest.raises(UserError, match="one size, found 4x4, 5x4"):
        images.sheet([np.zeros((4, 4, 3)), np.zeros((4, 5, 3))])
    with pytest.raises(UserError, match="found no picture"):
        images.sheet([])
    assert not list(tmp_path.iterdir())
