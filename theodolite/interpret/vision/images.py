"""Photographs in, pictures out: files read into arrays of sRGB between 0 and 1, and arrays written as files.

A name stands for a photograph inside an installed package, which is read without being imported: `read("chelsea")`.
"""

import struct
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Array, Float
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from theodolite.core import files
from theodolite.core.errors import UserError, nearest

Pixels = Float[np.ndarray, "H W 3"]
Picture = Float[np.ndarray, "height width channels"] | Float[Array, "height width channels"]
"""Of 3 channels, or of 4 with alpha last."""
Pictures = Sequence[np.ndarray | Array] | np.ndarray | Array
SMALLEST = 16
"""Pixels on the shorter side below which a file is hardly a photograph."""
_SKIMAGE, _SKLEARN = "skimage/data", "sklearn/datasets/images"
PHOTOS = {
    "astronaut": f"{_SKIMAGE}/astronaut.png",
    "chelsea": f"{_SKIMAGE}/chelsea.png",
    "coffee": f"{_SKIMAGE}/coffee.png",
    "hubble": f"{_SKIMAGE}/hubble_deep_field.jpg",
    "motorcycle": f"{_SKIMAGE}/motorcycle_left.png",
    "retina": f"{_SKIMAGE}/retina.jpg",
    "rocket": f"{_SKIMAGE}/rocket.jpg",
    "brick": f"{_SKIMAGE}/brick.png",
    "grass": f"{_SKIMAGE}/grass.png",
    "gravel": f"{_SKIMAGE}/gravel.png",
    "china": f"{_SKLEARN}/china.jpg",
    "flower": f"{_SKLEARN}/flower.jpg",
    "grace_hopper": "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
}
"""Name -> file inside a package; scikit-image is in the extra `vision`, scikit-learn is not."""
GREY = {"brick", "grass", "gravel"}
"""Photographs of textures, without colour."""


def photos() -> list[str]:
    """The names of photographs whose packages are installed."""
    return [name for name in PHOTOS if _installed(name)]


def _installed(name: str) -> Path | None:
    module, _, rest = PHOTOS[name].partition("/")
    spec = find_spec(module)
    places = [Path(place) / rest for place in (spec.submodule_search_locations or [])] if spec else []
    return next((path for path in places if path.is_file()), None)


def read(path_or_name: str | Path, as_rgb: bool = False, told: Callable[[str], None] | None = None) -> Pixels:
    """A photograph by name or from a PNG, JPEG, WebP or other file, turned upright.

    With `as_rgb`, grey is repeated, what is transparent is laid on white, and 16 bits are rounded to 8; `told` hears
    of it in a sentence.

    Raises:
        UserError: there is no such file or name, the file is no image or damaged, or has not three colours of 8 bits.
    """
    name = str(path_or_name)
    if name in PHOTOS and not Path(name).is_file():
        path, as_rgb = _installed(name), as_rgb or name in GREY
        if path is None:
            module = PHOTOS[name].split("/")[0]
            package = {"skimage": "scikit-image", "sklearn": "scikit-learn"}.get(module, module)
            raise UserError(f"the photograph {name!r} comes in the package {package}: pip install {package}.")
        return decode(path.read_bytes(), name, as_rgb, told)
    try:
        content = Path(name).read_bytes()
    except OSError as error:
        hint = nearest(name, PHOTOS)
        raise UserError(f"the image {name} cannot be read ({error.strerror or error}).{hint}") from error
    return decode(content, name, as_rgb, told)


CONVERTED = {
    "is grey": "is grey: its three channels are equal.",
    "is transparent in places": "is transparent in places: it is laid on white.",
    "has 16 bits or more per colour": "has 16 bits or more per colour: they are rounded to 8.",
}
"""What an image is -> what is done about it."""


def decode(content: bytes, name: str, as_rgb: bool = False, told: Callable[[str], None] | None = None) -> Pixels:
    """The image in the bytes of a file; `name` stands in errors.

    Raises:
        UserError: as `read`.
    """
    try:
        image = Image.open(BytesIO(content))
        image.load()
        image = ImageOps.exif_transpose(image)
    except UnidentifiedImageError as error:  # whose text names our buffer, not the file
        raise UserError(f"{name} is no image that can be read. Give a PNG, JPEG or WebP file.") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{name} is no image that can be read ({error}). Give a PNG, JPEG or WebP file.") from error
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        raise UserError(f"{name} is damaged or cut short ({error}). Get the file again.") from error
    if min(image.size) < SMALLEST:
        width, height = image.size
        raise UserError(f"{name} is {width}x{height} pixels, expected at least {SMALLEST} on each side.")
    if image.mode == "F":
        raise UserError(f"{name} has fractions for colours, expected bytes. Save it as a PNG of 8 bits.")
    kind = _not_rgb(image, content)
    if kind and as_rgb and told:
        told(f"{name} {CONVERTED.get(kind, kind + ': they are converted to red, green and blue.')}")
    if kind and not as_rgb:
        raise UserError(
            f"{name} {kind}, expected three colours of 8 bits each. Convert it, or pass as_rgb=True: grey is then "
            "repeated, what is transparent is laid on white, and 16 bits are rounded to 8."
        )
    return np.asarray(_rgb(image), np.float32) / 255


