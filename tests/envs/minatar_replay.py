"""Recordings of the original MinAtar, played again by the games here."""

import gzip
import json
from collections.abc import Callable
from functools import cache

import jax
import numpy as np
from minatar_recording import DRAWS, FILE

from theodolite.envs import minatar


def recorded(name: str) -> list:
    """The recorded episodes of a game."""
    return json.loads(gzip.decompress(FILE.read_bytes()))[name]


@cache
def programs(name: str):
    """The jitted start and step of a game, the step with the board, and the board alone."""
    game = minatar.GAMES[name]

    def move(state, action, draws):
        state, reward, over = game.move(state, action, draws, True)
        return state, reward, over, game.show(state)

    return jax.jit(game.begin), jax.jit(move), jax.jit(game.show)


def replay(name: str, episodes: list, start: Callable | None = None) -> tuple[float, int]:
    """Play the recorded actions and draws; the reward and the number of ends that both agree on.

    `start` makes a state of what an episode begins with, where that is not the draws of a game's own start.
    """
    begin, move, show = programs(name)
    nothing, total, ends = np.full(DRAWS[name], 0.5, np.float32), 0.0, 0
    for episode in episodes:
        state = start(episode["begin"]) if start else begin(np.asarray(episode["begin"], np.float32))
        shown = show(state)
        board = np.zeros(shown.size, bool)
        board[episode["board"]] = True
        np.testing.assert_array_equal(np.asarray(shown).ravel(), board)
        for t, (action, draws, reward, over, changed) in enumerate(episode["steps"]):
            drawn = np.asarray(draws, np.float32) if draws else nothing
            state, got, ended, shown = move(state, np.int32(action), drawn)
            board[changed] ^= True
            np.testing.assert_array_equal(np.asarray(shown).ravel(), board, err_msg=f"{name}, step {t}")
            assert (float(got), bool(ended)) == (reward, over), f"{name}, step {t}"
            total, ends = total + reward, ends + over
    return total, ends
