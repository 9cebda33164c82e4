"""GAIL: its loss, rewards and optimum against slow definitions, what is kept and counted, and that it imitates."""

import dataclasses
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.control import ppo
from theodolite.core import demos, nets, normalise, optim
from theodolite.core.agent import Agent, Batch
from theodolite.core.demos import Rows
from theodolite.core.env import Box, Discrete, Space
from theodolite.core.tabular import occupancy
from theodolite.core.train import train
from theodolite.envs.registry import make
from theodolite.envs.tabular import random_mdp
from theodolite.intent import gail

DISCRETE, CONTINUOUS = Space(Box((3,)), Discrete(4), 2), Space(Box((3,)), Box((2,)), 2)
C = gail.Config(hidden=(5,))
T, E = 6, 2


def rows(space, count, seed):
    rng = np.random.default_rng(seed)
    kind = space.action
    action = rng.integers(0, kind.num, count) if isinstance(kind, Discrete) else rng.normal(size=(count, 2))
    return Rows(
        jnp.asarray(rng.normal(size=(count, 3)) * [1, 4, 0.5] + [0, 3, 0], jnp.float32),
        jnp.asarray(action, jnp.int32 if isinstance(kind, Discrete) else jnp.float32),
        jnp.asarray(rng.normal(size=(count, 3)), jnp.float32),
        jnp.asarray(rng.random(count) < 0.3),
    )


def expert_of(space, count=9, seed=0, terminated=2, steps=40):
    r = rows(space, count, seed)
    lengths = demos.Lengths(jnp.int32(steps), jnp.int32(terminated), jnp.int32(steps))
    return demos.Transitions(r.obs, r.action, r.next_obs, r.terminated, jnp.int32(count), lengths)


def batch_of(space, seed=1, reward=0.0):
    r, next_rows = rows(space, T * E, seed), rows(space, T * E, seed + 100)
    shaped = jax.tree.map(lambda x: x.reshape(T, E, *x.shape[1:]), r)
    nothing = jnp.zeros((T, E))
    return Batch(shaped.obs, shaped.action, nothing, nothing + reward, shaped.terminated, nothing > 0,
                 next_rows.next_obs.reshape(T, E, 3))  # fmt: skip


def witness() -> Agent:
    """A learner whose state is the batch that it was shown last."""

    def init(key, space):
        return jax.tree.map(jnp.zeros_like, batch_of(space))

    return Agent(init, lambda s, o, k: None, lambda s, b, k: (b, {}), lambda s, o: None, lambda s, o, a: None, T)


@jax.jit
def updated(c, expert, state, batch, key):
    return gail.update(c, witness(), expert, state, batch, key)


def moved(tree, key, scale=0.7):
    """The same arrays moved at random, so that no zero hides a mistake."""
    flat, unflatten = jax.flatten_util.ravel_pytree(tree)
    return unflatten(flat + scale * jax.random.normal(key, flat.shape))


def discriminator_of(c, space, expert):
    d = gail.init(c, witness(), expert, jax.random.key(0), space).discriminator
    return gail.Discriminator(moved(d.net, jax.random.key(3)), d.moments)


# ---- slow definitions, in double precision and one row at a time


def on_host(tree):
    """The arrays of a dataclass as NumPy's, which a loop reads a hundred times faster."""
    if dataclasses.is_dataclass(tree):
        return SimpleNamespace(**{f.name: on_host(getattr(tree, f.name)) for f in dataclasses.fields(tree)})
    return tuple(map(on_host, tree)) if isinstance(tree, tuple) else np.asarray(tree)


def slow_input(c, r, i):
    parts = {"obs": [r.obs], "obs_next_obs": [r.obs, r.next_obs], "obs_action": [r.obs, r.action]}[c.inputs]
    parts = [r.obs] if r.action.ndim == 1 and c.inputs == "obs_action" else parts
    return np.concatenate([np.asarray(p[i], np.float64) for p in parts])


