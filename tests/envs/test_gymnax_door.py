"""The door to gymnax on a package with its interface; test_gymnax_adapter.py opens it to gymnax itself."""

import sys

import gymnax_like
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core.env import Box, Discrete, JaxEnvs
from theodolite.core.errors import UserError
from theodolite.envs.checker import check
from theodolite.envs.registry import TASKS, known_ids, make


@pytest.fixture(autouse=True)
def gymnax(monkeypatch):
    """What is imported as gymnax."""
    monkeypatch.setitem(sys.modules, "gymnax", gymnax_like)
    monkeypatch.delitem(sys.modules, "theodolite.envs.gymnax_adapter", raising=False)
    yield
    sys.modules.pop("theodolite.envs.gymnax_adapter", None)


def play(envs: JaxEnvs, steps: int, seed: int = 0) -> tuple:
    """The first observation of one copy, then every step's outcome and key, under actions 0, 1, 2, 0, ..."""
    keys = jax.random.split(jax.random.key(seed), steps + 1)
    actions = jnp.arange(steps, dtype=jnp.int32) % 3

    @jax.jit
    def run(keys):
        state, obs = envs.env.reset(keys[0])
        return obs, jax.lax.scan(lambda s, row: envs.env.step(row[0], s, row[1]), state, (keys[1:], actions))[1]

    return *run(keys), keys, actions


def test_the_stream_is_that_of_the_package_s_own_step():
    made = gymnax_like.Walk()
    params = made.default_params
    first, out, keys, actions = play(make("gymnax/Walk-v0"), 60)
    with jax.numpy_dtype_promotion("standard"):
        obs, state = made.reset(keys[0], params)
        np.testing.assert_array_equal(first, obs)
        for t in range(60):
            obs, state, reward, terminated, truncated, info = made.step(keys[t + 1], state, actions[t], params)
            np.testing.assert_allclose(out.obs[t], obs, rtol=1e-6, atol=1e-7)
            np.testing.assert_allclose(out.last_obs[t], info["final_observation"], rtol=1e-6, atol=1e-7)
            assert (out.reward[t], out.terminated[t]) == (reward, terminated)
            assert out.truncated[t] == (truncated and not terminated)
    assert out.terminated.any() and out.truncated.any() and (out.obs != out.last_obs).any()


def test_a_wrapper_is_stepped_whole_and_loses_no_observation():
    first, plain, *_ = play(make("gymnax/Walk-v0", slippery=False), 40)
    twice, out, *_ = play(make("gymnax/Doubled-v0", slippery=False), 40)
    np.testing.assert_array_equal(twice, 2 * first)
    ended = int(np.argmax(plain.terminated | plain.truncated))
    np.testing.assert_allclose(out.last_obs[: ended + 1], 2 * plain.last_obs[: ended + 1], rtol=1e-6)
    assert (out.terminated | out.truncated).sum() > 3
    check(make("gymnax/Doubled-v0", 3), steps=60)


@pytest.mark.parametrize("id", ["Walk-v0", "Throttle-v0", "Board-MinAtar", "Flags-v0", "Matrix-v0", "Rooms-v0"])
def test_the_contract_holds(id):
    check(make(f"gymnax/{id}", 3), steps=40)


def test_spaces_and_types_are_those_that_agents_read():
    infinity = float("inf")
    spaces = {id: make(f"gymnax/{id}", 2).space for id in ("Walk-v0", "Board-MinAtar", "Flags-v0", "Matrix-v0")}
    assert spaces["Walk-v0"] == (Box((2,), (-9.0, -infinity), (9.0, infinity)), Discrete(3), 2)
    assert spaces["Board-MinAtar"].obs == spaces["Flags-v0"].obs == Box((3, 4, 2), 0.0, 1.0, "uint8")
    assert spaces["Matrix-v0"].obs == Box((12,), 0.0, 99.0)
    assert make("gymnax/Throttle-v0").space.action == Box((1,), -2.0, 2.0)
    assert make("gymnax/Rooms-v0").space.obs == Box((4,), 0.0, 1.0)
    rooms = play(make("gymnax/Rooms-v0", max_episode_steps=3, slippery=False, size=9.0), 4)[1].last_obs
    np.testing.assert_array_equal(rooms.argmax(-1), [1, 2, 3, 1])


def test_a_second_call_compiles_nothing():
    envs, calls = make("gymnax/Walk-v0", 2), []

    @jax.jit
    def step(key, state):
        calls.append(1)
        return envs.env.step(key, state, jnp.int32(1))[0]

    state = jax.jit(envs.env.reset)(jax.random.key(0))[0]
    for seed in range(3):
        state = step(jax.random.key(seed), state)
    assert len(calls) == 1
    assert not [x for x in jax.tree.leaves(envs.env.reset(jax.random.key(0))[0]) if x.weak_type]


