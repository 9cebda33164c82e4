"""theodolite diagnose METHOD --env ID, or a run's folder: look inside, and say on one page what limits the run."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from theodolite.commands import diagnosable, methods
from theodolite.commands.parsing import Flag, flags_of, parse_flags, stdout_kept_clean
from theodolite.core.errors import UserError, nearest


@dataclass(frozen=True)
class Watching:
    """What a look at a finished run needs."""

    episodes: int = 16
    """Fresh episodes of the policy per look."""
    seed: int = 0
    """Where the randomness of the look comes from."""
    out: str | None = None
    """Folder of look.json, look.svg and look.png; the run's own if left out."""
    json: bool = False
    """Print one JSON object."""
    of_seed: int = 0
    """Which seed of the run, counted from 0."""


@dataclass(frozen=True)
class Flags:
    """What the diagnosis of a new run needs."""

    env: str
    """Environment id, such as CartPole-v1 or Pendulum-v1."""
    env_options: tuple[str, ...] = ()
    """Options of the environment as name=value."""
    num_envs: int = 8
    """Copies of the environment that are stepped together."""
    steps: int = 50_000
    """Environment steps of training."""
    looks: int = 5
    """How many times to look inside, evenly spread."""
    episodes: int = 16
    """Fresh episodes per look, of the policy and of its behaviour with exploration each."""
    seed: int = 0
    """Where all randomness comes from."""
    out: str | None = None
    """The run's folder, with diagnosis.json, .svg and .png besides; runs/diagnosis-METHOD-ENV-SEED if left out."""
    json: bool = False
    """Print one JSON object."""


def main(argv: list[str]) -> int:
    """Measure, draw, say; 0 whatever limits the run, 1 if training could not go on."""
    if not argv or argv[0].startswith("-"):
        asked = bool(argv) and argv[0] in ("-h", "--help")
        print(USAGE, file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    name, rest = argv[0], argv[1:]
    if name not in methods.METHODS and name not in methods.ELSEWHERE:
        if not Path(name).is_dir():
            raise UserError(
                f"{name!r} is no method and no folder.{nearest(name, methods.METHODS)} Give a method to train, or the "
                "folder of a run."
            )
        return _finished(Path(name), rest)
    method = methods.find(name)
    diagnosable.check(name)
    own = flags_of(method.load().Config, method.default, hidden=method.fixed)
    flags = [*_flags(method), *(f._replace(field=f"own__{f.field}") for f in own)]
    about = f"Train {name} ({method.about}), and say what limits the run. The same command continues it."
    given = parse_flags(flags, rest, f"diagnose {name}", about)
    values = {f.removeprefix("own__"): v for f, v in given.items() if f.startswith("own__")}
    fixed = {f: getattr(method.default, f) for f in method.fixed}
    chosen = Flags(**{f: v for f, v in given.items() if not f.startswith("own__")})
    return _trained(name, method.load().Config(**values, **fixed), chosen, argv)


def _either(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


USAGE = f"""usage: theodolite diagnose METHOD --env ID [flags]
       theodolite diagnose FOLDER [flags]

METHOD is {_either(diagnosable.covered(diagnosable.CHOICES))} where actions are choices,
{_either(diagnosable.covered(diagnosable.BOXES))} where they are continuous; FOLDER is a run of one of them.

Trains, looks inside a few times, and says what limits the run: errors on replay, on held-out and on the policy's own
data, overestimation, rank of the features, generalisation of a step, drift of targets, reach of the buffer. Of two
critics the first is looked at. Of a finished run the state in which it stands is looked at.

Numbers and page of a run that it trains are {diagnosable.TRAINING}.json, .svg and .png in the run's folder; those of
a finished run are {diagnosable.FINISHED}.json, .svg and .png, and leave the former alone."""
LOOKS_START = 5_000
"""Steps of learning, by the policy's own actions, before the first of the looks if no number of steps is given."""


def _flags(method: methods.Method) -> list[Flag]:
    """Those of Flags, with as few environments as the method is used to, and steps for five looks once it learns."""
    c = method.default
    steps = Flags.looks * (max(c.learning_starts, getattr(c, "random_steps", 0)) + LOOKS_START)
    own = {"num_envs": min(Flags.num_envs, method.num_envs), "steps": max(Flags.steps, steps)}
    return [f._replace(default=own.get(f.field, f.default)) for f in flags_of(Flags)]


def _trained(name: str, config: Any, flags: Flags, argv: list[str]) -> int:
    with stdout_kept_clean(flags.json):
        from theodolite.commands import diagnosing, training  # JAX from here on
        from theodolite.commands.train import default_out
        from theodolite.core.env import JaxEnvs

        folder = Path(flags.out or default_out(f"diagnosis-{name}", flags.env, flags.seed))
        per = config.rollout * max(flags.num_envs, 1)
        plan = training.Plan(
            method=name, env=flags.env, config=config, env_options=training.parse_options(flags.env_options),
            num_envs=flags.num_envs, steps=flags.steps, every=diagnosing.records(flags.steps, per, flags.looks),
            seed=flags.seed, normalise_obs=False, command=shlex.join(["theodolite", "diagnose", *argv]),
        )  # fmt: skip
        show = None if flags.json else print
        setup = training.prepare(plan)
        try:
            found = diagnosing.train(setup, folder, looks=flags.looks, episodes=flags.episodes, show=show)
        finally:
            if setup.envs is not None and not isinstance(setup.envs, JaxEnvs):
                setup.envs.close()
    if found["looks"] and found["looks"][-1]["steps"] > flags.steps:
        print(f"{folder} is trained for more than {flags.steps:,} steps already; these are its looks.", file=sys.stderr)
    return _report(found, folder, flags.json)


def _finished(run: Path, argv: list[str]) -> int:
    about = "Look at the state in which a run stands, and say what limits it."
    flags = Watching(**parse_flags(flags_of(Watching), argv, "diagnose FOLDER", about))
    with stdout_kept_clean(flags.json):
        from theodolite.commands import diagnosing

        found = diagnosing.finished(run, flags.of_seed, flags.episodes, flags.seed)
    return _report(found, Path(flags.out) if flags.out else run, flags.json)


def _report(found: dict[str, Any], folder: Path, json: bool) -> int:
    from theodolite.commands import diagnosis_page
    from theodolite.core.scores import dumps

    diagnosis_page.write(folder, found)
    print(dumps(found) if json else words(found, folder))
    return 1 if found["stopped"] else 0


def words(found: dict[str, Any], folder: Path) -> str:
    """What limits the run, for a reader."""
    lines = []
    for name, m in found["limits"].items():
        value = "" if m["value"] is None else f" ({name} {m['value']:.2g}, bar {m['bar']:g})"
        lines.append(f"{m['says']}{value}")
    head = "What limits this run, the worst first:" if lines else "No measure is beyond its bar."
    return "\n".join(
        [
            head,
            *(f"  {i}. {line}" for i, line in enumerate(lines, 1)),
            f"The page: {folder}/{diagnosable.name_of(found)}.svg",
        ]
    )
