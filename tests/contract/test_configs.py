"""Every field of every configuration changes the outcome, and a value that breaks its rule is refused by name."""

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cache, partial
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from methods import (
    A2OC,
    AIRL,
    CONTINUOUS,
    CONTINUOUS_EXPERT,
    DQN,
    ENVS,
    EXPERT,
    GAIL,
    GCL,
    IQN,
    PPO,
    PREQ_DQN,
    PREQN,
    SAC,
    TD3,
    TRPO,
    apprentice,
    gail_with,
    learning_from,
)

from theodolite.control import dqn, iqn, ppo, preq_dqn, preqn, sac, td3, trpo
from theodolite.core.drive import collect, learn, start
from theodolite.core.env import Box, Discrete, Space
from theodolite.core.errors import UserError
from theodolite.core.train import update_keys
from theodolite.intent import airl, apprenticeship, bc, gan_gcl
from theodolite.safety import a2oc

pytestmark = pytest.mark.usefixtures("light_numbers")


class Field(NamedTuple):
    """Another value for a field, values that it must refuse, and the settings without which it means nothing."""

    other: Any
    bad: tuple = ()
    companions: Mapping[str, Any] = MappingProxyType({})
    continuous: bool = False


IMAGES = Space(Box((4, 4, 2)), Discrete(2), num_envs=4)
BC = bc.Config(batch_size=8, validate_every=2, hidden=(8,))
FEM = apprenticeship.FEM
COMMON = {
    "rollout": Field(12, (0, -1)),
    "discount": Field(0.5, (-0.1, 1.1)),
    "trace": Field(0.5, (-0.1, 1.1)),
    "temperature": Field(0.3, (-0.1,)),
    "hidden": Field((4, 4), ((0,), (8, -1), (2.5,))),
    "squash": Field(True, continuous=True),
}
HORIZONS = {
    "horizons": Field(3, (0,)),
    "horizon_rate": Field(0.1, (0.0,), {"horizons": 2}),
    "act_by": Field("mixture", ("no such horizon",), {"horizons": 3}),
}
OFF_POLICY = {name: field._replace(continuous=True) for name, field in HORIZONS.items()} | {
    "rollout": Field(32, (0, -1), continuous=True),
    "train_every": Field(32, (0,), continuous=True),
    "learning_starts": Field(150, (-1,), continuous=True),
    "random_steps": Field(150, (-1,), continuous=True),
    "replay": Field(128, (0,), continuous=True),
    "batch_size": Field(4, (0,), continuous=True),
    "learning_rate": Field(1e-2, (0.0, -1.0), continuous=True),
    "policy_learning_rate": Field(1e-2, (0.0, -1.0), continuous=True),
    "discount": Field(0.5, (-0.1, 1.1), continuous=True),
    "target_share": Field(0.5, (-0.1, 1.1), continuous=True),
    "hidden": Field((4, 4), ((0,), (8, -1), (2.5,)), continuous=True),
    "activation": Field("sin", ("no such activation",), continuous=True),
}
Q_LEARNING = HORIZONS | {
    "act_by": HORIZONS["act_by"]._replace(companions={"horizons": 3, "learning_rate": 0.5, "train_every": 4}),
    "rollout": Field(32, (0, -1)),
    "train_every": Field(16, (0,)),
    "learning_starts": Field(150, (-1,)),
    "replay": Field(128, (0,)),
    "batch_size": Field(4, (0,)),
    "learning_rate": Field(1e-2, (0.0, -1.0)),
    "adam_epsilon": Field(0.1, (0.0,)),
    "max_gradient_norm": Field(1e-3, (0.0,), {"adam_epsilon": 0.1}),  # Adam undoes a change of scale
    "discount": Field(0.5, (-0.1, 1.1)),
    "n_step": Field(5, (0,)),
    "double": Field(True, companions={"learning_rate": 0.5}),
    "target_every": Field(1, (0,)),
    "target_share": Field(0.5, (-0.1, 1.1)),
    "epsilon_start": Field(0.5, (-0.1, 1.1)),
    "epsilon_end": Field(0.5, (-0.1, 1.1)),
    "epsilon_steps": Field(100, (0,)),
    "hidden": COMMON["hidden"],
    "channels": Field(3, (0,), continuous=True),  # of images: see OUTCOMES
}
PRECONDITIONED = {
    "activation": Field("relu", ("no such activation",)),
    "line_search": Field(False, companions={"first_alpha": 100.0}),
    "eta": Field(-1.0, (-1.1, 1.1), {"first_alpha": 100.0}),
    "first_alpha": Field(0.01, (0.0,)),
    "decay": Field(0.1, (0.0, 1.0, 2.0), {"first_alpha": 100.0}),
    "tries": Field(1, (0,), {"first_alpha": 100.0}),
    "solver": Field("eigen", ("no such solver",), {"cutoff": 0.1}),
    "damping": Field(1.0, (-0.1,)),
    "cutoff": Field(0.3, (-0.1,), {"solver": "eigen"}),
}
TABLES = {
    "ppo": (
        PPO,
        COMMON
        | {
            "learning_rate": Field(1e-2, (0.0, -1.0)),
            "epochs": Field(1, (0,)),
            "minibatches": Field(4, (0,)),
            "clip": Field(0.001, (0.0, -0.2)),
            "value_coefficient": Field(0.1, (-0.1,)),
            "entropy_bonus": Field(0.1, (-0.1,)),
            "max_gradient_norm": Field(1e-3, (0.0,)),
        },
    ),
    "trpo": (
        TRPO,
        COMMON
        | {
            "max_kl": Field(0.001, (0.0,)),
            "kl_slack": Field(1e-3, (0.0,)),
            "damping": Field(0.5, (-0.1,)),
            "conjugate_iterations": Field(1, (0,)),
            "fisher_every": Field(5, (0,)),
            "backtracks": Field(1, (0,), {"kl_slack": 0.02}),  # which no full step obeys
            "accept_ratio": Field(1.0, (-0.1, 1.1), {"max_kl": 0.5}),
            "critic_bound": Field(1e-4, (0.0,)),
            "critic_steps": Field(1, (0,)),
        },
    ),
    "dqn": (
        DQN,
        Q_LEARNING
        | {
            "dueling": Field(True),
            "loss": Field("huber", ("no such loss",), {"learning_rate": 0.5}),
            "prioritised": Field(True),
            "priority_exponent": Field(0.1, (-0.1,), {"prioritised": True}),
            "importance_exponent": Field(1.0, (-0.1,), {"prioritised": True}),
            "head": Field("quantile", ("no such head",)),
            "atoms": Field(4, (1,), {"head": "categorical"}),
            "support": Field((0.0, 5.0), ((1.0, 1.0), (2.0, 1.0)), {"head": "categorical"}),
            "kappa": Field(0.1, (-0.1,), {"head": "quantile"}),
            "trunks": Field(3, (0,), {"head": "quantile", "atoms": 3}),
            "act_by": HORIZONS["act_by"]._replace(companions={"horizons": 3, "learning_rate": 0.5}),
        },
    ),
    "iqn": (
        IQN,
        Q_LEARNING
        | {
            "levels": Field(5, (0,)),
            "target_levels": Field(5, (0,)),
            "policy_levels": Field(1, (0,), {"learning_rate": 0.5, "train_every": 4}),
            "cosines": Field(3, (0,)),
            "kappa": Field(0.1, (-0.1,)),
            "worst": Field(0.1, (0.0, 1.1), {"learning_rate": 0.5, "train_every": 4}),
            "double": Field(True, companions={"learning_rate": 0.5, "train_every": 4}),
        },
    ),
    "preqn": (
        replace(PREQN, random_steps=60, learning_starts=32),
        {
            name: field._replace(continuous=True)
            for name, field in (
                PRECONDITIONED
                | {
                    "rollout": Field(32, (0, -1)),
                    "train_every": Field(16, (0,)),
                    "learning_starts": Field(150, (-1,)),
                    "random_steps": Field(0, (-1,)),
                    "replay": Field(128, (0,)),
                    "batch_size": Field(4, (0,)),
                    "policy_learning_rate": Field(1e-2, (0.0,)),
                    "discount": Field(0.5, (-0.1, 1.1)),
                    "noise": Field(0.5, (0.0,)),
                    "hidden": COMMON["hidden"],
                    "held_out": Field(0, (-1,)),
                    "second_batch": Field(3, (-1,)),
                    "across": Field("right", ("no such change",), {"second_batch": 3}),
                }
            ).items()
        },
    ),
    "preq_dqn": (
        PREQ_DQN,
        {n: field for n, field in Q_LEARNING.items() if hasattr(PREQ_DQN, n)} | PRECONDITIONED,
    ),
    "td3": (
        TD3,
        OFF_POLICY
        | {
            "noise": Field(0.5, (0.0,), continuous=True),
            "twin": Field(False, continuous=True),
            "policy_every": Field(1, (0,), continuous=True),
            "smoothing": Field(0.0, (-0.1,), continuous=True),
            "smoothing_clip": Field(0.01, (-0.1,), continuous=True),
        },
    ),
    "sac": (
        SAC,
        OFF_POLICY
        | {
            "temperature_learning_rate": Field(0.1, (0.0,), continuous=True),
            "temperature": Field(0.1, (0.0,), continuous=True),
            "learn_temperature": Field(False, continuous=True),
            "target_entropy": Field(0.5, (math.inf,), continuous=True),
        },
    ),
    "a2oc": (
        A2OC,
        {
            "rollout": Field(12, (0, -1)),
            "num_options": Field(2, (0,)),
            "discount": Field(0.5, (-0.1, 1.1)),
            "learning_rate": Field(1e-2, (0.0, -1.0)),
            "rms_epsilon": Field(0.1, (0.0,)),
            "max_gradient_norm": Field(1e-3, (0.0,), {"rms_epsilon": 0.1}),
            "value_coefficient": Field(0.1, (-0.1,)),
            "entropy_bonus": Field(0.1, (-0.1,)),
            "epsilon": Field(0.6, (-0.1, 1.1)),
            "deliberation_cost": Field(0.3, (-0.1,)),
            "margin": Field(0.3, (-0.1,)),
            "psi": Field(0.5, (-0.1,)),
            "through": Field("actor", ("no such door",)),
            "scope": Field("start", ("no such scope",)),
            "cap": Field(1e-3, (0.0,)),
            "detach": Field(False, companions={"through": "actor"}),
            "hidden": COMMON["hidden"],
            "channels": Field(3, (0,), continuous=True),  # of images: see OUTCOMES
        },
    ),
    "gail": (
        GAIL,
        {
            "reward": Field("logsigmoid", ("no such map",)),
            "inputs": Field("obs_next_obs", ("no such inputs",)),
            "absorbing": Field(True),
            "discount": Field(0.5, (-0.1, 1.1), {"absorbing": True}),
            "learning_rate": Field(0.1, (0.0,)),
            "steps": Field(2, (0,)),
            "batch_size": Field(7, (-1,)),
            "entropy_bonus": Field(0.1, (-0.1,)),
            "gradient_penalty": Field(1.0, (-0.1,)),
            "replay": Field(100, (-1,)),
            "hidden": COMMON["hidden"],
            "activation": Field("relu", ("no such activation",)),
        },
    ),
    "airl": (
        AIRL,
        {
            "reward": Field("g", ("no such reward",)),
            "inputs": Field("obs_action", ("no such inputs",)),
            "discount": Field(0.5, (-0.1, 1.1)),
            "learning_rate": Field(0.1, (0.0,)),
            "steps": Field(3, (0,)),
            "batch_size": Field(7, (0,)),
            "replay": Field(0, (-1,)),
            "weight_decay": Field(1.0, (-0.1,)),
            "freeze_after": Field(1, (-1,)),
            "hidden": COMMON["hidden"],
            "potential_hidden": COMMON["hidden"],
            "activation": Field("relu", ("no such activation",)),
        },
    ),
    "gan_gcl": (
        GCL,
        {
            "horizon": Field(2, (0,)),
            "inputs": Field("next_obs", ("no such inputs",)),
            "reward": Field("f", ("no such reward",)),
            "normalise": Field(True),
            "learning_rate": Field(0.1, (0.0,)),
            "steps": Field(3, (0,)),
            "batch_size": Field(7, (0,)),
            "freeze_after": Field(1, (-1,)),
            "hidden": COMMON["hidden"],
        },
    ),
    "apprenticeship": (
        FEM,
        {"costs": Field("simplex", ("no such class",)), "sign": Field("negative", ("no such sign",))},
    ),
    "bc": (
        BC,
        {
            "learning_rate": Field(0.1, (0.0,)),
            "batch_size": Field(4, (0,)),
            "loss": Field("mean_square", ("no such loss",), continuous=True),
            "validation_share": Field(0.6, (0.0, 1.0)),
            "validate_every": Field(3, (0,)),
            "hidden": COMMON["hidden"],
        },
    ),
}
CASES = [pytest.param(m, f, id=f"{m}-{f}") for m in TABLES for f in TABLES[m][1]]


