"""Fixtures of the command line: a verb run in this process, and a compilation cache of the session's own."""

from typing import NamedTuple

import pytest

from theodolite import cli

TINY = ("--rollout", "8", "--num-envs", "4", "--hidden", "8", "--epochs", "1", "--minibatches", "1")
"""Flags that make PPO small."""


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def compilation_cache(tmp_path_factory):
    """A cache that the session's subprocesses share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THEODOLITE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def say(capfd, compilation_cache):
    """Run a command line in this process."""

    def run(*argv) -> Said:
        capfd.readouterr()
        try:
            code = cli.main([str(word) for word in argv])
        except SystemExit as stop:
            code = stop.code
        return Said(code, *capfd.readouterr())

    return run
