"""Advantage option-critic: returns and gradients against loops, differences and closed forms; A2C as a special case."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probing import PROBES, shortfall

from theodolite.core import options
from theodolite.core.agent import Batch
from theodolite.core.env import Box, Discrete, Space
from theodolite.core.errors import UserError
from theodolite.safety import a2oc

T, E, STATES, A = 7, 3, 5, 2
SPACE = Space(Box((STATES,)), Discrete(A), E)
C = a2oc.Config(num_options=3, discount=0.9, deliberation_cost=0.3, margin=0.2, epsilon=0.4, hidden=(), psi=0.5)
RULES = {
    "neutral": replace(C, psi=0.0),
    "critic": C,
    "critic, capped": replace(C, cap=0.3),
    "critic, start": replace(C, scope="start"),
    "released": replace(C, through="actor", detach=False, cap=a2oc.UNCAPPED),
    "printed": replace(C, through="actor", scope="start", cap=a2oc.UNCAPPED),
    "actor, all": replace(C, through="actor", cap=0.3),
}


def tabular(c: a2oc.Config, seed: int = 0) -> tuple[a2oc.State, Batch]:
    """Heads with random entries over one-hot states, which are tables, and a random history with both kinds of ends."""
    rng = np.random.default_rng(seed)
    w = c.num_options
    state, after = rng.integers(0, STATES, (T, E)), rng.integers(0, STATES, (T, E))
    option, action = rng.integers(0, w, (T, E)), rng.integers(0, A, (T, E))
    option[1:] = np.where(rng.random((T - 1, E)) < 0.6, option[:-1], option[1:])  # options last
    end = rng.random((T, E))
    terminated, truncated = end < 0.15, end > 0.85
    over = np.concatenate([np.ones((1, E), bool), (terminated | truncated)[:-1]])
    in_force = np.where(over, options.NOT_YET, np.concatenate([option[:1], option[:-1]]))
    eye = np.eye(STATES, dtype=np.float32)
    obs, last_obs = options.join(eye[state], in_force, w), options.join(eye[after], option, w)
    reward = rng.normal(size=(T, E)).astype(np.float32)
    columns = (
        obs,
        (option * A + action).astype(np.int32),
        np.zeros_like(reward),
        reward,
        terminated,
        truncated,
        last_obs,
    )
    s = a2oc.init(c, jax.random.key(seed), SPACE)
    net = jax.tree.map(lambda x: x + jnp.asarray(rng.normal(size=x.shape), jnp.float32), s.net)
    return replace(s, net=net), Batch(*map(jnp.asarray, columns))


SLOPE = jax.jit(jax.grad(a2oc.loss, has_aux=True))


class Slow:
    """The same in loops over steps and environments, from tables."""

    def __init__(self, c: a2oc.Config, net: a2oc.Network, b: Batch):
        self.c, self.b, self.w = c, jax.tree.map(np.asarray, b), c.num_options
        self.q, logit, preference = (
            np.asarray(h.weight, float) + np.asarray(h.bias, float) for h in (net.value, net.ending, net.preference)
        )
        self.beta = 1 / (1 + np.exp(-logit))
        e = np.exp(preference.reshape(STATES, self.w, A))
        self.pi = e / e.sum(-1, keepdims=True)
        self.option, self.action = np.divmod(self.b.action, A)
        self.s, self.after = self.b.obs[..., :STATES].argmax(-1), self.b.last_obs[..., :STATES].argmax(-1)

    def mu(self, s: int) -> np.ndarray:
        m = np.full(self.w, self.c.epsilon / self.w)
        m[self.q[s].argmax()] += 1 - self.c.epsilon
        return m

    def first(self, t: int, e: int) -> bool:
        return t == 0 or bool(self.b.terminated[t - 1, e] or self.b.truncated[t - 1, e])

    def pay(self, error: float, t: int, e: int) -> float:
        reached = self.c.scope == "all" or self.first(t, e)
        return min(self.c.psi * error**2, self.c.cap) if reached else 0.0

    def arriving(self, t: int, e: int) -> tuple[float, float]:
        """(expected value of what follows, the reward less the deliberation cost)."""
        if self.b.terminated[t, e]:
            return 0.0, self.b.reward[t, e]
        s, w = self.after[t, e], self.option[t, e]
        ends = self.beta[s, w]
        return (1 - ends) * self.q[s, w] + ends * self.mu(s) @ self.q[s], self.b.reward[
            t, e
        ] - self.c.deliberation_cost * ends

    def returns(self, t: int, e: int) -> float:
        expected, reward = self.arriving(t, e)
        if self.c.through == "critic":
            reward -= self.pay(reward + self.c.discount * expected - self.q[self.s[t, e], self.option[t, e]], t, e)
        if t == T - 1 or self.b.terminated[t, e] or self.b.truncated[t, e]:
            return reward + self.c.discount * expected
        s, w = self.after[t, e], self.option[t, e]
        if self.option[t + 1, e] == w:
            return reward + self.c.discount * self.returns(t + 1, e)
        mu, others = self.mu(s), [o for o in range(self.w) if o != w]
        return reward + self.c.discount * (mu[others] @ self.q[s, others]) / mu[others].sum()

    def steps(self):
        return [(t, e, self.s[t, e], self.option[t, e], self.action[t, e]) for t in range(T) for e in range(E)]


@pytest.mark.parametrize("name", RULES)
def test_returns_are_those_of_the_recursion_by_loops(name):
    c = RULES[name]
    s, b = tabular(c)
    own, marks = options.split(b.obs, 3, 1)
    now, after = s.net(own), s.net(options.split(b.last_obs, 3, 1)[0])
    found = a2oc.told(c, now, after, b, b.action // A, marks.sum(-1) == 0)
    slow = Slow(c, s.net, b)
    np.testing.assert_allclose(
        found.returns, [[slow.returns(t, e) for e in range(E)] for t in range(T)], rtol=1e-4, atol=1e-4
    )
    assert (np.asarray(found.cost).max() > 0) == (c.through == "critic" and c.psi > 0)
    assert b.terminated.any() and b.truncated.any()


@pytest.mark.parametrize("name", RULES)
def test_gradients_are_those_of_the_losses_in_closed_form(name):
    """On tables: ½δ² and what is not detached of the penalty move Q, log(π + floor) moves π, arrivals move β."""
    c = replace(RULES[name], value_coefficient=0.7, entropy_bonus=0.05)
    s, b = tabular(c, seed=1)
    gradient, metrics = SLOPE(s.net, c, b)
    slow, floor, n = Slow(c, s.net, b), a2oc.FLOOR, T * E
    value, ending, preference = np.zeros((STATES, 3)), np.zeros((STATES, 3)), np.zeros((STATES, 3, A))
    for t, e, here, w, a in slow.steps():
        error = slow.returns(t, e) - slow.q[here, w]
        pi = slow.pi[here, w]
        pen = slow.pay(error, t, e) if c.through == "actor" else 0.0
        value[here, w] -= c.value_coefficient * error / n
        if not c.detach:
            value[here, w] += np.log(pi[a] + floor) * -2 * c.psi * error / n
        slope = pi[a] * (np.eye(A)[a] - pi) / (pi[a] + floor)  # of log(π + floor)
        entropy = -pi * (np.log(pi) - pi @ np.log(pi))  # of H
        preference[here, w] += (slope * (pen - error) - c.entropy_bonus * entropy) / n
        if not b.terminated[t, e]:
            s2 = slow.after[t, e]
            gain = slow.q[s2, w] - slow.mu(s2) @ slow.q[s2] + c.deliberation_cost + c.margin
            ending[s2, w] += slow.beta[s2, w] * (1 - slow.beta[s2, w]) * gain / n
    np.testing.assert_allclose(gradient.value.weight, value, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(gradient.ending.weight, ending, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(gradient.preference.weight, preference.reshape(STATES, -1), rtol=1e-3, atol=1e-5)
    assert metrics.keys() == a2oc.METRICS.keys()


def test_rules_differ_as_they_should():
    """Those through the actor leave the returns alone; a start is less than all; what is attached moves the critic."""
    s, b = tabular(C)
    slope = {name: SLOPE(s.net, c, b)[0] for name, c in RULES.items()}
    moved = lambda part, x, y: float(jnp.abs(getattr(slope[x], part).weight - getattr(slope[y], part).weight).max())  # noqa: E731
    for name in RULES:
        assert moved("ending", name, "neutral") == 0, "terminations stay as they are"
        assert (moved("value", name, "neutral") > 1e-4) == (name.startswith("critic") or name == "released")
        assert (moved("preference", name, "neutral") > 1e-4) == (name != "neutral")
    pairs = [
        ("critic", "critic, capped"),
        ("critic", "critic, start"),
        ("released", "actor, all"),
        ("printed", "released"),
    ]
    assert min(moved("preference", *pair) for pair in pairs) > 1e-4


def test_what_takes_over_does_not_change_the_mean_of_what_follows():
    """Σ over the next option of its probability times its part of the return is U, whichever option is in force."""
    s, _ = tabular(C)
    slow = Slow(C, s.net, tabular(C)[1])
    for here in range(STATES):
        mu, q, beta = slow.mu(here), slow.q[here], slow.beta[here]
        obs = options.join(jnp.eye(STATES)[jnp.full(3, here)], jnp.arange(3), 3)
        law = np.asarray(jax.nn.softmax(a2oc.policy(C, s.net, obs).logits)).reshape(3, 3, A).sum(-1)
        for w in range(3):
            others = [o for o in range(3) if o != w]
            part = [q[w] if o == w else mu[others] @ q[others] / mu[others].sum() for o in range(3)]
            assert law[w] @ part == pytest.approx((1 - beta[w]) * q[w] + beta[w] * mu @ q, abs=1e-4)


def a2c_step(c: a2oc.Config, net: a2oc.Network, b: Batch) -> a2oc.Network:
    """Advantage actor-critic on its own terms: n-step returns by a loop, one RMSProp step on tables."""
    states, after, rows = b.obs[..., :STATES], b.last_obs[..., :STATES], b.reward.shape

    def loss(net):
        total = 0.0
        for e in range(rows[1]):
            following = 0.0
            for t in reversed(range(rows[0])):
                v = states[t, e] @ net.value.weight[:, 0] + net.value.bias[0]
                v_after = jax.lax.stop_gradient(after[t, e] @ net.value.weight[:, 0] + net.value.bias[0])
                cut = t == rows[0] - 1 or bool(b.truncated[t, e])
                following = b.reward[t, e] + c.discount * (0.0 if b.terminated[t, e] else v_after if cut else following)
                log_pi = jax.nn.log_softmax(states[t, e] @ net.preference.weight + net.preference.bias)
                score = jnp.log(jnp.exp(log_pi[b.action[t, e]]) + a2oc.FLOOR)
                advantage = jax.lax.stop_gradient(following - v)
                entropy = -jnp.sum(jnp.exp(log_pi) * log_pi)
                total += 0.5 * (following - v) ** 2 - score * advantage - c.entropy_bonus * entropy
        return total / b.reward.size

    gradient = jax.grad(loss)(net)
    norm = jnp.sqrt(sum(jnp.sum(g**2) for g in jax.tree.leaves(gradient)))
    clipped = jax.tree.map(lambda g: g * jnp.minimum(1.0, c.max_gradient_norm / norm), gradient)
    step = jax.tree.map(lambda g: c.learning_rate * g / jnp.sqrt(0.01 * g**2 + c.rms_epsilon), clipped)
    return jax.tree.map(lambda x, d: x - d, net, step)


def test_one_option_without_cost_is_a2c_by_a_slow_loop():
    c = replace(a2oc.FLAT, hidden=(), discount=0.9)
    s, b = tabular(c)
    b = jax.tree.map(lambda x: x[:5, :2], b)
    b = b._replace(truncated=b.truncated.at[2, 1].set(True) & ~b.terminated)
    assert b.terminated.any() and b.truncated.any()
    after, metrics = jax.jit(partial(a2oc.update, c))(s, b, jax.random.key(0))
    slow = a2c_step(c, s.net, b)
    np.testing.assert_allclose(after.net.value.weight, slow.value.weight, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(after.net.preference.weight, slow.preference.weight, rtol=1e-4, atol=1e-5)
    assert metrics["switches"] == 0 == metrics["cost"] and abs(metrics["option_entropy"]) < 1e-6
    np.testing.assert_array_equal(after.net.ending.weight, s.net.ending.weight)  # there is nothing to gain by an ending


def test_pairs_are_drawn_by_call_and_return():
    s, _ = tabular(C)
    slow = Slow(C, s.net, tabular(C)[1])
    for in_force in (options.NOT_YET, 1):
        obs = options.join(jnp.eye(STATES)[2], jnp.int32(in_force), 3)
        mu, beta = slow.mu(2), slow.beta[2]
        option = mu if in_force < 0 else (1 - beta[1]) * np.eye(3)[1] + beta[1] * mu
        wanted = (option[:, None] * slow.pi[2]).ravel()
        action, log_prob = jax.vmap(lambda key, obs=obs: a2oc.act(C, s, obs, key))(
            jax.random.split(jax.random.key(0), 20_000)
        )
        np.testing.assert_allclose(np.bincount(action, minlength=6) / 20_000, wanted, atol=0.015)
        np.testing.assert_allclose(np.exp(log_prob), wanted[np.asarray(action)], rtol=1e-4)
        assert a2oc.agent(C).mode(s, obs) == wanted.argmax()


def test_images_show_the_option_in_planes():
    space = Space(Box((10, 10, 4), 0.0, 1.0, "uint8"), Discrete(3), 2)
    c = replace(C, hidden=(8,), channels=4)
    s = a2oc.init(c, jax.random.key(0), space)
    images = np.random.default_rng(0).integers(0, 2, (2, 10, 10, 4)).astype(np.uint8)
    seen = jnp.asarray(options.join(images, np.array([2, options.NOT_YET]), 3))
    own, marks = options.split(seen, 3, 3)
    np.testing.assert_array_equal(own, images)
    np.testing.assert_array_equal(marks, [[0, 0, 1], [0, 0, 0]])
    assert a2oc.policy(c, s.net, seen).logits.shape == (2, 9)


@pytest.mark.parametrize("space", [Space(Box((3,)), Box((1,), -1.0, 1.0)), Space(Box((3, 3)), Discrete(2))])
def test_spaces_without_choices_or_shapes_are_refused(space):
    with pytest.raises(UserError, match="expected"):
        a2oc.init(C, jax.random.key(0), space)


def test_settings_that_clash_are_refused():
    with pytest.raises(UserError, match="detach = False: must be True"):
        a2oc.Config(detach=False)


PROBE = a2oc.Config(
    rollout=4, num_options=2, learning_rate=0.01, discount=0.5, hidden=(16,), entropy_bonus=0.0, deliberation_cost=0.0
)


def probed(c: a2oc.Config):
    """The agent as the probes ask it: at the start of an episode, by actions alone."""
    whole = a2oc.agent(c)

    def log_prob(s, obs, action):
        logits = a2oc.policy(
            c, s.net, options.join(obs, jnp.full(obs.shape[:-1], options.NOT_YET), c.num_options)
        ).logits
        by_action = jax.nn.logsumexp(logits.reshape(-1, c.num_options, 2), axis=1)
        return jnp.take_along_axis(jax.nn.log_softmax(by_action), action[:, None], 1)[:, 0]

    return whole._replace(log_prob=log_prob)


@pytest.mark.parametrize("probe", PROBES)
def test_probes(probe):
    """The values are those of the better option; what is chosen with probability ε may lag behind."""
    c = replace(PROBE, epsilon=0.05)
    best = lambda s, obs: s.net(obs).value.max(-1)  # noqa: E731
    assert (shortfall(probe, probed, c, best, updates=400) < 0.1).sum() >= 4
