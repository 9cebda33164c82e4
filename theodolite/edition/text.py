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
    (re.compile(r"(?<![\w)\-])-(?=[^\W_])|(?<= )-(?= )"), "−"),
)
"""What a keyboard writes, as a printer sets it; not in code and formulas."""
INDEX = re.compile(r"(?<![^\W_])([^\W\d_])_([^\W_]+)(?![\w(])")
"""One letter with an index, such as ρ_π, in running text."""
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
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else _indexed(p) for i, p in enumerate(pieces))


def _indexed(words: str) -> Any:
    """Running text with its indices set low."""
    from markupsafe import Markup

    before, *found = INDEX.split(_set(words))
    triples = zip(found[::3], found[1::3], found[2::3], strict=True)
    return Markup("{}").format(before) + Markup("").join(
        Markup("{}<sub>{}</sub>{}").format(letter, index, after) for letter, index, after in triples
    )


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
