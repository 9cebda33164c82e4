"""theodolite diagnose METHOD --env ID: train, look inside a few times, and say on one page what limits the run."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from theodolite.commands import methods
from theodolite.commands.parsing import flags_of, parse_flags, stdout_kept_clean
from theodolite.core.errors import unknown

DIAGNOSED = ("dqn", "c51", "qr_dqn")
"""Methods that learn a Q function of discrete actions from replay."""


@dataclass(frozen=True)
class Flags:
    """What the diagnosis itself needs."""

    env: str
    """Environment id, such as CartPole-v1; actions are choices."""
    env_options: tuple[str, ...] = ()
    """Options of the environment as name=value."""
    num_envs: int = 8
    """Copies of the environment that are stepped together."""
    steps: int = 50_000
    """Environment steps of training."""
    looks: int = 5
    """How many times to look inside, evenly spread."""
    episodes: int = 16
    """Fresh episodes of the greedy policy per look."""
    seed: int = 0
    """Where all randomness comes from."""
    out: str | None = None
    """Folder of the page and the numbers; runs/diagnosis-METHOD-ENV-SEED if left out."""
    json: bool = False
    """Print one JSON object."""


def main(argv: list[str]) -> int:
    """Train, measure, draw; 0 whatever limits the run."""
    if not argv or argv[0].startswith("-"):
        asked = bool(argv) and argv[0] in ("-h", "--help")
        text = (
            f"usage: theodolite diagnose METHOD --env ID [flags]\n\nMETHOD is one of {', '.join(DIAGNOSED)}.\n\n"
            "Trains, looks inside a few times, and says what limits the run: errors on replay and fresh data,\n"
            "overestimation, rank of the features, generalisation of a step, drift of targets, reach of the buffer."
        )
        print(text, file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    name, rest = argv[0], argv[1:]
    if name not in DIAGNOSED:
        raise unknown(
            "method to diagnose", name, DIAGNOSED, f"Those are {', '.join(DIAGNOSED)}: their Q is of choices."
        )
    method = methods.find(name)
    own = flags_of(method.load().Config, method.default, hidden=method.fixed)
    flags = [*flags_of(Flags), *(f._replace(field=f"own__{f.field}") for f in own)]
    about = f"Train {name} ({method.about}), and say what limits the run."
    given = parse_flags(flags, rest, f"diagnose {name}", about)
    values = {f.removeprefix("own__"): v for f, v in given.items() if f.startswith("own__")}
    fixed = {f: getattr(method.default, f) for f in method.fixed}
    chosen = Flags(**{f: v for f, v in given.items() if not f.startswith("own__")})
    return _diagnose(name, method.load().Config(**values, **fixed), chosen)


def _diagnose(name: str, config: Any, flags: Flags) -> int:
    with stdout_kept_clean(flags.json):
        from theodolite.commands import diagnosing, training  # JAX from here on
        from theodolite.commands.train import default_out

        folder = Path(flags.out or default_out(f"diagnosis-{name}", flags.env, flags.seed))
        options = training.parse_options(flags.env_options)
        found = diagnosing.diagnose(
            config, flags.env, options, num_envs=flags.num_envs, steps=flags.steps, looks=flags.looks,
            episodes=flags.episodes, seed=flags.seed, show=None if flags.json else print,
        )  # fmt: skip
        found["method"] = name
        diagnosing.write(folder, found)
    from theodolite.core.scores import dumps

    print(dumps(found) if flags.json else words(found, folder))
    return 0


def words(found: dict[str, Any], folder: Path) -> str:
    """What limits the run, for a reader."""
    lines = [f"{m['says']} ({name} {m['value']:.2g}, bar {m['bar']:g})" for name, m in found["limits"].items()]
    head = "What limits this run, the worst first:" if lines else "No measure is beyond its bar."
    return "\n".join(
        [head, *(f"  {i}. {line}" for i, line in enumerate(lines, 1)), f"The page: {folder}/diagnosis.svg"]
    )
