"""The contract's programs draw lightly."""

from functools import partial

import jax
import pytest
from light import LIGHT


@pytest.fixture(scope="module", autouse=True)
def light_numbers():
    """Every new key is of the light generator."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.random, "key", partial(jax.random.key, impl=LIGHT))
        yield
