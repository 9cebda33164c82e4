"""The door to gymnax against gymnax's own step, and gymnax's tasks against ours; skipped where it is not installed."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core.env import EnvState
from theodolite.envs import classic, minatar
from theodolite.envs.checker import check
from theodolite.envs.registry import known_ids, make

if importlib.util.find_spec("gymnax") is None:
    pytest.skip(
        "gymnax is not installed: it asks for gymnasium < 1.4, test_gymnax_door.py stands in", allow_module_level=True
    )

import gymnax

STEPS = 400


@pytest.fixture
def usual():
    """gymnax, called directly, in the types that JAX itself allows."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def random_actions(env, params, keys: jax.Array) -> jax.Array:
    return jax.vmap(env.action_space(params).sample)(keys)


def theirs(id: str, steps: int = STEPS) -> tuple:
    """States, actions and outcomes of gymnax's own step, which resets, and of its raw step from the same states."""
    env, params = gymnax.make(id)
    keys = jax.random.split(jax.random.key(1), steps)
    actions = random_actions(env, params, jax.random.split(jax.random.key(2), steps))

    def one(state, row):
        key, action = row
        raw = env.step_env(jax.random.split(key)[0], state, action, params)
        obs, after, *rest = env.step(key, state, action, params)
        after = jax.tree.map(lambda x, like: jnp.asarray(x, jnp.asarray(like).dtype), after, state)
        return after, (state, obs, *rest, raw[:4])

    @jax.jit
    def run():
        obs, state = env.reset(jax.random.key(0), params)
        state = jax.tree.map(
            lambda x, s: jnp.asarray(x, s.dtype), state, jax.eval_shape(one, state, (keys[0], actions[0]))[1][-1][1]
        )
        return obs, jax.lax.scan(one, state, (keys, actions))[1]

    return keys, actions, *run()


@pytest.mark.parametrize(
    "id", ["CartPole-v1", "Pendulum-v1", "Breakout-MinAtar", "Asterix-MinAtar", "DeepSea-bsuite", "FrozenLake-misc"]
)
def test_the_stream_is_that_of_gymnax_s_own_step(id, usual):
    keys, actions, first, (_, obs, reward, terminated, truncated, info, _) = theirs(id)
    envs = make(f"gymnax/{id}")

    @jax.jit
    def run():
        state, seen = envs.env.reset(jax.random.key(0))
        return seen, jax.lax.scan(lambda s, row: envs.env.step(row[0], s, row[1]), state, (keys, actions))[1]

    seen, out = run()
    space = envs.space.obs

    def read(x):
        return jax.nn.one_hot(x, space.shape[0]) if id.startswith("FrozenLake") else x.reshape(-1, *space.shape)

    np.testing.assert_allclose(seen, read(first[None])[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(out.obs, read(obs), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(out.last_obs, read(info["final_observation"]), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(out.reward, reward, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(out.terminated, terminated)
    np.testing.assert_array_equal(out.truncated, truncated & ~terminated)
    assert (out.terminated | out.truncated).any()


CLASSIC = {
    "CartPole-v1": (classic.cartpole, lambda s: jnp.stack([s.x, s.x_dot, s.theta, s.theta_dot], -1)),
    "Acrobot-v1": (
        classic.acrobot,
        lambda s: jnp.stack([s.joint_angle1, s.joint_angle2, s.velocity_1, s.velocity_2], -1),
    ),
    "MountainCar-v0": (classic.mountain_car, lambda s: jnp.stack([s.position, s.velocity], -1)),
    "Pendulum-v1": (classic.pendulum, lambda s: jnp.stack([s.theta, s.theta_dot], -1)),
}


@pytest.mark.parametrize("id", CLASSIC)
def test_our_classic_tasks_step_as_gymnax_s_from_the_same_states(id, usual):
    make_ours, convert = CLASSIC[id]
    keys, actions, _, (states, *_, (obs, _, reward, terminated)) = theirs(id)
    _, ours = jax.jit(jax.vmap(make_ours().step))(keys, convert(states), actions)
    np.testing.assert_allclose(ours.last_obs, obs, rtol=1e-4, atol=2e-5)
    np.testing.assert_allclose(ours.reward, reward, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(ours.terminated, terminated)


def breakout(s) -> EnvState:
    dx, dy = jnp.array([-1, 1, 1, -1]), jnp.array([-1, -1, 1, 1])
    return minatar.Breakout(
        s.ball_x, s.ball_y, dx[s.ball_dir], dy[s.ball_dir], s.last_x, s.last_y, s.pos, s.brick_map > 0, s.strike > 0
    )


def asterix(s) -> EnvState:
    x, _, to_right, gold, there = s.entities.T
    clocks = (s.spawn_speed, s.spawn_timer, s.move_speed, s.move_timer, s.ramp_timer, s.ramp_index)
    return minatar.Asterix(s.player_x, s.player_y, there > 0, x, to_right > 0, gold > 0, *clocks)


@pytest.mark.parametrize(("name", "convert"), [("Breakout", breakout), ("Asterix", asterix)])
def test_our_games_step_as_gymnax_s_from_the_same_states(name, convert, usual):
    keys, actions, _, (states, *_, (obs, _, reward, terminated)) = theirs(f"{name}-MinAtar", 2_000)
    env = minatar.env(name)
    start = jax.vmap(convert)(states)
    _, ours = jax.jit(jax.vmap(env.step))(keys, (start, jnp.zeros(len(keys), jnp.int32)), actions)
    drawn = np.asarray(states.spawn_timer) == 0 if name == "Asterix" else np.zeros(len(keys), bool)
    assert reward.sum() > 0 and terminated.sum() > 5 and drawn.mean() < 0.3
    np.testing.assert_array_equal(ours.last_obs[~drawn], obs[~drawn])  # an arrival has random numbers of its own
    np.testing.assert_array_equal(ours.reward[~drawn], reward[~drawn])
    np.testing.assert_array_equal(ours.terminated[~drawn], terminated[~drawn])
    assert make(f"gymnax/{name}-MinAtar").space == make(f"MinAtar/{name}-v1").space


@pytest.mark.parametrize("id", ["CartPole-v1", "SpaceInvaders-MinAtar", "FourRooms-misc", "BernoulliBandit-misc"])
def test_the_contract_holds(id):
    check(make(f"gymnax/{id}", 3), steps=60)


def test_known_ids_and_options():
    assert {"gymnax/Freeway-MinAtar", "gymnax/DeepSea-bsuite"} <= set(known_ids())
    assert "gymnax/MNISTBandit-bsuite" not in known_ids()
    assert make("gymnax/DeepSea-bsuite", size=5).space.obs.shape == (25,)
    assert make("gymnax/Breakout-MinAtar", use_minimal_action_set=False, sticky=0.1).space.action.num == 6
