"""theodolite diagnose of learners of continuous actions: linear critics, soft returns and kernels in closed form."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from theodolite.commands import diagnose, diagnosing, diagnosis_page, lenses, methods
from theodolite.control import actor_critic, diagnosis, preqn, sac, td3
from theodolite.control.actor_critic import Critics, Policy
from theodolite.control.off_policy import Memory
from theodolite.core import optim, replay
from theodolite.core.demos import Episode
from theodolite.core.env import Box, Space
from theodolite.core.nets import MLP, Linear

BOX = Box((1,), -2.0, 2.0)
SPACE = Space(Box((2,)), BOX, 1)
SLOW = [0.5, -1.0, 2.0, 3.0], [0.5, -1.0, 2.0, -2.0]
"""Two critics, the lower one always the second: weights of two observations and an action, and a bias."""
FAST = [1.0, 0.2, -1.5, 4.0], [0.0, 0.0, 1.0, 9.0]
MU, LOG_STD, ALPHA, GAMMA = 0.3, -1.0, 0.4, 0.99


def linear(*rows):
    x = jnp.array(rows, jnp.float32).T
    return MLP((Linear(x[:-1], x[-1]),), jax.nn.relu)


def critics(*rows):
    return Critics(tuple(linear(row) for row in rows))


def policy(mu=MU):
    """The same action everywhere."""
    return Policy(linear([0.0, 0.0, np.arctanh(mu)]), BOX)


def memory(num=512):
    rng = np.random.default_rng(0)
    obs, action = rng.normal(size=(num + 1, 2)), rng.uniform(-2, 2, (num, 1))
    whole = Episode(*(x.astype(np.float32) for x in (obs, action, rng.normal(size=num))), True, False)
    return Memory(diagnosing.ring_of([whole], BOX), jnp.int32(num), jnp.float32(2))


def td3_state(c, slow=SLOW, fast=FAST):
    adam = actor_critic.regression(c.learning_rate)
    now = td3.init(c, adam, jax.random.key(0), SPACE).learner
    now = replace(
        now, policy=policy(-0.6), slow_policy=policy(), critics=critics(*fast), slow_critics=critics(*slow),
        policy_opt=optim.adam(1.0).init(policy()), critic_memory=adam.init(critics(*fast)),
    )  # fmt: skip
    return td3.State(now, memory())


def sac_state(c, slow=SLOW, fast=FAST):
    adam = actor_critic.regression(c.learning_rate)
    now = sac.init(c, adam, jax.random.key(0), SPACE).learner
    actor = sac.Actor(linear([0, 0, np.arctanh(MU)], [0, 0, LOG_STD]), BOX)
    now = replace(
        now, actor=actor, critics=critics(*fast), slow_critics=critics(*slow), actor_opt=optim.adam(1.0).init(actor),
        critic_memory=adam.init(critics(*fast)),
    )  # fmt: skip
    return sac.State(now, memory())


C = {"learning_starts": 0, "replay": 600, "batch_size": 16, "rollout": 1}
TD3, DDPG, SAC = td3.Config(**C), replace(td3.DDPG, **C), sac.Config(**C, temperature=ALPHA)


def drawn(s, num=512):
    return replay.sample(s.memory.replay, jax.random.key(1), num)


def said(rows, b, action):
    """A linear critic at what follows a sample, an action the same everywhere."""
    *w, bias = rows
    return np.asarray(b.last_obs) @ w[:2] + w[2] * action + bias


def backed_up(b, following):
    return np.asarray(b.rewards[:, 0]) + GAMMA * ~np.asarray(b.terminated) * following


def moments_of_sac():
    """E tanh u, H, and the sd of Q - α log π, for u ~ N(artanh μ, σ²), by quadrature."""
    law = stats.norm(np.arctanh(MU), np.exp(LOG_STD))
    log_pi = lambda u: law.logpdf(u) - np.log(1 - np.tanh(u) ** 2)  # noqa: E731
    mean = lambda f: quad(lambda u: law.pdf(u) * f(u), -4, 5)[0]  # noqa: E731
    noisy = lambda u: SLOW[1][2] * np.tanh(u) - ALPHA * log_pi(u)  # noqa: E731
    return mean(np.tanh), -mean(log_pi), np.sqrt(mean(lambda u: noisy(u) ** 2) - mean(noisy) ** 2)


def test_targets_of_linear_critics_are_those_of_the_formula_in_the_mean():
    s = td3_state(TD3)
    b = drawn(s)
    clipped = stats.norm(0, 0.2)
    sd = np.sqrt(quad(lambda e: clipped.pdf(e) * np.clip(e, -0.5, 0.5) ** 2, -2, 2)[0]) * SLOW[1][2]
    action, entropy, soft_sd = moments_of_sac()
    soft = said(SLOW[1], b, action) + ALPHA * entropy
    cases = [(lenses.lens_of("td3", TD3), s, said(SLOW[1], b, MU), sd)]
    cases += [(lenses.lens_of("sac", SAC), sac_state(SAC), soft, soft_sd)]
    for lens, state, following, sd in cases:
        off = np.asarray(lens.targets(state, b, jax.random.key(2))) - backed_up(b, following)
        off, expected = off[~np.asarray(b.terminated)], GAMMA * sd / np.sqrt(lenses.DRAWS)
        assert abs(off.mean()) < 4 * expected / np.sqrt(len(off))
        assert off.std() == pytest.approx(expected, rel=0.15)
        one = np.asarray(state.learner.critics.nets[0].layers[0].weight)  # critic 1 is looked at
        x = np.concatenate([b.obs, b.action], 1)
        np.testing.assert_allclose(
            lens.q(lens.net(state), b.obs, b.action), x @ one[:, 0] + FAST[0][3], rtol=1e-4, atol=1e-5
        )
    exact = lenses.lens_of("ddpg", DDPG).targets(td3_state(DDPG, SLOW[:1], FAST[:1]), b, jax.random.key(2))
    np.testing.assert_allclose(exact, backed_up(b, said(SLOW[0], b, MU)), rtol=1e-4, atol=1e-4)
    present = preqn.State(preqn.Learner(policy(), critics(FAST[0]), None), s.memory)
    lens = lenses.lens_of("preqn", preqn.Config())
    assert lens.moved is None
    exact = lens.targets(present, b, jax.random.key(2))
    np.testing.assert_allclose(exact, backed_up(b, said(FAST[0], b, MU)), rtol=1e-4, atol=1e-4)


def test_the_kernel_and_features_of_a_critic_are_those_of_the_plain_jacobian():
    lens, b = lenses.lens_of("td3", TD3), drawn(td3_state(TD3), 12)
    x = np.concatenate([b.obs, b.action], 1)
    np.testing.assert_allclose(lens.kernel(linear(FAST[0]), b.obs, b.action), x @ x.T + 1, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(lens.features(linear(FAST[0]), b.obs, b.action), x)
    several = replace(SAC, horizons=3)
    lens = lenses.lens_of("sac", several)
    net = actor_critic.critics(jax.random.key(3), SPACE, (7, 5), "tanh", 2, 3).nets[0]
    plain = diagnosis.kernel(lambda n: n(jnp.asarray(x))[:, 2], net)  # of the longest horizon
    np.testing.assert_allclose(lens.kernel(net, b.obs, b.action), plain, rtol=1e-3, atol=1e-5)
    hidden = jnp.tanh(net.layers[1](jnp.tanh(net.layers[0](jnp.asarray(x)))))
    np.testing.assert_allclose(lens.features(net, b.obs, b.action), hidden, rtol=1e-5, atol=1e-6)
    assert lens.discount == pytest.approx(float(sac.horizons.longest(several)))


def test_the_drift_is_the_distance_of_the_slow_copies_at_their_next_move():
    lens, s = lenses.lens_of("ddpg", DDPG), td3_state(DDPG, SLOW[:1], FAST[:1])
    b, key = drawn(s, 64), jax.random.key(4)
    row_key, own_key = jax.random.split(jax.random.fold_in(key, 0))
    seen, adam = replay.sample(s.memory.replay, row_key, 16), actor_critic.regression(DDPG.learning_rate)
    now = jax.jit(lambda now: td3.improve(DDPG, adam, now, seen, own_key)[0])(s.learner)
    last = now.critics.nets[0].layers[0]
    action = np.asarray(now.policy(b.last_obs))[:, 0]
    assert abs(action.mean() + 0.6) < 0.01  # the fast policy's, one step on
    after = said([*np.asarray(last.weight)[:, 0], float(last.bias[0])], b, action)
    moved = GAMMA * ~np.asarray(b.terminated) * (after - said(SLOW[0], b, MU))
    np.testing.assert_allclose(jax.jit(lens.moved)(s, b, key), moved, rtol=1e-3, atol=1e-3)


def test_the_soft_drift_compares_both_critics_under_the_same_draws():
    moved, key = jax.jit(lenses.lens_of("sac", SAC).moved), jax.random.key(4)
    s = sac_state(SAC, SLOW, SLOW)
    assert float(jnp.abs(moved(s, drawn(s, 64), key)).max()) < 0.02  # a step of 3e-4, and no noise
    assert float(jnp.abs(moved(sac_state(SAC), drawn(s, 64), key)).mean()) > 1


def test_soft_returns_are_the_double_loop():
    rng = np.random.default_rng(1)
    ends = [(4, True), (6, False), (1, False), (1, True)]
    played = [
        Episode(rng.normal(size=(n + 1, 2)).astype(np.float32), np.zeros((n, 1)), rng.normal(size=n).astype(np.float32),
                over, not over)
        for n, over in ends
    ]  # fmt: skip
    pay, value = (lambda o: o[:, 0] ** 2), (lambda o: 10 + o[:, 1])
    found, cut = diagnosing.followed(played, 0.9, value, pay)
    expected, weights = [], []
    for e in played:
        steps = len(e.reward)
        for t in range(steps):
            total = sum(0.9 ** (k - t) * e.reward[k] for k in range(t, steps))
            total += sum(0.9 ** (k - t) * pay(e.obs)[k] for k in range(t + 1, steps))
            expected.append(total + (0.9 ** (steps - t) * value(e.obs)[-1] if e.truncated else 0))
            weights.append(0.9 ** (steps - t) if e.truncated else 0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(cut, weights, rtol=1e-5)


@pytest.mark.parametrize("bias", [0.0, 3.0])
def test_a_soft_value_of_one_state_is_over_estimated_by_its_bias(bias):
    """One state, a reward of 1, one policy: Q = (1 + γ α H) / (1 - γ) is what SAC learns, and no entropy is missing."""
    _, entropy, _ = moments_of_sac()
    right = (1 + GAMMA * ALPHA * entropy) / (1 - GAMMA)
    rows = ([0, 0, 0, right + bias], [0, 0, 0, right + bias + 1])
    s, lens = sac_state(SAC, ([0, 0, 0, right],) * 2, rows), lenses.lens_of("sac", SAC)
    obs, paid = np.zeros((101, 2), np.float32), np.ones(100, np.float32)
    np.testing.assert_allclose(lens.bonus(s, jnp.zeros((3, 2))), ALPHA * entropy, rtol=1e-3)
    action = np.asarray(lens.sampled(s, jnp.asarray(obs[:-1]), jax.random.key(5)))
    assert np.arctanh(action / 2).std() == pytest.approx(np.exp(LOG_STD), rel=0.2)  # as it acts, in the box of ±2
    played = [Episode(obs, action, paid, False, True)]
    goes_on = lambda o: lens.goes_on(s, o, jax.random.key(6))  # noqa: E731
    returns, cut = diagnosing.followed(played, GAMMA, goes_on, lambda o: lens.bonus(s, o))
    own = replay.sample(diagnosing.ring_of(played, BOX), jax.random.key(7), 64)
    fresh = linear(FAST[0])
    still = lens._replace(moved=None)
    m = diagnosing.measured(still, s, fresh, own, own, None, returns[own.index], cut[own.index], jax.random.key(8))
    seen = lenses.rows(lens, s, own, diagnosing._noise(jax.random.key(8)))
    assert float(seen.target.mean()) == pytest.approx(right, abs=0.05)  # by draws
    spread = max(float(seen.target.std()), 0.01 * float(jnp.sqrt((seen.target**2).mean())))
    assert float(m["overestimate"]) * spread == pytest.approx(bias, abs=0.02)
    assert float(m["excess"]) == pytest.approx((right + bias) * 0.01 / (2 + ALPHA), rel=1e-3)  # |wanted entropy| is 1


def subject(c=TD3):
    lens = lenses.lens_of("td3", c)
    space = Space(Box((3,)), BOX, 4)
    agent = td3.agent(c)
    x = diagnosing.Subject("td3", c, lens, agent, space, "Pendulum-v1", {"max_episode_steps": 50}, 8, 0)
    return x, jax.jit(lambda key: agent.init(key, space))(jax.random.key(0))


def test_held_out_rows_have_their_share_of_uniform_actions():
    """From 100 steps to 200, of which the first 25 were uniform: a quarter, and the policy's own otherwise."""
    c = replace(TD3, rollout=1, random_steps=125, noise=1e-4, hidden=(4,))
    x, s = subject(c)
    still = jax.tree.map(jnp.zeros_like, s.learner.policy)
    memory = replace(s.memory, steps=jnp.int32(200))
    found = diagnosing.behaved(x, td3.State(replace(s.learner, policy=still), memory), 100)
    size = np.abs(np.asarray(found.action))[:, 0]
    assert len(size) == diagnosing.ROWS and size.max() <= 1
    assert (size > 0.01).mean() == pytest.approx(0.25, abs=0.01)


