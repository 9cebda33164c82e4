"""Replay against lists of episodes: what is drawn, what n steps are worth, how often a row of a priority comes."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core import replay
from theodolite.core.agent import Batch
from theodolite.core.env import Box, Discrete, Space
from theodolite.core.errors import UserError

SPACE = Space(Box((2,)), Discrete(3), num_envs=3)
ROLLOUT, CAPACITY, WRITTEN = 2, 45, 11  # 14 rows of 3 are held, 22 were written


def history(rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Transitions whose observations say when and where they were made; every fifth row or so ends an episode."""
    rng = np.random.default_rng(seed)
    when, where = np.meshgrid(np.arange(rows), np.arange(3), indexing="ij")
    ends = rng.random((rows, 3))
    return {
        "obs": np.stack([when, where], -1).astype(np.float32),
        "action": rng.integers(3, size=(rows, 3)).astype(np.int32),
        "log_prob": np.zeros((rows, 3), np.float32),
        "reward": rng.normal(size=(rows, 3)).astype(np.float32),
        "terminated": ends < 0.1,
        "truncated": ends > 0.9,
        "last_obs": np.stack([when + 0.5, where], -1).astype(np.float32),
    }


SAMPLE = jax.jit(replay.sample, static_argnames=("size", "steps"))
ADD, REPRIORITISE = jax.jit(replay.add), jax.jit(replay.reprioritise)


def filled(h: dict[str, np.ndarray], *, prioritised: bool = False) -> replay.Replay:
    ring = replay.empty(SPACE, CAPACITY, ROLLOUT, prioritised=prioritised)
    for i in range(0, len(h["reward"]), ROLLOUT):
        ring = ADD(ring, Batch(**{k: jnp.asarray(v[i : i + ROLLOUT]) for k, v in h.items()}))
    return ring


@pytest.fixture(scope="module")
def past() -> dict[str, np.ndarray]:
    return history(ROLLOUT * WRITTEN)


@pytest.fixture(scope="module")
def ring(past) -> replay.Replay:
    return filled(past)


def slow_return(h: dict[str, np.ndarray], t: int, e: int, n: int, discount: float) -> tuple[float, float, float]:
    """Return, factor of what follows, and the time at which it follows: the definition, one reward after another."""
    total = 0.0
    for k in range(n):
        total += discount**k * h["reward"][t + k, e]
        if h["terminated"][t + k, e]:
            return total, 0.0, t + k
        if h["truncated"][t + k, e] or t + k == len(h["reward"]) - 1:
            return total, discount ** (k + 1), t + k
    return total, discount**n, t + n - 1


