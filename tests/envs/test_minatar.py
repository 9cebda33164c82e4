"""MinAtar's games step by step against the original, with the numbers that the original drew."""

import jax
import jax.numpy as jnp
import pytest
from minatar_recording import FILE, NAMES, record
from minatar_replay import recorded, replay

from theodolite.core.errors import UserError
from theodolite.envs import minatar
from theodolite.envs.checker import check
from theodolite.envs.registry import base, make


@pytest.mark.parametrize("name", NAMES)
def test_the_recorded_games_are_the_same_here(name):
    total, ends = replay(name, recorded(name))
    assert total > 0 and (ends > 0 or name == "Freeway")


@pytest.mark.parametrize("name", NAMES)
def test_new_games_of_the_original_are_the_same_here(name):
    pytest.importorskip("minatar")
    replay(name, record(name, 2_000, seed=7))


def test_the_recording_is_small():
    assert FILE.stat().st_size <= 100_000


@pytest.mark.parametrize("name", NAMES)
def test_the_environment_keeps_the_contract(name):
    envs = make(f"MinAtar/{name}-v1", num_envs=3)
    assert envs.space.obs.dtype == "uint8" and envs.space.action.num == len(minatar.GAMES[name].actions)
    check(envs)


def test_options_change_what_they_name():
    assert base("MinAtar/Breakout-v1", minimal=False).space.action.num == 6
    with pytest.raises(UserError, match=r"has no option .stiky.\. Did you mean sticky"):
        base("MinAtar/Breakout-v1", stiky=0.1)
    sticky = base("MinAtar/Breakout-v1", sticky=1.0)
    state, _ = sticky.reset(jax.random.key(0))
    (after, last), _ = jax.jit(sticky.step)(jax.random.key(1), state, jnp.int32(2))
    assert after.paddle == 4 and last == minatar.STAY  # the last action, which was none, is played again
    plain = base("MinAtar/Breakout-v1")
    (after, last), _ = jax.jit(plain.step)(jax.random.key(1), state, jnp.int32(2))
    assert after.paddle == 5 and last == minatar.RIGHT


def test_difficulty_rises_only_if_it_may():
    move = jax.jit(minatar.asterix_move, static_argnums=3)
    speeds = {}
    for ramping in (True, False):
        state = minatar.asterix_begin(jnp.zeros(3))._replace(there=jnp.ones(8, bool))  # no room for anything to come
        for _ in range(220):
            state = move(state._replace(there=jnp.ones(8, bool), thing_x=jnp.full(8, 9)), jnp.int32(0),
                         jnp.zeros(3), ramping)[0]  # fmt: skip
        speeds[ramping] = int(state.spawn_speed), int(state.move_speed)
    assert speeds == {True: (8, 4), False: (10, 5)}