TINY = ("--env", "Pendulum-v1", "--env-options", "max_episode_steps=20", "--num-envs", "2", "--rollout", "8",
        "--hidden", "8", "--steps", "160", "--learning-starts", "48", "--random-steps", "0", "--train-every", "8",
        "--replay", "200", "--batch-size", "16")  # fmt: skip


def titles(found):
    return [axes.get_title(loc="left") for axes in diagnosis_page.page(found).axes]


def test_a_short_run_on_the_host_is_measured_and_goes_on_where_it_was_interrupted(say, tmp_path, stopped_after):
    """Episodes of training start anew then: looks before it are kept, and the later ones are of another course."""
    command = (
        "diagnose",
        "td3",
        "--env",
        "gymnasium/Pendulum-v1",
        *TINY[2:],
        "--looks",
        "2",
        "--episodes",
        "4",
        "--json",
    )
    said = say(*command, "--out", tmp_path / "whole")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert [one["steps"] for one in found["looks"]] == [80, 160] and found["policy"] == "mode"
    for one in found["looks"]:
        assert one.keys() == {*diagnosis.MEASURES, "steps", "return"} and None not in one.values()
    assert titles(found)[0] == "return of the policy"
    assert (tmp_path / "whole/diagnosis.svg").exists()
    with stopped_after(7):
        assert say(*command, "--out", tmp_path / "parts").code == 130
    begun = json.loads((tmp_path / "parts/diagnosis.json").read_text())
    assert begun["looks"] == found["looks"][:1] and not (tmp_path / "parts/diagnosis.svg").exists()
    again = json.loads(say(*command, "--out", tmp_path / "parts").out)
    assert again["looks"][0] == found["looks"][0] and None not in again["looks"][1].values()
    assert {**again, "looks": 0, "limits": 0} == {**found, "looks": 0, "limits": 0}
    assert [one["steps"] for one in again["looks"]] == [80, 160] and (tmp_path / "parts/diagnosis.svg").exists()


