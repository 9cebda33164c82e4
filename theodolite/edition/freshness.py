"""Is a published result older than the code that it tests?

The code of a system is its claim files with what they import of the methods and environments; the core, which every
result shares and whose numbers its own tests pin, is left out. Where the package is a git checkout, each of these
files is compared with the commit that the verdict names, without regard to comments, docstrings, notes and layout.
"""

import ast
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE = Path(__file__).resolve().parents[1]
NOT_COUNTED = {"core", "commands", "edition", "cli"}


class Freshness(NamedTuple):
    """fresh, stale or unknown, and why."""

    state: str
    reason: str
    changed: tuple[str, ...] = ()


def of(module: str, commit: str | None, root: Path = PACKAGE.parent) -> Freshness:
    """How a result of `module`, obtained at `commit`, stands to the code of today.

    A commit that ends in "+" had changes of its own on top, so it can show staleness but not freshness.
    """
    if not commit:
        return Freshness("unknown", "the verdict names no commit")
    if not (root / ".git").exists():
        return Freshness("unknown", "this is not a git checkout")
    for one in commit.split():
        name = one.removesuffix("+")
        if _git(root, "cat-file", "-e", f"{name}^{{commit}}") is None:
            return Freshness("unknown", f"commit {name[:10]} is not in this checkout")
        changed = tuple(path for path in files(module, root) if _differs(root, name, path))
        if changed:
            count = f"{len(changed)} file{'s' * (len(changed) > 1)} of its code changed"
            return Freshness("stale", f"{count} since commit {name[:10]}", changed)
    if "+" in commit:
        return Freshness("unknown", "its commit had further changes on top, which are not known")
    return Freshness("fresh", "its code is the same today")


@cache
def files(module: str, root: Path = PACKAGE.parent) -> tuple[str, ...]:
    """The files of a system's code, relative to the checkout, in order."""
    seen: set[Path] = set()
    waiting = [module]
    while waiting:
        path = _path(waiting.pop(), root)
        if path is None or path in seen:
            continue
        seen.add(path)
        waiting += _imports(path.read_text(encoding="utf-8"))
    found = sorted(path.relative_to(root).as_posix() for path in seen)
    return tuple(p for p in found if p.split("/")[1].removesuffix(".py") not in NOT_COUNTED and "__init__" not in p)


def _path(module: str, root: Path) -> Path | None:
    if module.split(".")[0] != "theodolite" or module.split(".")[1:2] in [[part] for part in NOT_COUNTED]:
        return None
    path = root.joinpath(*module.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


@cache
def _imports(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def _differs(root: Path, commit: str, path: str) -> bool:
    before, now = _before(root, commit, path), (root / path).read_text(encoding="utf-8")
    return before is None or (before != now and _meaning(before) != _meaning(now))


@cache
def _before(root: Path, commit: str, path: str) -> str | None:
    """A file of a commit, which never changes."""
    return _git(root, "show", f"{commit}:{path}")


@cache
def _meaning(source: str) -> str:
    """What of a file can change a result: its syntax tree without docstrings and an item's notes."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return source
    nodes: Iterable[Any] = ast.walk(tree)
    for node in nodes:
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [s for s in body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
        if isinstance(node, ast.Call):
            node.keywords = [k for k in node.keywords if k.arg != "notes"]
    return ast.dump(tree)


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, check=True, timeout=20, encoding="utf-8"
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
