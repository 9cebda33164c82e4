"""Recording, inspecting and converting demonstrations."""

import json

import numpy as np

import theodolite


def test_a_trained_policy_is_recorded(demos, say):
    found = theodolite.read_demos(demos)
    assert len(found.episodes) == 3 and found.env_id == "CartPole-v1"
    info = say("demos", "info", demos, "--env", "CartPole-v1", "--json")
    assert json.loads(info.out)["num_episodes"] == 3
    assert "episodes      3" in say("demos", "info", demos).out


def test_a_random_policy_is_recorded_on_a_continuous_host_environment(say, tmp_path):
    words = ("--policy", "random", "--env", "odd_environments:Noisy-v0", "--episodes", 4, "--num-envs", 2)
    assert say("demos", "record", *words, "--out", tmp_path / "d").code == 0
    found = theodolite.read_demos(tmp_path / "d")
    actions = np.concatenate([e.action for e in found.episodes])
    assert found.lengths.tolist() == [5, 5, 5, 5] and -0.5 <= actions.min() < -0.2 and 0.2 < actions.max() <= 0.5
    assert "exists already" in say("demos", "record", *words, "--out", tmp_path / "d").err


def test_arrays_go_to_minari_and_back(demos, say, tmp_path):
    assert say("demos", "convert", demos, tmp_path / "flat.npz").code == 0
    assert say("demos", "convert", tmp_path / "flat.npz", tmp_path / "again", "--env", "CartPole-v1").code == 0
    before, after = theodolite.read_demos(demos), theodolite.read_demos(tmp_path / "again")
    assert before.space == after.space and len(before.episodes) == len(after.episodes)
    for a, b in zip(before.episodes, after.episodes, strict=True):
        np.testing.assert_array_equal(a.obs, b.obs)
        np.testing.assert_array_equal(a.action, b.action)
        np.testing.assert_array_equal(a.reward, b.reward)
        assert (a.terminated, a.truncated) == (b.terminated, b.truncated)


def test_files_that_are_no_demonstrations_are_refused(say, tmp_path):
    np.savez(tmp_path / "a.npz", observations=np.zeros((3, 2)))
    assert "an array 'observations'" in say("demos", "convert", tmp_path / "a.npz", tmp_path / "d").err
    np.savez(tmp_path / "b.npz", obs=np.zeros((3, 2)))
    assert "no array 'actions'" in say("demos", "convert", tmp_path / "b.npz", tmp_path / "d").err
    (tmp_path / "c.npz").write_bytes(b"PK half a file")
    assert "cannot be read" in say("demos", "convert", tmp_path / "c.npz", tmp_path / "d").err
    found = say("demos", "convert", tmp_path / "a.npz", tmp_path / "b2.npz")
    assert found.code == 2 and "the other a folder" in found.err