TRACED = []
"""Grows with every tracing of a program below."""


@partial(jax.jit, static_argnames=("make", "continuous"))
def begun(make, continuous: bool, config: Any) -> Any:
    TRACED.append(make)
    return start(make(config), CONTINUOUS if continuous else ENVS, jax.random.key(0))


@partial(jax.jit, static_argnames=("make", "continuous"))
def collected(make, continuous: bool, config: Any, carry: Any, update: int) -> Any:
    TRACED.append(make)
    collect_key, _ = update_keys(jax.random.key(0), update)
    return collect(make(config), CONTINUOUS if continuous else ENVS, carry, collect_key)


@partial(jax.jit, static_argnames="make")
def learnt(make, config: Any, carry: Any, batch: Any, update: int) -> Any:
    TRACED.append(make)
    _, learn_key = update_keys(jax.random.key(0), update)
    return learn(make(config), carry, batch, learn_key)


def played(make, continuous: bool, config: Any) -> Any:
    """The learner after three updates, as replay needs several; parts that a field leaves alone are read from cache."""
    carry, history = begun(make, continuous, config), []
    for update in range(3):
        carry, batch = collected(make, continuous, config, carry, update)
        carry, metrics = learnt(make, config, carry, batch, update)
        history.append(metrics)
    return carry.agent, history


