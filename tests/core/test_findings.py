"""A run whose values explode says so; one whose values are merely high does not."""

import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core.findings import exploding
from theodolite.core.train import Chunk, Learnt


@pytest.mark.parametrize(("largest", "says"), [(2.0, ""), (1_234.0, "update 18, seed 1: values are 1,234 times")])
def test_exploding_values_are_named(largest, says):
    excess = np.full((2, 5), 0.5)
    excess[1, 2] = largest
    found = exploding(Chunk(20, Learnt(None), {"excess": jnp.asarray(excess)}))
    assert found.startswith(says) and bool(found) == bool(says)
    assert exploding(Chunk(20, Learnt(None), {"loss": jnp.asarray(excess)})) == ""
