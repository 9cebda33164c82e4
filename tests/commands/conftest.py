from contextlib import contextmanager
from itertools import islice

import pytest
from commandline import TINY

from theodolite import cli
from theodolite.commands import training


@pytest.fixture(scope="session", autouse=True)
def cached(compilation_cache):
    """Subprocesses and command lines of these tests share a cache."""


@pytest.fixture(scope="session")
def trained(tmp_path_factory, cached):
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


@pytest.fixture
def stopped_after(monkeypatch):
    """A context in which training is interrupted after so many chunks."""
    logged = training.logged

    @contextmanager
    def stopping(count):
        def some(setup, log):
            yield from islice(logged(setup, log), count)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(training, "logged", some)
            yield

    return stopping
