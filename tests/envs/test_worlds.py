"""Worlds as environments, and decision processes as worlds: the same probabilities, rewards and ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core.errors import UserError
from theodolite.envs import registry, tabular, world_env, worlds


@pytest.mark.parametrize("told", [worlds.cliff(slip=0.3), worlds.garnet(seed=1)], ids=["grid", "process"])
def test_the_environment_moves_and_pays_as_the_world_does(told):
    env, draws = world_env.environment(told), 4_000
    step = jax.jit(jax.vmap(env.step, (0, None, None)))
    for state in (0, len(told.reward) // 2):
        for action in range(len(told.world.actions)):
            keys = jax.random.split(jax.random.key(state + action), draws)
            after, out = step(keys, jnp.int32(state), jnp.int32(action))
            row = told.world.transition[[state * len(told.world.actions) + action]].toarray()[0]
            np.testing.assert_allclose(np.bincount(after, minlength=len(row)) / draws, row, atol=0.04)
            np.testing.assert_allclose(out.reward, told.reward[np.asarray(after)], rtol=1e-6)
            np.testing.assert_array_equal(out.terminated, told.world.over[np.asarray(after)])
            np.testing.assert_array_equal(out.last_obs, told.obs[np.asarray(after)])
    starts, _ = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), draws))
    np.testing.assert_allclose(np.bincount(starts, minlength=len(told.reward)) / draws, told.world.begin, atol=0.04)


def test_a_process_keeps_its_probabilities_and_rewards():
    mdp, _ = tabular.rewarded_loop(jax.random.key(0))
    told = worlds.loop(seed=0)
    where = told.obs.argmax(1)
    landed = told.world.transition.toarray() @ told.obs
    matrix = landed.reshape(len(where), 4, 16)
    np.testing.assert_allclose(matrix, np.asarray(mdp.transition)[where], atol=1e-6)
    paid = (told.world.transition @ told.reward).reshape(-1, 4)
    np.testing.assert_allclose(paid, np.broadcast_to((where == 0)[:, None], paid.shape), atol=1e-12)
    np.testing.assert_array_equal(sum(mask.astype(int) for mask in told.world.events.values()), 1)


def test_many_rewards_are_told_in_parts_of_their_range():
    told = worlds.garnet()
    assert len(told.world.events) == worlds.LEVELS + 1
    np.testing.assert_array_equal(sum(mask.astype(int) for mask in told.world.events.values()), 1)
    for name, mask in told.world.events.items():
        if " to " in name:
            low, high = (float(v) for v in name.removeprefix("be paid ").split(" to "))
            assert np.all((told.reward[mask] >= low - 0.01) & (told.reward[mask] <= high + 0.01))


def test_worlds_are_made_by_their_ids_with_their_options():
    assert registry.make("TenGrid-v0", slip=0.2, start=[9, 0]).space.obs.shape == (85,)
    with pytest.raises(UserError, match="no option 'slop'"):
        registry.make("TenGrid-v0", slop=0.2)
    with pytest.raises(UserError, match="two whole numbers"):
        registry.make("TenGrid-v0", start=[9])