@partial(jax.jit, static_argnames="continuous")
def cloned(continuous: bool, config: bc.Config) -> Any:
    TRACED.append(bc)
    data, space = (CONTINUOUS_EXPERT, CONTINUOUS.space) if continuous else (EXPERT, ENVS.space)
    clone, key = bc.solver(config, data), jax.random.key(0)
    return clone.step(clone.init(key, space), jax.random.fold_in(key, 1))


gail_of_ppo = gail_with(ppo.agent)
airl_of_ppo, gcl_of_ppo = learning_from(airl, ppo.agent), learning_from(gan_gcl, ppo.agent)
OUTCOMES = {
    "ppo": lambda c, continuous: played(ppo.agent, continuous, c),
    "trpo": lambda c, continuous: played(trpo.agent, continuous, c),
    "dqn": lambda c, images: dqn.agent(c).init(jax.random.key(0), IMAGES) if images else played(dqn.agent, False, c),
    "iqn": lambda c, images: iqn.agent(c).init(jax.random.key(0), IMAGES) if images else played(iqn.agent, False, c),
    "preqn": lambda c, _: played(preqn.agent, True, c),
    "preq_dqn": lambda c, _: played(preq_dqn.agent, False, c),
    "td3": lambda c, continuous: played(td3.agent, continuous, c),
    "sac": lambda c, continuous: played(sac.agent, continuous, c),
    "a2oc": lambda c, images: a2oc.agent(c).init(jax.random.key(0), IMAGES) if images else played(a2oc.agent, False, c),
    "gail": lambda c, continuous: played(gail_of_ppo, continuous, (c, PPO, EXPERT)),
    "airl": lambda c, continuous: played(airl_of_ppo, continuous, (c, PPO, EXPERT)),
    "gan_gcl": lambda c, continuous: played(gcl_of_ppo, continuous, (c, PPO, EXPERT)),
    "apprenticeship": lambda c, continuous: played(apprentice, continuous, (c, PPO, EXPERT)),
    "bc": lambda c, continuous: cloned(continuous, c),
}


