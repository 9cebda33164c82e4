"""A new edition: a folder with a commented edition.toml and one item, valid as it stands, to write over."""

from pathlib import Path

from theodolite.core.errors import UserError
from theodolite.core.files import write_text

EDITION = '''# An edition: what it is called, and its items in the newsletter's order, by section.
number = {number}
title = "Alignment Newsletter #{number}"
date = {date}                      # the day it appeared
link = ""                              # where the original is
intro = """
What this edition is about, in a few sentences of your own."""
note = ""                              # an editor's note, if there is one

[[sections]]                           # sections appear in this order; one may stand empty
title = "Highlights"                   # items here have `highlight = true` and appear again in their own section
items = ["example"]

[[sections]]
part = "Technical AI alignment"        # the heading above, if any
title = "Learning human intent"
items = ["example"]                    # each name is a file NAME.toml beside this one
'''
ITEM = '''# An item. Text is plain: blank lines part paragraphs, four spaces begin a formula, "- " a list.
title = "An example"
authors = "First Author, Second Author"
venue = "arXiv"                        # optional
year = {year}
link = "https://example.org/"          # optional; https:// or http://
category = "Learning human intent"
kind = "summary"                       # summary, link (title alone in the newsletter), news or prerequisite
highlight = true
hat_tip = ""                           # who pointed it out
summarizer = ""                        # who summarised it, if not the editor
system = "What is to be built"         # empty for an item that describes no system
runs = []                              # paths in the registry of claims, such as "an17/gail", if called otherwise
equation = ""

# The same thing three times, each longer; the short ones claim nothing that the long ones do not.
short = """
The method in one sentence. The result, or what to doubt, in another."""
medium = """
What the method does and why, before what came out of it.

What came out, on which tasks and against what; where you are confused."""
full = """
The problem, and why what was there before does not solve it.

The method, step by step, with its formula:

    J = E[r]

What came out, with numbers; what it does not show; where you are confused."""

[[prerequisites]]                      # what to read first; `item` if it is one of ours, such as "an17/gail"
title = "Maximum entropy inverse reinforcement learning"
item = "an17/maxent_irl"

[[read_more]]
title = "The paper behind the post"
link = "https://example.org/paper"

[[questions]]                          # the newsletter's opinion, restated; every one is an entry of the ledger
id = "does-it-scale"
kind = "doubt"                         # conjecture, wish, doubt or extension (ours)
ask = "Does it still work where the state is seen through pixels?"
test = "The same claim on a pixel task."
claim = ""                             # the claim that answers it, such as "an17/gail#survival-bias"
reason = ""                            # or why it can have no verdict

[[knobs]]                              # what a reader may try once the system is built
change = "theodolite run example --seeds 20"
expect = "Narrower intervals, the same verdict."
'''


def new(number: int, folder: Path, date: str) -> list[Path]:
    """Write a valid edition with one example item, and return its files.

    Raises:
        UserError: the folder exists and is not empty, or its name cannot be an edition's.
    """
    if not folder.name.isidentifier():
        raise UserError(f"{folder.name!r} cannot name an edition: letters, digits and _ are expected, such as an52.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and is not empty. Choose another folder with --out.")
    files = {
        folder / "edition.toml": EDITION.format(number=number, date=date),
        folder / "example.toml": ITEM.format(year=date[:4]),
    }
    for path, content in files.items():
        write_text(path, content)
    return list(files)
