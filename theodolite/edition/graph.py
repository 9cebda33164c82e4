"""The prerequisite graph: what an item builds on, drawn as SVG in columns by depth; no library, the same bytes always."""

import textwrap
from collections.abc import Iterable
from typing import Any, NamedTuple

from theodolite.edition.items import Edition

WRAP, LINE, PAD, WIDTH, GAP_X, GAP_Y = 25, 17, 9, 204, 46, 14
SWEEPS = 6


class Node(NamedTuple):
    """An item, or something that is read outside (`path` empty)."""

    key: str
    title: str
    path: str
    state: str
    """built, open or outside."""


class Place(NamedTuple):
    """Where a node is drawn."""

    node: Node
    x: int
    y: int
    height: int
    lines: list[str]


def edges(editions: Iterable[Edition]) -> list[tuple[str, str]]:
    """(prerequisite, item) by key, in the order of the editions."""
    return [
        (link.item or f"outside: {link.title}", item.path)
        for edition in editions
        for item in edition.items
        for link in item.prerequisites
    ]


def nodes(editions: Iterable[Edition], built: Iterable[str]) -> dict[str, Node]:
    """Every node that has an edge."""
    built = set(built)
    items = {item.path: item for edition in editions for item in edition.items}
    found: dict[str, Node] = {}
    for pair in edges(editions):
        for key in pair:
            if key in items:
                state = "built" if key in built else "open"
                found[key] = Node(key, items[key].title, key, state)
            else:
                found[key] = Node(key, key.removeprefix("outside: "), "", "outside")
    return found


def depths(pairs: list[tuple[str, str]]) -> dict[str, int]:
    """The longest way to each node; a circle would have none, and is cut."""
    depth = dict.fromkeys((key for pair in pairs for key in pair), 0)
    for _ in range(len(depth)):
        moved = False
        for before, after in pairs:
            if depth[after] <= depth[before] < len(depth):
                depth[after], moved = depth[before] + 1, True
        if not moved:
            break
    return depth


def columns(pairs: list[tuple[str, str]]) -> list[list[str]]:
    """Keys by column, ordered so that edges cross little: each node near the mean of its neighbours."""
    depth = depths(pairs)
    found = [[key for key in depth if depth[key] == d] for d in range(max(depth.values(), default=-1) + 1)]
    for sweep in range(SWEEPS):
        rows = {key: i / max(1, len(column)) for column in found for i, key in enumerate(column)}
        for column in found:
            column.sort(key=lambda key: (_mean(key, pairs, rows, sweep % 2 == 0), rows[key]))
            rows |= {key: i / max(1, len(column)) for i, key in enumerate(column)}
    return found


def _mean(key: str, pairs: list[tuple[str, str]], rows: dict[str, float], forward: bool) -> float:
    near = [rows[a] for a, b in pairs if b == key] if forward else [rows[b] for a, b in pairs if a == key]
    return sum(near) / len(near) if near else rows[key]


def layout(editions: Iterable[Edition], built: Iterable[str]) -> tuple[list[Place], list[tuple[Place, Place]], int, int]:
    """Places, edges between them, and the size of the drawing."""
    known = nodes(editions, built)
    pairs = edges(editions)
    places: dict[str, Place] = {}
    height = 0
    for i, column in enumerate(columns(pairs)):
        y = 4
        for key in column:
            lines = textwrap.wrap(known[key].title, WRAP)
            tall = 2 * PAD + LINE * len(lines)
            places[key] = Place(known[key], 4 + i * (WIDTH + GAP_X), y, tall, lines)
            y += tall + GAP_Y
        height = max(height, y)
    placed = _centred(list(places.values()), height)
    by_key = {place.node.key: place for place in placed}
    width = max((place.x for place in placed), default=0) + WIDTH + 4
    return placed, [(by_key[a], by_key[b]) for a, b in pairs], width, height


def _centred(places: list[Place], height: int) -> list[Place]:
    """Columns moved to the middle of the drawing."""
    bottoms: dict[int, int] = {}
    for place in places:
        bottoms[place.x] = max(bottoms.get(place.x, 0), place.y + place.height + GAP_Y)
    return [place._replace(y=place.y + (height - bottoms[place.x]) // 2) for place in places]


def curve(start: Place, end: Place) -> str:
    """The path of an edge, from the right side of one box to the left side of another."""
    x0, y0 = start.x + WIDTH, start.y + start.height // 2
    x1, y1 = end.x - 7, end.y + end.height // 2
    bend = (x1 - x0) // 2
    return f"M{x0} {y0}C{x0 + bend} {y0} {x1 - bend} {y1} {x1} {y1}"


def context(editions: Iterable[Edition], built: Iterable[str]) -> dict[str, Any]:
    """What the template draws."""
    editions = list(editions)
    places, links, width, height = layout(editions, built)
    return {
        "places": places, "curves": [curve(*link) for link in links], "width": width, "height": height,
        "box": WIDTH, "line": LINE, "pad": PAD,
    }  # fmt: skip
