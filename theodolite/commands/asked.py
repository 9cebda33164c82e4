"""Who is asked: an optimal agent in a finite world of ours, or the trained policy of a run."""

import inspect
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from theodolite.core.errors import UserError, nearest, unknown
from theodolite.envs import grids, worlds
from theodolite.envs.worlds import Told
from theodolite.interpret import asking, contrastive, contrastive_answers
from theodolite.interpret.asking import Subject

if TYPE_CHECKING:
    from theodolite.commands.ask import Flags
    from theodolite.commands.policies import Trained
    from theodolite.interpret.contrastive_sampled import Asked

MANIFEST = "run.json"
WORTHS = {
    "goal": grids.GOAL, "trap": grids.TRAP, "caught": grids.CAUGHT, "monster": grids.NEAR_MONSTER,
    "forest": grids.FOREST, "step": grids.STEP,
}  # fmt: skip
"""Outcomes of grids, as the command line calls them."""


class Found(NamedTuple):
    """An answer in words and as data."""

    text: str
    data: dict[str, Any]


def find(flags: "Flags") -> "Subject | Asked":
    """The agent that the command line names.

    Raises:
        UserError: nothing of that name can be asked, or an option does not fit it.
    """
    if (Path(flags.agent) / MANIFEST).exists():
        return _trained(flags)
    id = worlds.SHORT.get(flags.agent, flags.agent.removeprefix("theodolite/"))
    if id not in worlds.WORLDS:
        raise _nobody(flags.agent)
    if flags.seed:
        raise UserError("--seed chooses among the seeds of a run: for another random world, --env-options seed=1.")
    told = paid(tell(id, _options(flags, {})), flags.worth)
    agent = contrastive.train(told.world, told.reward)
    return Subject(told.world, agent, worlds.LIMITS[id], _command(flags))


def _nobody(name: str) -> UserError:
    if Path(name).is_dir():
        return UserError(f"{name} is a folder, but none that `theodolite train` wrote: there is no {MANIFEST} in it.")
    from theodolite.envs import registry  # JAX from here on

    short = ", ".join(worlds.SHORT)
    if name in registry.known_ids():
        return UserError(
            f"{name} is an environment, and an agent is asked: train one with `theodolite train ppo --env {name} --out "
            f"RUN`, then ask RUN. Optimal agents are at hand in {short}."
        )
    return unknown(
        "agent", name, [*worlds.SHORT, *worlds.WORLDS], f"Ask an optimal agent in {short}, or a run's folder."
    )


def _trained(flags: "Flags") -> "Subject | Asked":
    from theodolite.commands.policies import Trained
    from theodolite.interpret import outcomes

    trained = Trained(Path(flags.agent))
    if trained.agent.options:
        raise UserError(
            f"{flags.agent} holds an agent with options, which acts by more than what it sees: expected one without. "
            "Train ppo, trpo or dqn to be asked."
        )
    env = (trained.manifest["env"] or "").removeprefix("theodolite/")
    if env in worlds.WORLDS:
        return _in_world(flags, trained, env)
    if env in outcomes.SPOKEN:
        return _by_rollouts(flags, trained, env)
    raise UserError(
        f"{flags.agent} was trained on {env or 'demonstrations alone'}, whose outcomes have no names: expected a run "
        f"on {', '.join([*worlds.WORLDS, *outcomes.SPOKEN])}."
    )


def _in_world(flags: "Flags", trained: "Trained", env: str) -> Subject:
    """A policy that is tabulated."""
    import jax.numpy as jnp

    from theodolite.core.demo_checks import check_match
    from theodolite.envs import world_env

    kept = {k: v for k, v in trained.manifest["env_options"].items() if k != "max_episode_steps"}
    told = paid(tell(env, _options(flags, kept)), flags.worth)
    check_match(trained.space, world_env.environment(told).space, env, inferred=False, who="the run's policies")
    action = np.asarray(trained.agent.mode(trained.state(flags.seed), jnp.asarray(told.obs)))
    agent = contrastive.follow(told.world, told.reward, action.astype(int))
    limit = trained.manifest["env_options"].get("max_episode_steps", worlds.LIMITS[env])
    about = f"{trained.manifest['method']} (the run {Path(flags.agent).name})"
    return Subject(told.world, agent, int(limit), _command(flags), about)


