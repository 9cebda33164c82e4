"""theodolite train METHOD --env ID: train into a folder; the same command continues it, more --steps extend it."""

import shlex
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from theodolite.commands import methods
from theodolite.commands.parsing import Flag, flags_of, parse_flags
from theodolite.core.errors import NotFinite, UserError


@dataclass(frozen=True)
class Flags:
    """What every method is trained with."""

    env: str | None = None
    """Environment id, such as CartPole-v1, Hopper-v5 or my_module:MyEnv-v0; that of the demonstrations if left out."""
    env_options: tuple[str, ...] = ()
    """Options of the environment as name=value, such as max_episode_steps=100."""
    num_envs: int = 64
    """Copies of the environment that are stepped together."""
    steps: int = 1_000_000
    """Environment steps of every seed (for bc: minibatches); raise it to go on with a finished run."""
    seeds: int = 1
    """How many seeds to train: together on our own environments, in a process each on others."""
    seed: int = 0
    """Where all randomness comes from."""
    every: int = 10
    """Updates between two records of progress; the result does not depend on it."""
    out: str | None = None
    """The run's folder; runs/METHOD-ENV-SEED if left out."""
    demos: str | None = None
    """Folder of the demonstrations, in Minari's layout."""
    demo_episodes: int | None = None
    """Use this many of the episodes, drawn at random; all if left out."""
    demo_every: int = 1
    """Use one transition in this many of each episode."""
    demo_seed: int = 0
    """Seed of the choice of episodes."""
    normalise_obs: bool = True
    """Standardise observations by their running moments; images of bytes stay as they are."""
    normalise_reward: bool = False
    """Divide rewards by the running sd of the return; not where rewards are learned."""
    reward: str | None = None
    """Folder of a run of airl or gan_gcl whose reward pays instead of the environment's; it wants --temperature 1, and
    --squash where actions are continuous."""
    reward_seed: int = 0
    """Which seed of that run."""


def main(argv: list[str]) -> int:
    """Train; 0 when all updates are done, 1 when training failed, 130 when interrupted."""
    if not argv or argv[0].startswith("-"):
        return _list_methods(bool(argv) and argv[0] in ("-h", "--help"))
    name, rest = argv[0], argv[1:]
    method = methods.find(name)
    learner = _chosen_learner(method, rest)
    given = parse_flags(_flags(name, method, learner), rest, f"train {name}", _about(name, method, learner))
    plan_options = {f: given.pop(f) for f in Flags.__dataclass_fields__ if f in given}
    out = plan_options.pop("out")
    words = plan_options.pop("env_options")

    from theodolite.commands import training  # JAX from here on
    from theodolite.core import compile_cache

    compile_cache.enable()
    plan = training.Plan(
        method=name,
        config=_config(method, given, "own"),
        learner=learner,
        learner_config=_config(methods.METHODS[learner], given, "learner") if learner else None,
        env_options=training.parse_options(words),
        command=shlex.join(["theodolite", "train", *argv]),
        **plan_options,
    )
    setup = training.prepare(plan)
    folder = Path(out or default_out(name, setup.identity["env"], plan.seed))
    if setup.on_host and plan.seeds > 1:
        from theodolite.commands import seed_processes

        return seed_processes.train(setup, folder, argv)
    return train_here(setup, folder)


def default_out(method: str, env: str | None, seed: int) -> str:
    """runs/METHOD-ENV-SEED, with what file systems dislike replaced."""
    place = (env or "demos").replace("/", "-").replace(":", "-")
    return f"runs/{method}-{place}-{seed}"