def slow_outputs(d, x):
    for layer in d.net.layers[:-1]:
        x = np.tanh(x @ np.asarray(layer.weight, np.float64) + np.asarray(layer.bias))
    last = d.net.layers[-1]
    return x @ np.asarray(last.weight, np.float64) + np.asarray(last.bias)


def slow_output(c, d, x, action):
    z = slow_outputs(d, x)
    return z[int(action)] if action.ndim == 0 and c.inputs == "obs_action" else z[0]


def slow_standard(c, d, x):
    mean, variance = (np.asarray(m, np.float64) for m in (d.moments.mean, d.moments.variance))
    return np.append(np.clip((x - mean) / np.sqrt(variance + 1e-8), -10, 10), [0.0] * c.absorbing)


def slow_loss(c, d, expert, policy, ends, between):
    cross_entropy = entropy = 0.0
    visits = c.discount / (1 - c.discount) if c.absorbing else 0.0
    for label, sample, ended in ((1, expert, ends[0]), (0, policy, ends[1])):
        total = 1 + visits * ended
        if c.absorbing:
            z = slow_outputs(d, np.append(np.zeros(d.moments.mean.size), 1.0)).mean()
            cross_entropy += visits * ended / total * np.log1p(np.exp(-z if label else z))
        for i, weight in enumerate(np.asarray(sample.weight, np.float64)):
            r = sample.rows
            p = 1 / (1 + np.exp(-slow_output(c, d, slow_standard(c, d, slow_input(c, r, i)), r.action[i])))
            cross_entropy -= weight / total * np.log(p if label else 1 - p)
            entropy += weight / 2 * -(p * np.log(p) + (1 - p) * np.log(1 - p))
    total = cross_entropy
    if c.gradient_penalty is not None:
        for (x, action), weight in zip(between, np.asarray(policy.weight), strict=True):
            h = 1e-6 * np.eye(len(x))
            slope = [slow_output(c, d, x + e, action) - slow_output(c, d, x - e, action) for e in h]
            total += c.gradient_penalty * weight * (np.linalg.norm(np.array(slope) / 2e-6) - 1) ** 2
    return total - c.entropy_bonus * entropy, cross_entropy


def slow_between(c, d, expert, policy, key):
    """The points where the slope is asked for: the one random thing of the loss."""
    partner_key, between_key = jax.random.split(key)
    count = len(policy.weight)
    partner = np.asarray(jax.random.choice(partner_key, len(expert.weight), (count,), p=expert.weight))
    share = np.asarray(jax.random.uniform(between_key, (count, 1)), np.float64)
    for i in range(count):
        mine = slow_standard(c, d, slow_input(c, policy.rows, i))
        theirs = slow_standard(c, d, slow_input(c, expert.rows, partner[i]))
        yield share[i] * theirs + (1 - share[i]) * mine, policy.rows.action[i]


