"""Demonstrations: validation, subsampling against a slow definition, padding, and what `info` warns of."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theodolite.core import demo_info, demos
from theodolite.core.env import Box, Discrete, Space
from theodolite.core.errors import UserError

DISCRETE = Space(Box((3,)), Discrete(4))
CONTINUOUS = Space(Box((3,)), Box((2,), -1.0, (1.0, 2.0)))


def arrays(lengths, seed=0, discrete=True):
    """Random episodes as lists of arrays: obs, actions, rewards."""
    rng = np.random.default_rng(seed)
    obs = [rng.normal(size=(t + 1, 3)).astype(np.float32) for t in lengths]
    actions = [rng.integers(0, 4, t) if discrete else rng.uniform(-1, 1, (t, 2)).astype(np.float32) for t in lengths]
    return obs, actions, [rng.normal(size=t) for t in lengths]


def some_demos(lengths=(5, 3, 7), space=DISCRETE, **settings):
    obs, actions, rewards = arrays(lengths, discrete=space is DISCRETE)
    ended = settings.pop("terminated", [k % 2 == 0 for k in range(len(lengths))])
    return demos.from_arrays(obs, actions, rewards, terminated=ended, space=space, **settings)


@pytest.mark.parametrize("space", [DISCRETE, CONTINUOUS])
def test_arrays_come_out_as_they_went_in(space):
    obs, actions, rewards = arrays((5, 3), discrete=space is DISCRETE)
    d = demos.from_arrays(obs, actions, rewards, [True, False], [False, True], space=space, env_id="My-v0")
    for k, e in enumerate(d.episodes):
        np.testing.assert_array_equal(e.obs, obs[k])
        np.testing.assert_array_equal(e.action, actions[k])
        np.testing.assert_allclose(e.reward, rewards[k], rtol=1e-6)
        assert (e.reward.dtype, e.obs.dtype) == (np.float32, np.float32)
    assert [(e.terminated, e.truncated) for e in d.episodes] == [(True, False), (False, True)]
    assert d.env_id == "My-v0" and d.lengths.tolist() == [5, 3]
    np.testing.assert_allclose(d.returns, [r.sum() for r in rewards], rtol=1e-5)


def test_flags_may_stand_at_every_step_and_termination_wins():
    obs, actions, _ = arrays((3, 2))
    d = demos.from_arrays(obs, actions, None, [[0, 0, 1], [0, 0]], [[0, 0, 1], [0, 1]], space=DISCRETE)
    assert [(e.terminated, e.truncated) for e in d.episodes] == [(True, False), (False, True)]
    assert all((e.reward == 0).all() for e in d.episodes)


def test_space_is_guessed_and_then_replaced_by_the_environments():
    obs, actions, _ = arrays((5, 3))
    actions = [np.minimum(a, 1) for a in actions]
    guessed = demos.from_arrays(obs, actions)
    assert guessed.inferred and guessed.space.action == Discrete(2)
    checked = guessed.check_against(DISCRETE)
    assert checked.space == DISCRETE and not checked.inferred
    obs, actions, _ = arrays((5, 3), discrete=False)
    assert demos.from_arrays(obs, actions).space == Space(Box((3,)), Box((2,)))


BROKEN = {
    "nan": (lambda o, a, r: o[1].__setitem__((2, 1), np.nan), r"episode 1, step 2, column 1: the observation is nan"),
    "inf": (lambda o, a, r: r[0].__setitem__(4, np.inf), r"episode 0, step 4: the reward is inf"),
    "nan_action": (lambda o, a, r: a[1].__setitem__((0, 1), np.nan), r"episode 1, step 0, column 1: the action is nan"),
    "action_high": (lambda o, a, r: a[0].__setitem__((3, 0), 1.5), r"step 3, column 0: the action is 1.5.*\[-1, 1\]"),
    "action_low": (lambda o, a, r: a[0].__setitem__((3, 1), -1.5), r"step 3, column 1: the action is -1.5.*\[-1, 2\]"),
    "obs_shape": (lambda o, a, r: o.__setitem__(1, o[1][:, :2]), r"episode 1: observations have the shape \(4, 2\)"),
    "action_shape": (lambda o, a, r: a.__setitem__(0, a[0][:, :1]), r"episode 0: actions have the shape \(5, 1\)"),
    "missing_last": (lambda o, a, r: o.__setitem__(1, o[1][:-1]), r"episode 1: 3 observations for 3 actions.*append"),
    "too_many_obs": (lambda o, a, r: a.__setitem__(1, a[1][:-1]), r"episode 1: 4 observations for 2 actions"),
    "rewards": (lambda o, a, r: r.__setitem__(1, r[1][:-1]), r"episode 1: rewards have the shape \(2,\)"),
    "empty": (lambda o, a, r: (o.__setitem__(1, o[1][:1]), a.__setitem__(1, a[1][:0])), r"episode 1 is empty"),
    "text": (lambda o, a, r: o.__setitem__(0, np.array(["x"] * 6)), r"episode 0: observations have the dtype <U1"),
    "objects": (lambda o, a, r: o.__setitem__(0, [{"x": 1}] * 6), r"Flatten dictionary observations"),
    "ragged": (lambda o, a, r: o.__setitem__(0, [[1.0, 2], [1.0]]), r"episode 0: observations do not form an array"),
    "scalar": (lambda o, a, r: a.__setitem__(0, 1.0), r"episode 0: actions are a single number"),
    "fewer": (lambda o, a, r: a.pop(), r"actions has 1 episodes, obs has 2"),
    "none": (lambda o, a, r: (o.clear(), a.clear(), r.clear()), r"zero episodes"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_data_are_refused_with_their_place(name):
    obs, actions, rewards = arrays((5, 3), discrete=False)
    breaking, message = BROKEN[name]
    breaking(obs, actions, rewards)
    with pytest.raises(UserError, match=message):
        demos.from_arrays(obs, actions, rewards, space=CONTINUOUS)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (0, 4, "step 0: the action is 4, expected an integer from 0 to 3"),
        (2, -1, "step 2: the action is -1"),
        (1, 1.5, r"step 1: the action 1.5 is no int32"),
    ],
)
def test_discrete_actions_outside_the_space_are_refused(column, value, message):
    obs, actions, _ = arrays((5,))
    actions[0] = actions[0].astype(float)
    actions[0][column] = value
    with pytest.raises(UserError, match=message):
        demos.from_arrays(obs, actions, space=DISCRETE)


def test_a_missing_or_superfluous_axis_is_named():
    obs, actions, _ = arrays((5,))
    with pytest.raises(UserError, match=r"index it with \[:, 0\]"):
        demos.from_arrays(obs, [actions[0][:, None]], space=DISCRETE)
    with pytest.raises(UserError, match=r"index with \[:, None\]"):
        demos.from_arrays(obs, [np.zeros(5)], space=Space(Box((3,)), Box((1,))))
    with pytest.raises(UserError, match="continuous ones are floats"):
        demos.from_arrays(obs, [actions[0][:, None]])
    with pytest.raises(UserError, match=r"index with \[:, None\]"):
        demos.from_arrays(obs, [np.zeros(5)])


def test_flags_before_the_end_are_refused():
    obs, actions, _ = arrays((3,))
    with pytest.raises(UserError, match="episode 0 goes on after it was terminated at step 1"):
        demos.from_arrays(obs, actions, terminated=[[0, 1, 0]], space=DISCRETE)
    with pytest.raises(UserError, match=r"truncated has the shape \(2,\)"):
        demos.from_arrays(obs, actions, truncated=[[0, 1]], space=DISCRETE)


def test_single_precision_overflow_counts_as_infinite():
    obs, actions, _ = arrays((3,))
    obs[0] = obs[0].astype(np.float64)
    obs[0][1, 2] = 1e300
    with pytest.raises(UserError, match="step 1, column 2: the observation is inf"):
        demos.from_arrays(obs, actions, space=DISCRETE)


def test_rounding_at_a_bound_is_forgiven_and_clipping_is_an_option():
    obs, actions, _ = arrays((5,), discrete=False)
    actions[0][2] = 1 + 2e-7, 3.0
    clipped = demos.from_arrays(obs, actions, space=CONTINUOUS, clip_actions=True)
    assert clipped.episodes[0].action[2].tolist() == [1.0, 2.0]
    actions[0][2, 1] = 2.0
    assert demos.from_arrays(obs, actions, space=CONTINUOUS).episodes[0].action[2, 0] == 1.0


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (Space(Box((4,)), Discrete(4)), r"observations of the shape \(3,\), Other-v0 has \(4,\)"),
        (Space(Box((3,), dtype="uint8"), Discrete(4)), "float32 observations, Other-v0 has uint8"),
        (Space(Box((3,)), Discrete(5)), "4 discrete actions, Other-v0 has 5 discrete actions"),
        (Space(Box((3,)), Box((2,), -1.0, 1.0)), r"Other-v0 has continuous values of the shape \(2,\) in \[-1, 1\]"),
    ],
)
def test_demonstrations_of_another_environment_are_refused(space, message):
    with pytest.raises(UserError, match=message):
        some_demos().check_against(space, "Other-v0")


def test_actions_are_checked_against_the_environments_own_bounds():
    d = some_demos(space=CONTINUOUS)
    narrow = Space(Box((3,)), Box((2,), -0.1, 0.1))
    with pytest.raises(UserError, match=r"outside \[-0.1, 0.1\]"):
        d.check_against(narrow)
    assert abs(d.check_against(narrow, clip_actions=True).episodes[0].action).max() <= np.float32(0.1)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 10))
@settings(max_examples=30, deadline=None)
def test_flat_arrays_give_the_same_episodes(lengths, seed):
    obs, actions, rewards = arrays(lengths, seed)
    terminated = [np.arange(t) == t - 1 if k % 2 else np.zeros(t, bool) for k, t in enumerate(lengths)]
    truncated = [np.zeros(t, bool) if k % 2 else np.arange(t) == t - 1 for k, t in enumerate(lengths)]
    truncated[-1][-1] = False
    joined = [np.concatenate(x) for x in ([o[:-1] for o in obs], actions, [o[1:] for o in obs], rewards)]
    flat = demos.from_flat(*joined, np.concatenate(terminated), np.concatenate(truncated), space=DISCRETE)
    listed = demos.from_arrays(obs, actions, rewards, terminated, truncated, space=DISCRETE)
    assert len(flat.episodes) == len(listed.episodes)
    for a, b in zip(flat.episodes, listed.episodes, strict=True):
        jax.tree.map(np.testing.assert_array_equal, a, b)


def test_flat_arrays_that_break_or_do_not_match_are_refused():
    obs, actions, _ = arrays((3, 2))
    now, after = np.concatenate([o[:-1] for o in obs]), np.concatenate([o[1:] for o in obs])
    with pytest.raises(UserError, match="episode 0, step 2: next_obs is not the obs of the following row"):
        demos.from_flat(now, np.concatenate(actions), after)
    with pytest.raises(UserError, match="flat arrays have the shapes"):
        demos.from_flat(now, actions[0], after)
    with pytest.raises(UserError, match="zero episodes"):
        demos.from_flat(now[:0], np.zeros(0, int), after[:0])


def slow_transitions(d, episode, start, every):
    """The rows of one episode, one by one."""
    e, rows = d.episodes[episode], []
    for t in range(start, len(e.action), every):
        rows.append((e.obs[t], e.action[t], e.obs[t + 1], e.terminated and t == len(e.action) - 1))
    return rows


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(1, 12), st.integers(0, 1000), st.data())
@settings(max_examples=60, deadline=None)
def test_subsample_is_a_random_offset_and_stride_in_random_episodes(lengths, every, seed, data):
    d = some_demos(lengths)
    num = data.draw(st.integers(1, len(lengths)))
    t = demos.subsample(d, num, every, seed)
    rows = list(zip(*(np.asarray(x) for x in (t.obs, t.action, t.next_obs, t.terminated)), strict=True))
    used = []
    while rows:  # every stretch of rows must be one episode from one start below `every`
        found = [
            (k, len(slow))
            for k in range(len(lengths))
            for start in range(min(every, lengths[k]))
            if k not in used
            and (slow := slow_transitions(d, k, start, every))
            and len(slow) <= len(rows)
            and all(
                all(np.array_equal(x, y) for x, y in zip(*pair, strict=True)) for pair in zip(slow, rows, strict=False)
            )
        ]
        k, size = max(found, key=lambda pair: pair[1])
        used.append(k)
        rows = rows[size:]
    assert len(used) == num and int(t.count) == len(t.obs)
    assert int(t.lengths.num_steps) == sum(lengths[k] for k in used)
    ended = [k for k in used if d.episodes[k].terminated]
    assert (int(t.lengths.num_terminated), int(t.lengths.terminated_steps)) == (
        len(ended),
        sum(lengths[k] for k in ended),
    )
    horizon = max(lengths) + 3
    assert int(t.lengths.absorbing_steps(horizon)) == sum(horizon - lengths[k] for k in ended)


def test_subsample_covers_all_offsets_and_episodes_and_nests():
    d = some_demos([20] * 6)
    first = {tuple(np.asarray(demos.subsample(d, 1, 5, seed).obs[0])) for seed in range(300)}
    expected = {tuple(e.obs[t]) for e in d.episodes for t in range(5)}
    assert first == expected
    few, more = demos.subsample(d, 2, 5, seed=3), demos.subsample(d, 4, 5, seed=3)
    np.testing.assert_array_equal(few.obs, more.obs[: len(few.obs)])


def test_subsample_refuses_too_many_episodes():
    with pytest.raises(UserError, match="4 episodes were asked for, the demonstrations hold 3"):
        demos.subsample(some_demos(), 4)
    with pytest.raises(UserError, match="every = 0"):
        demos.subsample(some_demos(), 1, 0)


@pytest.mark.parametrize("space", [DISCRETE, CONTINUOUS])
def test_transitions_are_all_steps_in_order(space):
    d = some_demos(space=space)
    t = demos.transitions(d)
    np.testing.assert_array_equal(t.obs, np.concatenate([e.obs[:-1] for e in d.episodes]))
    np.testing.assert_array_equal(t.next_obs, np.concatenate([e.obs[1:] for e in d.episodes]))
    np.testing.assert_array_equal(t.action, np.concatenate([e.action for e in d.episodes]))
    assert np.flatnonzero(t.terminated).tolist() == [4, 14]
    assert t.obs.dtype == jnp.float32


def test_samples_are_uniform_over_the_data_and_never_padding(key):
    t = demos.transitions(some_demos([4, 3]))
    padded = demos.pad_to(t, 50)
    rows = demos.sample(padded, key, 7000)
    counts = (np.asarray(rows.obs)[:, None] == np.asarray(t.obs)).all(-1).sum(0)
    assert counts.sum() == 7000
    assert ((counts - 1000) ** 2 / 1000).sum() < 22.5  # chi-squared, 6 degrees of freedom, p = 0.001
    np.testing.assert_array_equal(rows.obs, demos.sample(t, key, 7000).obs)


def test_stacked_sets_sample_under_vmap_as_alone(key):
    sets = [demos.subsample(some_demos(), n, 2, seed=n) for n in (1, 2, 3)]
    stacked, keys = demos.stack(sets), jax.random.split(key, 3)
    together = jax.vmap(lambda t, k: demos.sample(t, k, 16))(stacked, keys)
    for s, t in enumerate(sets):
        alone = demos.sample(t, keys[s], 16)
        jax.tree.map(lambda a, b, s=s: np.testing.assert_array_equal(a, b[s]), alone, together)
    valid = jax.vmap(lambda t: t.valid)(stacked)
    assert valid.sum(1).tolist() == [len(t.obs) for t in sets]
    with pytest.raises(UserError, match="do not fit into 1 rows"):
        demos.pad_to(sets[0], 1)
    with pytest.raises(UserError, match="nothing to stack"):
        demos.stack([])


def clean(num=3, steps=20, seed=0, **settings):
    """Demonstrations that deserve no warning."""
    rng = np.random.default_rng(seed)
    obs = [rng.normal(size=(steps + 1, 3)) for _ in range(num)]
    actions = [rng.permutation(np.arange(steps) % 4) for _ in range(num)]
    settings = {"truncated": [True] * num, "rewards": [np.ones(steps)] * num, "space": DISCRETE} | settings
    return demos.from_arrays(settings.pop("obs", obs), settings.pop("actions", actions), **settings)


def test_info_of_clean_demonstrations():
    d = clean(env_id="My-v0")
    found = demo_info.info(d)
    assert found.warnings == ()
    assert (found.num_episodes, found.num_steps, found.share_truncated) == (3, 60, 1.0)
    assert (found.lengths.min, found.lengths.median, found.returns.mean, found.returns.sd) == (20, 20, 20, 0)
    assert json.loads(json.dumps(found.as_json()))["returns"]["max"] == 20
    assert "My-v0" in str(found) and "20.00 ± 0.00" in str(found) and "4 discrete actions" in str(found)


def warnings_of(d):
    return "\n".join(demo_info.info(d).warnings)


def test_info_warns_of_variable_lengths_and_open_ends():
    found = warnings_of(some_demos())
    assert "lengths vary from 3 to 7" in found and "absorbing" in found
    assert "1 episodes neither terminated nor were truncated" in found


def test_info_warns_of_constant_distant_and_outlying_columns():
    obs = [np.random.default_rng(k).normal(size=(21, 3)) * [1, 0, 1e5] + 7 for k in range(3)]
    found = warnings_of(clean(obs=obs))
    assert "observation columns 1 never change" in found and "column 2 is" in found and "of column 0" in found
    narrow = Space(Box((3,), -100.0, 100.0), Discrete(4))
    assert "observed numbers lie outside" in warnings_of(clean(obs=obs, space=narrow))
    single = [np.full((21, 3), 0.1, np.float32)] * 3
    assert "columns 0, 1, 2 never change" in warnings_of(clean(obs=single))


def test_info_warns_of_actions():
    actions = [np.array([0, 2] * 10)] * 3
    assert "actions 1, 3 are never taken" in warnings_of(clean(actions=actions))
    box = Space(Box((3,)), Box((2,), -1.0, 1.0))
    rng = np.random.default_rng(0)
    pushes = [np.clip(rng.normal(size=(20, 2)) * [3, 0.1], -1, 1) for _ in range(3)]
    assert "of the actions sit at a bound" in warnings_of(clean(actions=pushes, space=box))
    still = [p * [0, 1] for p in pushes]
    found = warnings_of(clean(actions=still, space=box))
    assert "action columns 0 never change" in found and "at a bound" not in found


def test_info_warns_of_copies():
    d = clean(4)
    copied = demos.Demos((*d.episodes, d.episodes[1], d.episodes[1]), d.space)
    assert "2 episodes are copies of others (1, 4, 5)" in warnings_of(copied)


def test_info_warns_of_rewards_that_do_not_match():
    assert "every reward is 0" in warnings_of(clean(rewards=None))
    spec = {"id": "CartPole-v1", "reward_threshold": 475.0, "max_episode_steps": 15}
    found = warnings_of(clean(env_id="CartPole-v1", metadata={"env_spec": json.dumps(spec)}))
    assert "mean return 20.0 is below the 475" in found and "20 steps, CartPole-v1 stops after 15" in found


def test_info_locates_nan_in_data_read_for_looking():
    obs = [np.random.default_rng(k).normal(size=(21, 3)) for k in range(3)]
    obs[1][4, 2], obs[1][7, 0] = np.nan, np.inf
    rewards = [np.ones(20), np.full(20, np.nan), np.ones(20)]
    d = clean(obs=obs, rewards=rewards, allow_nan=True)
    found = demo_info.info(d)
    assert "observations are not finite in 2 places, first at episode 1, step 4, column 2" in found.warnings[0]
    assert "rewards are not finite in 20 places, first at episode 1, step 0" in found.warnings[1]
    assert found.as_json()["returns"]["mean"] is None
    with pytest.raises(UserError, match="theodolite demos info"):
        d.check_against(DISCRETE)
