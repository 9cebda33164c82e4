"""Seaquest: fleets are long enough for all that can be at sea, and what its rules say of six divers."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
from minatar_replay import recorded, replay
from minatar_seas import record_seas, state

from theodolite.envs.minatar import DOWN, STAY, UP
from theodolite.envs.minatar_seaquest import CREW, ENEMIES, seaquest_begin, seaquest_move

COPIES, STEPS = 32, 3_000
HARDEST = {"spawn_speed": 1, "move_speed": 2, "ramp_index": 19}


@pytest.fixture(scope="module")
def move():
    return jax.jit(partial(seaquest_move, ramping=True))


def test_what_happens_in_crowded_seas_is_the_same_here():
    total, ends = replay("Seaquest", recorded("seas"), state)
    assert total > 100 and ends > 100


def test_what_happens_in_new_seas_is_the_same_here():
    pytest.importorskip("minatar")
    replay("Seaquest", record_seas(500, seed=7), state)


def crowds(key):
    """Play on at random, dead or alive, with divers for every surfacing: how full each fleet was, and whether too full.

    In some copies everything comes from the left, so that nothing keeps anything out; in some the boat never fires.
    """
    from_left, armed = jnp.arange(COPIES) % 2 == 0, jnp.arange(COPIES) % 4 < 2

    def one(s, key):
        chance, choice = jax.random.split(key)
        draws = jax.random.uniform(chance, (COPIES, 5))
        draws = draws.at[:, jnp.array([0, 3])].multiply(jnp.where(from_left, 0.0, 1.0)[:, None])
        action = jax.random.randint(choice, (COPIES,), 0, jnp.where(armed, 6, 5))
        fleets, due = (s.enemies, s.divers, s.shots), (s.spawn_timer, s.diver_timer, s.shot_timer)
        lost = jnp.stack([f.there[:, -1] & (timer == 0) for f, timer in zip(fleets, due, strict=True)])
        s = jax.vmap(partial(seaquest_move, ramping=True))(s, action, draws)[0]
        number = jnp.stack([f.there.sum(1, dtype=jnp.int32) for f in (s.enemies, s.divers, s.shots)])
        return s._replace(aboard=jnp.full(COPIES, 3)), (number, lost)

    sea = jax.vmap(seaquest_begin)(jnp.zeros((COPIES, 5)))
    sea, (number, lost) = jax.lax.scan(one, sea, jax.random.split(key, STEPS))
    return sea, number.max((0, 2)), lost.any()


def test_no_fleet_ever_loses_what_is_still_there():
    sea, most, lost = jax.jit(crowds)(jax.random.key(0))
    assert all((getattr(sea, name) == value).all() for name, value in HARDEST.items())
    assert most.tolist() == [ENEMIES - 1, 2, 2] and not lost  # the last place is free when the next enemy comes


def test_a_crew_of_six_pays_for_the_air_and_leaves_one_fewer_than_none(move):
    nothing = jnp.full(5, 0.5)
    s = seaquest_begin(nothing)._replace(y=jnp.int32(1), at_surface=jnp.bool_(False))
    s = s._replace(aboard=jnp.int32(CREW), air=jnp.int32(159))
    s, reward, over = move(s, jnp.int32(UP), nothing)
    assert (reward, over, s.aboard, s.air) == (7, False, -1, 200)
    s, reward, over = move(move(s, jnp.int32(DOWN), nothing)[0], jnp.int32(UP), nothing)
    assert (reward, over, s.aboard, s.ramp_index) == (0, False, -2, 2)


def test_the_last_seat_is_the_newer_divers(move):
    nothing, two = jnp.full(5, 0.5), jnp.full(2, 3)
    s = seaquest_begin(nothing)._replace(x=jnp.int32(3), y=jnp.int32(3), aboard=jnp.int32(CREW - 1))
    here = s.divers._replace(there=jnp.ones(2, bool), x=two, y=two, dx=jnp.array([1, -1]), wait=two)
    s = move(s._replace(divers=here), jnp.int32(STAY), nothing)[0]
    assert s.aboard == CREW and s.divers.there.tolist() == [False, True]


def test_air_lasts_as_long_as_it_says(move):
    nothing = jnp.full(5, 0.5)
    s, _, over = move(seaquest_begin(nothing), jnp.int32(DOWN), nothing)
    steps = 1
    while not over and steps < 300:
        still = s._replace(enemies=s.enemies._replace(there=jnp.zeros(ENEMIES, bool)))
        s, _, over = move(still, jnp.int32(STAY), nothing)
        steps += 1
    assert steps == 201
