"""theodolite diagnose: measures, page and words from a short run, and what it refuses."""

import json

import numpy as np
import pytest

from theodolite.commands import diagnose, diagnosing
from theodolite.control import diagnosis
from theodolite.core.demos import Episode

TINY = ("--env", "CartPole-v1", "--env-options", "max_episode_steps=20", "--num-envs", "4", "--hidden", "8",
        "--steps", "160", "--looks", "2", "--learning-starts", "40", "--train-every", "4", "--replay", "200",
        "--episodes", "4")  # fmt: skip


def test_a_short_run_is_measured_drawn_and_said(say, tmp_path):
    said = say("diagnose", "dqn", *TINY, "--out", tmp_path / "d", "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert [one["steps"] for one in found["looks"]] == [80, 160] and found["method"] == "dqn"
    for one in found["looks"]:
        assert one.keys() == {*diagnosis.MEASURES, "steps", "return"} and np.isfinite(list(one.values())).all()
    assert found["looks"][0]["drift"] == 0  # nothing to compare with yet
    assert {p.name for p in (tmp_path / "d").iterdir()} == {"diagnosis.json", "diagnosis.svg", "diagnosis.png"}
    assert "diagnosis.svg" in diagnose.words(found, tmp_path)


def test_returns_of_episodes_end_or_go_on_with_the_value():
    obs = np.zeros((3, 2), np.float32)
    paid = np.ones(2, np.float32)
    ended, cut = (Episode(obs, np.zeros(2, np.int32), paid, over, not over) for over in (True, False))
    data, returns = diagnosing.flattened([ended, cut], 0.5, lambda o: o[:, 0] + 4)
    np.testing.assert_allclose(returns, [1.5, 1, 2.5, 3])
    assert data.terminated.tolist() == [False, True, False, False] and data.obs.shape == (4, 2)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("ppo", "--env", "CartPole-v1"), "method to diagnose 'ppo' is unknown"),
        (("dqn", "--env", "CartPole-v1", "--trunks", "3"), "trunks = 3: must be 1"),
        (("dqn", "--env", "CartPole-v1", "--steps", "900"), "steps = 900, looks = 5: the first look must come after"),
        (("dqn",), "env"),
    ],
)
def test_what_cannot_be_diagnosed_is_refused(say, argv, said):
    found = say("diagnose", *argv)
    assert found.code == 2 and said in found.err
