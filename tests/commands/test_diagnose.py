"""theodolite diagnose: measures, page and words from a short run or a finished one, and what it refuses."""

import json
import re
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.commands import diagnosable, diagnose, diagnosing, diagnosis_page, lenses, methods
from theodolite.control import diagnosis, dqn, heads, iqn
from theodolite.core import replay
from theodolite.core.demos import Episode
from theodolite.core.env import Box, Discrete, Space

TINY = ("--env", "CartPole-v1", "--env-options", "max_episode_steps=20", "--num-envs", "4", "--hidden", "8",
        "--steps", "160", "--learning-starts", "40", "--train-every", "4", "--replay", "200")  # fmt: skip
WATCH = ("--looks", "2", "--episodes", "4")
WHOSE = ("while_training", "run_seed", "of_seed", "look_seed")
MADE = {"diagnosis.json", "diagnosis.svg", "diagnosis.png", "run.json", "metrics.jsonl", "last.npz"}


def test_a_short_run_is_measured_drawn_kept_and_measured_again(say, tmp_path, stopped_after):
    folder = tmp_path / "d"
    said = say("diagnose", "dqn", *TINY, *WATCH, "--out", folder, "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert [one["steps"] for one in found["looks"]] == [80, 160] and found["method"] == "dqn"
    for one in found["looks"]:
        assert one.keys() == {*diagnosis.MEASURES, "steps", "return"} and None not in one.values()
    assert {p.name for p in folder.iterdir() if p.name[0] != "."} == MADE
    assert f"{folder}/diagnosis.svg" in diagnose.words(found, folder)
    assert [found[name] for name in WHOSE] == [True, 0, 0, 0]
    assert say("diagnose", "dqn", *TINY, *WATCH, "--out", folder, "--json").out == said.out  # nothing is left to do
    with stopped_after(30):
        assert say("diagnose", "dqn", *TINY, *WATCH, "--out", tmp_path / "parts").code == 130
    parts = json.loads(say("diagnose", "dqn", *TINY, *WATCH, "--out", tmp_path / "parts", "--json").out)["looks"]
    differ = [{name for name in one if one[name] != two[name]} for one, two in zip(found["looks"], parts, strict=True)]
    assert differ == [set(), {"gap", "validation"}]  # of what was held out, that before an interruption is lost
    other = say("diagnose", "dqn", *TINY, *WATCH, "--seed", "1", "--out", folder)
    assert other.code == 2 and "holds another run: seed = 0, not 1" in other.err
    assert say("evaluate", folder, "--episodes", "2").code == 0
    again = say("diagnose", folder, "--episodes", "4", "--json")
    assert {p.name for p in folder.iterdir() if p.name[0] != "."} == MADE | {"look.json", "look.svg", "look.png"}
    assert (
        say("diagnose", "dqn", *TINY, *WATCH, "--out", folder, "--json").out == said.out
    )  # the look is not in its way
    last, after = found["looks"][-1], json.loads(again.out)["looks"][0]
    assert after["gap"] is None and after["validation"] is None  # nothing was held out from it any more
    assert all(after[name] == pytest.approx(last[name], rel=1e-3) for name in last if after[name] is not None)


@pytest.mark.parametrize("method", ["iqn", "preq_dqn"])
def test_a_finished_run_of_another_q_learner_is_looked_at(say, tmp_path, method):
    assert say("train", method, *TINY, "--seed", "3", "--seeds", "2", "--out", tmp_path / "r").code == 0
    which = ("--of-seed", "1", "--seed", "5")
    found = json.loads(say("diagnose", tmp_path / "r", "--episodes", "4", *which, "--json").out)
    assert [found[name] for name in WHOSE] == [False, 3, 1, 5]
    assert "seed 1 of the run with seed 3, look seed 5:" in diagnosis_page.page(found).get_suptitle()
    missing = {name for name, v in found["looks"][0].items() if v is None}
    assert missing == {"gap", "validation"} | ({"drift"} if method == "preq_dqn" else set())
    assert (tmp_path / "r/look.svg").exists() and not (tmp_path / "r/diagnosis.svg").exists()
    for flag, value, why in (
        ("of-seed", 2, "2 seeds: expected one of 0 to 1"),
        ("episodes", 0, "episodes = 0: must be"),
    ):
        refused = say("diagnose", tmp_path / "r", f"--{flag}", value)
        assert refused.code == 2 and why in refused.err


def test_a_run_that_diverges_is_reported_by_name_with_its_page(say, tmp_path):
    words = ("--learning-rate", "1e30", "--target-every", "1", *WATCH, "--out", tmp_path / "d", "--json")
    said = say("diagnose", "dqn", *TINY, *words)
    assert said.code == 1 and "Traceback" not in said.err
    name, limit = next(iter(json.loads(said.out)["limits"].items()))
    assert name == "diverged" and "is not finite" in limit["says"] and "a smaller --learning-rate" in limit["says"]
    assert "--double" not in limit["says"]  # it is on
    assert "is not finite" in json.loads((tmp_path / "d/run.json").read_text())["findings"][0]
    assert (tmp_path / "d/diagnosis.png").stat().st_size > 5_000


def test_the_drift_is_that_of_the_next_move_of_the_target_network():
    c = dqn.Config(
        target_every=3, n_step=1, hidden=(5,), replay=64, learning_starts=16, batch_size=16, learning_rate=0.1
    )
    space = Space(Box((4,)), Discrete(2), 1)
    s = dqn.agent(c).init(jax.random.key(0), space)
    rows = [Episode(np.random.default_rng(0).normal(size=(41, 4)).astype(np.float32), np.arange(40) % 2,
                    np.ones(40, np.float32), True, False)]  # fmt: skip
    s = replace(s, replay=diagnosing.ring_of(rows), largest_reward=jnp.float32(1))
    b, lens = replay.sample(s.replay, jax.random.key(1), 32), lenses.lens_of("dqn", c)
    now = s.learner
    for i in range(3):  # the third step moves it
        drawn = replay.sample(s.replay, jax.random.split(jax.random.fold_in(jax.random.key(2), i))[0], 16)
        now = dqn.improve(c, dqn.head_of(c), now, drawn)[0]
    values = lambda net: np.stack([lens.q(net, b.last_obs, jnp.full(32, a)) for a in (0, 1)], -1)  # noqa: E731
    new, old = values(now.net), values(s.learner.target)
    best = new.argmax(-1)[:, None]
    expected = 0.99 * ~np.asarray(b.terminated) * np.take_along_axis(new - old, best, -1)[:, 0]
    np.testing.assert_allclose(lens.moved(s, b, jax.random.key(2)), expected, rtol=1e-3, atol=1e-4)


def sampled(reward=1.0, num=32):
    obs = np.random.default_rng(0).normal(size=(num + 1, 4)).astype(np.float32)
    row = Episode(obs, np.arange(num) % 2, np.full(num, reward, np.float32), False, True)
    return replay.sample(diagnosing.ring_of([row]), jax.random.key(1), num, repeats=False)


def test_targets_beyond_the_atoms_are_those_of_the_loss():
    """What a step of C51 pulls Q towards: the mean of the distribution that lies on the atoms."""
    c = dqn.Config(head="categorical", support=(0.0, 10.0), atoms=11, hidden=(5,), n_step=1, discount=0.99)
    s = dqn.agent(c).init(jax.random.key(0), Space(Box((4,)), Discrete(2), 1))
    lens, head = lenses.lens_of("c51", c), dqn.head_of(c)
    for reward in (1.0, 7.0, 100.0):
        b = sampled(reward)
        found = dqn.targets(c, head, s.learner, b)
        moved = found.reward[:, 0, None] + found.discount[:, 0, None] * heads.support(11, 0.0, 10.0)[None]
        masses = jax.nn.softmax(found.following[:, 0])
        onto = jax.vmap(lambda z, p: heads.project(z, p, 0.0, 10.0, 11))(moved, masses)
        np.testing.assert_allclose(lens.targets(s, b, jax.random.key(0)), onto @ jnp.arange(11.0), rtol=1e-4)


def test_the_rest_of_a_return_is_worth_what_the_chosen_action_is():
    """IQN that acts by its worst tenth: the plain mean of the action that this chooses, not the largest mean."""
    c = iqn.Config(hidden=(16,), worst=0.1, policy_levels=16)
    agent = iqn.agent(c)
    s = agent.init(jax.random.key(0), Space(Box((4,)), Discrete(4), 1))
    obs = 3 * jax.random.normal(jax.random.key(1), (400, 4))
    lens = lenses.lens_of("iqn", c)
    means = np.stack([lens.q(s.learner.net, obs, jnp.full(400, a)) for a in range(4)], -1)
    chosen = np.asarray(agent.mode(s, obs))
    assert (chosen != means.argmax(-1)).any()
    expected = np.take_along_axis(means, chosen[:, None], -1)[:, 0]
    np.testing.assert_allclose(lens.goes_on(s, obs, jax.random.key(2)), expected, rtol=1e-5)


def test_what_was_held_out_is_no_older_than_the_buffer():
    first = sampled(num=diagnosing.ROWS)
    own = [replace(first, weight=jnp.full(diagnosing.ROWS, float(i))) for i in range(3)]
    parts = [diagnosing.Stretch(1_000 * i, 1_000 * (i + 1), rows) for i, rows in enumerate(own)]
    for oldest, shares in ((0, (1, 1, 1)), (1_500, (0, 0.5, 1)), (2_999, (0, 0, 1))):
        mixed = diagnosing._mixed(parts, oldest, jax.random.key(0))
        counts = np.bincount(np.asarray(mixed.weight, int), minlength=3)
        assert counts.sum() == diagnosing.ROWS
        np.testing.assert_allclose(counts / diagnosing.ROWS, np.array(shares) / sum(shares), atol=1e-3)


def test_overestimation_that_falls_asks_for_patience():
    lens = lenses.lens_of("dqn", dqn.Config())
    x = diagnosing.Subject("dqn", dqn.Config(), lens, None, Space(Box((4,)), Discrete(2), 1), "CartPole-v1", {}, 4, 0)
    sound = dict.fromkeys(diagnosis.MEASURES)
    for before, now, patient in ((9.0, 4.0, True), (2.0, 4.0, False), (None, 4.0, False)):
        found = diagnosing.conclude(x, {}, [sound | {"overestimate": before}, sound | {"overestimate": now}], [])
        assert ("train on" in found["limits"]["overestimate"]["says"]) == patient
    found = diagnosing.conclude(x, {}, [sound | {"overestimate": 9.0}, sound | {"overestimate": 4.0}], ["It diverged."])
    assert "train on" not in found["limits"]["overestimate"]["says"]


def test_returns_of_episodes_end_or_go_on_with_the_best_value():
    obs, paid = np.zeros((3, 2), np.float32), np.ones(2, np.float32)
    ended, cut = (Episode(obs, np.zeros(2, np.int32), paid, over, not over) for over in (True, False))
    long = Episode(np.zeros((4, 2), np.float32), np.zeros(3, np.int32), np.ones(3, np.float32), True, False)
    returns, weight = diagnosing.followed([ended, cut, long], 0.5, lambda o: jnp.full(len(o), 4.0))
    np.testing.assert_allclose(returns, [1.5, 1, 2.5, 3, 1.75, 1.5, 1])
    np.testing.assert_allclose(weight, [0, 0, 0.25, 0.5, 0, 0, 0])


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("ppo", "--env", "CartPole-v1"), "ppo is not diagnosed: expected one of dqn, c51, qr_dqn, rainbow"),
        (("dqnn", "--env", "CartPole-v1"), "'dqnn' is no method and no folder. Did you mean dqn"),
        (("dqn", "--env", "CartPole-v1", "--trunks", "3"), "trunks = 3: must be 1"),
        (("dqn", "--env", "CartPole-v1", "--steps", "900"), "steps = 900, looks = 5: the first look must come after"),
        (("dqn", *TINY, "--looks", "0"), "looks = 0: must be >= 1."),
        (("dqn", *TINY, "--episodes", "0"), "episodes = 0: must be >= 1."),
        (("dqn", *TINY, "--looks", "41", "--learning-starts", "0"), "looks = 41: expected at most 40, one after every"),
        (("dqn", *TINY, *WATCH, "--train-every", "7"), "train_every"),
        (("td3", "--env", "CartPole-v1", "--out", "runs/x"), "actions lie in Discrete(num=2)"),
        (("dqn",), "env"),
    ],
)
def test_what_cannot_be_diagnosed_is_refused(say, argv, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = say("diagnose", *argv)
    assert found.code == 2 and said in found.err and not list(tmp_path.iterdir())


def test_a_run_of_another_kind_is_refused(say, trained):
    found = say("diagnose", trained)
    assert found.code == 2 and "ppo is not diagnosed" in found.err


def test_only_looks_of_training_are_gone_on_from(tmp_path):
    looks = [{"steps": 80}, {"steps": 160}]
    for about, kept in (({"while_training": True}, looks[:1]), ({"while_training": False}, []), ({}, [])):
        (tmp_path / "diagnosis.json").write_text(json.dumps({**about, "looks": looks}))
        assert diagnosing._earlier(tmp_path, 120) == kept


def test_one_table_says_which_methods_are_covered_and_what_the_files_are_called():
    for name, method in methods.METHODS.items():
        if name in diagnosable.covered():
            assert lenses.lens_of(name, method.default).q
        else:
            with pytest.raises(KeyError):
                lenses.lens_of(name, None)
    page = (Path(__file__).parents[2] / "docs/diagnose.md").read_text(encoding="utf-8")
    first = page.partition("<!--")[0]
    assert tuple(re.findall(r"`(\w+)`", first)) == diagnosable.covered()
    assert set(re.findall(r"`(\w+)`", page)) & methods.METHODS.keys() == set(diagnosable.covered())
    for text in (page, diagnose.USAGE):
        assert "diagnosis.json" in text and "look.json" in text
