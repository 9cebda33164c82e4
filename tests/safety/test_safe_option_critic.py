"""Each rule against the algorithm in loops, which doors it uses, and that noise is avoided by the one that should."""

import math
from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow_option_critic import SlowLearner, episodes_of

from theodolite.core.env import time_limit
from theodolite.core.errors import UserError
from theodolite.core.tiles import one_hot
from theodolite.envs import rooms
from theodolite.safety import option_chain as chain
from theodolite.safety import option_critic as oc
from theodolite.safety import safe_option_critic as safe

LEARNER = oc.Config(num_options=2, discount=0.9, critic_rate=0.3, policy_rate=0.2, termination_rate=0.4,
                    temperature=0.7, initial_spread=1.0)  # fmt: skip
PSI = 0.3
RULES = {
    "released": replace(safe.RELEASED, psi=PSI),
    "printed": replace(safe.PRINTED, psi=PSI),
    "printed, capped": replace(safe.PRINTED, psi=PSI, cap=0.2),
    "all": safe.Config(psi=PSI, through="actor"),
    "all, attached": safe.Config(psi=PSI, through="actor", detach=False),
    "all, attached, capped": safe.Config(psi=PSI, through="actor", detach=False, cap=0.2),
    "critic": safe.Config(psi=PSI),
    "critic, capped": safe.Config(psi=PSI, cap=0.2),
    "critic at the start": safe.Config(psi=PSI, scope="start"),
}


@cache
def replayed(name):
    return replay(RULES[name])


def replay(rule, active=1, steps=80, learner=LEARNER):
    """Weights after a random history, and the costs that the critics were charged."""
    history = episodes_of(np.random.default_rng(2), num_options=2, active=active, steps=steps)
    s = oc.init(learner, jax.random.key(0), one_hot(12)._replace(active=active), 4)
    penalty = safe.penalty(rule)

    @jax.jit
    def step(s, memory, t):
        seen = s.read_all(t.features, t.arrived)
        t = t._replace(entered=seen[0].value[t.option])
        return oc.update(learner, s, t, seen, penalty, memory, 1.0)

    t = oc.Transition(*(jnp.asarray(x) for x in history[0]))
    memory = penalty.init(oc.Visit(t.features, t.option, t.action, jnp.zeros(4), jnp.float32(0), t.first))
    slow, costs = SlowLearner(learner, np.asarray(s.weights, float), active, rule), []
    for t in history:
        s, memory, cost = step(s, memory, oc.Transition(*(jnp.asarray(x) for x in t)))
        slow.learn(t)
        costs.append(float(cost))
    return np.asarray(s.weights), slow.weights, costs


@pytest.mark.parametrize("name", RULES)
def test_the_rule_is_the_algorithm_written_out_in_loops(name):
    found, slow, costs = replayed(name)
    np.testing.assert_allclose(found, slow, rtol=5e-4, atol=5e-5)
    assert (max(costs) > 0) == (RULES[name].through == "critic")
    assert max(costs) <= RULES[name].cap * (1 + 1e-6)


def test_the_released_rule_holds_for_several_features_too():
    found, slow, _ = replay(RULES["released"], active=3)
    np.testing.assert_allclose(found, slow, rtol=5e-4, atol=5e-5)


def test_rules_differ_and_psi_0_is_option_critic():
    found = {name: replayed(name)[0] for name in RULES}
    names = list(found)
    for i, name in enumerate(names):
        for other in names[:i]:
            assert np.abs(found[name] - found[other]).max() > 1e-4, (name, other)
    plain = [replay(replace(rule, psi=0.0))[0] for rule in (RULES["released"], RULES["critic"])]
    np.testing.assert_allclose(plain[0], plain[1], atol=1e-6)


def test_the_released_rule_does_nothing_after_full_steps_of_the_critic():
    """As on CartPole: the error is looked at after the critic's step, which leaves none."""
    learner = replace(LEARNER, critic_rate=1.0)
    averse, plain = (replay(replace(RULES["released"], psi=psi), learner=learner)[0] for psi in (PSI, 0.0))
    np.testing.assert_allclose(averse, plain, atol=1e-5)


def test_the_penalty_is_the_capped_square_and_its_push_the_derivative():
    rule = safe.Config(psi=0.5, through="actor", detach=False, cap=3.0)
    probs = jnp.array([0.2, 0.8])
    for error in (-1.5, 0.0, 0.7, 9.0):
        visit = safe.Visit(jnp.array([0]), jnp.int32(0), jnp.int32(1), probs, jnp.float32(error), jnp.bool_(True))
        memory = safe.init(rule, visit)
        assert float(safe.penalised(rule, memory, visit)) == pytest.approx(min(0.5 * error**2, 3.0))

        def objective(value, error=error):
            return -min(0.5 * (error - value) ** 2, 3.0) * math.log(0.8 + safe.FLOOR)

        slope = (objective(1e-4) - objective(-1e-4)) / 2e-4
        assert float(safe.penalty(rule).push(memory, visit)) == pytest.approx(slope, abs=1e-3)


def both(pair):
    return pair[0], safe.penalty(pair[1])


def test_the_critic_s_penalty_leads_round_the_noise(optimised):
    world = rooms.rooms("noisy-tv")
    task = oc.Task(time_limit(rooms.env(world), 200), one_hot(world.mdp.initial.size), lambda obs: world.noisy[obs])
    num = 12
    pairs = jax.tree.map(lambda x: jnp.full(num, x, jnp.float32), (oc.Config(), safe.Config()))
    pairs[1].__dict__["psi"] = jnp.repeat(jnp.array([0.0, 0.05]), num // 2)
    keys = jax.random.split(jax.random.key(0), num)
    s, metrics = oc.train(task, pairs, keys, episodes=150, windows=3, make=both)
    found = jax.jit(jax.vmap(lambda one: chain.risk(world, oc.options(oc.Config(), one), 200)))(s)
    neutral, averse = np.asarray(found.hazards).reshape(2, -1).mean(1)
    assert averse < 0.5 * neutral
    spread = np.asarray(found.within).reshape(2, -1).mean(1)
    assert spread[1] < spread[0]
    cost = np.asarray(metrics["cost"]).reshape(2, -1)
    assert cost[0].max() == 0 and cost[1].min() > 0
    assert set(safe.METRICS) <= set(metrics)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"psi": -1.0}, "psi = -1.0: must be >= 0"),
        ({"cap": 0.0}, "cap = 0.0: must be > 0"),
        ({"repeat": "step"}, "repeat = step: must be visit"),
        ({"detach": False}, "detach = False: must be True"),
    ],
)
def test_bad_settings_are_refused(wrong, says):
    with pytest.raises(UserError, match=says):
        safe.Config(**wrong)


@pytest.mark.parametrize("name", ["through", "scope", "repeat"])
def test_unknown_rules_are_refused(name):
    broken = object.__new__(safe.Config)
    for field, value in vars(safe.Config()).items():
        object.__setattr__(broken, field, "no such rule" if field == name else value)
    with pytest.raises(UserError, match=f"{name} = no such rule: must be one of"):
        broken.__post_init__()
