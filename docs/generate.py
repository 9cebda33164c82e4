"""Write what is generated: a page per method, the README's table of systems, pictures, and a page of one experiment.

    python docs/generate.py            writes
    python docs/generate.py --check    writes nothing; exit code 1 and the names of files that are out of date

A page is made from its module (docstring, METRICS, Config, PAPER), from docs/methods.toml and from results/.
"""

import dataclasses
import re
import sys
import tomllib
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from theodolite.claims import registry
from theodolite.commands import list as listing
from theodolite.core import scores as score_files
from theodolite.core.claim import SIZES
from theodolite.core.fields import field_docs
from theodolite.core.files import write_text
from theodolite.core.results import read_json

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
IMITATION, NETWORKS = (DOCS / "images" / f"{name}.svg" for name in ("imitation", "quantile_networks"))
PICTURES = {IMITATION: "an17/gail", NETWORKS: "an51/distributional"}
"""Pictures, and the items whose newest scores they show."""
PICTURED = "few-demonstrations"
"""The claim of the first one."""
NOTICE = "<!-- Written by docs/generate.py; edit the module or docs/methods.toml instead. -->"
Page = dict[str, Any]


def pages() -> dict[str, Page]:
    """The tables of methods.toml by name."""
    return tomllib.loads((DOCS / "methods.toml").read_text(encoding="utf-8"))


def method_page(page: Page) -> str:
    """A method's page in Markdown."""
    modules = [import_module(name) for name in page["modules"]]
    parts = [NOTICE, f"# {page['title']}", page["idea"].strip()]
    parts += [_box(module.__doc__ or "") for module in modules]
    parts += ["## Use it", *_use(page)]
    parts += [part for module in modules for part in (*_differences(module), *_metrics(module), *_config(module))]
    parts += ["## Claims", _claims(page), "## Citation", *_citations(modules)]
    code = ", ".join(f"`{name.replace('.', '/')}.py`" for name in page["modules"])
    return "\n\n".join(part for part in (*parts, f"The code: {code}, from top to bottom.") if part) + "\n"


def _box(docstring: str) -> str:
    """The docstring as it stands, without its differences: what is computed, and the equations."""
    text, _, _ = docstring.partition("Differences from")
    text = text[: text.rfind("\n\n")] if _ and not text.endswith("\n\n") and "\n\n" in text else text
    blocks = []
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        lines = block.split("\n")
        if all(line.startswith("    ") for line in lines):
            blocks.append("```text\n" + "\n".join(line[4:] for line in lines) + "\n```")
        else:
            blocks.append(block)
    return "\n\n".join(blocks)


def _use(page: Page) -> list[str]:
    skip = f"<!-- not run: {page['skip_command']} -->\n" if "skip_command" in page else ""
    needs = "<!-- needs: my_demos -->\n" if page.get("needs_demos") else ""
    said = "`my_demos` are [demonstrations](../demonstrations.md), your own or recorded ones." if needs else ""
    shell, python = f"{needs}{skip}```sh\n{page['command']}\n```", f"```python\n{page['snippet'].strip()}\n```"
    return [said, shell, python, page.get("further", "").strip()]


def _differences(module: Any) -> list[str]:
    found = re.search(r"Differences from (.*?):\s+(1\. .*)", module.__doc__ or "", re.S)
    if not found:
        return []
    whom, rest = (" ".join(text.split()) for text in found.groups())
    items, number = [], 1
    while rest.startswith(f"{number}. "):
        item, mark, after = rest.partition(f" {number + 1}. ")
        item = item.removeprefix(f"{number}. ").rstrip(";.")
        items.append(f"{number}. {_sentence(item)}.")
        rest, number = f"{number + 1}. {after}" if mark else "", number + 1
    paper, _, note = whom.partition(", ") if "(" not in whom else (whom, "", "")
    return [f"## Differences from {paper}", f"{_lead(paper, note)}:" if note else "", "\n".join(items)]


def _lead(paper: str, note: str) -> str:
    """What is said of all differences, as a sentence of its own where the docstring has a relative clause."""
    first, _, rest = note.partition(" ")
    owner = paper + ("'" if paper.endswith("s") else "'s")
    said = {"which": f"{paper} {rest}", "whose": f"{owner} {rest}", "of": note.replace("of which", "of these,", 1)}
    said = said.get(first, note)
    return said[:1].upper() + said[1:]


def _sentence(text: str) -> str:
    """With a capital, unless it begins with a symbol."""
    first = text.split(" ", 1)[0]
    return text if len(first) == 1 or not first.isascii() or first == "log" else f"{text[:1].upper()}{text[1:]}"


def _metrics(module: Any) -> list[str]:
    rows = [f"| `{name}` | {_cell(text)} |" for name, text in getattr(module, "METRICS", {}).items()]
    return ["## Metrics", "| metric | meaning |\n| --- | --- |\n" + "\n".join(rows)] if rows else []


def _config(module: Any) -> list[str]:
    if not hasattr(module, "Config"):
        return []
    said = field_docs(module.Config)
    rows = [
        f"| `{f.name}` | `{_cell(f.default)}` | {_cell(said.get(f.name, ''))} |"
        for f in dataclasses.fields(module.Config)
    ]
    return ["## Configuration", "| field | default | meaning |\n| --- | --- | --- |\n" + "\n".join(rows)]


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return " ".join(text.split()).replace("|", "\\|")


