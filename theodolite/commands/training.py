"""Training by name into a folder: what `theodolite train` does, for Python.

for chunk in fit("ppo", "CartPole-v1", steps=100_000, out="runs/mine"):
    print(chunk.update, chunk.metrics["return"])
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from theodolite.commands import methods
from theodolite.commands.methods import Recipe, Traced
from theodolite.core import demos as demonstrations
from theodolite.core import devices, findings, minari, runlog
from theodolite.core.demos import Demos
from theodolite.core.env import JaxEnvs, Space
from theodolite.core.errors import UserError
from theodolite.core.host import HostEnv
from theodolite.core.judge import Json
from theodolite.core.train import Chunk, expected_carry, expected_state, solve, train
from theodolite.envs import registry
from theodolite.intent import learned_run
from theodolite.intent.learned_reward import LearnedReward


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that a training run is made of. `config` and `learner_config` of None are the methods' defaults."""

    method: str
    env: str | None = None
    config: Any = None
    learner: str | None = None
    learner_config: Any = None
    env_options: dict[str, Any] = field(default_factory=dict)
    num_envs: int = 64
    demos: str | Path | None = None
    demo_episodes: int | None = None
    demo_every: int = 1
    demo_seed: int = 0
    steps: int | None = None
    every: int = 10
    seed: int = 0
    seeds: int = 1
    normalise_obs: bool = True
    normalise_reward: bool = False
    reward: str | Path | None = None
    reward_seed: int = 0
    command: str | None = None


class Setup(NamedTuple):
    """A plan whose environment and data are at hand."""

    plan: Plan
    recipe: Recipe
    traced: Traced
    envs: JaxEnvs | HostEnv | None
    steps_per_update: int
    updates: int
    identity: Json
    about: Json

    @property
    def on_host(self) -> bool:
        """The environment is outside JAX: seeds need processes."""
        return self.envs is not None and not isinstance(self.envs, JaxEnvs)


def fit(method: str, env: str | None = None, *, out: str | Path, **settings: Any) -> Iterator[Chunk]:
    """Train by name into the folder `out`, continuing what it holds; `settings` are those of Plan, which know better
    defaults for some methods.

    Raises:
        UserError: something in the settings, the data or the folder.
        NotFinite: training diverged; the state before it is in the folder.
    """
    setup = prepare(
        Plan(method=method, env=env, **{**methods.find(method).defaults(settings.get("learner")), **settings})
    )
    with runlog.RunLog(Path(out), setup.identity, setup.about) as log:
        yield from logged(setup, log)