def _not_rgb(image: Image.Image, content: bytes) -> str:
    """What an image is instead, empty for 8-bit RGB, also behind a palette or an alpha channel that hides nothing."""
    deep_png = content.startswith(b"\x89PNG") and content[24] == 16  # of three colours, Pillow reads 8 bits silently
    if deep_png or image.mode.startswith("I"):
        return "has 16 bits or more per colour"
    if image.mode in ("1", "L", "LA"):
        return "is grey"
    if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
        return "is transparent in places"
    return "" if image.mode in ("RGB", "RGBA", "RGBX", "P", "PA") else f"has the colours {image.mode}"


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # Pillow's own conversion would clip at 255
        image = Image.fromarray(to_bytes(np.asarray(image, np.float64) / 65535))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def square(image: Pixels, size: int) -> Float[np.ndarray, "{size} {size} 3"]:
    """The largest square in the middle, at `size` pixels a side."""
    height, width, _ = image.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resized(image[top : top + side, left : left + side], (size, size))


def resized(image: Pixels, shape: tuple[int, int]) -> Float[np.ndarray, "Y X 3"]:
    """The image at another height and width, antialiased."""
    picture = Image.fromarray(to_bytes(image)).resize(shape[::-1], Image.Resampling.BICUBIC)
    return np.asarray(picture, np.float32) / 255


def to_bytes(image: Float[np.ndarray, "..."] | Float[Array, "..."]) -> np.ndarray:
    """Values between 0 and 1 as bytes, rounded; what lies outside is clipped.

    Raises:
        UserError: a value is not finite.
    """
    values = np.asarray(image)
    if not np.isfinite(values).all():
        raise UserError("the picture has values that are not finite, so it is not written. Lower the learning rate.")
    return np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)


def encode(image: Picture, kind: str = "PNG") -> bytes:
    """The bytes of a file with one picture."""
    buffer = BytesIO()
    Image.fromarray(to_bytes(image)).save(buffer, kind, **({"lossless": True} if kind == "WEBP" else {}))
    return buffer.getvalue()


def save(path: Path, image: Picture) -> None:
    """One picture as a PNG, JPEG or WebP file, by the ending of its name.

    Raises:
        UserError: the ending is another, or the disk is full.
    """
    kinds = {".png": "PNG", ".webp": "WEBP", ".jpg": "JPEG", ".jpeg": "JPEG"}
    files.write_bytes(path, encode(image, _kind(path, kinds)))


def animate(path: Path, frames: Pictures, seconds: float = 0.1) -> None:
    """Frames that repeat for ever, as an animated PNG, WebP or GIF file, by the ending of its name.

    Raises:
        UserError: the ending is another, there are no frames, or the disk is full.
    """
    kind = _kind(path, {".png": "PNG", ".apng": "PNG", ".webp": "WEBP", ".gif": "GIF"})
    if not len(frames):
        raise UserError(f"{path}: an animation needs at least one frame.")
    first, *rest = (Image.fromarray(to_bytes(frame)) for frame in frames)
    quality = {"quality": 90, "method": 4} if kind == "WEBP" else {}
    with files.replacing(path) as file:
        first.save(file, kind, save_all=True, append_images=rest, duration=round(1000 * seconds), loop=0, **quality)


def _kind(path: Path, kinds: dict[str, str]) -> str:
    if path.suffix.lower() not in kinds:
        raise UserError(f"{path}: the ending {path.suffix!r} says no kind of picture, expected {', '.join(kinds)}.")
    return kinds[path.suffix.lower()]


def sheet(
    pictures: Pictures,
    columns: int | None = None,
    captions: Sequence[str] = (),
    gap: int = 4,
) -> Pixels:
    """A contact sheet: pictures of one size in rows on white, a caption below each where there are captions.

    Raises:
        UserError: there are no pictures, or they differ in size.
    """
    images = [to_bytes(picture)[..., :3] for picture in pictures]
    if len({image.shape for image in images}) != 1:
        sizes = sorted({f"{i.shape[1]}x{i.shape[0]}" for i in images})
        raise UserError(f"a contact sheet needs pictures of one size, found {', '.join(sizes) or 'no picture'}.")
    height, width = images[0].shape[:2]
    columns = columns or min(len(images), max(1, round((len(images) * height / width) ** 0.5)))
    text = max(10, min(16, width // 8)) if captions else 0
    rows, cell = -(-len(images) // columns), height + (text + 6 if captions else 0)
    whole = Image.new("RGB", (columns * (width + gap) + gap, rows * (cell + gap) + gap), "white")
    draw = ImageDraw.Draw(whole)
    for i, image in enumerate(images):
        left, top = gap + i % columns * (width + gap), gap + i // columns * (cell + gap)
        whole.paste(Image.fromarray(image), (left, top))
        if i < len(captions):
            place = left + width / 2, top + height + 1
            draw.text(place, captions[i], fill="black", font=ImageFont.load_default(text), anchor="ma")
    return np.asarray(whole, np.float32) / 255
