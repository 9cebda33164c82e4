import re
from base64 import b64decode, b64encode
from io import BytesIO

import numpy as np
from PIL import Image

from theodolite.core import svg


def test_a_slim_figure_keeps_the_scale_of_its_letters():
    head = b'<g transform="translate(35.215283 198.339842) scale(0.015625)">'
    drawn = head + b'\n  <!-- a -->\n <path d="M 0.123456 1 \nL 2 3.5"/>\n</g>'
    slim = b'<g transform="translate(35.21 198.33) scale(0.015625)"><path d="M 0.12 1 L 2 3.5"/></g>'
    assert svg.slim(drawn) == slim


def test_a_slim_figure_says_the_style_of_equal_marks_once():
    marks = b'<use xlink:href="#m" x="1" style="fill: #000"/><use xlink:href="#m" x="2" style="fill: #000"/>'
    once = b'<g style="fill: #000"><use href="#m" x="1"/><use href="#m" x="2"/></g>'
    other = b'<use xlink:href="#m" x="3" style="fill: #fff"/>'
    assert svg.slim(marks + other) == once + other.replace(b"xlink:", b"")
    nested = b'<g><g id="patch_1"><use href="#a"/></g><g style="fill: #000"><g><use href="#b"/></g></g></g><g id="b"/>'
    assert svg.slim(nested) == b'<use href="#a"/><g style="fill: #000"><use href="#b"/></g>'
    clipped = b'<path d="M 1.234 2.04 L 3.06 4.008" clip-path="url(#a)"/><use href="#m" x="1.25" y="3.00"/>'
    shorter = b'<path d="M 1.2 2 L 3 4" clip-path="url(#a)"/><use href="#m" x="1.2" y="3"/>'
    assert svg.slim(clipped) == shorter
    look = b' style="fill: none; stroke: #000"/>'
    lines = b'<path d="M 0 1 L 0 2 "' + look + b'<path d="M 3 1 L 3 2 "' + look
    assert svg.slim(lines) == b'<path d="M 0 1 L 0 2 M 3 1 L 3 2 "' + look
    letter = b'<use xlink:href="#DejaVuSans-61" transform="translate(61.5 0)"/>'
    assert svg.slim(letter) == b'<use href="#D61" x="61"/>'


def test_a_photograph_becomes_webp_and_a_map_of_few_colours_stays():
    pixels = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
    for picture, kind in ((pixels, b"webp"), (pixels // 255, b"png")):
        drawn = BytesIO()
        Image.fromarray(picture).save(drawn, "PNG")
        inside = b'<image xlink:href="data:image/png;base64,' + b64encode(drawn.getvalue()) + b'"/>'
        found = re.fullmatch(rb'<image xlink:href="data:image/(\w+);base64,([^"]*)"/>', svg.slim(inside))
        assert found and found[1] == kind and Image.open(BytesIO(b64decode(found[2]))).size == (96, 96)
