"""Several horizons: the discounts and their sum, and every head of every learner at the values of its own discount."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.control import actor_critic, dqn, horizons, iqn, preqn, sac, td3
from theodolite.core import replay
from theodolite.core.env import Box, Discrete, Space
from theodolite.core.errors import UserError

CLASSES = [module.Config for module in (dqn, iqn, td3, sac)]
THREE = {"discount": 0.9, "horizons": 3, "horizon_rate": 0.5, "replay": 64, "learning_starts": 0}
REWARDS = np.array([[0.5, 1.2], [0.0, 0.3], [2.0, 0.1]])
"""Of going on and of stopping, in the three states of a chain, the last of which ends with either."""
GAMMAS = np.sqrt(1 - 0.19 ** (np.arange(3) / 3))
"""The discounts of THREE."""
CHOOSING, BOX = Space(Box((3,), 0.0, 1.0), Discrete(2)), Space(Box((3,), 0.0, 1.0), Box((1,), -1.0, 1.0))


def test_horizons_add_up_to_hyperbolic_discounting():
    c = horizons.Settings(horizons=10)
    discounts, weights = horizons.discounts(c), horizons.weights(c)
    base = np.exp(np.log(1 - 0.99**100) / 10)
    edges = 1 - base ** np.arange(10)
    np.testing.assert_allclose(discounts, edges**0.01, atol=2e-5)
    np.testing.assert_allclose(np.asarray(discounts)[[1, -1]], [0.9694, 0.9892], atol=1e-4)  # of the authors' code
    np.testing.assert_allclose(weights, np.diff(edges, append=1), atol=1e-4)
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-5)
    fine = horizons.Settings(horizons=400, discount=0.9999, horizon_rate=0.1)
    of_each, w = (np.asarray(x, np.float64)[:, None] for x in (horizons.discounts(fine), horizons.weights(fine)))
    times = np.arange(0, 60)
    mixed = (w * of_each**times).sum(0)
    np.testing.assert_allclose(mixed, 1 / (1 + 0.1 * times), atol=0.02)
    assert (mixed <= 1 / (1 + 0.1 * times) + 1e-4).all()  # a lower sum


def test_small_rates_keep_their_horizons_and_gradients_are_finite():
    for discount, rate in ((0.99, 5e-4), (0.9, 0.005)):
        c = horizons.Settings(discount=discount, horizons=5, horizon_rate=rate)
        edge = -np.expm1(np.log1p(-(discount ** (1 / rate))) / 5 * np.arange(5))
        np.testing.assert_allclose(horizons.discounts(c), edge**rate, rtol=1e-4)
        slope = jax.grad(lambda c: horizons.discounts(c).sum() + horizons.weights(c)[-1])(c)
        assert np.isfinite([slope.discount, slope.horizon_rate]).all() and slope.discount > 0
    with pytest.raises(UserError, match="must be below 1"):
        dqn.Config(discount=0.999999999, horizons=3)


def test_one_horizon_is_the_discount_itself():
    one = horizons.Settings(discount=0.7, act_by="mixture")
    assert horizons.discounts(one) == horizons.longest(one) == np.float32(0.7) and horizons.weights(one) == 1
    np.testing.assert_array_equal(horizons.acting(one, jnp.array([[1.0, 2.0]])), [1, 2])
    np.testing.assert_array_equal(horizons.judged(one, jnp.array([3.0, 4.0])), [3, 4])


def test_what_acts_is_the_longest_horizon_or_the_mixture():
    c, values = horizons.Settings(horizons=3), jnp.arange(12.0).reshape(2, 3, 2)
    np.testing.assert_array_equal(horizons.acting(c, values), values[:, 2])
    np.testing.assert_array_equal(horizons.judged(c, values[..., 0]), values[:, 2, 0])
    mixed = np.einsum("h,bha->ba", horizons.weights(c), values)
    by_mixture = replace(c, act_by="mixture")
    np.testing.assert_allclose(horizons.acting(by_mixture, values), mixed, rtol=1e-6)
    np.testing.assert_allclose(horizons.judged(by_mixture, values[..., 0]), mixed[:, 0], rtol=1e-6)


@pytest.mark.parametrize("kind", CLASSES)
def test_the_limit_of_several_horizons_is_below_one(kind):
    assert kind(discount=1.0).horizons == 1
    with pytest.raises(UserError, match=r"discount = 1.0: must be below 1 where there are several horizons"):
        kind(discount=1.0, horizons=2)


def sample(state: np.ndarray, action: np.ndarray, reward: np.ndarray, over: np.ndarray) -> replay.Sample:
    """Steps from states of the chain, the next of which is one further on."""
    obs, size = np.eye(3, dtype=np.float32), len(state)
    return replay.Sample(
        obs=jnp.asarray(obs[state]), action=jnp.asarray(action), rewards=jnp.asarray(reward[:, None], jnp.float32),
        steps=jnp.ones(size, jnp.int32), terminated=jnp.asarray(over), last_obs=jnp.asarray(obs[(state + 1) % 3]),
        index=jnp.arange(size), weight=jnp.ones(size),
    )  # fmt: skip


def repeated(improve, now, steps: int):
    """The learner after so many gradient steps."""
    keys = jax.random.split(jax.random.key(1), steps)
    return jax.jit(lambda now: jax.lax.scan(lambda now, key: (improve(now, key), None), now, keys)[0])(now)


CHOICES = {"horizons": 3, "batch_size": 6, "learning_rate": 0.02, "target_every": 20, "n_step": 1}
CHOOSERS = {
    "dqn": dqn.Config(**THREE | CHOICES, hidden=()),
    "qr_dqn": dqn.Config(**THREE | CHOICES, hidden=(), head="quantile", atoms=3),
    "iqn": iqn.Config(**THREE | CHOICES, hidden=(8,), cosines=4, levels=4, target_levels=4),
}


@pytest.mark.parametrize("name", CHOOSERS)
def test_heads_of_choices_reach_the_best_values_at_their_own_discount(name):
    """With little patience stopping at once is best, with more of it going on is."""
    c, key = CHOOSERS[name], jax.random.key(0)
    state, action = np.repeat(np.arange(3), 2), np.tile(np.arange(2, dtype=np.int32), 3)
    b = sample(state, action, REWARDS[state, action], (action == 1) | (state == 2))
    if isinstance(c, iqn.Config):
        now = iqn.init(c, key, CHOOSING).learner
        after = repeated(lambda now, key: iqn.improve(c, now, b, key)[0], now, 600)
        found = iqn.means(c, after.net, jnp.eye(3))
    else:
        head = dqn.head_of(c)
        now = dqn.init(c, head, key, CHOOSING).learner
        after = repeated(lambda now, _: dqn.improve(c, head, now, b)[0], now, 600)
        found = head.mean(dqn.predict(c, head, after.net, jnp.eye(3)))
    wanted = np.stack([best_values(gamma) for gamma in GAMMAS], 1)
    assert len(set(wanted[0].argmax(-1))) == 2
    np.testing.assert_allclose(found, wanted, atol=0.05)


def best_values(gamma: float) -> np.ndarray:
    """Q of states and actions by dynamic programming."""
    q, following = REWARDS.copy(), 0.0
    for s in (2, 1, 0):
        q[s, 0] += gamma * following
        following = q[s].max()
    return q


CONTINUOUS = {"batch_size": 48, "hidden": (16,), "learning_rate": 0.01, "target_share": 0.1, "random_steps": 0,
              "policy_learning_rate": 1e-12}  # fmt: skip
POLICIES = {
    "td3": (td3, td3.Config(**THREE, **CONTINUOUS)),
    "sac": (sac, sac.Config(**THREE, **CONTINUOUS, temperature=0.2, learn_temperature=False)),
}
STEP = actor_critic.regression(0.01)


@pytest.mark.parametrize("name", POLICIES)
def test_heads_of_critics_reach_the_values_of_a_policy_at_their_own_discount(name):
    """Rewards that no action changes; of SAC's policy, which stands still, the entropy is paid at every step but one's
    first, and discounted like rewards."""
    module, c = POLICIES[name]
    state, going_on = np.repeat(np.arange(3), 16), REWARDS[:, 0]
    action = np.tile(np.linspace(-1, 1, 16, dtype=np.float32), 3)[:, None]
    b = sample(state, action, going_on[state], state == 2)
    now = module.init(c, STEP, jax.random.key(0), BOX).learner
    paid = 0.2 * np.asarray(now.actor(jnp.eye(3)).entropy()) if module is sac else np.zeros(3)
    after = repeated(lambda now, key: module.improve(c, STEP, now, b, key)[0], now, 800)
    found = np.asarray(after.critics(b.obs, b.action))
    wanted = np.zeros((3, 3))
    for s in (2, 1, 0):
        wanted[s] = going_on[s] + (0 if s == 2 else GAMMAS * (paid[s + 1] + wanted[s + 1]))
    np.testing.assert_allclose(found.mean(0).reshape(3, 16, 3).mean(1), wanted, atol=0.06)
    np.testing.assert_allclose(found, np.broadcast_to(wanted[state], found.shape), atol=0.2)


@pytest.mark.parametrize("act_by", ["longest", "mixture"])
@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_climbs_on_what_acts(name, act_by):
    module, c = POLICIES[name]
    c = replace(c, act_by=act_by, policy_learning_rate=0.1, learning_rate=1e-12)
    c = replace(c, policy_every=1) if module is td3 else c
    b = sample(np.arange(3), np.zeros((3, 1), np.float32), np.zeros(3), np.zeros(3, bool))
    step = actor_critic.regression(1e-12)
    now, key = module.init(c, step, jax.random.key(0), BOX).learner, jax.random.key(1)
    improve = jax.jit(partial(module.improve, c, step))
    last = [len(net.layers) - 1 for net in now.critics.nets]

    def short_head_turned(net, i):
        layer = replace(net.layers[i], weight=net.layers[i].weight.at[:, 0].multiply(-9.0))
        return replace(net, layers=(*net.layers[:i], layer))

    turned = tuple(short_head_turned(net, i) for net, i in zip(now.critics.nets, last, strict=True))
    other = replace(now, critics=actor_critic.Critics(turned))
    first, second = (jax.tree.leaves(getattr(improve(n, b, key)[0], policy_of(module))) for n in (now, other))
    same = all(bool((x == y).all()) for x, y in zip(first, second, strict=True))
    assert same == (act_by == "longest")


def policy_of(module) -> str:
    return "policy" if module is td3 else "actor"


def test_a_preconditioned_step_has_one_horizon():
    c = td3.Config(**THREE, **CONTINUOUS)
    critics = td3.init(c, STEP, jax.random.key(0), BOX).learner.critics
    b = sample(np.arange(3), np.zeros((3, 1), np.float32), np.zeros(3), np.zeros(3, bool))
    with pytest.raises(UserError, match="horizons = 3: must be 1"):
        preqn.critic_step(preqn.Config()).step(critics, None, b, jnp.zeros((3, 3)))
