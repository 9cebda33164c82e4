"""Minari's layout: the package loads what we write, we load what it writes, and damage is told in one sentence."""

import dataclasses
import json
import resource
import shutil
import warnings

import gymnasium
import h5py
import minari as package
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer
from minari.serialization import deserialize_space, serialize_space

from theodolite.core import demo_info, demos, minari, minari_spaces
from theodolite.core.env import Box, Discrete, Space
from theodolite.core.errors import UserError

SPACES = {
    "discrete": Space(Box((3,), (-1.0, -np.inf, 0.0), np.inf), Discrete(4)),
    "continuous": Space(Box((3,), dtype="float64"), Box((2,), -1.0, (1.0, 2.0))),
    "image": Space(Box((40, 33, 3), 0.0, 255.0, "uint8"), Discrete(2)),
}


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """An empty data root for the minari package, which warns of every piece of metadata that is missing."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield tmp_path


def some_demos(kind="discrete", lengths=(5, 3, 12, 1, 2, 2, 2, 2, 2, 2, 4), **settings):
    space, rng = SPACES[kind], np.random.default_rng(0)
    draw_obs = (lambda n: rng.integers(0, 256, (n, 40, 33, 3))) if kind == "image" else (lambda n: rng.random((n, 3)))
    draw_action = (lambda n: rng.uniform(-1, 1, (n, 2))) if kind == "continuous" else (lambda n: rng.integers(0, 2, n))
    return demos.from_arrays(
        [draw_obs(t + 1) for t in lengths],
        [draw_action(t) for t in lengths],
        [rng.normal(size=t) for t in lengths],
        terminated=[k % 3 == 0 for k in range(len(lengths))],
        truncated=[k % 3 == 1 for k in range(len(lengths))],
        space=space,
        **settings,
    )


def assert_same(a, b):
    assert len(a.episodes) == len(b.episodes) and a.space == b.space
    for x, y in zip(a.episodes, b.episodes, strict=True):
        assert (x.terminated, x.truncated) == (y.terminated, y.truncated)
        for one, other in zip(x[:3], y[:3], strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", SPACES)
def test_round_trip(root, kind):
    d = some_demos(kind, env_id="module:My-v3", metadata={"author": ["A. Surveyor"], "total_steps": 0})
    back = minari.read(minari.write(d, root / "mine-v0"))
    assert_same(d, back)
    assert (back.env_id, back.dataset_id) == ("module:My-v3", "mine-v0")
    assert back.metadata["author"] == ["A. Surveyor"]
    assert_same(d, minari.read(root / "mine-v0" / "data"))
    assert [p.name for p in root.iterdir()] == ["mine-v0"]


@pytest.mark.parametrize("kind", SPACES)
def test_the_minari_package_loads_what_we_write(root, kind):
    d = some_demos(kind, env_id="CartPole-v1")
    minari.write(d, root / "survey" / "mine-v2")
    loaded = package.load_dataset("survey/mine-v2")
    assert "survey/mine-v2" in package.list_local_datasets()
    assert (loaded.total_episodes, loaded.total_steps) == (len(d.episodes), d.lengths.sum())
    assert loaded.env_spec.id == "CartPole-v1" and loaded.spec.version == 2
    for k, (theirs, ours) in enumerate(zip(loaded.iterate_episodes(), d.episodes, strict=True)):
        assert theirs.id == k and len(theirs) == len(ours.action) and "infos" in repr(theirs)
        np.testing.assert_array_equal(theirs.observations, ours.obs)
        np.testing.assert_array_equal(theirs.actions, ours.action)
        np.testing.assert_array_equal(theirs.rewards, ours.reward)
        flags = theirs.terminations, theirs.truncations
        assert [f[-1] for f in flags] == [ours.terminated, ours.truncated] and not any(f[:-1].any() for f in flags)
        assert theirs.observations.dtype == loaded.observation_space.dtype
        assert loaded.action_space.contains(theirs.actions[0])
    assert {e["total_steps"] for e in loaded.storage.get_episode_metadata([2])} == {12}


def test_the_minari_package_appends_to_what_we_write(root):
    d = some_demos()
    minari.write(d, root / "mine-v0")
    loaded = package.load_dataset("mine-v0")
    buffer = EpisodeBuffer(
        observations=np.ones((3, 3), np.float32), actions=np.array([0, 1]), rewards=[1.0, 1.0],
        terminations=[False, True], truncations=[False, False],
    )  # fmt: skip
    loaded.update_dataset_from_buffer([buffer])
    grown = minari.read(root / "mine-v0")
    assert len(grown.episodes) == len(d.episodes) + 1 and grown.episodes[-1].terminated


def play(env, num_episodes):
    """Episodes of random actions, as the package's buffers."""
    env.action_space.seed(0)
    for k in range(num_episodes):
        rows = {
            "observations": [env.reset(seed=k)[0]],
            "actions": [],
            "rewards": [],
            "terminations": [],
            "truncations": [],
        }
        while not (rows["terminations"] and (rows["terminations"][-1] or rows["truncations"][-1])):
            action = env.action_space.sample()
            values = env.step(action)
            for name, value in zip(rows, (values[0], action, *values[1:4]), strict=True):
                rows[name].append(value)
        yield EpisodeBuffer(seed=k, infos={"step": np.arange(len(rows["observations"]))}, **rows)


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_we_load_what_the_minari_package_writes(root, env_id):
    env = gymnasium.make(env_id)
    buffers = list(play(env, 12))
    package.create_dataset_from_buffers("theirs/random-v0", buffers, env=env, author="A. Surveyor")
    d = minari.read(root / "theirs" / "random-v0")
    assert (d.env_id, d.dataset_id, d.metadata["author"]) == (env_id, "theirs/random-v0", ["A. Surveyor"])
    for b, e in zip(buffers, d.episodes, strict=True):
        np.testing.assert_array_equal(e.obs, np.stack(b.observations))
        np.testing.assert_array_equal(e.action, np.stack(b.actions))
        np.testing.assert_array_equal(e.reward, np.array(b.rewards, np.float32))
        assert (e.terminated, e.truncated) == (b.terminations[-1], b.truncations[-1])
    box = env.observation_space
    np.testing.assert_array_equal(np.broadcast_to(d.space.obs.low, box.shape), box.low)
    np.testing.assert_array_equal(np.broadcast_to(d.space.obs.high, box.shape), box.high)
    assert d.space.action == (Discrete(2) if env_id == "CartPole-v1" else Box((1,), -2.0, 2.0))
    assert ("CartPole-v1 counts as solved" in "".join(demo_info.info(d).warnings)) == (env_id == "CartPole-v1")
    minari.write(d, root / "copy-v0")
    assert package.load_dataset("copy-v0").recover_environment().spec.id == env_id
    assert_same(d, minari.read(root / "copy-v0"))


