"""Theodolite: the alignment literature, runnable.

The names below are imported when they are first used, so that `import theodolite` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from theodolite.claims.registry import load as item
    from theodolite.commands.playing import evaluate
    from theodolite.commands.policies import load
    from theodolite.commands.training import fit
    from theodolite.core.demos import Demos, from_arrays, from_flat, subsample, transitions
    from theodolite.core.errors import NotFinite, UserError
    from theodolite.core.evaluate import record
    from theodolite.core.minari import read as read_demos
    from theodolite.core.minari import write as write_demos
    from theodolite.core.runlog import RunLog, read_metrics
    from theodolite.core.runner import run
    from theodolite.core.train import solve, train
    from theodolite.envs.registry import make
    from theodolite.intent.learned_run import load as load_reward

__version__ = "0.1.0"

__all__ = [
    "Demos", "NotFinite", "RunLog", "UserError", "evaluate", "fit", "from_arrays", "from_flat", "item", "load",
    "load_reward", "make",
    "read_demos", "read_metrics", "record", "run", "solve", "subsample", "train", "transitions", "write_demos",
]  # fmt: skip

_HOMES = {
    "Demos": "core.demos:Demos",
    "NotFinite": "core.errors:NotFinite",
    "RunLog": "core.runlog:RunLog",
    "UserError": "core.errors:UserError",
    "evaluate": "commands.playing:evaluate",
    "fit": "commands.training:fit",
    "from_arrays": "core.demos:from_arrays",
    "from_flat": "core.demos:from_flat",
    "item": "claims.registry:load",
    "load": "commands.policies:load",
    "load_reward": "intent.learned_run:load",
    "make": "envs.registry:make",
    "read_demos": "core.minari:read",
    "read_metrics": "core.runlog:read_metrics",
    "record": "core.evaluate:record",
    "run": "core.runner:run",
    "solve": "core.train:solve",
    "subsample": "core.demos:subsample",
    "train": "core.train:train",
    "transitions": "core.demos:transitions",
    "write_demos": "core.minari:write",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'theodolite' has no attribute {name!r}")
    module, attribute = _HOMES[name].split(":")
    value = getattr(import_module(f"theodolite.{module}"), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