@cache
def shapes(method: str, config: Any, continuous: bool) -> tuple[tuple[int, ...], ...]:
    """Of an outcome, without compiling or running what it takes; a run after it is not traced again."""
    outcome = jax.eval_shape(lambda c: OUTCOMES[method](c, continuous), config)
    return tuple(x.shape for x in jax.tree.leaves(outcome))


@pytest.mark.parametrize("method", TABLES)
def test_the_tables_name_every_field(method):
    config, table = TABLES[method]
    assert table.keys() == {f.name for f in fields(config)}


@pytest.mark.parametrize(("method", "name"), CASES)
def test_a_field_changes_the_outcome(method, name):
    config, table = TABLES[method]
    field = table[name]
    base = replace(config, **field.companions)
    assert getattr(base, name) != field.other
    configs = base, replace(base, **{name: field.other})
    if len({shapes(method, c, field.continuous) for c in configs}) == 1:  # others differ, and have been traced
        pairs = zip(*(jax.tree.leaves(OUTCOMES[method](c, field.continuous)) for c in configs), strict=True)
        assert any((np.asarray(a) != np.asarray(b)).any() for a, b in pairs)


BAD = [(m, f, value) for m in TABLES for f, field in TABLES[m][1].items() for value in field.bad]
NUMBERS = {m: [f.name for f in fields(TABLES[m][0]) if f.type is float] for m in TABLES}
NOT_FINITE = [(m, name, value) for m in TABLES for name in NUMBERS[m] for value in (math.nan, math.inf)]


