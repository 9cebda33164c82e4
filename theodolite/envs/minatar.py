"""The games of MinAtar in JAX: ten by ten cells and a channel per kind of thing, from the rules of Young and Tian 2019.

Every game is a handful of pure functions of its state, an action of the full set and uniform numbers, so that a test
can hand it the very draws of the original. Options, of all games: `sticky`, the probability that the last action is
played again (the paper's is 0.1, ours 0 as in gymnax); `minimal`, only the actions that do something in the game;
`ramping`, whether it becomes harder. Differences from the original: the limit of Freeway truncates, where it
terminates there; a new episode forgets the last action; the other games are cut after 1,000 steps, unless
`max_episode_steps` says otherwise. A score belongs to its options: those of the paper have no limit and are sticky.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from theodolite.core.arrays import PRNGKey, Scalar
from theodolite.core.env import Box, Discrete, Env, EnvState, Space, Step
from theodolite.envs.minatar_board import (
    DOWN,
    FIRE,
    LEFT,
    RIGHT,
    SIZE,
    STAY,
    UP,
    Draws,
    Game,
    Moved,
    Number,
    across,
    cell,
    in_rows,
)
from theodolite.envs.minatar_seaquest import seaquest_begin, seaquest_move, seaquest_show


def env(name: str, sticky: Scalar = 0.0, minimal: bool = True, ramping: bool = True) -> Env:
    """A game by name as an environment, without a time limit."""
    game = GAMES[name]
    choices = jnp.array(game.actions if minimal else range(6), jnp.int32)

    def observe(state: EnvState) -> Array:
        return game.show(state).astype(jnp.uint8)

    def reset(key: PRNGKey):
        state = game.begin(jax.random.uniform(key, (game.draws,)))
        return (state, jnp.int32(STAY)), observe(state)

    def step(key: PRNGKey, state: EnvState, action: Number):
        inner, last = state
        draws = jax.random.uniform(key, (game.draws + 1,))
        played = jnp.where(draws[-1] < sticky, last, choices[action])
        inner, reward, over = game.move(inner, played, draws[:-1], ramping)
        obs = observe(inner)
        return (inner, played), Step(obs, reward, over, jnp.bool_(False), obs)

    shape = (SIZE, SIZE, game.channels)
    return Env(reset, step, Space(Box(shape, 0.0, 1.0, "uint8"), Discrete(len(choices))))


class Breakout(NamedTuple):
    """A ball, its direction and where it was, a paddle in the lowest row, bricks, and whether it is just striking."""

    x: Number
    y: Number
    dx: Number
    dy: Number
    last_x: Number
    last_y: Number
    paddle: Number
    bricks: Bool[Array, "10 10"]
    striking: Bool[Array, ""]


def _wall() -> Bool[Array, "10 10"]:
    row = jnp.arange(SIZE)[:, None]
    return jnp.broadcast_to((row >= 1) & (row < 4), (SIZE, SIZE))


def breakout_begin(draws: Draws) -> Breakout:
    """The ball starts at the left or at the right edge below the bricks, going down and inwards."""
    right = (draws[0] >= 0.5).astype(jnp.int32)
    x, y = 9 * right, jnp.int32(3)
    return Breakout(x, y, 1 - 2 * right, jnp.int32(1), x, y, jnp.int32(4), _wall(), jnp.bool_(False))


def breakout_move(s: Breakout, action: Number, draws: Draws, ramping: bool) -> Moved:
    """The paddle moves, then the ball: off the sides, off the top, off a brick (which pays 1), off the paddle."""
    paddle = across(action, s.paddle)
    x, y = s.x + s.dx, s.y + s.dy
    dx = jnp.where((x < 0) | (x > 9), -s.dx, s.dx)
    x = jnp.clip(x, 0, 9)
    above = y < 0
    y = jnp.maximum(y, 0)
    on_brick = ~above & s.bricks[y, x]
    breaks = on_brick & ~s.striking
    low = ~above & ~on_brick & (y == 9)
    bricks = jnp.where(low & ~s.bricks.any(), _wall(), s.bricks & ~(breaks & cell(y, x)))
    straight = low & (s.x == paddle)
    corner = low & ~straight & (x == paddle)
    dy = jnp.where(above | breaks | straight | corner, -s.dy, s.dy)
    dx = jnp.where(corner, -dx, dx)
    y = jnp.where(breaks | straight | corner, s.y, y)
    after = Breakout(x, y, dx, dy, s.x, s.y, paddle, bricks, on_brick)
    return after, breaks.astype(jnp.float32), low & ~straight & ~corner


def breakout_show(s: Breakout) -> Bool[Array, "10 10 4"]:
    """Paddle, ball, where the ball was, bricks."""
    return jnp.stack([cell(jnp.int32(9), s.paddle), cell(s.y, s.x), cell(s.last_y, s.last_x), s.bricks], -1)


class Asterix(NamedTuple):
    """A player; in each of eight rows at most one thing that comes from a side, gold or foe; and the clocks."""

    x: Number
    y: Number
    there: Bool[Array, "8"]
    thing_x: Int[Array, "8"]
    to_right: Bool[Array, "8"]
    gold: Bool[Array, "8"]
    spawn_speed: Number
    spawn_timer: Number
    move_speed: Number
    move_timer: Number
    ramp_timer: Number
    ramp_index: Number


RAMP, SPAWN, MOVE = 100, 10, 5
"""Steps between two increases of difficulty, between two arrivals, and between two moves of the things, at first."""
ROWS = tuple(range(1, 9))


def asterix_begin(draws: Draws) -> Asterix:
    """Nothing but the player, in the middle."""
    no, five = jnp.zeros(8, bool), jnp.int32(5)
    spawn, move = jnp.int32(SPAWN), jnp.int32(MOVE)
    return Asterix(
        five, five, no, jnp.zeros(8, jnp.int32), no, no, spawn, spawn, move, move, jnp.int32(RAMP), jnp.int32(0)
    )


def _arrival(s: Asterix, draws: Draws) -> Asterix:
    """Something comes in a free row, if there is one: its side, whether it is gold, and the row are drawn."""
    free = ~s.there
    count = jnp.sum(free, dtype=jnp.int32)
    chosen = jnp.minimum((draws[2] * count.astype(draws.dtype)).astype(jnp.int32), count - 1)
    here = free & (jnp.cumsum(free, dtype=jnp.int32) - 1 == chosen) & (s.spawn_timer == 0)
    to_right = draws[0] < 0.5
    return s._replace(
        there=s.there | here,
        thing_x=jnp.where(here, jnp.where(to_right, 0, 9), s.thing_x),
        to_right=jnp.where(here, to_right, s.to_right),
        gold=jnp.where(here, draws[1] < 1 / 3, s.gold),
        spawn_timer=jnp.where(s.spawn_timer == 0, s.spawn_speed, s.spawn_timer),
    )


def asterix_move(s: Asterix, action: Number, draws: Draws, ramping: bool) -> Moved:
    """Arrival, the player, the things: gold that is met pays 1, a foe ends the game."""
    s = _arrival(s, draws)
    down = jnp.where(action == DOWN, 1, 0) - jnp.where(action == UP, 1, 0)
    s = s._replace(x=across(action, s.x), y=jnp.clip(s.y + down, 1, 8))
    in_row = jnp.array(ROWS) == s.y
    met = s.there & in_row & (s.thing_x == s.x)
    there = s.there & ~(met & s.gold)
    moves = s.move_timer == 0
    thing_x = jnp.where(moves & there, s.thing_x + jnp.where(s.to_right, 1, -1), s.thing_x)
    there = there & (thing_x >= 0) & (thing_x <= 9)
    met_now = moves & there & in_row & (thing_x == s.x)
    there = there & ~(met_now & s.gold)
    either = met | met_now
    after = s._replace(
        there=there,
        thing_x=jnp.clip(thing_x, 0, 9),
        spawn_timer=s.spawn_timer - 1,
        move_timer=jnp.where(moves, s.move_speed, s.move_timer) - 1,
    )
    reward = jnp.sum(either & s.gold, dtype=jnp.int32).astype(jnp.float32)
    return (_harder(after) if ramping else after), reward, jnp.any(either & ~s.gold)


def _harder(s: Asterix) -> Asterix:
    """Every so often arrivals come faster, and every other time the things move faster too."""
    can = (s.spawn_speed > 1) | (s.move_speed > 1)
    now = can & (s.ramp_timer < 0)
    faster = now & (s.move_speed > 1) & (s.ramp_index % 2 == 1)
    return s._replace(
        move_speed=s.move_speed - faster.astype(jnp.int32),
        spawn_speed=s.spawn_speed - (now & (s.spawn_speed > 1)).astype(jnp.int32),
        ramp_index=s.ramp_index + now.astype(jnp.int32),
        ramp_timer=jnp.where(now, RAMP, s.ramp_timer - can.astype(jnp.int32)),
    )


def asterix_show(s: Asterix) -> Bool[Array, "10 10 4"]:
    """Player, foes, where things come from, gold."""
    behind = s.thing_x - jnp.where(s.to_right, 1, -1)
    foes, gold = in_rows(s.there & ~s.gold, s.thing_x), in_rows(s.there & s.gold, s.thing_x)
    return jnp.stack([cell(s.y, s.x), foes, in_rows(s.there, behind), gold], -1)


class Invaders(NamedTuple):
    """A cannon in the lowest row, its shots, the aliens and theirs, their direction, and the clocks."""

    cannon: Number
    shots: Bool[Array, "10 10"]
    bombs: Bool[Array, "10 10"]
    aliens: Bool[Array, "10 10"]
    direction: Number
    interval: Number
    move_timer: Number
    bomb_timer: Number
    shot_timer: Number


def _squadron() -> Bool[Array, "10 10"]:
    row, column = jnp.arange(SIZE)[:, None], jnp.arange(SIZE)[None]
    return (row < 4) & (column >= 2) & (column < 8)


def invaders_begin(draws: Draws) -> Invaders:
    """Four rows of six aliens, about to go left. Nothing is drawn in this game."""
    none, slow = jnp.zeros((SIZE, SIZE), bool), jnp.int32(12)
    return Invaders(jnp.int32(5), none, none, _squadron(), jnp.int32(-1), slow, slow, jnp.int32(10), jnp.int32(0))


def invaders_move(s: Invaders, action: Number, draws: Draws, ramping: bool) -> Moved:
    """Shots rise, bombs fall, aliens march, one of them bombs; a hit alien pays 1, a hit or overrun cannon ends it."""
    fires = (action == FIRE) & (s.shot_timer == 0)
    cannon, line = across(action, s.cannon), jnp.arange(SIZE)
    shots = s.shots | (fires & cell(jnp.int32(9), s.cannon))
    shots = jnp.roll(shots, -1, 0) & (line < 9)[:, None]
    bombs = jnp.roll(s.bombs, 1, 0) & (line > 0)[:, None]
    over = bombs[9, cannon] | s.aliens[9, cannon]
    marches = s.move_timer == 0
    turns = jnp.where(s.direction < 0, s.aliens[:, 0].any(), s.aliens[:, 9].any())
    number = jnp.sum(s.aliens, dtype=jnp.int32)
    moved = jnp.where(turns, jnp.roll(s.aliens, 1, 0), jnp.roll(s.aliens, s.direction, 1))
    over = over | (marches & turns & s.aliens[9].any())
    aliens = jnp.where(marches, moved, s.aliens)
    over = over | (marches & aliens[9, cannon])
    direction = jnp.where(marches & turns, -s.direction, s.direction)
    bombing = s.bomb_timer == 0
    bombs = bombs | (bombing & _nearest(aliens, cannon))
    hit = aliens & shots
    aliens, shots = aliens & ~hit, shots & ~hit
    won = ~aliens.any()
    after = Invaders(
        cannon,
        shots,
        bombs,
        jnp.where(won, _squadron(), aliens),
        direction,
        s.interval - (won & (s.interval > 6) & ramping).astype(jnp.int32),
        jnp.where(marches, jnp.minimum(number, s.interval), s.move_timer) - 1,
        jnp.where(bombing, 10, s.bomb_timer) - 1,
        jnp.maximum(jnp.where(fires, 5, s.shot_timer) - 1, 0),
    )
    return after, jnp.sum(hit, dtype=jnp.int32).astype(jnp.float32), over


def _nearest(aliens: Bool[Array, "10 10"], cannon: Number) -> Bool[Array, "10 10"]:
    """The lowest alien of the nearest column that has any, the left one of two."""
    line = jnp.arange(SIZE)
    distance = 2 * jnp.abs(line - cannon) + (line > cannon).astype(jnp.int32)
    column = jnp.argmin(jnp.where(aliens.any(0), distance, 100))
    return cell(jnp.max(jnp.where(aliens[:, column], line, -1)), column)


def invaders_show(s: Invaders) -> Bool[Array, "10 10 6"]:
    """Cannon, aliens, aliens going left, aliens going right, shots, bombs."""
    left = s.direction < 0
    boards = cell(jnp.int32(9), s.cannon), s.aliens, s.aliens & left, s.aliens & ~left, s.shots, s.bombs
    return jnp.stack(boards, -1)


class Freeway(NamedTuple):
    """A chicken in column 4, and in each of eight rows a car; its speed is how long it stands, with its direction."""

    y: Number
    rest: Number
    car_x: Int[Array, "8"]
    car_timer: Int[Array, "8"]
    car_speed: Int[Array, "8"]


def _traffic(draws: Draws) -> Int[Array, "8"]:
    """One to five steps that a car stands in a cell, negative for cars that go left."""
    return (1 + jnp.floor(5 * draws[:8]).astype(jnp.int32)) * jnp.where(draws[8:] >= 0.5, 1, -1)


def freeway_begin(draws: Draws) -> Freeway:
    """The chicken at the bottom, all cars at the left."""
    speed = _traffic(draws)
    return Freeway(jnp.int32(9), jnp.int32(3), jnp.zeros(8, jnp.int32), jnp.abs(speed), speed)


def freeway_move(s: Freeway, action: Number, draws: Draws, ramping: bool) -> Moved:
    """The chicken walks, then rests; the other side pays 1 and changes the traffic, a car throws it back."""
    walks = (s.rest == 0) & ((action == UP) | (action == DOWN))
    y = jnp.clip(s.y + jnp.where(walks, jnp.where(action == UP, -1, 1), 0), 0, 9)
    crossed = y == 0
    y = jnp.where(crossed, 9, y)
    speed = jnp.where(crossed, _traffic(draws), s.car_speed)
    timer = jnp.where(crossed, jnp.abs(speed), s.car_timer)
    drives = timer == 0
    x = jnp.where(drives, (s.car_x + jnp.sign(speed)) % SIZE, s.car_x)
    timer = jnp.where(drives, jnp.abs(speed), timer - 1)
    hit = jnp.any((jnp.array(ROWS) == y) & ((s.car_x == 4) | (x == 4)))
    rest = jnp.maximum(jnp.where(walks, 3, s.rest) - 1, 0)
    return Freeway(jnp.where(hit, 9, y), rest, x, timer, speed), crossed.astype(jnp.float32), jnp.bool_(False)


def freeway_show(s: Freeway) -> Bool[Array, "10 10 7"]:
    """Chicken, cars, and behind every car its speed, a channel for each."""
    behind = (s.car_x - jnp.sign(s.car_speed)) % SIZE
    speeds = [in_rows(jnp.abs(s.car_speed) == n, behind) for n in range(1, 6)]
    return jnp.stack([cell(s.y, jnp.int32(4)), in_rows(jnp.ones(8, bool), s.car_x), *speeds], -1)


GAMES = {
    "Breakout": Game(4, (STAY, LEFT, RIGHT), 1, breakout_begin, breakout_move, breakout_show),
    "Asterix": Game(4, (STAY, LEFT, UP, RIGHT, DOWN), 3, asterix_begin, asterix_move, asterix_show),
    "SpaceInvaders": Game(6, (STAY, LEFT, RIGHT, FIRE), 1, invaders_begin, invaders_move, invaders_show),
    "Freeway": Game(7, (STAY, UP, DOWN), 16, freeway_begin, freeway_move, freeway_show),
    "Seaquest": Game(10, tuple(range(6)), 5, seaquest_begin, seaquest_move, seaquest_show),
}
LIMITS = {"Breakout": 1_000, "Asterix": 1_000, "SpaceInvaders": 1_000, "Freeway": 2_500, "Seaquest": 1_000}
"""Steps after which an episode is cut: those of gymnax."""
