"""What the original MinAtar did, with the numbers that it drew: python tests/envs/minatar_recording.py writes the file.

An episode holds the draws of its start and the board after it; every step holds the action, the draws, the reward, the
end, and which entries of the board changed. Draws are uniform numbers as our games take them.
"""

import copy
import gzip
import json
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_name("minatar.json.gz")
NAMES = {"Breakout": "breakout", "Asterix": "asterix", "SpaceInvaders": "space_invaders", "Freeway": "freeway",
         "Seaquest": "seaquest"}  # fmt: skip
DRAWS = {"Breakout": 1, "Asterix": 3, "SpaceInvaders": 1, "Freeway": 16, "Seaquest": 5}
STEPS = {"Breakout": 700, "Asterix": 500, "SpaceInvaders": 400, "Freeway": 250, "Seaquest": 2_500}


class Recorder:
    """A source of random numbers that notes what it gave, as the uniform number that would have given it."""

    def __init__(self, seed: int):
        self.source, self.given = np.random.RandomState(seed), []

    def rand(self, *shape: int) -> Any:
        value = self.source.rand(*shape)
        self.given += np.atleast_1d(value).tolist()
        return value

    def randint(self, low: int, high: int | None = None, size: int | None = None) -> Any:
        low, high = (0, low) if high is None else (low, high)
        value = self.source.randint(low, high, size)
        self.given += ((np.atleast_1d(value) - low + 0.5) / (high - low)).tolist()
        return value

    def taken(self, count: int) -> list[float]:
        """What was given since the last time, filled up."""
        drawn, self.given = self.given, []
        if count == 5 and len(drawn) == 2:
            drawn = [0.5] * 3 + drawn  # Seaquest: a diver came and no enemy
        return [round(x, 4) for x in drawn + [0.5] * (count - len(drawn))]


def survives(env: Any, action: int) -> bool:
    """Whether the boat of Seaquest is there four steps later, if it does this and then nothing."""
    later = copy.deepcopy(env)
    later.random = np.random.RandomState(0)
    return not any([later.act(a)[1] for a in (action, 0, 0, 0)])


def diver(env: Any, rng: np.random.Generator, episode: int) -> int:
    """Seaquest: shoot, rescue six, come up until it is hardest; every third stays down, every fourth is up at once."""
    if rng.random() < 0.03:
        return int(rng.integers(6))
    if episode % 4 == 3 and env.sub_y == 1:
        return 2
    full = env.diver_count == 6 and (env.oxygen < 150 or episode % 2)
    needs_air = env.oxygen < 40 and env.diver_count != 0
    ramps = env.diver_count < 0 and env.e_spawn_speed > 1
    if (full or needs_air or ramps) and episode % 3 != 2:
        wishes = [4, 5, 1, 3, 2] if env.sub_y == 0 else [2, 1, 3, 5, 0]
    else:
        x, y = min([(abs(d[1] - env.sub_y), *d[:2]) for d in env.divers], default=(0, 5, 4))[1:]
        there = [4 if y > env.sub_y else 2] * (y != env.sub_y) + [3 if x > env.sub_x else 1] * (x != env.sub_x)
        up = env.sub_y > 1 or (env.diver_count > 0 and episode % 3 != 2)
        wishes = [a for a in [5] * (rng.random() < 0.3) + there + [5, 0, 1, 3, 4, 2] if a != 2 or up]
    return next((a for a in wishes if survives(env, a)), wishes[0])


def player(name: str, env: Any, rng: np.random.Generator, episode: int) -> int:
    """An action that keeps a game going for a while, or any."""
    if name == "Seaquest":
        return diver(env, rng, episode)
    if name == "Breakout" and rng.random() > 0.02:
        wanted = env.ball_x + (1 if env.ball_dir in (1, 2) else -1)
        return 1 if wanted < env.pos else 3 if wanted > env.pos else 0
    if rng.random() < 0.2:
        return int(rng.integers(6))
    if name == "Freeway":
        return 2
    return 5 if name == "SpaceInvaders" and rng.random() < 0.5 else int(rng.integers(1, 5))


def record(name: str, steps: int, seed: int) -> list[dict[str, Any]]:
    """Episodes of the original, `steps` steps together."""
    env = import_module(f"minatar.environments.{NAMES[name]}").Env(ramping=True)
    env.random = Recorder(seed)
    rng, episodes = np.random.default_rng(seed), []
    while steps > 0:
        env.reset()
        episodes.append(follow(env, partial(player, name, env, rng, len(episodes)), DRAWS[name], steps))
        steps -= len(episodes[-1]["steps"])
    return episodes


def follow(env: Any, choose: Callable[[], int], count: int, steps: int) -> dict[str, Any]:
    """An episode of the original from where it is, `steps` steps at most."""
    board, over = env.state(), False
    episode = {"begin": env.random.taken(count), "board": np.flatnonzero(board).tolist(), "steps": []}
    while len(episode["steps"]) < steps and not over:
        action = choose()
        reward, over = env.act(action)
        now = env.state()
        changed = np.flatnonzero(now != board).tolist()
        episode["steps"].append([action, env.random.taken(count), float(reward), bool(over), changed])
        board = now
    return episode


if __name__ == "__main__":
    from minatar_seas import record_seas

    found = {name: record(name, STEPS[name], seed=1) for name in NAMES} | {"seas": record_seas(250, seed=1)}
    for episodes in found.values():
        for step in [s for e in episodes for s in e["steps"]]:
            if set(step[1]) == {0.5}:
                step[1] = []  # nothing was drawn
    text = json.dumps(found, separators=(",", ":"))
    FILE.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(FILE.stat().st_size, {n: len(es) for n, es in found.items()},
          {n: sum(s[2] for e in es for s in e["steps"]) for n, es in found.items()})  # fmt: skip
