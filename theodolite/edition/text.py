"""Plain text of the data files as safe HTML, or as words: paragraphs, lists, indented formulas, `code`.

Nothing else is markup: every character of the text is escaped.
"""

import re
from typing import Any

from theodolite.edition.items import paragraphs

CODE = re.compile(r"`([^`]+)`")
TYPE = (
    (re.compile(r"(?<=\w)'(?=\w)|(?<=s)'(?=\s)"), "’"),
    (re.compile(r'(^|(?<=[\s(]))"'), "“"),
    (re.compile(r'"'), "”"),
    (re.compile(r"(?<![\w)])-(?=\d)|(?<= )-(?= )"), "−"),
)
"""What a keyboard writes, as a printer sets it; not in code and formulas."""
WORD = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*")


def render(text: str) -> Any:
    """The text as HTML: blank lines part paragraphs, four spaces begin a formula, a dash begins an entry of a list."""
    from markupsafe import Markup

    return Markup("\n").join(_block(block) for block in paragraphs(text))


def _block(block: str) -> Any:
    from markupsafe import Markup

    lines = block.split("\n")
    if all(line.startswith("    ") for line in lines):
        return Markup('<pre class="formula">{}</pre>').format("\n".join(line[4:].rstrip() for line in lines))
    if lines[0].startswith("- "):
        entries = re.split(r"\n- ", "\n" + block)[1:]
        return Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(inline(e)) for e in entries))
    return Markup("<p>{}</p>").format(inline(block))


def inline(text: str) -> Any:
    """One run of text: line ends are blanks, `code` is code."""
    from markupsafe import Markup

    pieces = CODE.split(" ".join(text.split()))
    marked = (
        Markup("<code>{}</code>").format(p) if i % 2 else Markup("{}").format(_set(p)) for i, p in enumerate(pieces)
    )
    return Markup("").join(marked)


def _set(words: str) -> str:
    for pattern, instead in TYPE:
        words = pattern.sub(instead, words)
    return words


def plain(text: str) -> str:
    """The text in one line, without marks of code."""
    return " ".join(text.replace("`", "").split())


def words(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return [word.lower() for word in WORD.findall(text)]