def _by_rollouts(flags: "Flags", trained: "Trained", env: str) -> "Asked":
    """A policy that is played."""
    from theodolite.core.env import Box, clip_actions, time_limit
    from theodolite.envs import registry
    from theodolite.interpret import outcomes
    from theodolite.interpret.contrastive_sampled import Asked

    refused = {"slip": flags.slip, "start": flags.start, "worth": flags.worth, "region": flags.region}
    for name, value in refused.items():
        if value not in (None, ()):
            raise UserError(f"--{name} is for worlds that are finite, and {env} is not: leave it out.")
    options = _options(flags, trained.manifest["env_options"])
    limit = int(options.pop("max_episode_steps", registry.TASKS[env].limit))
    base = registry.base(env, **options)
    state, agent = trained.state(flags.seed), trained.agent
    action = base.space.action
    inner = clip_actions(base) if isinstance(action, Box) else base
    return Asked(time_limit(inner, limit), outcomes.SPOKEN[env], lambda obs: agent.mode(state, obs), limit)


def tell(id: str, options: dict[str, Any]) -> Told:
    """The world of an id.

    Raises:
        UserError: an option that it does not have.
    """
    known = inspect.signature(worlds.WORLDS[id]).parameters
    for option in options:
        if option not in known:
            raise UserError(f"{id} has no option {option!r}.{nearest(option, known)} Its options: {', '.join(known)}.")
    return worlds.WORLDS[id](**options)


def _options(flags: "Flags", kept: dict[str, Any]) -> dict[str, Any]:
    """The world's options: those of training, changed by flags."""
    given, others = {"slip": flags.slip, "start": flags.start}, {}
    if flags.env_options:
        from theodolite.commands.training import parse_options

        others = parse_options(flags.env_options)
    return kept | others | {k: v for k, v in given.items() if v is not None}


def paid(told: Told, pairs: tuple[str, ...]) -> Told:
    """The world with changed values of its outcomes.

    Raises:
        UserError: a pair that is no outcome=number, or an outcome that this world does not have.
    """
    reward = told.reward.copy()
    for pair in pairs:
        name, _, number = pair.partition("=")
        known = {short: event for short, event in WORTHS.items() if event in told.world.events}
        if name not in known:
            raise unknown("outcome", name, known, f"The outcomes are {', '.join(known) or 'nameless here'}.")
        try:
            value = float(number)
        except ValueError:
            value = np.nan
        if not np.isfinite(value):
            raise UserError(f"--worth {pair}: expected outcome=number, such as forest=-5.")
        reward[told.world.events[known[name]]] = value
    return told._replace(reward=reward)


def _command(flags: "Flags") -> str:
    """The agent and the options on a command line."""
    words = [flags.agent]
    if flags.slip is not None:
        words += ["--slip", f"{flags.slip:g}"]
    for name, values in (("--worth", flags.worth), ("--env-options", flags.env_options)):
        words += [name, *values] if values else []
    if flags.seed:
        words += ["--seed", str(flags.seed)]
    return shlex.join(words)


def answer(asked: "Subject | Asked", flags: "Flags") -> Found:
    """What it says: exactly where the world is finite, else by rollouts."""
    text = flags.question or ""
    if isinstance(asked, Subject):
        found = asking.ask(asked, text, flags.region)
        return Found(f"{found.text}\n\n{found.drawing}", contrastive_answers.as_json(found.world, found.answer))
    from theodolite.interpret import contrastive_sampled, contrastive_sampled_text

    sampled = contrastive_sampled.answer(asked, text, flags.episodes)
    return Found(contrastive_sampled_text.render(sampled), contrastive_sampled_text.as_json(sampled))


def drawable(asked: "Subject | Asked") -> Subject:
    """The same, if its world can be drawn.

    Raises:
        UserError: it is not finite.
    """
    if not isinstance(asked, Subject):
        raise UserError(
            "--serve draws finite worlds, and this run's is none: ask it on the command line, or ask a run on "
            f"{', '.join(worlds.WORLDS)}."
        )
    return asked
