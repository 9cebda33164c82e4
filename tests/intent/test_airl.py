"""AIRL against its formulas, and its fixed point in small worlds against the theorems of the paper."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.control import sac
from theodolite.core import demos, normalise, tabular
from theodolite.core.agent import Agent, Batch, Seen
from theodolite.core.env import Box, Discrete, Space
from theodolite.core.tabular import MDP
from theodolite.core.train import train
from theodolite.envs.registry import make
from theodolite.envs.tabular import permute_actions, random_mdp, rewarded_loop
from theodolite.intent import airl, airl_tabular, learned_reward, rewards

SPACE = Space(Box((3,)), Box((2,), (-1.0, -2.0), (1.0, 2.0)))
KEYS = jax.random.split(jax.random.key(0), 8)


def rows(key, n):
    keys = jax.random.split(key, 3)
    obs, next_obs = (jax.random.normal(k, (n, 3)) for k in keys[:2])
    action = jax.random.uniform(keys[2], (n, 2), minval=-3, maxval=3)
    return demos.Rows(obs, learned_reward.executed(SPACE, action), next_obs, jnp.arange(n) % 3 == 0)


class Strength(NamedTuple):
    """The state of a learner whose log-probabilities tell which state they were asked of."""

    value: jax.Array


def told(s, obs, action):
    return -s.value * jnp.sum(jnp.abs(action), -1)


LEARNER = Agent(
    init=lambda key, space: Strength(jnp.float32(0.5)),
    act=lambda s, obs, key: (jnp.zeros((*obs.shape[:-1], 2)), jnp.zeros(obs.shape[:-1])),
    update=lambda s, batch, key: (Strength(s.value + 1), {"paid": batch.reward.mean()}),
    mode=lambda s, obs: jnp.zeros((*obs.shape[:-1], 2)),
    log_prob=told,
    rollout=5,
)


def expert():
    shown = rows(KEYS[0], 12)
    zero = jnp.int32(0)
    return demos.Transitions(
        shown.obs, shown.action, shown.next_obs, shown.terminated, jnp.int32(12), demos.Lengths(zero, zero, zero)
    )


def batch(key):
    r = rows(key, 10)
    fold = lambda x: x.reshape(5, 2, *x.shape[1:])  # noqa: E731
    wild = 1.5 * fold(r.action)  # what a clipped policy samples
    return Batch(fold(r.obs), wild, jnp.zeros((5, 2)), jnp.zeros((5, 2)), fold(r.terminated),
                 jnp.zeros((5, 2), bool), fold(r.next_obs))  # fmt: skip


@pytest.mark.parametrize("inputs", learned_reward.INPUTS)
def test_f_is_g_with_the_potential_of_what_follows_except_after_the_end(inputs):
    p = rows(KEYS[1], 7)
    r = learned_reward.init(KEYS[2], SPACE, inputs, (4,), (4,), normalise.moments_of(p.obs, jnp.int32(7)))
    f = learned_reward.shaped(r, p, 0.9)
    for i in range(7):
        x, y = ((o - r.moments.mean) / np.sqrt(r.moments.variance + 1e-8) for o in (p.obs[i], p.next_obs[i]))
        seen = {"obs": x, "next_obs": y, "obs_action": np.concatenate([x, p.action[i]])}[inputs]
        following = 0 if p.terminated[i] else r.h(jnp.asarray(y))[0]
        expected = r.g(jnp.asarray(seen))[0] + 0.9 * following - r.h(jnp.asarray(x))[0]
        np.testing.assert_allclose(f[i], expected, rtol=1e-4, atol=1e-5)


def test_actions_are_judged_as_they_are_executed():
    low, high = learned_reward.executed(SPACE, jnp.array([[-5.0, -5.0], [0.5, 3.0]]))
    np.testing.assert_array_equal(low, [-1, -2])
    np.testing.assert_array_equal(high, [0.5, 2])
    discrete = Space(Box((3,)), Discrete(4))
    np.testing.assert_array_equal(learned_reward.executed(discrete, jnp.array([3, 0])), [3, 0])


@pytest.fixture(scope="module")
def two_rounds():
    c = airl.Config(hidden=(4,), potential_hidden=(4,), steps=3, batch_size=8, replay=14, freeze_after=1)
    agent = airl.agent(c, LEARNER, expert())
    first = agent.init(KEYS[3], SPACE)
    update = jax.jit(agent.update)
    second, metrics = update(first, batch(KEYS[4]), KEYS[5])
    return c, first, second, metrics, *update(second, batch(KEYS[6]), KEYS[7])


def test_the_policy_is_paid_f_minus_its_own_log_probability(two_rounds):
    c, first, second, metrics, *_ = two_rounds
    p = learned_reward.flat(learned_reward.seen_in(batch(KEYS[4]), SPACE))
    f = learned_reward.shaped(second.reward, p, c.discount)
    log_prob = told(first.learner, p.obs, p.action)  # of the policy that acted, not of the updated one
    np.testing.assert_allclose(metrics["paid"], (f - log_prob).mean(), rtol=1e-5)
    for option, expected in (("f", f), ("g", learned_reward.ground(second.reward, p))):
        paid = airl.paid(airl.Config(reward=option), second.reward, p, log_prob)
        np.testing.assert_allclose(paid, expected, rtol=1e-5, atol=1e-6)


def test_old_samples_are_kept_newest_first_and_judged_by_the_present_policy(two_rounds):
    c, _, second, _, third, _ = two_rounds
    newest, older = (learned_reward.flat(learned_reward.seen_in(batch(k), SPACE)) for k in (KEYS[6], KEYS[4]))
    assert second.replay.count == 10 and third.replay.count == 14
    np.testing.assert_array_equal(third.replay.rows.obs, jnp.concatenate([newest.obs, older.obs[:4]]))
    asked = []
    spy = LEARNER._replace(log_prob=lambda s, obs, action: asked.append(float(s.value)) or told(s, obs, action))
    airl.fit(c, spy, expert(), third, third.replay, KEYS[0])
    assert set(asked) == {2.5} and len(asked) % 2 == 0  # of both classes


def test_the_standardiser_stands_still_after_the_first_rounds(two_rounds):
    _, first, second, _, third, _ = two_rounds
    assert (first.reward.moments.mean != second.reward.moments.mean).all()
    for a, b in zip(jax.tree.leaves(second.reward.moments), jax.tree.leaves(third.reward.moments), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_discriminator_learns_by_the_gradient_of_its_cross_entropy(two_rounds):
    c, _, second, *_ = two_rounds
    side = rows(KEYS[1], 6), rows(KEYS[2], 6)
    log_probs = [told(second.learner, p.obs, p.action) for p in side]
    found, metrics = airl.loss(
        learned_reward.learnt(second.reward), c, second.reward, (side[0], log_probs[0]), (side[1], log_probs[1])
    )
    d = [
        jax.nn.sigmoid(learned_reward.shaped(second.reward, p, c.discount) - q)
        for p, q in zip(side, log_probs, strict=True)
    ]
    np.testing.assert_allclose(found, -jnp.log(d[0]).mean() - jnp.log(1 - d[1]).mean(), rtol=1e-4)
    np.testing.assert_allclose(metrics["expert_accuracy"], (d[0] > 0.5).mean())


# ---- around a learner that keeps what it was paid


def test_what_sac_has_kept_is_paid_by_the_present_reward_before_it_learns():
    """Through standardised observations, and in units of f: SAC's own log π is of actions in units of their box, whose
    half widths are 1 and 2.
    """
    told = sac.Config(rollout=5, train_every=10, learning_starts=0, random_steps=0, replay=20, batch_size=4,
                      hidden=(4,), learn_temperature=False)  # fmt: skip
    learner = normalise.normalise_obs(sac.agent(told))
    stored = lambda s: s.inner.memory.replay.rows  # noqa: E731
    spy = learner._replace(
        update=lambda s, b, k: (learner.update(s, b, k)[0], {"before": stored(s).reward, "pay": b.reward})
    )
    c = airl.Config(reward="f", hidden=(4,), potential_hidden=(4,), steps=3, batch_size=8, replay=14)
    agent = airl.agent(c, spy, expert())
    update = jax.jit(agent.update)
    s, first = update(agent.init(KEYS[3], SPACE._replace(num_envs=2)), batch(KEYS[4]), KEYS[5])
    last, second = update(s, batch(KEYS[6]), KEYS[7])
    rows = jax.tree.map(lambda x: x[:5], stored(s.learner))
    known = s.learner.moments.restore
    acted = rows.action * jnp.array([[[1.0, 2.0]]])
    p = Seen(known(rows.obs), acted, known(rows.last_obs), rows.terminated)
    f = learned_reward.shaped(last.reward, p, c.discount)
    np.testing.assert_allclose(second["before"][:5], f + np.log(2), rtol=1e-5, atol=1e-5)
    assert (jnp.abs(second["before"][:5] - first["pay"]) > 1e-4).all()  # what it was paid at first is stale
    assert not second["before"][5:].any()
    seen_by_gradient = jnp.concatenate([second["before"][:5], second["pay"]])
    np.testing.assert_array_equal(stored(last.learner).reward[:10], seen_by_gradient)
    # so that f - log π is what is paid in all, log π being that of actions as the environment gets them
    of_box = s.learner.inner.learner.actor(rows.obs).log_prob(rows.action)
    in_all, log_pi = second["before"][:5] - of_box, learner.log_prob(s.learner, p.obs, acted)
    np.testing.assert_allclose(in_all, f - log_pi, rtol=1e-3, atol=1e-3)


def test_airl_of_sac_imitates_the_demonstrators_density():
    """A squashed Gaussian around half the observation: four of five seeds find its middle and its spread."""
    envs = make("theodolite/Probe-ActionGivenObservation-v0", num_envs=8, continuous=True)
    sign, noise = jnp.tile(jnp.array([-1.0, 1.0]), 200)[:, None], jax.random.normal(KEYS[0], (400, 1))
    shown = jnp.tanh(jnp.arctanh(0.5 * sign) + 0.3 * noise)
    ends, n = jnp.ones(400, bool), jnp.int32(400)
    t = demos.Transitions(sign, shown, sign, ends, n, demos.Lengths(n, n, n))
    learner = sac.Config(
        rollout=2, train_every=4, learning_starts=32, random_steps=0, replay=1_000, batch_size=32, learning_rate=0.01,
        policy_learning_rate=0.01, discount=0.5, target_share=0.1, hidden=(16,), learn_temperature=False,
    )  # fmt: skip
    c = airl.Config(reward="f", inputs="obs_action", discount=0.5, learning_rate=0.01, steps=2, batch_size=64,
                    replay=0, hidden=(16,), potential_hidden=(4,))  # fmt: skip
    build = lambda c: airl.agent(c[0], sac.agent(c[1]), c[2])  # noqa: E731
    for chunk in train(build, (c, learner, t), envs, updates=500, every=500, seeds=5):
        state = chunk.carry.agent.learner
    at = jax.vmap(lambda s: s.learner.actor(jnp.array([[-1.0], [1.0]])))(state)
    middle, spread = np.asarray(jnp.tanh(at.mean))[..., 0], np.exp(np.asarray(at.log_std))[..., 0]
    assert (np.abs(middle - [-0.5, 0.5]).max(1) < 0.15).sum() >= 4
    assert (np.abs(spread - 0.3).max(1) < 0.15).sum() >= 4


# ---- the fixed point in small worlds


def expert_of(m, reward):
    return tabular.soft_policy(m, jnp.broadcast_to(reward[:, None], m.transition.shape[:2]), 1.0)


@pytest.fixture(scope="module")
def recovered():
    """AIRL of states in a decomposable deterministic world and in a stochastic one, plain and corrected."""
    found = {}
    for deterministic in (True, False):
        make = jax.jit(partial(rewarded_loop, num_states=6, num_actions=3, deterministic=deterministic, discount=0.8))
        m, truth = make(jax.random.key(3))
        assert rewards.identifiability(m).decomposable
        run = jax.jit(partial(airl_tabular.recover, state_only=True, steps=1_500), static_argnames="corrected")
        found[deterministic] = m, truth, [run(m, expert_of(m, truth), corrected=c) for c in (False, True)]
    return found


def test_a_deterministic_decomposable_world_gives_its_reward_away_up_to_a_constant(recovered):
    m, truth, (plain, _) = recovered[True]
    assert airl_tabular.centred_error(plain.tables.g, truth) < 0.01
    np.testing.assert_allclose(plain.policy, expert_of(m, truth), atol=0.003)
    pairs = jnp.broadcast_to(truth[:, None], (6, 3))
    assert airl_tabular.centred_error(plain.tables.h, tabular.soft_value(m, pairs, 1.0)) < 0.05


def test_chance_defeats_the_potential_of_the_next_state_and_its_expectation_restores_it(recovered):
    m, truth, (plain, corrected) = recovered[False]
    assert airl_tabular.centred_error(plain.tables.g, truth) > 0.1
    assert airl_tabular.centred_error(corrected.tables.g, truth) < 0.01
    np.testing.assert_allclose(corrected.policy, expert_of(m, truth), atol=0.003)


def test_a_reward_of_actions_is_not_disentangled():
    """Theorem 5.2 on its example A, S, B: shaping moves the pay of places to the actions that lead there.

    From S action 0 leads to A and 1 to B; both lead back, which pays +1 from A and -1 from B.
    """
    to = jnp.eye(3)
    world = MDP(
        jnp.stack([to[jnp.array([1, 1])], to[jnp.array([0, 2])], to[jnp.array([1, 1])]]), to[1], jnp.float32(0.9)
    )
    swapped = MDP(world.transition[:, ::-1], world.initial, world.discount)
    truth = jnp.array([1.0, 0.0, -1.0])
    shaped = rewards.expected(world, rewards.shaped(truth, truth, 0.9, 2))  # Φ = r: nothing is paid in A and B itself
    np.testing.assert_allclose(shaped, [[0, 0], [0.9, -0.9], [0, 0]], atol=1e-6)
    pairs = rewards.expected(world, truth)
    for m, best in ((world, 0), (swapped, 1)):
        assert tabular.optimal_policy(m, pairs)[1].argmax() == best
    assert tabular.optimal_policy(world, shaped)[1].argmax() == 0
    assert tabular.optimal_policy(swapped, shaped)[1].argmax() == 0  # and so goes to B


def test_permuted_actions_lead_where_the_old_ones_led_under_another_name():
    m = jax.jit(lambda: random_mdp(jax.random.key(5), 6, 4))()
    other = jax.jit(permute_actions)(jax.random.key(6), m)
    for s in range(6):
        before, after = (sorted(map(tuple, np.asarray(x.transition[s]).tolist())) for x in (m, other))
        assert before == after
    assert (other.transition != m.transition).any()


def test_the_worlds_of_the_paper():
    for deterministic in (True, False):
        m, reward = jax.jit(partial(rewarded_loop, deterministic=deterministic))(jax.random.key(7))
        np.testing.assert_allclose(m.transition.sum(-1), 1, atol=1e-6)
        np.testing.assert_array_equal(reward, np.eye(16)[0])
        assert m.initial[1] == 1 and (m.transition[0, :, 0] == 1).any()
        reached = (m.transition > 0).sum(-1)
        assert (reached == 1).all() if deterministic else (reached[1:] >= 4).all()
