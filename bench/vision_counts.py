"""How often the two packaged classifiers name the animal in photographs that neither was trained on.

The photographs are those of Debian's package gcompris-qt-data, read out of its resource files where the package is
installed, or out of a folder it was unpacked into (`dpkg -x`). Of the activities `erase` and `explore_world_animals`,
all animals count whose kind is a class of ImageNet's; the centre square is resized to the network's own size.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from harness import arguments, bar, finish

from theodolite.interpret.vision import images, models

RESOURCES = Path("usr/share/gcompris-qt/rcc")
ANIMALS = {
    "erase": {
        "gorilla": (366,), "penguin": (145,), "nubian_ibex": (350,), "camels": (354,), "macaque": (373,),
        "long_nosed_monkey": (376,), "heron": (131, 132), "chamaeleon": (40, 47), "gibbon": (368,),
        "crab": (118, 119, 120, 121), "toucan": (96,), "horse": (339,), "alpaca": (355,), "cheetah": (293,),
        "butterfly": (321, 322, 323, 324, 325, 326), "bee": (309,), "meerkats": (299,), "red_panda": (387,),
        "kitten": (281, 282, 283, 284, 285), "squirrel": (335,), "spoonbills": (129,),
    },
    "explore_world_animals": {
        "crocodile": (49, 50), "koala": (105,), "bison": (347,), "dragon": (48,), "jaguar": (290,), "kangaroo": (104,),
        "panda": (388,), "chameleon": (40, 47), "lemur": (383,), "polar_bear": (296,), "scarlet_macaw": (88,),
    },
}  # fmt: skip
"""Activity -> photograph -> classes that are right."""
BARS = {"efficientnet_lite0": 25, "squeezenet": 22}
"""Network -> photographs out of 32 that it must name, as found with another implementation."""


def members(content: bytes) -> Iterator[tuple[str, bytes]]:
    """(path, content) of every uncompressed file in a Qt resource file of version 3."""
    magic, version, tree, data, names = struct.unpack_from(">4s4I", content)
    if (magic, version) != (b"qres", 3):
        raise SystemExit(f"a Qt resource file of version 3 was expected, found {magic!r} {version}.")

    def walk(node: int, path: str) -> Iterator[tuple[str, bytes]]:
        at = tree + 22 * node
        name_at, flags = struct.unpack_from(">IH", content, at)
        (length,) = struct.unpack_from(">H", content, names + name_at)
        name = content[names + name_at + 6 : names + name_at + 6 + 2 * length].decode("utf-16-be")
        path = f"{path}/{name}" if node else ""
        if flags & 2:
            count, first = struct.unpack_from(">II", content, at + 6)
            for child in range(first, first + count):
                yield from walk(child, path)
        elif not flags & 1:
            (start,) = struct.unpack_from(">I", content, at + 10)
            (size,) = struct.unpack_from(">I", content, data + start)
            yield path, content[data + start + 4 : data + start + 4 + size]

    yield from walk(0, "")


def photographs(root: Path) -> Iterator[tuple[str, tuple[int, ...], np.ndarray]]:
    """Name, right classes and pixels of every photograph."""
    for activity, animals in ANIMALS.items():
        file = root / RESOURCES / f"{activity}.rcc"
        if not file.is_file():
            raise SystemExit(f"{file} is not there: apt-get install gcompris-qt-data, or unpack it and pass --root.")
        found = {Path(path).name: content for path, content in members(file.read_bytes())}
        for name, classes in animals.items():
            yield name, classes, images.decode(found[f"{name}.webp"], name, as_rgb=True)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--root", type=Path, default=Path("/"), help="folder into which the package is unpacked")
    options = parser.parse_args()
    load, photos, right = os.getloadavg()[0], list(photographs(options.root)), {}
    rows: list[tuple] = [("network", "top-1", "top-5", "of")]
    for name in BARS:
        network = models.load(name)
        logits = jax.jit(lambda params, x, apply=network.apply: apply(params, x)["logits"][0, 0, 0])
        ranks = {}
        for photo, classes, pixels in photos:
            scores = np.asarray(logits(network.params, images.square(pixels, network.size)[None]))
            order = np.argsort(-scores)
            rank = int(np.flatnonzero(np.isin(order, classes))[0])
            ranks[photo] = {"rank": rank, "says": network.classes[order[0]]}
        right[name] = ranks
        rows.append((name, *(sum(r["rank"] < k for r in ranks.values()) for k in (1, 5)), len(ranks)))
    bars = [bar(f"{n}: {top} of {of} named, expected {BARS[n]}", top >= BARS[n]) for n, top, _, of in rows[1:]]
    found = {"what": "Animals named by the packaged classifiers", "ranks": right, "load_before": load, "bars": bars}
    finish("vision_counts", found, rows)


if __name__ == "__main__":
    main()