def train_here(setup: Any, folder: Path) -> int:
    """Train in this process, showing progress."""
    from theodolite.commands import training
    from theodolite.commands.progress import TrainingDisplay
    from theodolite.core.runlog import RunLog

    plan, log = setup.plan, RunLog(folder, setup.identity, setup.about)
    title = f"{plan.method} on {setup.identity['env'] or 'demonstrations'}"
    if late := too_short(plan.learner_config or plan.config, setup.updates * setup.steps_per_update):
        print(f"warning: {late}", file=sys.stderr)
    try:
        with log:
            first = log.update
            with TrainingDisplay(title, setup.updates, setup.steps_per_update, plan.seeds, first) as display:
                for chunk in training.logged(setup, log):
                    display.show(chunk)
    except (UserError, NotFinite):
        raise
    except KeyboardInterrupt:
        print(f"theodolite: interrupted. {log.state_before()} The same command continues.", file=sys.stderr)
        return 130
    except Exception:
        traceback.print_exc()
        print(f"theodolite: training stopped by the error above. {log.state_before()}", file=sys.stderr)
        return 1
    finally:
        if setup.on_host:
            setup.envs.close()
    for finding in log.findings:
        print(f"finding: {finding} Smaller or fewer gradient steps, or slower targets, may help.", file=sys.stderr)
    if first >= setup.updates:
        print(f"{folder} is trained for {first:,} updates already; raise --steps to go on.")
    else:
        print(f"{folder} holds {setup.updates:,} updates. Next: theodolite evaluate {shlex.quote(str(folder))}")
    return 0


def too_short(config: Any, steps: int) -> str:
    """What to say of a run that ends before its learner begins; nothing of any other."""
    starts = getattr(config, "learning_starts", 0)
    if steps > starts:
        return ""
    return (
        f"{steps:,} steps end before the first gradient step: learning starts with {starts:,} transitions in replay. "
        "Raise --steps, or lower --learning-starts."
    )


def _list_methods(asked: bool) -> int:
    width = max(map(len, methods.METHODS))
    rows = "\n".join(f"  {name:<{width}} {m.about}" for name, m in methods.METHODS.items())
    text = (
        f"usage: theodolite train METHOD --env ID [flags]\n\n{rows}\n\ntheodolite train METHOD --help lists its flags."
    )
    print(text, file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2


def _chosen_learner(method: methods.Method, argv: list[str]) -> str | None:
    """The learner that --learner names: it decides which further flags there are."""
    if method.learner is None:
        return None
    chosen = method.learner
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        if word == "--learner":
            chosen = following
        elif word.startswith("--learner="):
            chosen = word.partition("=")[2]
    methods.find_learner(chosen)
    return chosen


def _flags(name: str, method: methods.Method, learner: str | None) -> list[Flag]:
    """The common flags, the method's own, and its learner's with a prefix; of two of a name, the own gets one too."""
    irrelevant = set() if method.demos else {f for f in Flags.__dataclass_fields__ if f.startswith("demo")}
    irrelevant |= {"normalise_obs"} if method.steps_per_update else set()
    irrelevant |= {"normalise_reward", "reward", "reward_seed"} if method.demos else set()
    common = flags_of(Flags, hidden=irrelevant)
    common = [f._replace(default=method.defaults(learner).get(f.field, f.default)) for f in common]
    if learner:
        common.append(Flag("learner", "learner", str, learner, f"One of {', '.join(methods.LEARNERS)}."))
    taken = {f.spelling for f in common}
    own = flags_of(method.load().Config, method.default, hidden=method.fixed)
    own = [f._replace(spelling=f"{name}.{f.spelling}") if f.spelling in taken else f for f in own]
    flags = common + [f._replace(field=f"own__{f.field}") for f in own]
    if learner:
        inner = methods.METHODS[learner]
        theirs = flags_of(inner.load().Config, inner.default, prefix="learner.")
        flags += [f._replace(field=f"learner__{f.field}") for f in theirs]
    return flags


def _config(method: methods.Method, given: dict[str, Any], prefix: str) -> Any:
    values = {f.removeprefix(f"{prefix}__"): v for f, v in given.items() if f.startswith(f"{prefix}__")}
    fixed = {f: getattr(method.default, f) for f in method.fixed}
    return method.load().Config(**values, **fixed)


def _about(name: str, method: methods.Method, learner: str | None) -> str:
    around = f" with {learner} as learner" if learner else ""
    return f"Train {name} ({method.about}){around}. The same command continues a run."
