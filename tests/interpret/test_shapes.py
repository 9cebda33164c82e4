"""Charts of the procedural shapes: they do not overlap, and they keep their distance in the atlas."""

import numpy as np
import pytest

from theodolite.interpret.vision import shapes
from theodolite.interpret.vision.rasterise import baked


@pytest.mark.parametrize("name", ["blob", "teapot"])
def test_charts_do_not_overlap(name):
    m = shapes.shape(name, detail=6)
    a, b, c = m.uv[m.faces].astype(float).transpose(1, 0, 2)
    areas = np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]).sum() / 2
    _, painted = baked(m, 256)
    assert painted.mean() == pytest.approx(areas, abs=0.01)  # overlapping charts would paint less than they measure


@pytest.mark.parametrize("name", ["blob", "teapot"])
def test_a_lookup_never_reads_another_chart(name):
    m = shapes.shape(name, detail=6)
    _, painted = baked(m, 128)
    columns = ~painted.any(0)
    assert columns[[0, -1]].all()  # a free texel at each end of the texture, so two where it wraps
    assert not painted[[0, -1]].any()


def test_the_teapot_has_a_spout_and_a_handle_and_is_symmetric():
    v = shapes.teapot(4).vertices
    mirrored = v * np.array([1, 1, -1], np.float32)
    nearest = np.sqrt(((v[:, None] - mirrored[None]) ** 2).sum(-1)).min(1)
    assert nearest.max() < 0.02
    assert v[v[:, 0] > 0.8][:, 2].max() < 0.1 and v[v[:, 0] < -0.8][:, 2].max() < 0.12  # both ends are slim