@pytest.mark.parametrize(
    ("space", "settings"),
    [
        (DISCRETE, {"absorbing": True, "gradient_penalty": 0.7, "entropy_bonus": 0.3}),
        (CONTINUOUS, {"gradient_penalty": 2.0, "entropy_bonus": 0.0}),
        (DISCRETE, {"inputs": "obs", "entropy_bonus": 0.5}),
        (CONTINUOUS, {"inputs": "obs_next_obs", "absorbing": True, "gradient_penalty": 0.1}),
    ],
)
def test_the_loss_is_its_definition_one_row_at_a_time(space, settings, key):
    c = replace(C, discount=0.9, **settings)
    data = expert_of(space)
    known = discriminator_of(c, space, data)
    expert = gail.Sample(data.rows, jnp.array([0.2, 0.1, 0.0, 0.3, 0.1, 0.1, 0.1, 0.05, 0.05]))
    policy, ends = gail.Sample(rows(space, 7, 2), jnp.full(7, 1 / 7)), (jnp.float32(0.05), jnp.float32(0.3))
    found, metrics = jax.jit(gail.loss)(known.net, c, known.moments, expert, policy, ends, key)
    d, expert, policy = on_host(known), on_host(expert), on_host(policy)
    total, cross_entropy = slow_loss(c, d, expert, policy, (0.05, 0.3), slow_between(c, d, expert, policy, key))
    np.testing.assert_allclose(found, total, rtol=2e-5)
    np.testing.assert_allclose(metrics["discriminator_loss"], cross_entropy, rtol=2e-5)
    for name, sample, sign in (("expert_accuracy", expert, 1), ("policy_accuracy", policy, -1)):
        right = [sign * slow_output(c, d, slow_standard(c, d, slow_input(c, sample.rows, i)), sample.rows.action[i]) > 0
                 for i in range(len(sample.weight))]  # fmt: skip
        np.testing.assert_allclose(metrics[name], np.asarray(sample.weight) @ right, rtol=1e-6)


@pytest.mark.parametrize("bonus", [0.0, 0.2])
def test_the_entropy_bonus_is_that_of_a_coin(bonus):
    z = jnp.array([-20.0, -1.0, 0.0, 0.4, 30.0])
    p = 1 / (1 + np.exp(-np.asarray(z, np.float64)))
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.nan_to_num(-p * np.log(p) - (1 - p) * np.log1p(-p))
    np.testing.assert_allclose(gail.bernoulli_entropy(z), expected, rtol=1e-4, atol=1e-6)


MAPS = {
    "softplus": lambda D: -np.log(1 - D),
    "logsigmoid": lambda D: np.log(D),
    "logit": lambda D: np.log(D) - np.log(1 - D),
    "fairl": lambda D: -(D / (1 - D)) * np.log(D / (1 - D)),
}


@pytest.mark.parametrize("name", gail.REWARD_MAPS)
def test_reward_maps_are_their_formulas_in_the_probability_of_expert(name):
    z = jnp.linspace(-8, 8, 33)
    D = 1 / (1 + np.exp(-np.asarray(z, np.float64)))
    np.testing.assert_allclose(gail.REWARD_MAPS[name](z), MAPS[name](D), rtol=1e-5, atol=1e-6)
    assert np.isfinite(gail.REWARD_MAPS[name](jnp.array([-1e4, 1e4]))).all(), "a sure discriminator still pays"


def test_an_end_is_paid_for_all_that_follows_it_discounted():
    c = replace(C, absorbing=True, discount=0.9, reward="logit")
    d, r = discriminator_of(c, DISCRETE, expert_of(DISCRETE)), rows(DISCRETE, 12, 4)
    ahead = sum(0.9**k * float(gail.absorbing_logit(d)) for k in range(1, 400))
    expected = np.asarray(gail.logits(c, d, r)) + np.where(r.terminated, ahead, 0)
    assert r.terminated.any() and not r.terminated.all() and abs(ahead) > 1
    np.testing.assert_allclose(gail.reward(c, d, r), expected, rtol=1e-5)


