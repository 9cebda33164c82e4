"""A network and the copy that follows it: Adam's first step, and moves when and as far as they are due."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.control import target_network

C = target_network.Settings(learning_rate=0.1, max_gradient_norm=1e9)
NET = {"weight": jnp.array([1.0, -2.0]), "bias": jnp.array(0.5)}
SLOPE = {"weight": jnp.array([3.0, -0.2]), "bias": jnp.array(1e-3)}


@pytest.mark.parametrize(("every", "share", "moved"), [(1, 1.0, 1.0), (1, 0.25, 0.25), (2, 1.0, 0.0)])
def test_the_target_network_moves_when_it_is_told_to(every, share, moved):
    c = replace(C, target_every=every, target_share=share)
    before = target_network.fresh(c, NET)
    after = jax.jit(target_network.step)(c, before, SLOPE)
    assert after.updates == 1
    for name in NET:  # Adam's first step is the sign of the gradient
        np.testing.assert_allclose(after.net[name], NET[name] - 0.1 * np.sign(SLOPE[name]), rtol=1e-4)
        wanted = NET[name] + moved * (after.net[name] - NET[name])
        np.testing.assert_allclose(after.target[name], wanted, rtol=1e-6)
    again = jax.jit(target_network.step)(c, after, SLOPE)
    assert (again.target["weight"] == again.net["weight"]).all() == (share == 1)  # the second step moves every copy


def test_the_gradient_is_clipped_as_a_whole():
    c = replace(C, max_gradient_norm=1e-3, adam_epsilon=1.0)  # with a large ε steps are as long as the gradient
    after = target_network.step(c, target_network.fresh(c, NET), SLOPE)
    moved = np.concatenate([np.ravel(after.net[n] - NET[n]) for n in ("weight", "bias")])
    slope = np.concatenate([np.ravel(SLOPE[n]) for n in ("weight", "bias")])
    np.testing.assert_allclose(moved, -0.1 * 1e-3 * slope / np.linalg.norm(slope), rtol=2e-2, atol=2e-7)
