"""The exact part of distributional in little, its arms' heads against their definitions, and its jobs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.claims.an51 import (
    distributional,
    distributional_arms,
    distributional_exact,
    distributional_heads,
    distributional_networks,
    distributional_rooms,
)
from theodolite.control import dqn, heads, iqn
from theodolite.control.heads import Target
from theodolite.core.claim import row
from theodolite.core.judge import judge
from theodolite.core.scores import Scores


@pytest.mark.parametrize("case", distributional_exact.CASES)
def test_mixtures_and_cdfs_keep_the_mean_and_gradients_on_masses_do_not(case):
    found = {r["arm"]: r["metrics"]["departure"] for r in distributional_exact.rows(case, (0,), 600)}
    assert max(found["mixture"], found["cdf"]) < 1e-9
    assert min(found["pdf"], found["softmax"]) > 0.01


def test_fourier_features_are_the_products_of_all_orders_but_the_constant():
    order, high = 2, (1.0, 2.0)
    coefficients = distributional_exact.fourier(order, high)
    assert len(coefficients) == 8 and len({tuple(c) for c in coefficients}) == 8
    obs = jnp.array([0.5, -3.0])  # the second is beyond its bound
    slow = [np.cos(np.pi * (c[0] * 0.75 + c[1] * 0.0)) for c in coefficients]
    np.testing.assert_allclose(distributional_exact.features(obs, order, high), slow, atol=1e-6)
    assert len(distributional_exact.fourier(3, distributional_exact.CARTPOLE_BOUNDS)) == 255


def test_heads_of_the_study_do_what_they_say():
    following, target = jnp.array([1.0, 2.0, 6.0]), 0.5 + 0.9 * 3.0
    t = Target(jnp.float32(0.5), jnp.float32(0.9), following)
    team = distributional_heads.ensemble(3)
    predicted = jnp.array([1.0, 4.0, 2.0])
    np.testing.assert_allclose(team.loss(predicted, t), (0.5 * (target - np.asarray(predicted)) ** 2).sum(), rtol=1e-5)
    aside = distributional_heads.auxiliary(2, 1.0)
    levels = heads.quantile_loss(predicted[1:], heads.midpoints(2), 0.5 + 0.9 * following[1:], 1.0)
    np.testing.assert_allclose(aside.loss(predicted, t), 0.5 * (1.4 - 1.0) ** 2 + levels, rtol=1e-5)
    assert aside.mean(predicted) == 1
    bins = distributional_heads.histogram(11, -1.0, 1.0)
    logits = jnp.linspace(0, 1, 11)
    slope = jax.grad(bins.loss)(logits, Target(jnp.float32(0.4), jnp.float32(0.0), logits))
    bell = jax.nn.softmax(logits) - slope
    np.testing.assert_allclose(bell @ np.linspace(-1, 1, 11), 0.4, atol=1e-3)
    np.testing.assert_allclose(np.sqrt(bell @ (np.linspace(-1, 1, 11) - 0.4) ** 2), 0.75 * 0.2, rtol=0.05)


@pytest.mark.parametrize(("inputs", "actions"), [(4, 2), (6, 3), (1024, 3)])
def test_small_networks_have_the_parameters_of_the_shared_one(inputs, actions):
    hidden = distributional_heads.narrow(inputs, (64, 64), actions, 8)
    whole = distributional_heads.parameters(inputs, (64, 64), actions * 8)
    assert 0.85 * whole < 8 * distributional_heads.parameters(inputs, hidden, actions) <= whole


def test_every_size_has_its_jobs_and_the_arms_of_the_claims_are_run():
    for size in ("smoke", "quick", "full"):
        names = [job.name for job in distributional.ITEM.jobs(size, None)]
        assert len(set(names)) == len(names) > 3
    at_full_size_only = {"CartPole, Fourier/4", "four rooms/4", "four rooms/32", *distributional_arms.PLAYED}
    for size, left in (("quick", at_full_size_only), ("full", set())):
        run = {(job.arm, job.case): len(job.seeds) for job in distributional.ITEM.jobs(size, None)}
        for claim in distributional.CLAIMS[1:]:
            assert {(arm, case) for case in set(claim.cases) - left for arm in claim.arms} <= set(run)
        assert all(run[arm, task] >= 20 for arm in distributional_arms.QUESTION for task in distributional_arms.DEEP)


def test_the_features_of_every_kind_have_a_number_for_every_cell_and_a_picture():
    budget = distributional_rooms.Budget(1, (4,), 3, 5, 200)
    rows = distributional_rooms.study("adversarial", 4, "four rooms/4", (0, 1), budget)
    assert [0 <= r["metrics"]["left_out"] <= 1 and 0 <= r["metrics"]["control"] <= 1 for r in rows] == [True, True]
    assert len(rows[0]["curves"]) == 4 and len(rows[0]["curves"]["feature 0"][1]) == 104 and "curves" not in rows[1]


def test_separate_networks_are_as_many_as_quantiles():
    shared = distributional_arms.arm_of("separate", "CartPole", distributional_arms.copies("CartPole"), False)
    assert shared[0].trunks == shared[0].atoms == 8


def test_iqn_differs_from_the_base_in_what_it_predicts_alone():
    base = distributional_arms.BASE
    config, head = distributional_heads.arms(base, 4, 2)["IQN"]
    assert isinstance(config, iqn.Config) and head is None
    shared = set(vars(config)) & set(vars(base))
    assert len(shared) > 15 and all(getattr(config, name) == getattr(base, name) for name in shared)
    assert set(vars(config)) - shared == {"levels", "target_levels", "policy_levels", "cosines", "worst"}
    assert config.levels == config.target_levels == distributional_heads.COUNT


def test_the_features_of_both_kinds_of_networks_have_a_rank():
    envs = distributional_arms.copies("CartPole")
    for name, kind in (("IQN", iqn.State), ("separate", dqn.State)):
        arm = distributional_arms.arm_of(name, "CartPole", envs, False)
        agent = distributional_heads.make(arm)(arm[0])
        state = agent.init(jax.random.key(0), envs.space)
        assert isinstance(state, kind)
        assert np.isfinite(distributional_arms.feature_rank(state))


def test_the_experiment_s_page_says_the_premise_and_every_arm_s_area():
    rng, arms, tasks = np.random.default_rng(0), distributional_arms.STUDY, distributional_arms.DEEP
    level = {"QR-DQN": 0.1, "DQN": 0.5}
    curve = ([1.0, 2.0], [float("nan"), 40.0])
    rows = [row(arm, task, seed, {"return": curve}, area=level.get(arm, 0.4) + 0.01 * rng.normal(), excess=0.5)
            for arm in arms for task in tasks for seed in range(4)]  # fmt: skip
    scores = Scores(tuple(rows))
    verdict = judge(distributional.ITEM, scores, "quick")
    text = distributional_networks.page(verdict, scores)
    assert text.count("**undecided**") == 3 and text.count("premise not met on CartPole") == 3
    assert "4 seeds of 2 steps" in text
    assert all(f"| {arm} | " in text for arm in distributional_arms.QUESTION) and "| C51 |" not in text
    drawn = distributional_networks.figure(scores.judged(verdict))
    assert "is refuted on CartPole and refuted on Acrobot" in drawn.get_suptitle()
    assert len(drawn.axes) == 4 and all(axes.lines for axes in drawn.axes)


def test_the_figure_shows_every_kind_of_features_where_there_are_pictures():
    rng, states = np.random.default_rng(0), int(distributional_rooms.house().mdp.initial.size)
    case = distributional_rooms.case_of(8)
    curves = {f"feature {i}": (range(states), rng.normal(size=states)) for i in range(distributional_rooms.PICTURED)}
    rows = [
        row(arm, task, seed, area=rng.uniform())
        for arm in distributional_arms.STUDY
        for task in distributional_arms.DEEP
        for seed in range(3)
    ]
    rows += [row(kind, case, seed, curves if seed == 0 else None, left_out=rng.uniform(), control=rng.uniform())
             for kind in distributional_rooms.KINDS for seed in range(3)]  # fmt: skip
    drawn = distributional.figure(Scores(tuple(rows)))
    pictures = [axes for axes in drawn.axes if axes.images]
    assert len(pictures) == 4 * len(distributional_rooms.KINDS)
    assert [axes.get_title() for axes in pictures[: len(distributional_rooms.KINDS)]] == list(
        distributional_rooms.KINDS
    )
    assert not distributional.figure(Scores(tuple(rows[: len(distributional_arms.STUDY) * 6]))).axes[0].images
    rows += [row(arm, game, 0, area=0.5) for arm in distributional_arms.PLAIN for game in distributional_arms.PLAYED]
    labels = [axes.get_xlabel() for axes in distributional.figure(Scores(tuple(rows))).axes]
    assert [any(label.startswith(game) for label in labels) for game in distributional_arms.PLAYED] == [True, True]