def test_the_best_discriminator_is_the_ratio_of_occupancies_and_shows_their_divergence():
    mdp = random_mdp(jax.random.key(1), 5, 3, discount=0.8)
    policies = jax.nn.softmax(1.5 * jax.random.normal(jax.random.key(2), (2, 5, 3)))
    rho_e, rho_pi = (np.asarray(occupancy(mdp, p, normalised=True), np.float64) for p in policies)
    state, action = (x.ravel() for x in np.mgrid[:5, :3])
    table = Rows(jnp.eye(5)[state], jnp.asarray(action, jnp.int32), jnp.eye(5)[state], jnp.zeros(15, bool))
    expert, policy = (gail.Sample(table, jnp.asarray(rho.ravel(), jnp.float32)) for rho in (rho_e, rho_pi))
    c = gail.Config(hidden=(), entropy_bonus=0.0, absorbing=True, discount=0.5)
    ends = jnp.float32(0.2), jnp.float32(0.05)
    p_e, p_pi = 0.2 / 1.2, 0.05 / 1.05  # shares of the absorbing state, which is visited once per end
    ratio = np.log((1 - p_e) * rho_e / ((1 - p_pi) * rho_pi))
    weight = jnp.asarray(np.vstack([ratio, np.full(3, np.log(p_e / p_pi))]), jnp.float32)
    best = nets.MLP((nets.Linear(weight, jnp.zeros(3)),), jnp.tanh)
    moments = normalise.no_moments((5,))

    def judged(parts):  # convex in the logits, which this discriminator chooses freely: flat is optimal
        return gail.loss(parts, c, moments, expert, policy, ends, jax.random.key(0))

    (value, metrics), slope = jax.jit(jax.value_and_grad(judged, has_aux=True))(best)
    assert max(np.abs(g).max() for g in jax.tree.leaves(slope)) < 1e-6
    elsewhere = jax.jit(jax.vmap(lambda key: judged(moved(best, key))[0]))(jax.random.split(jax.random.key(5), 20))
    assert (np.asarray(elsewhere) > value).all()
    d = gail.Discriminator(best, moments)
    of_expert, of_policy = (np.append((1 - p) * rho.ravel(), p) for p, rho in ((p_e, rho_e), (p_pi, rho_pi)))
    found = np.append(gail.logits(c, d, table), gail.absorbing_logit(d))
    np.testing.assert_allclose(jax.nn.sigmoid(found), of_expert / (of_expert + of_policy), rtol=1e-4)
    middle = (of_expert + of_policy) / 2
    divergence = sum((rho * np.log(rho / middle)).sum() for rho in (of_expert, of_policy)) / 2
    np.testing.assert_allclose(metrics["js"], divergence, rtol=1e-4)
    assert divergence > 0.05


