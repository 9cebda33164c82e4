"""theodolite demos record|info|convert: demonstrations in Minari's layout."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from theodolite.commands.parsing import parse, stdout_kept_clean
from theodolite.core.errors import UserError, unknown


@dataclass(frozen=True)
class RecordFlags:
    """Play a trained policy, or a random one, and keep its episodes as demonstrations."""

    run: Annotated[str | None, tyro.conf.Positional] = None
    """The folder that train wrote; none with --policy random."""
    policy: Literal["trained", "random"] = "trained"
    """Who plays."""
    env: str | None = None
    """Environment id; that of the run if left out."""
    env_options: tuple[str, ...] = ()
    """Options of the environment as name=value; those of the run if left out."""
    episodes: int = 10
    """Whole episodes to keep."""
    out: str = ""
    """New folder of the data set (required)."""
    num_envs: int = 1
    """Copies that play together; each contributes equally many episodes."""
    run_seed: int = 0
    """Which seed of the run plays, counted from 0."""
    seed: int = 0
    """Where the episodes' randomness comes from."""
    stochastic: bool = False
    """Draw actions instead of taking the most likely ones."""


@dataclass(frozen=True)
class InfoFlags:
    """Show what a set of demonstrations holds, and warn of what will bite whoever learns from it."""

    path: Annotated[str, tyro.conf.Positional]
    """Folder of the data set."""
    env: str | None = None
    """Check it against this environment, too."""
    json: bool = False
    """Print one JSON object."""


@dataclass(frozen=True)
class ConvertFlags:
    """Convert flat arrays in an .npz file to Minari's layout, or back.

    The arrays are obs, actions and next_obs, one row per transition, with rewards, terminated and truncated if known.
    """

    source: Annotated[str, tyro.conf.Positional]
    """An .npz file, or the folder of a data set."""
    target: Annotated[str, tyro.conf.Positional]
    """A new folder, or a new .npz file."""
    env: str | None = None
    """The environment that an .npz file comes from: its spaces are checked and its id is noted."""


def main(argv: list[str]) -> int:
    """Do what the second word says."""
    actions = {"record": record, "info": info, "convert": convert}
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: theodolite demos record|info|convert ...\n\ntheodolite demos record --help explains a verb.")
        return 0 if argv else 2
    if argv[0] not in actions:
        raise unknown("demos verb", argv[0], actions, f"The verbs are {', '.join(actions)}.")
    return actions[argv[0]](argv[1:])


def record(argv: list[str]) -> int:
    """Record demonstrations."""
    flags = parse(RecordFlags, argv, "demos record")
    if not flags.out:
        raise UserError("no folder was named for the demonstrations: give a new one with --out.")
    if (flags.run is None) == (flags.policy == "trained"):
        raise UserError("who plays is not clear: give a run folder, or --policy random without one.")
    if flags.episodes < 1:
        raise UserError(f"episodes = {flags.episodes}: must be >= 1.")
    if Path(flags.out).exists():
        raise UserError(f"{flags.out} exists already and is not overwritten. Choose another folder with --out.")
    from theodolite.commands import recording, training
    from theodolite.core import minari

    options = training.parse_options(flags.env_options) or None
    keep = {"episodes": flags.episodes, "seed": flags.seed, "num_envs": flags.num_envs, "env_options": options}
    if flags.run is None:
        demos = recording.random(flags.env, **keep)
    else:
        how = {"run_seed": flags.run_seed, "stochastic": flags.stochastic}
        demos = recording.of_run(Path(flags.run), flags.env, **how, **keep)
    folder = minari.write(demos, flags.out)
    returns = demos.returns
    print(f"{folder} holds {len(returns)} episodes, mean return {returns.mean():.2f}. "
          f"Next: theodolite demos info {flags.out}")  # fmt: skip
    return 0


def info(argv: list[str]) -> int:
    """Show what demonstrations hold."""
    flags = parse(InfoFlags, argv, "demos info")
    with stdout_kept_clean():
        from theodolite.core import demo_info, minari

        demos = minari.read(flags.path, allow_nan=True)
        found = demo_info.info(demos)
        if flags.env is not None:
            from theodolite.envs import registry

            envs = registry.make(flags.env)
            demos.check_against(envs.space, flags.env)
            if hasattr(envs, "close"):
                envs.close()
    from theodolite.core.scores import dumps

    print(dumps(found.as_json()) if flags.json else found)
    return 0


def convert(argv: list[str]) -> int:
    """Convert between .npz and Minari's layout."""
    flags = parse(ConvertFlags, argv, "demos convert")
    source, target = Path(flags.source), Path(flags.target)
    if target.exists():
        raise UserError(f"{target} exists already and is not overwritten. Choose another name.")
    from theodolite.commands import recording
    from theodolite.core import minari

    if (source.suffix == ".npz") == (target.suffix == ".npz"):
        raise UserError(f"one of {source} and {target} must be an .npz file, the other a folder.")
    if source.suffix == ".npz":
        demos = recording.from_npz(source, flags.env)
        minari.write(demos, target)
    else:
        demos = minari.read(source)
        recording.to_npz(demos, target)
    print(f"{target} holds {len(demos.episodes)} episodes with {demos.lengths.sum():,} steps.")
    return 0