@pytest.mark.parametrize(
    "space",
    [
        gymnasium.spaces.Discrete(7),
        gymnasium.spaces.Box(-1, 1, (2, 3), np.float64),
        gymnasium.spaces.Box(np.array([-np.inf, 0.1, -2], np.float32), np.array([np.inf, 0.2, 5], np.float32)),
        gymnasium.spaces.Box(0, 255, (40, 40), np.uint8),
        gymnasium.spaces.Box(-3, 4, (2,), np.int64),
    ],
)
def test_spaces_survive_both_ways(space):
    ours = minari_spaces.read_action(serialize_space(space), "here")
    assert deserialize_space(minari_spaces.to_json(ours)) == space


def test_bounds_of_matrices_are_loosened_to_their_last_axis():
    space = gymnasium.spaces.Box(np.array([[0.0, 1], [-1, 2]]), np.array([[5.0, 6], [7, 6]]), dtype=np.float64)
    assert minari_spaces.read_action(serialize_space(space), "here") == Box((2, 2), (-1.0, 1.0), (7.0, 6.0), "float64")


def test_infinite_bounds_of_integers_become_their_limits():
    back = deserialize_space(minari_spaces.to_json(Box((2,), dtype="uint8")))
    assert (back.low == 0).all() and (back.high == 255).all()


@pytest.fixture
def folder(root):
    """A small data set, ready to be damaged."""
    return minari.write(some_demos("continuous", (4, 3)), root / "mine-v0")