@pytest.mark.parametrize(
    ("inputs", "seen"),
    [("obs_action", {"obs", "action"}), ("obs", {"obs"}), ("obs_next_obs", {"obs", "next_obs"})],
)
@pytest.mark.parametrize("space", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def test_the_discriminator_sees_its_inputs_and_nothing_else(space, inputs, seen):
    c = replace(C, inputs=inputs)
    d, r, other = discriminator_of(c, space, expert_of(space)), rows(space, 20, 4), rows(space, 20, 5)
    before = gail.logits(c, d, r)
    for name in ("obs", "action", "next_obs", "terminated"):
        changed = Rows(**{f: getattr(other if f == name else r, f) for f in Rows.__dataclass_fields__})
        assert (np.asarray(gail.logits(c, d, changed)) != before).any() == (name in seen), name


@pytest.mark.parametrize("space", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def test_input_moments_start_from_the_expert_and_take_in_every_policy_pair_once(space, key):
    c, expert = replace(C, replay=5), expert_of(space)
    state = gail.init(c, witness(), expert, key, space)
    seen = [np.asarray(gail.features(c, expert.rows, space is DISCRETE))]
    np.testing.assert_allclose(state.discriminator.moments.mean, seen[0].mean(0), rtol=1e-5, atol=1e-6)
    for k in range(3):
        batch = batch_of(space, seed=10 + k)
        state, _ = updated(c, expert, state, batch, key)
        flat = Rows(
            *(x.reshape(T * E, *x.shape[2:]) for x in (batch.obs, batch.action, batch.last_obs, batch.terminated))
        )
        seen.append(np.asarray(gail.features(c, flat, space is DISCRETE)))
    every, moments = np.concatenate(seen), state.discriminator.moments
    np.testing.assert_allclose(moments.mean, every.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(moments.variance, every.var(0), rtol=1e-4)
    assert moments.count == len(every)


def numbered(start, count):
    """Pairs that carry their number."""
    number = jnp.arange(start, start + count)
    obs = jnp.repeat(number[:, None].astype(jnp.float32), 3, 1)
    return Rows(obs, number.astype(jnp.int32), obs, number < 0)


def test_replay_holds_the_newest_pairs_beside_those_of_the_round(key):
    c = replace(C, replay=10)
    replay, kept = gail.init(c, witness(), expert_of(DISCRETE), key, DISCRETE).replay, []
    for start in (0, 4, 8, 12):
        pool, replay = gail.remember(c, replay, numbered(start, 4))
        fresh = list(range(start + 3, start - 1, -1))
        assert pool.rows.action[: int(pool.count)].tolist() == fresh + kept
        kept = (fresh + kept)[:10]
        assert replay.rows.action[: int(replay.count)].tolist() == kept
        assert replay.rows.terminated.shape == (10,)
    assert replay.count == 10


def test_a_round_larger_than_the_replay_is_seen_whole_and_its_end_is_kept(key):
    c = replace(C, replay=3)
    empty = gail.init(c, witness(), expert_of(DISCRETE), key, DISCRETE).replay
    pool, replay = gail.remember(c, empty, numbered(0, 7))
    assert pool.rows.action[: int(pool.count)].tolist() == [6, 5, 4, 3, 2, 1, 0]
    assert replay.rows.action.tolist() == [6, 5, 4] and replay.count == 3


def judged(c, expert, batch, key, space=DISCRETE, state=None):
    state = gail.init(c, witness(), expert, jax.random.key(0), space) if state is None else state
    return updated(c, expert, state, batch, key)


@pytest.mark.parametrize("settings", [{"replay": 20}, {"batch_size": 4, "gradient_penalty": 1.0}])
def test_padding_has_no_influence(settings, key):
    c, expert, batch = replace(C, steps=2, **settings), expert_of(DISCRETE), batch_of(DISCRETE)
    padded = demos.pad_to(expert, 14)
    padded = demos.Transitions(  # nothing that could be mistaken for a neutral row
        padded.obs.at[9:].set(1e3), padded.action.at[9:].set(3), padded.next_obs.at[9:].set(-1e3),
        padded.terminated.at[9:].set(True), padded.count, padded.lengths,
    )  # fmt: skip
    plain, other = judged(c, expert, batch, key), judged(c, padded, batch, key)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), plain, other)


def test_the_true_reward_is_never_seen_and_the_learner_is_paid_by_the_new_discriminator(key):
    c, expert = replace(C, inputs="obs_next_obs", absorbing=True, discount=0.8, learning_rate=0.3), expert_of(DISCRETE)
    start = gail.init(c, witness(), expert, jax.random.key(0), DISCRETE)
    known = discriminator_of(c, DISCRETE, expert)
    start = gail.State(start.learner, known, start.opt, None)
    batch = batch_of(DISCRETE)
    state, metrics = judged(c, expert, batch, key, state=start)
    blind = judged(c, expert, batch._replace(reward=jnp.full((T, E), 7.0)), key, state=start)
    jax.tree.map(np.testing.assert_array_equal, (state, metrics), blind)
    flat = Rows(*(x.reshape(T * E, *x.shape[2:])
                  for x in (batch.obs, batch.action, batch.last_obs, batch.terminated)))  # fmt: skip
    new, old = (gail.reward(c, d, flat).reshape(T, E) for d in (state.discriminator, known))
    shown = state.learner
    np.testing.assert_allclose(shown.reward, new, rtol=1e-5)
    np.testing.assert_allclose(metrics["learned_reward"], new.mean(), rtol=1e-5)
    assert np.abs(np.asarray(new - old)).max() > 0.01
    jax.tree.map(np.testing.assert_array_equal, shown._replace(reward=0), batch._replace(reward=0))


@pytest.mark.parametrize(("terminated", "sign"), [(0, -1), (39, 1)])
def test_the_absorbing_state_is_judged_by_how_often_each_class_ends(terminated, sign, key):
    """The first steps say whose episodes end more often."""
    expert, state = expert_of(DISCRETE, terminated=terminated), None
    for _ in range(3):
        state, _ = judged(replace(C, absorbing=True), expert, batch_of(DISCRETE), key, state=state)
    assert np.sign(gail.absorbing_logit(state.discriminator)) == sign


@pytest.mark.parametrize("batch_size", [0, 4])
def test_every_step_is_one_of_adam_along_the_loss_of_its_own_draw(batch_size, key):
    c, expert, policy = replace(C, steps=3, batch_size=batch_size), expert_of(DISCRETE), rows(DISCRETE, 8, 3)
    count, ends = jnp.int32(6), (jnp.float32(0), jnp.float32(0))
    d, optimiser = discriminator_of(c, DISCRETE, expert), optim.adam(c.learning_rate)
    opt, pools = optimiser.init(d.net), (gail.Pool(expert.rows, expert.count), gail.Pool(policy, count))
    found, _, _ = jax.jit(gail.fit)(c, d, opt, *pools, ends, key)
    slope = jax.jit(jax.grad(lambda p, samples, k: gail.loss(p, c, d.moments, *samples, ends, k)[0]))
    parts = d.net
    for k in jax.random.split(key, 3):
        expert_key, policy_key, slope_key = jax.random.split(k, 3)
        if batch_size:
            draws = [jax.random.randint(k, (4,), 0, n) for k, n in ((expert_key, 9), (policy_key, 6))]
        else:
            draws = [jnp.arange(9), jnp.arange(6)]  # the last two policy rows are no data
        samples = [gail.Sample(jax.tree.map(lambda x, i=i: x[i], r), jnp.full(len(i), 1 / len(i)))
                   for r, i in zip((expert.rows, policy), draws, strict=True)]  # fmt: skip
        gradient = slope(parts, samples, slope_key)
        parts, opt = optim.apply(optimiser, gradient, opt, parts)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found.net, parts)


