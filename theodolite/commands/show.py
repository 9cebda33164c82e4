"""theodolite show ITEM: what it is, the equation, the claims, how to run and cite it; or that it is not built."""

import textwrap
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from theodolite.commands.parsing import parse
from theodolite.core.errors import UserError
from theodolite.core.judge import sentence


@dataclass(frozen=True)
class Flags:
    """Show what an item is, what is claimed of it, and how to run it."""

    item: Annotated[str, tyro.conf.Positional]
    """A short name such as gail, or a path such as an17/gail."""


def main(argv: list[str]) -> int:
    """Print the item."""
    flags = parse(Flags, argv, "show")
    from theodolite.claims import registry
    from theodolite.commands.methods import METHODS
    from theodolite.edition import items

    editions = items.load_all()
    names = [name for entry in registry.ENTRIES for name in (entry.name, entry.path)]
    try:
        about = items.find(flags.item, editions)
    except UserError:
        if flags.item in METHODS and flags.item not in names:
            raise UserError(
                f"{flags.item} is a method, and what is shown are items of the newsletter: see theodolite train "
                f"{flags.item} --help."
            ) from None
        if flags.item not in names:
            raise
        about = None
    if flags.item in names:
        print(text(registry.load(flags.item), published(flags.item)))
        if about is not None:
            print(f"\n{newsletter(about)}")
        return 0
    assert about is not None
    print(unbuilt(about, [path for path in about.systems if path in names]))
    return 0


def unbuilt(item: Any, built: list[str]) -> str:
    """An item of the newsletter that has no system of its own name: what it is, and which of its systems run."""
    venue = f"{item.venue}, " if item.venue else ""
    parts = [
        f"{item.title} ({item.path}) · {item.category}",
        f"{item.authors} ({venue}{item.year}) {item.link}".rstrip(),
    ]
    parts += [_wrapped(item.medium)]
    parts += ["\n".join(f"    {line}" for line in item.equation.splitlines())] if item.equation else []
    if built:
        parts += ["Systems\n" + "\n".join(f"  theodolite show {path}" for path in built)]
    elif item.tool:
        parts += [f"{item.system}: `{item.tool}` does it. Nothing is claimed of it yet, so there is nothing to rerun."]
    elif item.system:
        parts += [f"{item.system}: not built yet, so there is nothing to run."]
    else:
        parts += ["It describes no system, so there is nothing to run."]
    return "\n\n".join([*parts, *_questions(item)])


def newsletter(item: Any) -> str:
    """What the newsletter has on a built item: where it stands, our summary, and the opinion as questions."""
    return "\n\n".join([f"In the newsletter ({item.path}): {item.title}", _wrapped(item.short), *_questions(item)])


def _questions(item: Any) -> list[str]:
    asked = "\n".join(f"  {q.kind}: {q.ask}" for q in item.questions)
    return [f"Questions\n{asked}"] if asked else []


def _wrapped(words: str) -> str:
    return "\n\n".join(textwrap.fill(" ".join(block.split()), 100) for block in words.strip().split("\n\n"))


def published(name: str) -> dict[str, str]:
    """The newest verdict on each claim of a built item by the claim's name, with its size; empty if there is none."""
    from theodolite.claims import registry
    from theodolite.commands.list import newest

    path = registry.load(name).path
    size, verdict = newest(path)
    return {c["id"]: f"{c['verdict']}, {size}" for c in verdict["claims"]} if verdict else {}


def text(item: Any, verdicts: dict[str, str]) -> str:
    """The item for a reader, with the verdicts on its claims."""
    parts = [f"{item.title} ({item.path}) · {item.category}"]
    parts += [item.summary] if item.summary else []
    parts += [f"    {item.equation}"] if item.equation else []
    parts += ["Claims\n" + "\n".join(f"  {claim(c, verdicts.get(c.id, 'not run'))}" for c in item.claims)]
    parts += ["Differences\n" + "\n".join(f"  {note}" for note in item.notes)] if item.notes else []
    how_to = item.how_to or (f"theodolite run {item.name}",)
    parts += ["How to run\n" + "\n".join(f"  {line}" for line in how_to)]
    parts += ["Cite\n" + "\n".join(f"  {cite(p)}" for p in item.papers)]
    return "\n\n".join(parts)


def claim(c: Any, verdict: str) -> str:
    """A claim with its source, its verdict, what is measured, and the expectations."""
    where = f", {c.where}" if c.where else ""
    expectations = "".join(f"\n      {sentence(e, e.statistic or c.statistic)}" for e in c.expect)
    measured = f"\n      measured: {c.unit}" if c.unit else ""
    return f"{c.id} ({c.source}{where}; {c.scope}): {c.text} [{verdict}]{measured}{expectations}"


def cite(p: Any) -> str:
    """A reference in one line."""
    venue = f" {p.venue}." if p.venue else ""
    return f"{p.authors} ({p.year}). {p.title}.{venue} {p.link}".rstrip()
