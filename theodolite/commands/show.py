"""theodolite show ITEM: what it is, the equation, the claims, how to run it, how to cite it."""

from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from theodolite.commands.parsing import parse
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

    print(text(registry.load(flags.item)))
    return 0


def text(item: Any) -> str:
    """The item for a reader."""
    parts = [f"{item.title} ({item.path}) · {item.category}"]
    parts += [item.summary] if item.summary else []
    parts += [f"    {item.equation}"] if item.equation else []
    parts += ["Claims\n" + "\n".join(f"  {claim(c)}" for c in item.claims)]
    parts += ["Differences\n" + "\n".join(f"  {note}" for note in item.notes)] if item.notes else []
    how_to = item.how_to or (f"theodolite run {item.name}",)
    parts += ["How to run\n" + "\n".join(f"  {line}" for line in how_to)]
    parts += ["Cite\n" + "\n".join(f"  {cite(p)}" for p in item.papers)]
    return "\n\n".join(parts)


def claim(c: Any) -> str:
    """A claim with its source and expectations."""
    where = f", {c.where}" if c.where else ""
    expectations = "".join(f"\n      {sentence(e, e.statistic or c.statistic)}" for e in c.expect)
    return f"{c.id} ({c.source}{where}; {c.scope}): {c.text}{expectations}"


def cite(p: Any) -> str:
    """A reference in one line."""
    venue = f" {p.venue}." if p.venue else ""
    return f"{p.authors} ({p.year}). {p.title}.{venue} {p.link}".rstrip()
