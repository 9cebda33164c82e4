"""The gallery: every channel its own picture, crops where photographs excite it, one file that holds all."""

from html.parser import HTMLParser

import jax.numpy as jnp
import numpy as np

from theodolite.interpret.vision import gallery, network, parameterizations, transforms
from theodolite.interpret.vision.optimize import Config

NET = network.of_function(lambda x: {"colours": jnp.concatenate([x, 1 - x[..., :1]], -1)}, "toy", 12)


def test_channels_in_batches_show_each_its_own():
    """Red, green and blue excite the channels of the same names, and the fourth wants no red."""
    made = parameterizations.pixels(6)
    found = {}
    config = Config(steps=40, every=40, learning_rate=0.2)
    for own, chunk in gallery.optimise_channels(NET, "colours", range(4), made, config, transforms.none(), batch=3):
        found |= {c: picture.mean((0, 1)) for c, picture in zip(own, chunk.images, strict=False)}
    assert list(found) == [0, 1, 2, 3]
    for channel in range(3):
        others = np.delete(found[channel], channel)
        assert found[channel][channel] > 0.9 and np.allclose(others, 0.5, atol=0.02)
    assert found[3][0] < 0.1


def test_crops_lie_where_the_photograph_excites():
    dark, bright = np.zeros((24, 24, 3), np.float32), np.zeros((24, 24, 3), np.float32)
    bright[16:20, 4:8, 1] = 1
    crops = gallery.best_crops(NET, "colours", [dark, bright], num=2)
    assert len(crops) == 4 and [len(c) for c in crops] == [2] * 4
    assert crops[1][0].shape == (4, 4, 3) and crops[1][0][..., 1].max() > 0.8 and crops[1][1].max() == 0


class Reader(HTMLParser):
    """Addresses of pictures and the text."""

    def __init__(self):
        super().__init__()
        self.pictures, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            assert dict(attrs)["alt"]
            self.pictures.append(dict(attrs)["src"])

    def handle_data(self, data):
        self.text += data


def test_the_page_holds_its_pictures_and_escapes_names():
    picture = np.full((8, 8, 3), 0.5, np.float32)
    reader = Reader()
    reader.feed(gallery.page(NET, "<colours>", [gallery.Entry(3, picture, [picture])], "about & more"))
    assert len(reader.pictures) == 2 and all(p.startswith("data:image/jpeg;base64,") for p in reader.pictures)
    assert "<colours>:3" in reader.text and "about & more" in reader.text
