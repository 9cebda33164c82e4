"""FEM and GTAL: weights against SciPy's optimum over their class of costs, features, the shift, and imitation."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog, minimize

from theodolite.control import ppo
from theodolite.core import demos
from theodolite.core.agent import Agent, Batch
from theodolite.core.env import Box, Discrete, Space
from theodolite.core.train import train
from theodolite.envs.registry import make
from theodolite.intent import apprenticeship
from theodolite.intent.apprenticeship import FEM, GTAL

DISCRETE, CONTINUOUS = Space(Box((3,)), Discrete(4), 2), Space(Box((3,)), Box((2,)), 2)
T, E = 6, 2


def drawn(space, shape, seed):
    """Observations and actions."""
    rng = np.random.default_rng(seed)
    obs = jnp.asarray(rng.normal(size=(*shape, 3)) * [1, 4, 0.5] + [0, 3, 0], jnp.float32)
    if isinstance(space.action, Discrete):
        return obs, jnp.asarray(rng.integers(0, 4, shape), jnp.int32)
    return obs, jnp.asarray(rng.normal(size=(*shape, 2)) * [1, 3] + [2, 0], jnp.float32)


def expert_of(space, count=9, seed=0):
    obs, action = drawn(space, (count,), seed)
    lengths = demos.Lengths(*3 * [jnp.int32(count)])
    return demos.Transitions(obs, action, obs, jnp.zeros(count, bool), jnp.int32(count), lengths)


def batch_of(obs, action, reward=0.0):
    nothing = jnp.zeros(obs.shape[:2])
    return Batch(obs, action, nothing, nothing + reward, nothing > 0, nothing > 0, obs)


def witness() -> Agent:
    """A learner whose state is the reward that it was paid last."""

    def init(key, space):
        return jnp.zeros((T, E))

    return Agent(init, lambda s, o, k: None, lambda s, b, k: (b.reward, {}), lambda s, o: None, lambda s, o, a: None, T)


@jax.jit(static_argnames="space")
def updated(c, expert, state, batch, space):
    return apprenticeship.update(c, witness(), expert, space, state, batch, jax.random.key(0))


def begin(c, expert, space):
    return apprenticeship.init(c, witness(), expert, jax.random.key(0), space)


def slow_features(c, expert, obs, action, space):
    """f(s, a) of one pair, entry by entry, in double precision."""
    rows = np.asarray(expert.obs, np.float64)[: int(expert.count)]
    seen = (np.asarray(obs, np.float64) - rows.mean(0)) / rows.std(0)
    of_state = [*seen, *(0.01 * seen) ** 2, 1.0]
    if isinstance(space.action, Discrete):
        f = [x if k == action else 0.0 for k in range(space.action.num) for x in of_state]
    else:
        rows = np.asarray(expert.action, np.float64)[: int(expert.count)]
        done = (np.asarray(action, np.float64) - rows.mean(0)) / rows.std(0)
        f = [*of_state, *done, *(0.01 * done) ** 2]
    return np.array([*f, *(-x for x in f)] if c.costs == "simplex" else f)


def slow_mean(c, expert, obs, action, space):
    return np.mean([slow_features(c, expert, o, a, space) for o, a in zip(obs, action, strict=True)], axis=0)


@pytest.mark.parametrize("c", [FEM, GTAL], ids=["fem", "gtal"])
@pytest.mark.parametrize("space", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def test_features_are_their_definition_one_pair_at_a_time(c, space):
    expert, (obs, action) = expert_of(space), drawn(space, (T, E), 1)
    found = apprenticeship.features(c, begin(c, expert, space), obs, action, space)
    assert found.shape[:2] == (T, E)
    for t, e in np.ndindex(T, E):
        np.testing.assert_allclose(
            found[t, e], slow_features(c, expert, obs[t, e], action[t, e], space), rtol=1e-4, atol=1e-6
        )


GAPS = [np.random.default_rng(k).normal(size=8) * 10.0 ** (k - 1) for k in range(4)]


@pytest.mark.parametrize("gap", GAPS)
def test_fem_pays_along_the_best_weights_of_the_ball(gap):
    found = np.asarray(apprenticeship.weights(FEM, jnp.asarray(gap, jnp.float32)), np.float64)
    unit = gap / np.abs(gap).max()  # SciPy's tolerances are absolute
    best = minimize(
        lambda w: -w @ unit, np.full(8, 0.1), jac=lambda w: -unit, method="SLSQP", options={"ftol": 1e-9},
        constraints={"type": "ineq", "fun": lambda w: 1 - w @ w, "jac": lambda w: -2 * w},
    )  # fmt: skip
    assert found @ found <= 1 + 1e-5 and best.x @ best.x <= 1 + 1e-6
    np.testing.assert_allclose(found @ unit, -best.fun, rtol=1e-5)
    np.testing.assert_allclose(found, best.x, atol=2e-3)


@pytest.mark.parametrize("gap", GAPS)
def test_gtal_pays_along_the_best_weights_of_the_simplex(gap):
    found = np.asarray(apprenticeship.weights(GTAL, jnp.asarray(gap, jnp.float32)), np.float64)
    best = linprog(-gap, A_eq=np.ones((1, 8)), b_eq=[1], bounds=(0, None))
    assert best.success and found.min() >= 0 and found.sum() == 1
    np.testing.assert_allclose(found @ gap, -best.fun, rtol=1e-6)
    np.testing.assert_allclose(found, best.x, atol=1e-6)


@pytest.mark.parametrize("c", [FEM, GTAL], ids=["fem", "gtal"])
@pytest.mark.parametrize("space", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def test_the_learner_is_paid_the_shifted_difference_and_never_the_true_reward(c, space):
    expert, (obs, action) = expert_of(space), drawn(space, (T, E), 1)
    state = begin(c, expert, space)
    found, metrics = updated(c, expert, state, batch_of(obs, action), space)
    blind = updated(c, expert, state, batch_of(obs, action, reward=7.0), space)
    jax.tree.map(np.testing.assert_array_equal, (found, metrics), blind)
    mine = slow_mean(c, expert, obs.reshape(-1, 3), action.reshape(T * E, *action.shape[2:]), space)
    gap = slow_mean(c, expert, expert.obs, expert.action, space) - mine
    w = gap / np.linalg.norm(gap) if c.costs == "l2_ball" else np.eye(len(gap))[gap.argmax()]
    raw = np.array([[w @ slow_features(c, expert, obs[t, e], action[t, e], space) for e in range(E)] for t in range(T)])
    raw /= len(w)
    np.testing.assert_allclose(found.learner, raw - min(0, raw.min()), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(metrics["feature_gap"], gap @ w, rtol=1e-4)
    np.testing.assert_allclose(metrics["learned_reward"], found.learner.mean(), rtol=1e-5)


@pytest.mark.parametrize(("sign", "extreme"), [("positive", np.minimum), ("negative", np.maximum)])
def test_the_shift_is_the_extreme_of_all_rounds_and_gives_one_sign(sign, extreme):
    c, expert = replace(FEM, sign=sign), expert_of(CONTINUOUS)
    state, so_far, remembered = begin(c, expert, CONTINUOUS), 0.0, 0
    for k in range(8):
        obs, action = drawn(CONTINUOUS, (T, E), 10 + k)
        state, _ = updated(c, expert, state, batch_of(obs, action), CONTINUOUS)
        paid = np.asarray(state.learner)
        assert (paid >= 0).all() if sign == "positive" else (paid <= 0).all()
        raw = paid + float(state.extreme)
        of_round = extreme.reduce(raw, axis=None)
        so_far = extreme(so_far, of_round)
        np.testing.assert_allclose(state.extreme, so_far, rtol=1e-5, atol=1e-6)
        remembered += not np.isclose(so_far, of_round)
    assert 0 < remembered < 8, "some rounds set the extreme and some do not"


@pytest.mark.parametrize("c", [FEM, GTAL], ids=["fem", "gtal"])
def test_whoever_does_as_the_expert_did_leaves_no_gap(c):
    expert = expert_of(DISCRETE, T * E)
    own = batch_of(expert.obs.reshape(T, E, 3), expert.action.reshape(T, E))
    state = begin(c, expert, DISCRETE)
    _, metrics = updated(c, expert, state, own, DISCRETE)
    np.testing.assert_allclose(metrics["feature_gap"], 0, atol=1e-6)
    _, other = updated(c, expert, state, own._replace(action=(own.action + 1) % 4), DISCRETE)
    assert other["feature_gap"] > 0.1


def test_padding_has_no_influence():
    expert, (obs, action) = expert_of(CONTINUOUS), drawn(CONTINUOUS, (T, E), 1)
    padded = demos.pad_to(expert, 14)
    padded = demos.Transitions(
        padded.obs.at[9:].set(1e3), padded.action.at[9:].set(-1e3), padded.next_obs, padded.terminated, padded.count,
        padded.lengths,
    )  # fmt: skip
    plain, other = (
        updated(FEM, data, begin(FEM, data, CONTINUOUS), batch_of(obs, action), CONTINUOUS) for data in (expert, padded)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), plain, other)


PPO = ppo.Config(rollout=8, learning_rate=0.02, epochs=2, minibatches=1, discount=0.5, hidden=(8,))


@pytest.mark.parametrize("c", [FEM, GTAL], ids=["fem", "gtal"])
def test_it_imitates_whoever_demonstrates_whatever_the_environment_pays(c):
    """The expert of seed 0 is the best policy of the probe, that of seed 1 the worst."""
    envs, choices = make("Probe-ActionGivenObservation-v0", num_envs=16), ((0, 1), (1, 0))
    obs = np.array([[[o], [o]] for o in (-1.0, 1.0) * 2], np.float32)
    experts = [
        demos.transitions(demos.from_arrays(obs, np.array(2 * actions)[:, None], space=envs.space))
        for actions in choices
    ]

    def agent(config):
        return apprenticeship.agent(c, ppo.agent(config[0]), config[1], envs.space)

    config = jax.tree.map(lambda *x: jnp.stack([jnp.asarray(v) for v in x]), *[(PPO, e) for e in experts])
    for chunk in train(agent, config, envs, updates=100, every=100, seeds=2, stacked=True):
        state = chunk.carry.agent
    at = jnp.array([[-1.0], [1.0]])
    agreed = jax.vmap(lambda s, a: agent((PPO, experts[0])).log_prob(s, at, a))(state, jnp.array(choices))
    assert np.exp(agreed).min() > 0.75, np.exp(agreed)
    gap = chunk.metrics["feature_gap"]
    assert (gap[:, -20:].mean(1) < gap[:, :5].mean(1) / 2).all()