def edit_metadata(folder, **changes):
    path = folder / "data" / "metadata.json"
    kept = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in kept.items() if v is not None}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: f["episode_1"].pop("rewards"), "episode_1/rewards is missing"),
        (lambda f: f.pop("episode_1"), "promises 2 episodes, main_data.hdf5 holds 1"),
        (lambda f: f.move("episode_1", "episode_7"), "episode_1 is missing"),
        (lambda f: f["episode_0/observations"].__setitem__((2, 1), np.nan), "episode 0, step 2, column 1.* is nan"),
        (lambda f: f["episode_0/actions"].__setitem__((2, 1), 9), r"episode 0, step 2, column 1: the action is 9"),
        (lambda f: f["episode_0/observations"].resize(4, axis=0), "episode 0: 4 observations for 4 actions"),
        (lambda f: f["episode_0/terminations"].__setitem__(1, True), "goes on after it was terminated at step 1"),
        (lambda f: replace(f["episode_0"], "observations", np.zeros((5, 2))), r"expected \('T', 3\)"),
        (lambda f: replace(f["episode_0"], "actions", np.array([b"x"] * 4)), "dtype .S1, expected numbers"),
        (lambda f: f.__setitem__("episode_1/rewards/x", 1) if f.pop("episode_1/rewards") else 0, "rewards is a group"),
        (lambda f: (f.pop("episode_1"), f.__setitem__("episode_1", 1)), "episode_1 is an array"),
        (lambda f: replace(f["episode_0"], "rewards", h5py.SoftLink("/episode_1/rewards")), "rewards is a link"),
        (lambda f: replace(f, "episode_0", h5py.ExternalLink("other.hdf5", "/x")), "episode_0 is a link"),
    ],
)
def test_damaged_data_are_refused(folder, damage, message):
    with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
        damage(file)
    with pytest.raises(UserError, match=message):
        minari.read(folder)


def replace(group, name, value):
    del group[name]
    group[name] = value


def test_numbers_kept_in_another_file_are_not_followed(folder, root):
    (root / "other").write_bytes(b"\0" * 64)
    with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
        del file["episode_0/rewards"]
        file["episode_0"].create_dataset("rewards", (4,), "f8", external=[(str(root / "other"), 0, 64)])
    with pytest.raises(UserError, match="keeps its numbers in another file"):
        minari.read(folder)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused(folder, share):
    path = folder / "data" / "main_data.hdf5"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UserError, match="damaged or truncated"):
        minari.read(folder)


DICTIONARY = serialize_space(gymnasium.spaces.Dict(x=gymnasium.spaces.Box(0, 1, (2,))))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observation_space": DICTIONARY}, "the observation space is a Dict, expected Box or Discrete. Flatten it"),
        ({"action_space": serialize_space(gymnasium.spaces.MultiBinary(3))}, "the action space is a MultiBinary"),
        ({"action_space": serialize_space(gymnasium.spaces.Discrete(3, start=1))}, "actions are counted from 1"),
        ({"observation_space": serialize_space(gymnasium.spaces.Discrete(3))}, "observations are integers from 0 to 2"),
        ({"observation_space": "{"}, "is not in Minari's form"),
        ({"observation_space": '{"type": "Box"}'}, "is not in Minari's form"),
        ({"data_format": "arrow"}, "stored as 'arrow', expected 'hdf5'. Convert it with the minari package"),
        ({"total_episodes": 5}, "promises 5 episodes"),
    ],
)
def test_unsupported_metadata_are_refused(folder, changes, message):
    edit_metadata(folder, **changes)
    with pytest.raises(UserError, match=message):
        minari.read(folder)


def test_dictionary_observations_of_the_package_are_refused(root):
    space = gymnasium.spaces.Dict(x=gymnasium.spaces.Box(0, 1, (2,)))
    buffer = EpisodeBuffer(
        observations={"x": np.zeros((3, 2), np.float32)}, actions=np.array([0, 1]), rewards=[1.0, 1.0],
        terminations=[False, True], truncations=[False, False],
    )  # fmt: skip
    package.create_dataset_from_buffers(
        "theirs-v0", [buffer], observation_space=space, action_space=gymnasium.spaces.Discrete(2)
    )
    with pytest.raises(UserError, match="observation space is a Dict"):
        minari.read(root / "theirs-v0")
    with pytest.raises(UserError, match="observations is a group"):
        minari.read(root / "theirs-v0", space=SPACES["discrete"])