@pytest.mark.parametrize("n", [1, 3, 6])
def test_what_is_drawn_is_the_n_step_return_of_the_definition(past, ring, n):
    b = SAMPLE(ring, jax.random.key(1), size=300, steps=n)
    returns, follows = b.returns(0.9)
    seen = set()
    for i in range(300):
        t, e = (int(x) for x in b.obs[i])
        seen.add((t, e))
        assert b.action[i] == past["action"][t, e]
        total, factor, last = slow_return(past, t, e, n, 0.9)
        np.testing.assert_allclose((returns[i], follows[i]), (total, factor), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(b.last_obs[i], past["last_obs"][last, e])
    held = {(t, e) for t in range(8, 22) for e in range(3)}
    assert seen == held  # the oldest eight rows are gone, and every other one comes


def test_a_ring_that_is_not_full_gives_only_what_was_written(past):
    ring = filled({k: v[:4] for k, v in past.items()})
    assert replay.held(ring) == 12
    b = SAMPLE(ring, jax.random.key(0), size=200)
    assert set(np.asarray(b.obs[:, 0])) == {0, 1, 2, 3}
    np.testing.assert_array_equal(b.weight, 1)


def test_each_horizon_has_its_own_return(past, ring):
    b = SAMPLE(ring, jax.random.key(2), size=20, steps=3)
    for discount in (0.0, 0.5, 1.0):
        returns, _ = b.returns(discount)
        slow = [slow_return(past, int(t), int(e), 3, discount)[0] for t, e in np.asarray(b.obs)]
        np.testing.assert_allclose(returns, slow, rtol=1e-5, atol=1e-6)


def test_a_sum_tree_is_sums_of_its_leaves():
    rng, leaves = np.random.default_rng(0), 16
    tree, flat, write = jnp.zeros(2 * leaves), np.zeros(leaves), jax.jit(replay.tree_write)
    for _ in range(5):
        at, value = rng.choice(leaves, 6, replace=False), rng.random(6).astype(np.float32)
        tree, flat[at] = write(tree, jnp.asarray(at), jnp.asarray(value)), value
    np.testing.assert_allclose(tree[leaves:], flat)
    for node in range(1, leaves):
        np.testing.assert_allclose(tree[node], tree[2 * node] + tree[2 * node + 1], rtol=1e-6)
    mass = np.linspace(0, float(tree[1]) * 0.999, 200)
    slow = [int(np.argmax(np.cumsum(flat) > m)) for m in mass]
    np.testing.assert_array_equal(replay.tree_find(tree, jnp.asarray(mass, jnp.float32)), slow)


def test_rows_come_as_often_as_their_priority_says_and_weights_undo_it(past):
    ring = filled(past, prioritised=True)
    assert ring.priorities.tree[1] == 42  # new rows have priority 1
    priority = np.random.default_rng(1).random(42).astype(np.float32) + 0.1
    both = jnp.arange(42), jnp.asarray(priority)
    ring = replace(ring, priorities=REPRIORITISE(ring.priorities, *both, 0.7))
    b = SAMPLE(ring, jax.random.key(0), size=20_000, importance=1.0)
    share = (priority + 1e-6) ** 0.7
    share /= share.sum()
    found = np.bincount(np.asarray(b.index), minlength=42) / 20_000
    np.testing.assert_allclose(found, share, atol=1e-4 + 2 / 20_000)  # strata leave little to chance
    weight = 1 / share
    np.testing.assert_allclose(b.weight, (weight / weight.max())[np.asarray(b.index)], rtol=1e-4)
    value = past["reward"].astype(np.float64)
    rows = {int(i): value[int(t), int(e)] for i, (t, e) in zip(b.index, np.asarray(b.obs), strict=True)}
    fair = np.mean([rows[i] for i in range(42)])
    np.testing.assert_allclose(np.average(b.rewards[:, 0], weights=b.weight), fair, atol=2e-3)


def test_a_new_row_gets_the_largest_priority_so_far(past):
    ring = filled(past, prioritised=True)
    ring = replace(ring, priorities=REPRIORITISE(ring.priorities, jnp.array([3]), jnp.array([9.0]), 1.0))
    ring = ADD(ring, Batch(**{k: jnp.asarray(v[:ROLLOUT]) for k, v in past.items()}))
    leaves = np.asarray(ring.priorities.tree[64:])
    start = 22 % 14 * 3
    np.testing.assert_allclose(leaves[start : start + 6], 9, rtol=1e-5)
    assert leaves[42:].max() == 0 and leaves[0] == 1


def test_bytes_stay_bytes_and_a_ring_too_small_is_refused():
    space = Space(Box((5, 5, 2), 0, 1, "uint8"), Box((2,)), num_envs=4)
    ring = replay.empty(space, 100, 5)
    assert ring.rows.obs.dtype == jnp.uint8 and ring.rows.obs.shape == (25, 4, 5, 5, 2)
    assert ring.rows.action.shape == (25, 4, 2)
    with pytest.raises(UserError, match=r"replay = 19: must hold the 20 transitions"):
        replay.empty(space, 19, 5)
    with pytest.raises(UserError, match=r"replay = 100: holds 100 transitions, but learning starts with 101"):
        replay.empty(space, 100, 5, learning_starts=101)


def test_no_return_crosses_a_cut(past):
    ring = ADD(replay.cut(filled(past)), Batch(**{k: jnp.asarray(v[:ROLLOUT]) for k, v in past.items()}))
    newest = (ROLLOUT * WRITTEN - 1) % len(ring.rows.reward)
    assert (ring.rows.truncated[newest] | ring.rows.terminated[newest]).all()
    assert not (ring.rows.truncated & ring.rows.terminated).any()
    b = SAMPLE(ring, jax.random.key(0), size=500, steps=4)
    before = (newest - b.index // 3) % len(ring.rows.reward)
    assert (b.steps <= before + 1)[before < 4].all() and (before == 0).any()
    empty = replay.empty(SPACE, CAPACITY, ROLLOUT)
    assert not replay.cut(empty).rows.truncated.any()


def test_a_batch_pays_for_its_share_of_steps_and_none_are_made_before_the_start(past):
    b = Batch(**{k: jnp.asarray(v[:4]) for k, v in past.items()})  # 4 steps of 3 environments
    assert replay.paid(b, 4) == 3
    with pytest.raises(UserError, match="train_every = 5: must divide the 12 transitions"):
        replay.paid(b, 5)
    one = lambda x, key: (x + jax.random.uniform(key), {"x": x})  # noqa: E731
    key = jax.random.key(0)
    end, m = replay.gradient_steps(one, jnp.float32(1), key, 3, jnp.bool_(True))
    parts = np.array([jax.random.uniform(k) for k in jax.random.split(key, 3)])
    np.testing.assert_allclose(end, 1 + parts.sum(), rtol=1e-6)
    np.testing.assert_allclose(m["x"], 1 + np.cumsum([0, *parts[:-1]]), rtol=1e-6)
    end, m = replay.gradient_steps(one, jnp.float32(1), key, 3, jnp.bool_(False))
    assert end == 1 and m["x"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("held", [12, 30, 37, 5])
def test_distinct_rows_are_distinct_and_as_likely_as_each_other(held):
    size, times = 12, 4_000
    draw = jax.jit(jax.vmap(lambda key: replay.distinct(key, size, jnp.int32(held))))
    rows = np.asarray(draw(jax.random.split(jax.random.key(0), times)))
    assert rows.min() >= 0 and rows.max() < held
    assert all(len(set(r)) == min(size, held) for r in rows.tolist()[:500])
    counts = np.bincount(rows.ravel(), minlength=held) / times
    np.testing.assert_allclose(counts, size / held, atol=5 * (size / held / times) ** 0.5)


def test_fewer_rows_than_asked_for_are_drawn_evenly():
    drawn = replay.distinct(jax.random.key(0), 10, jnp.int32(4))
    assert sorted(np.bincount(drawn)) == [2, 2, 3, 3]


def test_a_sample_without_repeats_has_none(past):
    b = replay.sample(filled(past), jax.random.key(1), 42, repeats=False)
    assert sorted(np.asarray(b.index).tolist()) == list(range(42))


def test_repaid_rows_earn_what_the_new_rule_says_and_nothing_else_moves(past, ring, monkeypatch):
    """In blocks that do not divide the ring; n-step returns are then those of the new rewards."""
    monkeypatch.setattr(replay, "REPAID_AT_ONCE", 4)

    def rule(rows):
        action, over = rows.action.astype(jnp.float32), rows.terminated.astype(jnp.float32)
        return rows.obs[..., 0] + 100 * rows.last_obs[..., 1] - action - over

    anew = jax.jit(lambda r: replay.repaid(r, rule))(ring)
    earned = past["obs"][..., 0] + 100 * past["last_obs"][..., 1] - past["action"] - past["terminated"]
    other = filled(past | {"reward": earned.astype(np.float32)})
    jax.tree.map(np.testing.assert_array_equal, anew, other)
    b = SAMPLE(anew, jax.random.key(3), size=64, steps=3)
    goes_on = np.asarray(b.steps) > 1  # and so does not terminate at once
    first = np.asarray(b.obs[:, 0] + 100 * b.obs[:, 1]) - np.asarray(b.action)
    assert goes_on.sum() > 20
    np.testing.assert_allclose(np.asarray(b.rewards[:, 0])[goes_on], first[goes_on])


def test_what_was_never_written_is_not_paid(past):
    some = filled({k: v[:ROLLOUT] for k, v in past.items()})
    anew = jax.jit(lambda r: replay.repaid(r, lambda rows: rows.reward + 1))(some)
    np.testing.assert_array_equal(anew.rows.reward[:ROLLOUT], some.rows.reward[:ROLLOUT] + 1)
    assert not anew.rows.reward[ROLLOUT:].any()
    none = replay.empty(SPACE, CAPACITY, ROLLOUT)
    assert not replay.repaid(none, lambda rows: rows.reward + 1).rows.reward.any()
