"""Random MDPs are what they say, and the environment moves and pays as the tables do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core.errors import UserError
from theodolite.envs import tabular


@pytest.mark.parametrize("branching", [1, 3, 8])
def test_random_mdps_have_distinct_successors_and_normalised_rows(branching):
    mdp = tabular.random_mdp(jax.random.key(branching), 8, 3, branching=branching, discount=0.95)
    np.testing.assert_allclose(mdp.transition.sum(-1), 1, atol=1e-6)
    np.testing.assert_array_equal((np.asarray(mdp.transition) > 0).sum(-1), branching)
    np.testing.assert_allclose(mdp.initial.sum(), 1, atol=1e-6)
    assert np.all(np.asarray(mdp.initial) > 0)
    assert float(mdp.discount) == pytest.approx(0.95)


@pytest.mark.parametrize("branching", [0, 9])
def test_an_impossible_branching_is_refused(branching):
    with pytest.raises(UserError, match="num_states = 8"):
        tabular.random_mdp(jax.random.key(0), 8, 2, branching=branching)


def test_the_environment_follows_the_tables():
    mdp = tabular.random_mdp(jax.random.key(0), 5, 2, branching=2)
    reward = jax.random.normal(jax.random.key(1), (5, 2))
    env = tabular.env(mdp, reward)
    starts, obs = jax.vmap(env.reset)(jax.random.split(jax.random.key(2), 4_000))
    np.testing.assert_array_equal(jnp.argmax(obs, -1), starts)
    np.testing.assert_allclose(np.bincount(starts, minlength=5) / 4_000, mdp.initial, atol=0.04)
    for state in range(5):
        for action in range(2):
            step = jax.vmap(lambda key, s=state, a=action: env.step(key, jnp.int32(s), jnp.int32(a)))
            after, out = step(jax.random.split(jax.random.key(10 * state + action), 4_000))
            np.testing.assert_allclose(
                np.bincount(after, minlength=5) / 4_000, mdp.transition[state, action], atol=0.04
            )
            np.testing.assert_allclose(out.reward, reward[state, action])
            np.testing.assert_array_equal(out.last_obs, jax.nn.one_hot(after, 5))
            assert not np.any(out.terminated) and not np.any(out.truncated)
    assert env.space.obs.shape == obs.shape[1:] and env.space.action.num == 2