def _claims(page: Page) -> str:
    """The claims in which the method is an arm, or that are named for it, with their newest verdicts."""
    rows = []
    for entry in registry.ENTRIES:
        size, verdicts = newest(entry.path)
        for claim in registry.load(entry.path).claims:
            named = f"{entry.path} {claim.id}" in page.get("claims", ())
            if named or set(claim.arms) & set(page.get("arms", ())):
                found = verdicts.get(claim.id)
                verdict = f"**{found['verdict']}** ({size} run)" if found else "not run"
                rows.append(f"| {_cell(claim.text)} | `{entry.name}`, {claim.source} | {verdict} |")
    role = page.get("role", "")
    table = "| claim | item | verdict |\n| --- | --- | --- |\n" + "\n".join(rows)
    return "\n\n".join(part for part in (role, table if rows else "No claim of an item uses it yet.") if part)


@cache
def newest(path: str) -> tuple[str, dict[str, Any]]:
    """The size and the judged claims by id of an item's largest published run."""
    for size in reversed(SIZES):
        file = listing.RESULTS / path / size / "verdict.json"
        if file.exists():
            return size, {claim["id"]: claim for claim in read_json(file)["claims"]}
    return "", {}


def _citations(modules: list[Any]) -> list[str]:
    papers = dict.fromkeys(module.PAPER for module in modules if hasattr(module, "PAPER"))
    lines = []
    for p in papers:
        title = f"[{p.title}]({p.link})" if p.link else p.title
        lines.append(f"{p.authors} ({p.year}). {title}.{f' {p.venue}.' if p.venue else ''}")
    return lines


def systems() -> str:
    """The table of systems for the README."""
    return listing.markdown([row for row in listing.rows(listing.RESULTS) if row["built"]])


def readme() -> str:
    """The README with its generated block renewed."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = f"<!-- systems -->\n{systems()}\n<!-- /systems -->"
    return re.sub(r"<!-- systems -->.*?<!-- /systems -->", lambda _: block, text, flags=re.S)


def texts() -> dict[Path, str]:
    """Every generated text by its file."""
    made = {DOCS / "methods" / f"{name}.md": method_page(page) for name, page in pages().items()}
    return {ROOT / "README.md": readme(), DOCS / "quantile_networks.md": networks(), **made}


def networks() -> str:
    """The page of the newsletter's experiment with its block of findings renewed."""
    from theodolite.claims.an51 import distributional_networks

    text = (DOCS / "quantile_networks.md").read_text(encoding="utf-8")
    folder, verdict = source(NETWORKS)
    found = distributional_networks.page(verdict, score_files.read(folder / "scores.jsonl.gz"))
    block = f"<!-- found -->\n{found}\n<!-- /found -->"
    return re.sub(r"<!-- found -->.*?<!-- /found -->", lambda _: block, text, flags=re.S)


def source(picture: Path) -> tuple[Path, dict[str, Any]]:
    """The folder of the results that a picture shows, and their verdict."""
    folder = listing.RESULTS / PICTURES[picture] / newest(PICTURES[picture])[0]
    return folder, read_json(folder / "verdict.json")


def mark(picture: Path) -> str:
    """What a picture was drawn from: the digest of its scores, and the verdicts that it says."""
    verdict = source(picture)[1]
    said = "" if picture == IMITATION else " ".join(["", *(claim["verdict"] for claim in verdict["claims"])])
    return f"scores {verdict['scores_sha256']}{said} "


def old_pictures() -> list[Path]:
    """Pictures of other scores than today's; their bytes depend on fonts, so their marks are compared."""
    return [p for p in PICTURES if not p.exists() or mark(p) not in p.read_text(encoding="utf-8")]


def draw(picture: Path) -> None:
    """Draw a picture, with its mark in its metadata."""
    from theodolite.claims.an51 import distributional_networks
    from theodolite.core import figures

    folder, verdict = source(picture)
    scores = score_files.read(folder / "scores.jsonl.gz").judged(verdict)
    claim = next(c for c in registry.load(PICTURES[IMITATION]).claims if c.id == PICTURED)
    figure = figures.of_claims([claim], scores) if picture == IMITATION else distributional_networks.figure(scores)
    figures.save(figure, picture.with_suffix(""))
    picture.with_suffix(".png").unlink()  # one file is enough for a page
    drawn = picture.read_text(encoding="utf-8")
    write_text(picture, drawn.replace("<defs>", f"<!-- {mark(picture)}-->\n <defs>", 1))


def main(argv: list[str]) -> int:
    """Write, or say what is out of date."""
    stale = [path for path, text in texts().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    old = old_pictures()
    names = [str(path.relative_to(ROOT)) for path in (*stale, *old)]
    if argv == ["--check"]:
        print("\n".join(names) or "all generated files are current")
        return 1 if names else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts()[path], encoding="utf-8")
    for picture in old:
        draw(picture)
    print("\n".join(f"wrote {name}" for name in names) or "nothing has changed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