@pytest.mark.parametrize(("method", "name", "value"), BAD + NOT_FINITE)
def test_a_bad_value_is_refused_by_name_with_the_rule(method, name, value):
    config = TABLES[method][0]
    broken = object.__new__(type(config))  # past the type checker of the tests, which users do not have
    for f in fields(config):
        object.__setattr__(broken, f.name, value if f.name == name else getattr(config, f.name))
    with pytest.raises(UserError) as refusal:
        broken.__post_init__()
    message = str(refusal.value)
    assert message.startswith(f"{name} = {value}: must ")
    assert len(message.split(". ")[-1]) > 10, "what the field means"


def test_settings_that_only_clash_together_are_refused():
    with pytest.raises(UserError, match=r"minibatches = 100: a batch has 64 transitions"):
        OUTCOMES["ppo"](replace(PPO, minibatches=100), False)
    with pytest.raises(UserError, match=r"discount = 1.0: must be < 1 with absorbing"):
        replace(GAIL, absorbing=True, discount=1.0)


def test_every_constrained_field_has_a_bad_value():
    for _, table in TABLES.values():
        for name, field in table.items():
            assert field.bad or isinstance(field.other, bool), name


@pytest.mark.parametrize("method", ["ppo", "trpo", "gail", "bc"])
def test_new_numbers_are_the_same_program_and_a_sweep_is_a_vmap(method):
    config = TABLES[method][0]
    sweep = [config, replace(config, **{name: getattr(config, name) / 2 for name in NUMBERS[method]})]
    first, traced = OUTCOMES[method](config, False), len(TRACED)
    one_by_one = [first, OUTCOMES[method](sweep[1], False)]
    assert len(TRACED) == traced > 0
    together = jax.vmap(OUTCOMES[method], (0, None))(jax.tree.map(lambda *x: np.float32(x), *sweep), False)
    for i, alone in enumerate(one_by_one):
        for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
            np.testing.assert_allclose(a, b[i], rtol=1e-3, atol=1e-4)
