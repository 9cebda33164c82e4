import os
from typing import NamedTuple

import pytest

from theodolite import cli

TINY = ("--rollout", "8", "--num-envs", "4", "--hidden", "8", "--epochs", "1", "--minibatches", "1")
"""Flags that make PPO small."""


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory):
    """A cache of the session's own, which its subprocesses share."""
    before = os.environ.get("THEODOLITE_CACHE")
    os.environ["THEODOLITE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    os.environ.pop("THEODOLITE_CACHE")
    if before is not None:
        os.environ["THEODOLITE_CACHE"] = before


@pytest.fixture
def say(capfd):
    """Run a command line in this process."""

    def run(*argv) -> Said:
        capfd.readouterr()
        try:
            code = cli.main([str(word) for word in argv])
        except SystemExit as stop:
            code = stop.code
        return Said(code, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A short run of PPO on CartPole with two seeds."""
    folder = tmp_path_factory.mktemp("runs") / "ppo"
    words = ["train", "ppo", "--env", "CartPole-v1", *TINY, "--steps", "96", "--seeds", "2", "--out", str(folder)]
    assert cli.main(words) == 0
    return folder


@pytest.fixture(scope="session")
def demos(tmp_path_factory, trained):
    """Three demonstrations by its first seed."""
    folder = tmp_path_factory.mktemp("demos") / "cartpole"
    assert cli.main(["demos", "record", str(trained), "--episodes", "3", "--out", str(folder)]) == 0
    return folder
