"""The training loop: chunks, seeds, stacked configurations, resumption, and the report of what is not a number."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from counting import counting, scribe

from theodolite.control import dqn
from theodolite.core import drive
from theodolite.core.config import config
from theodolite.core.env import Step
from theodolite.core.errors import NotFinite
from theodolite.core.train import env_seed, expected_carry, run_keys, train, update_keys

ENVS = counting()


@config
class Gain:
    """A number that shows in the state."""

    gain: float = 1.0


def make(c):
    agent = scribe()

    def update(s, batch, key):
        s, metrics = agent.update(s, batch, key)
        return {**s, "drawn": s["drawn"] * c.gain}, metrics

    return agent._replace(update=update)


def run(c=None, envs=ENVS, **settings):
    chunks = train(make, c or Gain(), envs, **{"updates": 6, "every": 2} | settings)
    return [jax.tree.map(np.asarray, c) for c in chunks]


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_keys_of_seeds_stay_when_more_are_added():
    few, many = (jax.random.key_data(run_keys(3, n)) for n in (2, 5))
    np.testing.assert_array_equal(few, many[:2])
    assert len(np.unique(np.concatenate([many, jax.random.key_data(run_keys(4, 5))]), axis=0)) == 10


def test_the_loop_is_collect_and_learn_with_its_keys():
    last = run(seeds=2)[-1].carry
    for seed, key in enumerate(run_keys(0, 2)):
        agent = make(Gain())
        carry = drive.start(agent, ENVS, jax.random.fold_in(key, 0))
        for update in range(6):
            collect_key, learn_key = update_keys(key, update)
            carry, _ = drive.learn(agent, *drive.collect(agent, ENVS, carry, collect_key), learn_key)
        same(jax.tree.map(lambda x, seed=seed: x[seed], last), carry)


@pytest.mark.parametrize("every", [1, 4, 6, 100])
def test_the_length_of_chunks_changes_nothing(every):
    chunks, reference = run(every=every), run()
    assert [c.update for c in chunks] == [min(every * (i + 1), 6) for i in range(-(-6 // every))]
    assert sum(c.metrics["first"].shape[1] for c in chunks) == 6
    same(chunks[-1].carry, reference[-1].carry)
    for name in reference[0].metrics:
        rows = [np.concatenate([c.metrics[name] for c in r], axis=1) for r in (chunks, reference)]
        np.testing.assert_array_equal(*rows)


def test_resumption_goes_on_from_any_update():
    whole = run()
    for chunk in whole[:2]:
        rest = run(resume=(int(chunk.update), jax.tree.map(jnp.asarray, chunk.carry)))
        same(rest[-1], whole[-1])
        assert rest[0].update == chunk.update + 2


def test_nothing_left_to_do_yields_nothing():
    last = run()[-1]
    assert run(resume=(int(last.update), jax.tree.map(jnp.asarray, last.carry))) == []


def test_seeds_and_their_number():
    three, one, other = run(seeds=3), run(), run(seed=1)
    same(jax.tree.map(lambda x: x[:1], three[-1].carry), one[-1].carry)
    assert (one[-1].carry.agent["drawn"] != other[-1].carry.agent["drawn"]).any()


def test_stacked_configurations_are_one_per_seed():
    both = jax.tree.map(lambda *x: jnp.array(x), Gain(), Gain(gain=3.0))
    stacked = run(both, seeds=2, stacked=True)
    plain, gained = run(seeds=2), run(Gain(gain=3.0), seeds=2)
    same(stacked[-1].carry.agent["drawn"][0], plain[-1].carry.agent["drawn"][0])
    same(stacked[-1].carry.agent["drawn"][1], gained[-1].carry.agent["drawn"][1])


def test_the_expected_carry_has_the_shapes_of_the_real_one():
    shapes = jax.tree.map(lambda x: (x.shape, x.dtype), expected_carry(make, Gain(), ENVS, seeds=2))
    assert shapes == jax.tree.map(lambda x: (x.shape, x.dtype), run(seeds=2)[0].carry)


def test_a_number_that_is_none_is_reported_with_update_and_seed():
    class Setting(NamedTuple):
        fail_at: jax.Array

    def fails(c):
        return scribe(fail_at=c.fail_at)

    chunks = train(fails, Setting(jnp.array([9, 4, 3])), ENVS, updates=6, every=2, seeds=3, stacked=True)
    assert next(chunks).update == 2
    with pytest.raises(NotFinite, match=r"^update 3, seed 2: first is not finite\.$"):
        next(chunks)


def test_a_parameter_that_is_not_finite_is_reported_though_no_metric_shows_it():
    def fails(c):
        agent = scribe()

        def update(s, batch, key):
            s, _ = agent.update(s, batch, key)
            return {**s, "seen": jnp.where(s["updates"] == 2, jnp.inf, 0)}, {}

        return agent._replace(update=update)

    with pytest.raises(NotFinite, match=r"^update 2, seed 0: a parameter of the agent is not finite\.$"):
        list(train(fails, Gain(), ENVS, updates=6, every=2))


def test_unfinished_episodes_are_no_divergence():
    long = counting(limit=1000)
    agent = scribe()
    chunks = list(train(lambda c: agent._replace(act=idle), Gain(), long, updates=2, every=2))
    assert np.isnan(chunks[0].metrics["return"]).all()


def idle(s, obs, key):
    return jnp.zeros(obs.shape[:-1], jnp.int32), jnp.zeros(obs.shape[:-1])


class Host:
    """Counts, on the host; the first observation is the seed that it was reset with."""

    id, num_envs, space = "Host", 2, counting(2).space

    def __init__(self):
        self.seeds = []

    def reset(self, seed):
        self.seeds.append(seed)
        self.t = 0
        return np.full((2, 2), seed % 1000, np.float32)

    def step(self, action):
        self.t += 1
        obs, ends = np.full((2, 2), self.t, np.float32), np.array([self.t % 3 == 0, False])
        return Step(obs, action.astype(np.float32), ends, np.zeros(2, bool), obs)

    def close(self):
        pass


def test_host_environments_restart_from_a_seed_of_the_update_alone():
    first, again, resumed = Host(), Host(), Host()
    whole = run(envs=first)
    same(run(envs=again), whole)
    assert first.seeds == again.seeds == [env_seed(0, 0)]
    rest = [run(envs=resumed, resume=(2, jax.tree.map(jnp.asarray, whole[0].carry))) for _ in range(2)]
    assert resumed.seeds == [env_seed(0, 2)] * 2
    same(rest[0], rest[1])
    assert [c.update for c in rest[0]] == [4, 6]
    assert rest[0][-1].carry.agent["updates"] == 6
    assert len({env_seed(s, u) for s in range(20) for u in range(20)}) == 400
    assert all(0 <= env_seed(s, 7) < 2**31 for s in range(100))


def test_episodes_in_a_replay_end_where_a_host_environment_restarts():
    c = dqn.Config(rollout=2, train_every=4, learning_starts=8, replay=40, batch_size=4, n_step=3, hidden=(4,))
    (first,) = train(dqn.agent, c, Host(), updates=2, every=2)
    (second,) = train(dqn.agent, c, Host(), updates=3, every=2, resume=(2, jax.tree.map(jnp.asarray, first.carry)))
    rows = second.carry.agent.replay.rows
    ends = (rows.truncated | rows.terminated)[0]
    assert ends[3].all() and not ends[1:3, 1].any()


def test_the_carry_of_a_host_environment_has_the_expected_shapes():
    shapes = jax.tree.map(lambda x: (x.shape, x.dtype), expected_carry(make, Gain(), Host()))
    assert shapes == jax.tree.map(lambda x: (x.shape, x.dtype), run(envs=Host())[0].carry)