def prepare(plan: Plan) -> Setup:
    """Look up, check and load everything that a plan names.

    Raises:
        UserError: what is unknown, missing or does not fit.
    """
    method = methods.find(plan.method)
    _check(plan, method)
    learner_name = (plan.learner or method.learner) if method.learner else None
    learner = methods.find_learner(learner_name) if learner_name else None
    demos = _read_demos(plan, method)
    env_id = plan.env or (demos.env_id if demos else None)
    envs, space = _environment(plan, method, env_id, demos)
    expert = _expert(plan, demos, space, env_id)
    recipe = Recipe(method, learner, space, plan.normalise_obs, plan.normalise_reward)
    reward = _reward(plan, method, space, env_id)
    configs = plan.config or method.default, (plan.learner_config or learner.default) if learner else None
    traced = (*configs, expert, reward)
    per_update = _steps_per_update(recipe, traced)
    updates = -(-(method.steps if plan.steps is None else plan.steps) // per_update)
    about = {
        "updates": updates,
        "steps_per_update": per_update,
        "demos_path": str(Path(plan.demos).absolute()) if plan.demos else None,
        "command": plan.command,
    }
    identity = _identity(plan, learner_name, env_id, space, traced)
    return Setup(plan, recipe, traced, envs, per_update, updates, identity, about)


def _check(plan: Plan, method: methods.Method) -> None:
    """Refuse numbers below 1, and wrappers that do not go with the method."""
    for name in ("num_envs", "steps", "every", "seeds", "demo_every"):
        value = getattr(plan, name)
        if value is not None and value < 1:
            raise UserError(f"{name} = {value}: must be >= 1.")
    methods.check_wrappers(plan.method, method, plan.normalise_reward)


def _identity(plan: Plan, learner: str | None, env_id: str | None, space: Space, traced: Traced) -> Json:
    """What a folder must agree on before it is continued, and all that it takes to rebuild the policy."""
    config, learner_config, expert, _ = traced
    return {
        "method": plan.method,
        "config": runlog.config_to_json(config),
        "learner": learner,
        "learner_config": runlog.config_to_json(learner_config) if learner else None,
        "env": env_id,
        "env_options": plan.env_options,
        "space": runlog.space_to_json(space),
        "normalise_obs": plan.normalise_obs,
        "normalise_reward": plan.normalise_reward,
        "seed": plan.seed,
        "seeds": plan.seeds,
        "demos": _provenance(plan, expert),
        "reward": {"sha256": learned_run.digest(plan.reward), "seed": plan.reward_seed} if plan.reward else None,
    }


def logged(setup: Setup, log: runlog.RunLog) -> Iterator[Chunk]:
    """The chunks that the folder of an open log does not hold yet, each recorded before it is yielded."""
    plan = setup.plan
    loop = {"first": True, "updates": setup.updates, "every": plan.every, "seed": plan.seed, "seeds": plan.seeds}
    make: Any = setup.recipe.make  # of a Solver or of an Agent, as is_solver says
    if setup.recipe.is_solver:
        like = expected_state(make, setup.traced, setup.recipe.space, plan.seeds)
        chunks = solve(make, setup.traced, setup.recipe.space, resume=log.resume(like), **loop)
    else:
        assert setup.envs is not None
        if setup.on_host and plan.seeds > 1:
            raise UserError(
                f"environment {setup.envs.id!r} runs outside JAX and takes one seed per process: give every seed a "
                "folder of its own, as theodolite train --seeds does."
            )
        like = expected_carry(make, setup.traced, setup.envs, plan.seeds)
        devices.check_room(like, copies=2)  # the log keeps its own
        chunks = train(make, setup.traced, setup.envs, resume=log.resume(like), **loop)
    for chunk in chunks:
        if not chunk.update:
            log.begin(chunk)
            continue
        log.keep(chunk)
        if not log.findings:
            log.note(findings.exploding(chunk))
        yield chunk


def _read_demos(plan: Plan, method: methods.Method) -> Demos | None:
    if plan.demos is None:
        if method.demos:
            raise UserError(
                f"{plan.method} learns from demonstrations: give their folder with --demos. `theodolite demos record` "
                "makes some."
            )
        return None
    if not method.demos:
        raise UserError(f"{plan.method} does not learn from demonstrations: leave --demos out.")
    return minari.read(plan.demos)


def _environment(
    plan: Plan, method: methods.Method, env_id: str | None, demos: Demos | None
) -> tuple[JaxEnvs | HostEnv | None, Space]:
    """The copies to train in, and their space; a solver gets by with the demonstrations' own."""
    if method.steps_per_update is not None and plan.env is None and demos is not None:
        return None, demos.space
    if env_id is None:
        raise UserError("no environment was named: give one with --env, such as --env CartPole-v1.")
    envs = registry.make(env_id, num_envs=plan.num_envs, **plan.env_options)
    return envs, envs.space


def _expert(plan: Plan, demos: Demos | None, space: Space, env_id: str | None) -> demonstrations.Transitions | None:
    if demos is None:
        return None
    fitting = demos.check_against(space, env_id or "the demonstrations")
    return demonstrations.subsample(fitting, plan.demo_episodes, plan.demo_every, plan.demo_seed)


def _reward(plan: Plan, method: methods.Method, space: Space, env_id: str | None) -> LearnedReward | None:
    """What pays in the environment's place, if the plan names a run that learned it."""
    if plan.reward is None:
        return None
    if method.demos:
        raise UserError(
            f"{plan.method} learns its reward, or needs none: leave --reward out, or train ppo or trpo on it."
        )
    if plan.normalise_reward:
        raise UserError(
            "normalise_reward does not go with --reward: a learned reward has the scale that its entropy has."
        )
    return learned_run.fitting(plan.reward, plan.reward_seed, space, env_id or "the environment")


def _steps_per_update(recipe: Recipe, traced: Traced) -> int:
    if recipe.method.steps_per_update is not None:
        return recipe.method.steps_per_update(traced[0])
    agent: Any = recipe.make(traced)  # what has no steps_per_update is an Agent
    return agent.rollout * recipe.space.num_envs


def _provenance(plan: Plan, expert: demonstrations.Transitions | None) -> Json | None:
    """Which data these are, wherever they lie, and how many rows of them are used."""
    if expert is None or plan.demos is None:
        return None
    digest = hashlib.sha256((minari.find(plan.demos) / minari.MAIN_FILE).read_bytes()).hexdigest()
    chosen = {"episodes": plan.demo_episodes, "every": plan.demo_every, "seed": plan.demo_seed}
    return {"sha256": digest, **chosen, "rows": len(expert.obs)}


def parse_options(words: tuple[str, ...]) -> dict[str, Any]:
    """Environment options from name=value; values are JSON, or text if they are not.

    Raises:
        UserError: a word without an equals sign.
    """
    options = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"environment option {word!r}: expected name=value, such as max_episode_steps=100.")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return options
