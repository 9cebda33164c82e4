"""The words of environments: every step is one outcome, and situations are where their words say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.envs import registry
from theodolite.interpret import contrastive_sampled as sampled
from theodolite.interpret import outcomes


@pytest.mark.parametrize("id", ["CartPole-v1", "MountainCar-v0", "Acrobot-v1", "PointMaze-WayLeft-v0"])
def test_every_step_is_one_outcome_and_every_thing_a_measure(id):
    spoken, env = outcomes.SPOKEN[id], registry.base(id)
    state, obs = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 16))
    table = sampled.actions(spoken)
    assert table.shape[0] == len(spoken.actions)
    _, out = jax.vmap(env.step)(jax.random.split(jax.random.key(1), 16), state, jnp.repeat(table[:1], 16, 0))
    events = sampled._events(list(spoken.outcomes.values()), out.last_obs, out.terminated, out.truncated)
    np.testing.assert_array_equal(events.sum(1), 1)
    for measure in spoken.things.values():
        assert measure(obs).shape == (16,) and np.isfinite(measure(obs)).all()


def test_situations_are_where_their_words_say():
    cart = outcomes.CARTPOLE.things
    obs = jnp.zeros((5, 4)).at[:, 0].set(jnp.asarray([-2.0, -1.5, 0.0, 1.5, 2.0]))
    np.testing.assert_array_equal(cart["left-end"](obs) <= 0, [True, False, False, False, False])
    np.testing.assert_array_equal(cart["left-end"](obs) <= 1, [True, True, False, False, False])
    np.testing.assert_array_equal(cart["right-end"](obs) <= 0, [False, False, False, False, True])
    np.testing.assert_array_equal(cart["middle"](obs) <= 0, [False, False, True, False, False])
    hanging, up = jnp.asarray([[1.0, 0, 1, 0, 0, 0]]), jnp.asarray([[-1.0, 0, 1, 0, 0, 0]])
    acrobot = outcomes.ACROBOT.things
    assert acrobot["hanging"](hanging) <= 0 < acrobot["halfway"](hanging)
    assert acrobot["halfway"](up) <= 0 < acrobot["hanging"](up)