def test_a_finished_run_is_looked_at(say, tmp_path):
    trained = say("train", "sac", *TINY, "--out", tmp_path / "r")
    assert trained.code == 0, trained.err
    found = json.loads(say("diagnose", tmp_path / "r", "--episodes", "4", "--json").out)
    assert {name for name, v in found["looks"][0].items() if v is None} == {"gap", "validation"}
    assert found["policy"] == "stochastic" and titles(found)[0] == "return of the policy as it acts"
    assert titles(found)[4] == "Q less the soft return that followed"


def test_looks_begin_once_a_method_learns_by_its_own_actions():
    def defaults(name):
        return {f.field: f.default for f in diagnose._flags(methods.find(name))}

    assert [defaults(n)["steps"] for n in ("dqn", "td3", "ddpg", "sac", "preqn")] == [
        50_000,
        150_000,
        150_000,
        75_000,
        75_000,
    ]
    assert [defaults(n)["num_envs"] for n in ("dqn", "iqn", "td3", "preqn")] == [8, 8, 1, 1]


def test_advice_names_what_the_method_has():
    def advice(method, c, measure):
        lens = lenses.lens_of(method, c)
        return diagnosis.said(lenses.rule(measure, lens), lenses.turnable(method, c, False))

    assert "Try a smaller --learning-rate or td3, which" in advice("ddpg", DDPG, "overestimate")
    assert advice("td3", TD3, "overestimate").endswith("Try a smaller --learning-rate.")  # twins are there
    assert "--twin" in advice("td3", replace(TD3, twin=False), "overestimate")
    assert "preqn, whose steps" in advice("sac", SAC, "row_ratio")
    assert "preq" not in advice("preqn", preqn.Config(), "row_ratio")
    assert "greedy" not in advice("sac", SAC, "shift") and "greedy" in advice("td3", TD3, "shift")


@pytest.mark.parametrize("method", ["td3", "sac"])
def test_a_mixture_of_horizons_is_refused(say, method, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = say("diagnose", method, "--env", "Pendulum-v1", "--horizons", "3", "--act-by", "mixture")
    assert found.code == 2 and "act_by = mixture: must be longest" in found.err and not list(tmp_path.iterdir())