def test_limits_truncate_and_never_terminate():
    def ends(**options):
        out = play(make("gymnax/Walk-v0", slippery=False, size=99.0, **options), 24)[1]
        assert not out.terminated.any()
        return (np.flatnonzero(out.truncated) + 1).tolist()

    assert ends() == [6, 12, 18, 24]
    assert ends(max_episode_steps=8) == [8, 16, 24]  # a longer one than the package's own, too
    out = play(make("gymnax/Endless-v0", max_episode_steps=5), 12)[1]
    assert not out.terminated.any() and np.flatnonzero(out.truncated).tolist() == [4, 9]
    assert not play(make("gymnax/Endless-v0"), 12)[1].truncated.any()


def test_sticky_actions_repeat_the_last_one_as_often_as_asked():
    options = {"slippery": False, "size": 1e9, "max_episode_steps": 500}
    for probability, repeats in ((0.0, 0.0), (0.25, 0.25), (1.0, 1.0)):
        first, out, _, actions = play(make("gymnax/Walk-v0", sticky=probability, **options), 500)
        place = np.concatenate([[first[0]], out.last_obs[:, 0]])
        played = np.round(np.diff(place) / 0.5).astype(int) + 1
        again = played != np.asarray(actions)
        assert abs(again.mean() - repeats) < 0.06 if probability < 1 else (played == 0).all()
        np.testing.assert_array_equal(played[1:][again[1:]], played[:-1][again[1:]])


def test_options_reach_the_class_and_the_parameters():
    assert play(make("gymnax/Walk-v0", start=5.0, size=9.0), 2)[0][0] >= 5
    with pytest.raises(UserError, match=r"'gymnax/Walk-v0' has no option 'siz'\. Did you mean size.* Its options: "):
        make("gymnax/Walk-v0", siz=2.0)
    with pytest.raises(UserError, match="size = 'big': environment 'gymnax/Walk-v0' expects a number"):
        make("gymnax/Walk-v0", size="big")
    with pytest.raises(UserError, match=r"gymnax cannot make 'Walk-v0' with start=12: starts too far"):
        make("gymnax/Walk-v0", start=12)
    with pytest.raises(UserError, match="max_episode_steps = 0: must be a whole number >= 1"):
        make("gymnax/Walk-v0", max_episode_steps=0)


@pytest.mark.parametrize(
    ("id", "options", "says"),
    [
        ("Wolk-v0", {}, "gymnax environment 'Wolk-v0' is unknown. Did you mean Walk-v0"),
        ("own_environments:Wolk-v0", {}, "Nothing after importing 'own_environments' has registered it by gymnax"),
        ("Named-v0", {}, "has observations of type Dict: a Box or a Discrete space is expected. Wrap it"),
        ("Counts-v0", {}, "takes actions of type Box: one Discrete choice or a Box of real numbers"),
        ("Old-v0", {}, "returns 5 values, where the 6 of gymnax 1.0 are expected"),
        ("MNISTBandit-bsuite", {}, "downloads data when it is made"),
        ("Walk-v0", {"sticky": 1.5}, r"sticky = 1.5: must be in \[0, 1\]"),
        ("Throttle-v0", {"sticky": 0.1}, "has actions that are no choice; leave it out"),
    ],
)
def test_bad_requests_are_explained(id, options, says):
    with pytest.raises(UserError, match=says):
        make(f"gymnax/{id}", **options)


def test_ids_are_known_with_their_prefix_and_proposed():
    ids = known_ids()
    assert ids[: len(TASKS)] == list(TASKS)
    assert "gymnax/Walk-v0" in ids and "gymnax/MNISTBandit-bsuite" not in ids and "Walk-v0" not in ids
    with pytest.raises(UserError, match=r"'Board-MinAtar' is unknown\. Did you mean gymnax/Board-MinAtar"):
        make("Board-MinAtar")


def test_a_module_of_one_s_own_is_imported(tmp_path, monkeypatch):
    (tmp_path / "my_walks.py").write_text(
        "import gymnax\ngymnax.register('Far-v0', lambda: gymnax.make('Walk-v0')[0])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    envs = make("gymnax/my_walks:Far-v0", 2)
    assert (envs.id, envs.num_envs) == ("gymnax/my_walks:Far-v0", 2)


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnax", None)
    with pytest.raises(UserError, match=r"needs the package 'gymnax'.*'\.\[gymnax\]'"):
        make("gymnax/Walk-v0")
    assert not [id for id in known_ids() if id.startswith("gymnax/")]


def test_a_package_that_gymnax_forgot_to_name_is_named(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "gymnax")
    (tmp_path / "gymnax.py").write_text("import six_of_nowhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="not 'six_of_nowhere', which it needs and does not declare: pip install"):
        make("gymnax/Walk-v0")
    assert not [id for id in known_ids() if id.startswith("gymnax/")]