PPO = ppo.Config(rollout=8, learning_rate=0.02, epochs=2, minibatches=1, discount=0.5, hidden=(8,))


def pairs(actions):
    """Four one-step episodes of the probe whose observation is -1 or 1, with these actions at -1 and at 1."""
    obs = np.array([[[o], [o]] for o in (-1.0, 1.0) * 2], np.float32)
    chosen = [np.array([actions[int(o[0, 0] > 0)]], np.int32) for o in obs]
    space = make("Probe-ActionGivenObservation-v0").space
    return demos.transitions(demos.from_arrays(obs, chosen, None, [True] * 4, space=space))


def test_it_imitates_whoever_demonstrates_whatever_the_environment_pays():
    """The expert of seed 0 is the best policy, that of seed 1 the worst, that of seed 2 looks at nothing."""
    experts = [pairs(actions) for actions in ((0, 1), (1, 0), (1, 1))]
    envs = make("Probe-ActionGivenObservation-v0", num_envs=8)
    config = jax.tree.map(lambda *x: jnp.stack([jnp.asarray(v) for v in x]), *[(C, PPO, e) for e in experts])

    def agent(c):
        return gail.agent(c[0], ppo.agent(c[1]), c[2])

    for chunk in train(agent, config, envs, updates=60, every=60, seeds=3, stacked=True):
        state = chunk.carry.agent
    obs = jnp.array([[-1.0], [1.0]])
    right = jax.vmap(lambda s, a: agent((C, PPO, experts[0])).log_prob(s, obs, a))(
        state, jnp.array([(0, 1), (1, 0), (1, 1)])
    )
    assert np.exp(right).min() > 0.8, np.exp(right)
    np.testing.assert_allclose(chunk.metrics["discriminator_loss"][:, -1], 2 * np.log(2), atol=0.1)
