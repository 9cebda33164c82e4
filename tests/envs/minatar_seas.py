"""Crowded seas for Seaquest: what chance brings together too seldom, as states of the original and of ours.

A sea holds fields of the original. No two of its things are alike, no row has enemies in both directions, and a full
fleet is never about to grow, as in any game.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from minatar_recording import DRAWS, Recorder, follow

from theodolite.envs import minatar_seaquest as ours

FLEETS = ("f_bullets", "divers", "e_fish", "e_subs", "e_bullets")
NUMBERS = ("sub_x", "sub_y", "sub_or", "oxygen", "diver_count", "surface", "e_spawn_speed", "e_spawn_timer",
           "d_spawn_timer", "move_speed", "shot_timer", "ramp_index")  # fmt: skip

STEPS = 3
"""How long a sea is followed."""


def sea(rng: np.random.Generator) -> dict[str, Any]:
    """Up to three rows in which enemies, divers, shots and torpedoes are close, with the boat there or near the air."""

    def pick(low: int, high: int) -> int:
        return int(rng.integers(low, high))

    def place() -> list[int]:
        return [pick(0, 10), low + pick(0, rows)]

    rows, low = pick(1, 4), pick(1, 6)
    right, speed = [pick(0, 2) for _ in range(10)], pick(2, 6)
    found = {name: [] for name in FLEETS}
    for _ in range(pick(0, 20)):
        x, y = place()
        name, rest = ("e_fish", []) if pick(0, 2) else ("e_subs", [pick(0, 3)])
        thing = [x, y, right[y], pick(0, speed + 1)]
        if thing not in [other[:4] for other in found["e_fish"] + found["e_subs"]]:
            found[name].append(thing + rest)
    found["divers"] = [[*place(), side, pick(0, 3)] for side in (0, 1)[: pick(0, 3)]]
    found["e_bullets"] = [[*place(), pick(0, 2)] for _ in range(pick(0, 4))]
    boat = [pick(0, 9), pick(0, 2) if pick(0, 6) == 0 else min(8, low + pick(-1, rows + 1)), pick(0, 2)]
    boat[0] += boat[2]
    ahead = [[*place(), pick(0, 2)] for _ in range(pick(0, 20))]
    ahead = [shot for shot in ahead if (shot[0] > boat[0] if shot[2] else shot[0] < boat[0])]
    found["f_bullets"] = [shot for k, shot in enumerate(ahead[:2]) if shot not in ahead[:k]]
    timers = [pick(0, 3)] + [pick(0, 3) if len(found[name]) < 2 else STEPS for name in ("divers", "f_bullets")]
    numbers = (*boat, pick(0, 3) if pick(0, 6) == 0 else pick(0, 200), pick(-2, 7),
               int(boat[1] == 0 and pick(0, 2)), pick(1, 21), *timers[:2], speed, timers[2], pick(0, 20))  # fmt: skip
    return found | dict(zip(NUMBERS, numbers, strict=True))


def record_seas(number: int, seed: int) -> list[dict[str, Any]]:
    """What the original does in `number` seas within a few steps of any kind."""
    from minatar.environments.seaquest import Env

    rng, episodes = np.random.default_rng(seed), []
    for k in range(number):
        fields, env = sea(rng), Env(ramping=True)
        things = {name: [[x, y, bool(right), *rest] for x, y, right, *rest in fields[name]] for name in FLEETS}
        vars(env).update(fields | things)
        env.random = Recorder(seed + k)
        episodes.append(follow(env, lambda: int(rng.integers(6)), DRAWS["Seaquest"], STEPS) | {"begin": fields})
    return episodes


def state(fields: dict[str, Any]) -> ours.Seaquest:
    """Our state of a sea."""
    fish = [[*fish, ours.NEVER] for fish in fields["e_fish"]]
    shots = [[*shot, 0, ours.NEVER] for shot in fields["f_bullets"]]
    divers = [[*diver, ours.NEVER] for diver in fields["divers"]]
    torpedoes = np.zeros((2, 10), np.int32)
    for x, y, right in fields["e_bullets"]:
        torpedoes[right, y] |= 1 << x
    x, y, looks, air, aboard, surface, *clocks = [jnp.int32(fields[name]) for name in NUMBERS]
    fleets = fleet(shots, ours.SHOTS), fleet(divers, ours.DIVERS), fleet([*fields["e_subs"], *fish], ours.ENEMIES)
    return ours.Seaquest(x, y, 2 * looks - 1, *fleets, jnp.array(torpedoes), air, aboard, surface == 1, *clocks)


def fleet(things: list[list[int]], length: int) -> ours.Fleet:
    """Things of the original, the newest last, as a fleet of ours."""
    table = np.zeros((length, 5), np.int32)
    if things:
        table[: len(things)] = things[::-1]
    x, y, right, wait, reload = jnp.array(table).T
    return ours.Fleet(jnp.arange(length) < len(things), x, y, 2 * right - 1, wait, reload)
