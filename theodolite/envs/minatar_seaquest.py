"""Seaquest of MinAtar in JAX: a submarine rescues divers and shoots fish and submarines, until it is hit or out of air.

The rules are those of MinAtar 1.0.15, kept to the letter. They hold a surprise: who surfaces with six divers goes on
with one fewer than none, and does not end the game by surfacing again before the next diver is aboard.

What goes along a row is kept in a fleet, the newest first: each that enters moves the others by a place, and what was
last is lost. The fleets are as long as they need be:
1. shots: one flies for at most ten steps, counting that in which it is fired and that in which it leaves, and there are
   at least five steps between two: 2;
2. divers: one crosses in 60 steps, and there are 30 between two: 2;
3. enemies: one crosses in ten times move_speed + 1 steps, and there are at least spawn_speed between two. Surfacing
   lowers move_speed from 5 to 2, and spawn_speed from 20 to 14 meanwhile, then to 1: at most 30 / 1 = 30.
Torpedoes of enemies need no fleet: two of one cell and direction have the same future, so two boards hold them.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from theodolite.envs.minatar_board import DOWN, FIRE, LEFT, RIGHT, SIZE, UP, Draws, Moved, Number, across

SHOTS, DIVERS, ENEMIES = 2, 2, 30
"""Lengths of the fleets."""
AIR, CREW = 200, 6
"""Steps that a full tank lasts; divers who find room."""
SPAWN, DIVER, MOVE, SHOT, TORPEDO = 20, 30, 5, 5, 10
"""Steps between two enemies and two divers, before a move of theirs, between two shots, before a torpedo; at first."""
NEVER = -1
Rows = Int[Array, "10"]
"""A board in short: the bit x of the entry y says whether something is at (y, x)."""


class Fleet(NamedTuple):
    """Things that go along rows: which are there, place, direction, steps before they move and before they fire."""

    there: Bool[Array, " n"]
    x: Int[Array, " n"]
    y: Int[Array, " n"]
    dx: Int[Array, " n"]
    wait: Int[Array, " n"]
    reload: Int[Array, " n"]


class Seaquest(NamedTuple):
    """The boat and where it looks, all that swims, torpedoes to the left and right, air, divers aboard, the clocks."""

    x: Number
    y: Number
    dx: Number
    shots: Fleet
    divers: Fleet
    enemies: Fleet
    torpedoes: Int[Array, "2 10"]
    air: Number
    aboard: Number
    at_surface: Bool[Array, ""]
    spawn_speed: Number
    spawn_timer: Number
    diver_timer: Number
    move_speed: Number
    shot_timer: Number
    ramp_index: Number


def _no(length: int) -> Fleet:
    zero = jnp.zeros(length, jnp.int32)
    return Fleet(jnp.zeros(length, bool), zero, zero, zero, zero, zero)


def seaquest_begin(draws: Draws) -> Seaquest:
    """The boat at the surface, looking to the left, and an empty sea. Nothing is drawn."""
    zero, spawn = jnp.int32(0), jnp.int32(SPAWN)
    return Seaquest(
        jnp.int32(5), zero, jnp.int32(-1), _no(SHOTS), _no(DIVERS), _no(ENEMIES), jnp.zeros((2, SIZE), jnp.int32),
        jnp.int32(AIR), zero, jnp.bool_(True), spawn, spawn, jnp.int32(DIVER), jnp.int32(MOVE), zero, zero,
    )  # fmt: skip


def seaquest_move(s: Seaquest, action: Number, draws: Draws, ramping: bool) -> Moved:
    """Arrivals, the boat, its shots, divers, enemies and their torpedoes, air: in this order, as it matters."""
    s, struck = _shots_fly(_steer(_arrivals(s, draws), action))
    s, rammed, hit = _enemies_swim(_divers_swim(s))
    s, prize, drowned = _breathe(s, ramping)
    reward = (struck + rammed + prize).astype(jnp.float32)
    return s, reward, hit | drowned


def _enter(fleet: Fleet, comes: Bool[Array, ""], *new: Number) -> Fleet:
    """The fleet with a new thing at its head, if one comes."""
    longer = [jnp.concatenate([a[None], b[:-1]]) for a, b in zip((comes, *new), fleet, strict=True)]
    return jax.tree.map(lambda a, b: jnp.where(comes, a, b), Fleet(*longer), fleet)


def _place(side: Float[Array, ""], row: Float[Array, ""]) -> tuple[Number, Number, Number]:
    """Column, row and direction of what arrives."""
    dx = jnp.where(side < 0.5, 1, -1)
    return jnp.where(dx > 0, 0, SIZE - 1), 1 + jnp.floor(8 * row).astype(jnp.int32), dx


def _arrivals(s: Seaquest, draws: Draws) -> Seaquest:
    """An enemy, unless another goes the other way in its row, and a diver, both from a drawn side in a drawn row."""
    x, y, dx = _place(draws[0], draws[2])
    against = jnp.any(s.enemies.there & (s.enemies.y == y) & (s.enemies.dx != dx))
    due, diver_due = s.spawn_timer == 0, s.diver_timer == 0
    reload = jnp.where(draws[1] < 1 / 3, TORPEDO, NEVER)
    diver = *_place(draws[3], draws[4]), jnp.int32(MOVE), jnp.int32(NEVER)
    return s._replace(
        enemies=_enter(s.enemies, due & ~against, x, y, dx, s.move_speed, reload),
        divers=_enter(s.divers, diver_due, *diver),
        spawn_timer=jnp.where(due, s.spawn_speed, s.spawn_timer),
        diver_timer=jnp.where(diver_due, DIVER, s.diver_timer),
    )


def _steer(s: Seaquest, action: Number) -> Seaquest:
    """The boat goes or fires."""
    fires = (action == FIRE) & (s.shot_timer == 0)
    down = jnp.where(action == DOWN, 1, 0) - jnp.where(action == UP, 1, 0)
    return s._replace(
        x=across(action, s.x),
        y=jnp.clip(s.y + down, 0, SIZE - 2),
        dx=jnp.where(action == LEFT, -1, jnp.where(action == RIGHT, 1, s.dx)),
        shots=_enter(s.shots, fires, s.x, s.y, s.dx, jnp.int32(0), jnp.int32(NEVER)),
        shot_timer=jnp.where(fires, SHOT, s.shot_timer),
    )


def _within(x: Int[Array, " n"]) -> Bool[Array, " n"]:
    return (x >= 0) & (x < SIZE)


def _shots_fly(s: Seaquest) -> tuple[Seaquest, Number]:
    """Shots move, and then hit."""
    x = s.shots.x + s.shots.dx
    s = s._replace(shots=s.shots._replace(x=x, there=s.shots.there & _within(x)))
    return _hits(s)


def _hits(s: Seaquest) -> tuple[Seaquest, Number]:
    """Every shot takes the oldest fish in its cell, else the oldest submarine there.

    No two shots share a cell: they fly as fast as the boat, which is behind them. No two enemies enter one at once.
    """
    shots, enemies = s.shots, s.enemies
    here = (enemies.x[None] == shots.x[:, None]) & (enemies.y[None] == shots.y[:, None])
    met = here & shots.there[:, None] & enemies.there[None]
    fish = met & (enemies.reload == NEVER)[None]
    met = jnp.where(fish.any(1, keepdims=True), fish, met)
    age = jnp.where(met, jnp.arange(ENEMIES)[None], -1)
    oldest = met & (age == age.max(1, keepdims=True))
    hit = met.any(1)
    return (
        s._replace(
            shots=shots._replace(there=shots.there & ~hit),
            enemies=enemies._replace(there=enemies.there & ~oldest.any(0)),
        ),
        jnp.sum(hit, dtype=jnp.int32),
    )


def _swim(fleet: Fleet, speed: int | Number) -> Fleet:
    """Who has waited long enough goes on by a cell."""
    moves = fleet.wait == 0
    return fleet._replace(x=jnp.where(moves, fleet.x + fleet.dx, fleet.x), wait=jnp.where(moves, speed, fleet.wait - 1))


def _divers_swim(s: Seaquest) -> Seaquest:
    """Divers who meet the boat, before their move or after, go aboard while there is room, the newer first."""
    after = _swim(s.divers, MOVE)
    met = s.divers.there & (s.divers.y == s.y) & ((s.divers.x == s.x) | (after.x == s.x))
    rescued = met & (s.aboard + jnp.cumsum(met, dtype=jnp.int32) <= CREW)
    divers = after._replace(there=after.there & ~rescued & _within(after.x))
    return s._replace(divers=divers, aboard=s.aboard + jnp.sum(rescued, dtype=jnp.int32))


def _enemies_swim(s: Seaquest) -> tuple[Seaquest, Number, Bool[Array, ""]]:
    """Enemies move, into the boat or into shots; submarines fire, even those that this hits."""
    old, new = s.enemies, _swim(s.enemies, s.move_speed)
    in_row = old.there & (old.y == s.y)
    hit = jnp.any(in_row & ((old.x == s.x) | (new.x == s.x)))
    fires = old.there & (old.reload == 0)
    armed = old.reload != NEVER
    reload = jnp.where(armed, jnp.where(old.reload == 0, TORPEDO, old.reload - 1), NEVER)
    new = new._replace(there=old.there & _within(new.x), reload=reload)
    s, number = _hits(s._replace(enemies=new))  # who stood in the cell of a shot has been hit by it before
    fired = [_rows(fires & (new.dx == dx), new.y, new.x) for dx in (-1, 1)]
    torpedoes = s.torpedoes | jnp.stack(fired)
    moved = jnp.stack([torpedoes[0] >> 1, (torpedoes[1] << 1) & (1 << SIZE) - 1])
    boat = _rows(jnp.ones(1, bool), s.y[None], s.x[None])
    hit |= jnp.any((torpedoes | moved) & boat[None] != 0)
    return s._replace(torpedoes=moved), number, hit


def _breathe(s: Seaquest, ramping: bool) -> tuple[Seaquest, Number, Bool[Array, ""]]:
    """Under water air is used; who comes up lands a diver, or six, who pay for the air left, and gets new air."""
    under = s.y > 0
    comes_up = ~under & ~s.at_surface
    lands = comes_up & (s.aboard != 0)
    full = lands & (s.aboard == CREW)
    rises = lands & ramping & ((s.spawn_speed > 1) | (s.move_speed > 2))
    faster = rises & (s.move_speed > 2) & (s.ramp_index % 2 == 1)
    after = s._replace(
        air=jnp.where(under, s.air - 1, jnp.where(lands, AIR, s.air)),
        aboard=jnp.where(full, 0, s.aboard) - lands.astype(jnp.int32),
        at_surface=~under & (s.at_surface | lands),
        move_speed=s.move_speed - faster.astype(jnp.int32),
        spawn_speed=s.spawn_speed - (rises & (s.spawn_speed > 1)).astype(jnp.int32),
        ramp_index=s.ramp_index + rises.astype(jnp.int32),
        spawn_timer=jnp.maximum(s.spawn_timer - 1, 0),
        diver_timer=jnp.maximum(s.diver_timer - 1, 0),
        shot_timer=jnp.maximum(s.shot_timer - 1, 0),
    )
    prize = jnp.where(full, _cells_of_air(s), 0)
    return after, prize, (s.air <= 0) | (comes_up & ~lands)


def _cells_of_air(s: Seaquest) -> Number:
    return jnp.maximum(s.air, 0) * SIZE // AIR


def _rows(which: Bool[Array, " n"], y: Int[Array, " n"], x: Int[Array, " n"]) -> Rows:
    """The board with those of n things that `which` says and that are on it."""
    bits = jnp.where(which & _within(x), 1 << jnp.clip(x, 0, SIZE - 1), 0)
    in_row = jnp.arange(SIZE)[:, None] == y[None]
    return jnp.bitwise_or.reduce(jnp.where(in_row, bits[None], 0), axis=1)


def _gauge(bits: Number) -> Rows:
    """The lowest row, which shows how much there is of something."""
    return jnp.where(jnp.arange(SIZE) == SIZE - 1, bits, 0)


def seaquest_show(s: Seaquest) -> Bool[Array, "10 10 10"]:
    """Bow, stern, shots, wakes, torpedoes, fish, submarines, air from the left, crew from the right, divers."""
    boat, crew = jnp.ones(1, bool), jnp.maximum(s.aboard, 0)
    enemies, armed = s.enemies, s.enemies.reload != NEVER
    rows = (
        _rows(boat, s.y[None], s.x[None]),
        _rows(boat, s.y[None], (s.x - s.dx)[None]),
        _rows(s.shots.there, s.shots.y, s.shots.x),
        _wakes(enemies) | _wakes(s.divers),
        s.torpedoes[0] | s.torpedoes[1],
        _rows(enemies.there & ~armed, enemies.y, enemies.x),
        _rows(enemies.there & armed, enemies.y, enemies.x),
        _gauge((1 << _cells_of_air(s)) - 1),
        _gauge(((1 << crew) - 1) << (SIZE - 1 - crew)),
        _rows(s.divers.there, s.divers.y, s.divers.x),
    )
    return (jnp.stack(rows, -1)[:, None] >> jnp.arange(SIZE)[None, :, None]) & 1 == 1


def _wakes(fleet: Fleet) -> Rows:
    return _rows(fleet.there, fleet.y, fleet.x - fleet.dx)
