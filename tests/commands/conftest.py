import pytest
from commandline import TINY

from theodolite import cli


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