def test_jpeg_observations_of_the_package_are_refused(root):
    space = gymnasium.spaces.Box(0, 255, (40, 40, 3), np.uint8)
    buffer = EpisodeBuffer(
        observations=np.zeros((3, 40, 40, 3), np.uint8), actions=np.array([0, 1]), rewards=[1.0, 1.0],
        terminations=[False, True], truncations=[False, False],
    )  # fmt: skip
    package.create_dataset_from_buffers(
        "theirs-v0", [buffer], observation_space=space, action_space=gymnasium.spaces.Discrete(2)
    )
    with pytest.raises(UserError, match="JPEG-encoded, expected plain arrays"):
        minari.read(root / "theirs-v0")


def test_zero_episodes_are_refused(folder):
    edit_metadata(folder, total_episodes=0)
    with h5py.File(folder / "data" / "main_data.hdf5", "w"):
        pass
    with pytest.raises(UserError, match="zero episodes"):
        minari.read(folder)


def test_what_is_no_data_set_is_refused(root, folder):
    (root / "empty").mkdir()
    for path, message in ((root / "nowhere", "does not exist"), (root / "empty", "is no data set"),
                          (folder / "data" / "main_data.hdf5", "is no data set")):  # fmt: skip
        with pytest.raises(UserError, match=message):
            minari.read(path)
    (folder / "data" / "main_data.hdf5").unlink()
    with pytest.raises(UserError, match="the copy is incomplete"):
        minari.read(folder)
    for text, message in (("{", "cannot be read"), ("[]", "JSON list, expected an object")):
        (folder / "data" / "metadata.json").write_text(text)
        with pytest.raises(UserError, match=message):
            minari.read(folder)


def test_spaces_may_be_absent_or_overruled(folder):
    narrow = dataclasses.replace(
        some_demos("continuous"), space=SPACES["continuous"]._replace(action=Box((2,), -9.0, 9.0))
    )
    assert minari.read(folder, space=narrow.space).space == narrow.space
    edit_metadata(folder, observation_space=None)
    guessed = minari.read(folder)
    assert guessed.inferred and guessed.space == Space(Box((3,), dtype="float64"), Box((2,)))


def test_nan_may_be_looked_at_and_actions_clipped(folder):
    with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
        file["episode_0/observations"][2, 1] = np.nan
        file["episode_0/actions"][2, 1] = 9
    d = minari.read(folder, allow_nan=True, clip_actions=True)
    assert "episode 0, step 2, column 1" in demo_info.info(d).warnings[0]
    assert d.episodes[0].action[2, 1] == 2.0


def test_an_existing_folder_is_refused_and_intact(folder, root):
    before = (folder / "data" / "main_data.hdf5").read_bytes()
    with pytest.raises(UserError, match="exists already and is not overwritten"):
        minari.write(some_demos(), folder)
    assert (folder / "data" / "main_data.hdf5").read_bytes() == before
    (root / "link").symlink_to(root / "nowhere")
    with pytest.raises(UserError, match="exists already"):
        minari.write(some_demos(), root / "link")


def test_a_failed_write_leaves_nothing_behind(root):
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, kept[1]))  # files beyond this size fail as on a full disk
    try:
        with pytest.raises(UserError, match=r"could not be written \(File too large\); nothing was left behind"):
            minari.write(some_demos("image"), root / "new" / "mine-v0")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)
    assert list((root / "new").iterdir()) == []
    assert len(minari.read(minari.write(some_demos("image"), root / "new" / "mine-v0")).episodes) == 11


def test_names_become_ids_that_minari_accepts(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    d = some_demos(lengths=(2,))
    for name, expected in (("my demos", "my_demos-v0"), ("walk-v12", "walk-v12"), ("x.y", "x_y-v0")):
        written = minari.write(d, elsewhere / name)
        assert package.MinariDataset(written / "data").spec.dataset_id == expected == minari.read(written).dataset_id
    assert minari.read(minari.write(d, root / "ab" / "cd" / "x-v0")).dataset_id == "ab/cd/x-v0"
    assert minari.read(minari.write(d, elsewhere / "z", dataset_id="given/x-v1")).dataset_id == "given/x-v1"
    shutil.rmtree(elsewhere)
