"""theodolite verify: do the published verdicts still follow from their scores?"""

from dataclasses import dataclass
from pathlib import Path

from theodolite.commands.list import RESULTS
from theodolite.commands.parsing import parse
from theodolite.core.errors import UserError


@dataclass(frozen=True)
class Flags:
    """Recompute every published verdict from its scores; exit code 1 where one differs."""

    results: str = str(RESULTS)
    """Folder of published results."""
    rejudge: bool = False
    """Write verdicts and figures anew, after a change of a claim's text or of the judge; scores stay."""


def main(argv: list[str]) -> int:
    """Compare, and print what differs."""
    flags = parse(Flags, argv, "verify")
    root = Path(flags.results)
    if not root.is_dir():
        raise UserError(f"{root} does not exist: expected a folder of published results. Name it with --results.")
    from theodolite.claims import registry
    from theodolite.core import results

    folders = results.stored(root)
    differences = (results.rejudge if flags.rejudge else results.verify)(root, registry.load)
    for difference in differences:
        print(difference)
    anew = ", written anew" * flags.rejudge
    print(f"{len(folders)} published results, {len(differences)} differences in their verdicts{anew}")
    return 1 if differences and not flags.rejudge else 0
