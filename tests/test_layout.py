"""The house: two levels of folders, arrows one way, limits of size, and what every method module must say."""

import ast
import importlib
from dataclasses import fields
from pathlib import Path

import pytest

from theodolite.core.fields import field_docs

ROOT = Path(__file__).resolve().parents[1]
HOUSE = ROOT / "theodolite"
FILES = sorted(HOUSE.rglob("*.py"))
TREES = {path.relative_to(ROOT): ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
METHOD_FOLDERS = {"control", "intent", "safety", "interpret", "foundations", "meta", "deep", "reason"}
DEEPER = {("claims", "an17"), ("claims", "an51"), ("interpret", "vision")}
MAY_IMPORT = {
    "core": {"core"},
    "envs": {"core", "envs"},
    **{folder: {"core", "envs", folder} for folder in METHOD_FOLDERS},
    "claims": {"core", "envs", "claims"} | METHOD_FOLDERS,
    "commands": {"core", "envs", "claims", "commands", "edition"} | METHOD_FOLDERS,
    "edition": {"core", "envs", "claims", "edition"} | METHOD_FOLDERS,
    "cli": {"core", "envs", "claims", "commands", "edition"} | METHOD_FOLDERS,
}
MAX_LINES, MAX_FUNCTION, MAX_NESTING = 400, 40, 2  # a function in a function in a function is nested twice


def imported(tree: ast.Module) -> set[tuple[str, ...]]:
    """The parts of the name of every module of ours that is imported, wherever in the file."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {tuple(alias.name.split(".")) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            found |= {(*node.module.split("."), alias.name) for alias in node.names}
    return {parts[1:] for parts in found if parts[0] == "theodolite"}


def part_of(path: Path) -> str:
    """The folder or top-level module that a file belongs to."""
    return path.parts[1].removesuffix(".py")


def functions(tree: ast.AST, depth: int = 0):
    """(definition, nesting) of every function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node, depth
            yield from functions(node, depth + 1)
        else:
            yield from functions(node, depth)


def constants(tree: ast.Module) -> set[str]:
    """Names that a module assigns at its top level."""
    return {t.id for node in tree.body if isinstance(node, ast.Assign) for t in node.targets if isinstance(t, ast.Name)}


METHODS = [
    path
    for path, tree in TREES.items()
    if part_of(path) in METHOD_FOLDERS
    and "Config" in {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
]
EVERY = pytest.mark.parametrize("path", TREES, ids=str)


def test_the_house_has_two_levels():
    for path in TREES:
        folders = path.parts[1:-1]
        assert len(folders) <= 1 or folders in DEEPER, path
        assert not folders or folders[0] in MAY_IMPORT, f"{path}: a folder that this test does not know"


@EVERY
def test_arrows_point_one_way(path):
    part = part_of(path)
    if part == "__init__":
        return
    for name in imported(TREES[path]):
        assert not name or name[0] in MAY_IMPORT[part] or name[0].startswith("_"), f"{path} imports {'.'.join(name)}"


@pytest.mark.parametrize("path", METHODS, ids=str)
def test_a_method_imports_no_method(path):
    others = {other.with_suffix("").parts[1:] for other in METHODS if other != path}
    for name in imported(TREES[path]):
        assert not any(name[: len(other)] == other for other in others), f"{path} imports {'.'.join(name)}"


@EVERY
def test_files_are_short(path):
    assert len((ROOT / path).read_text(encoding="utf-8").splitlines()) <= MAX_LINES


@EVERY
def test_functions_are_short_and_flat(path):
    for node, depth in functions(TREES[path]):
        assert node.end_lineno - node.lineno < MAX_FUNCTION, f"{node.name} has too many lines"
        assert depth <= MAX_NESTING, f"{node.name} is nested {depth} times"


@EVERY
def test_what_is_public_says_what_it_is(path):
    assert ast.get_docstring(TREES[path]), "the module"
    for node in TREES[path].body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name


@pytest.mark.parametrize("path", METHODS, ids=str)
def test_a_method_names_its_paper_and_its_metrics(path):
    module = importlib.import_module(".".join(path.with_suffix("").parts))
    assert module.PAPER.title and module.PAPER.year > 1900
    assert module.METRICS and all(isinstance(text, str) and len(text) > 10 for text in module.METRICS.values())
    order = [node.name for node in TREES[path].body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    expected = [name for name in ("Config", "State", "init", "act", "update", "agent", "solver") if name in order]
    assert [name for name in order if name in expected] == expected, "the order of a method file"
    assert {"Config", "State", "init"} < set(expected)


def test_every_field_of_a_config_says_what_it_is():
    for path in METHODS:
        config = importlib.import_module(".".join(path.with_suffix("").parts)).Config
        said = field_docs(config)
        for field in fields(config):
            assert said.get(field.name), f"{path}: {field.name}"


UNTESTED = {
    "core/agent.py", "core/arrays.py", "core/host.py", "safety/penalty.py",  # types alone
    "core/compile_cache.py", "core/fields.py", "core/pool.py", "core/scores.py", "core/judge.py", "core/results.py",
}  # fmt: skip


def test_tests_mirror_the_house():
    """Every module of the core and of the methods has a test file that begins with its name, or a reason for none."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(set(names)) == len(names), "two test files have one name, and pytest would import one for both"
    for path in TREES:
        inside = "/".join(path.parts[1:])
        if part_of(path) in METHOD_FOLDERS | {"core"} and path.name != "__init__.py" and inside not in UNTESTED:
            whole, first = path.stem, path.stem.split("_")[0]
            assert any(name.startswith((f"test_{whole}", f"test_{first}.", f"test_{first}s.")) for name in names), path


def test_nothing_executes_data():
    for path, tree in TREES.items():
        called = {
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not called & {"eval", "exec", "compile"}, path
        modules = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
        assert not modules & {"pickle", "dill", "marshal", "shelve"}, path
