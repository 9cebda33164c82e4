"""theodolite evaluate RUN: play a trained policy on the environment's own reward."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from theodolite.commands.parsing import parse, stdout_kept_clean


@dataclass(frozen=True)
class Flags:
    """Play the policies of a run and score them on the environment's own reward, with seeds of their own."""

    run: Annotated[str, tyro.conf.Positional]
    """The folder that train wrote."""
    env: str | None = None
    """Another environment than that of training, with the same spaces."""
    env_options: tuple[str, ...] = ()
    """Options of the environment as name=value; if left out those of training, but of whole games, unclipped."""
    episodes: int = 20
    """Episodes of every seed of the run."""
    seed: int = 0
    """Where the episodes' randomness comes from."""
    stochastic: bool = False
    """Draw actions instead of taking the most likely ones."""
    json: bool = False
    """Print one JSON object."""


def main(argv: list[str]) -> int:
    """Play, and print the scores."""
    flags = parse(Flags, argv, "evaluate")
    with stdout_kept_clean():
        from theodolite.commands import playing, training  # JAX from here on

        options = training.parse_options(flags.env_options) or None
        settings = {"episodes": flags.episodes, "seed": flags.seed, "stochastic": flags.stochastic}
        found = playing.evaluate(flags.run, flags.env, env_options=options, **settings)
    from theodolite.core.scores import dumps

    print(dumps(found) if flags.json else words(found))
    return 0


def words(found: dict) -> str:
    """The scores for a reader."""
    low, high = found["mean_interval"]
    middle_low, middle_high = found["iqm_interval"]
    episodes, seeds = sum(map(len, found["returns"])), len(found["returns"])
    lengths = [n for one in found["lengths"] for n in one]
    over = f"{found['count']} {found['over']}" if found["count"] > 1 else "one score, which has none"
    return (
        f"{found['method']} on {found['env']}: {episodes} episode{'s' * (episodes > 1)} "
        f"of {seeds} seed{'s' * (seeds > 1)}, "
        f"{found['policy']} actions\n"
        f"mean return              {found['mean']:.2f} [{low:.2f}, {high:.2f}]\n"
        f"interquartile mean       {found['iqm']:.2f} [{middle_low:.2f}, {middle_high:.2f}]\n"
        f"episode lengths          {min(lengths)} to {max(lengths)}, mean {sum(lengths) / len(lengths):.1f}\n"
        f"95% intervals over {over}"
    )
