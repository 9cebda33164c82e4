"""The prerequisite graph: what an item builds on, drawn as SVG in columns by depth; always the same bytes."""

import textwrap
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple

from theodolite.edition.items import Edition

WRAP, LINE, PAD, WIDTH, GAP_X, GAP_Y = 24, 17, 9, 214, 44, 14
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


def routed(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Edges with a waypoint, named by two keys and a column, in every column that they pass."""
    depth, found = depths(pairs), []
    for before, after in pairs:
        stops = [f"{before} > {after} @ {d}" for d in range(depth[before] + 1, depth[after])]
        chain = [before, *stops, after]
        found += list(pairwise(chain))
    return found


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


def layout(
    editions: Iterable[Edition], built: Iterable[str]
) -> tuple[list[Place], list[tuple[Place, Place]], int, int]:
    """Places, edges between them, and the size of the drawing; a waypoint is a place without lines."""
    editions = list(editions)
    known, pairs = nodes(editions, built), routed(edges(editions))
    places: dict[str, Place] = {}
    ordered = columns(pairs)
    for i, column in enumerate(ordered):
        blank = [_place(key, known, 4 + i * (WIDTH + GAP_X)) for key in column]
        places |= _stacked(blank, [(a, b) for a, b in pairs if b in column], places)
    if ordered:  # the first column again, now that it is known what it leads to
        first = sorted((places[key] for key in ordered[0]), key=lambda p: _wish(p, pairs, places, p.y))
        places |= _stacked(first, [(b, a) for a, b in pairs if a in ordered[0]], places)
    width = max((place.x for place in places.values()), default=0) + WIDTH + 4
    height = max((place.y + place.height for place in places.values()), default=0) + 4
    return list(places.values()), [(places[a], places[b]) for a, b in pairs], width, height


def _place(key: str, known: dict[str, Node], x: int) -> Place:
    node = known.get(key) or Node(key, "", "", "waypoint")
    lines = textwrap.wrap(node.title, WRAP)
    return Place(node, x, 0, 2 * PAD + LINE * len(lines) if lines else 0, lines)


def _stacked(column: list[Place], pairs: list[tuple[str, str]], places: dict[str, Place]) -> dict[str, Place]:
    """A column from top to bottom, each place as near as can be to the middle of what it is joined to."""
    found, floor = {}, 4
    for place in column:
        near = [(a, b) for a, b in pairs if b == place.node.key and a in places]
        y = max(floor, _wish(place, [(b, a) for a, b in near], places, floor))
        found[place.node.key] = place._replace(y=y)
        floor = y + place.height + GAP_Y
    return found


def _wish(place: Place, pairs: list[tuple[str, str]], places: dict[str, Place], default: int) -> int:
    near = [places[b].y + places[b].height // 2 for a, b in pairs if a == place.node.key and b in places]
    return sum(near) // len(near) - place.height // 2 if near else default


def curve(start: Place, end: Place) -> str:
    """The path of an edge, from the right side of one box to the left side of another, straight through a waypoint."""
    x0, y0 = start.x + WIDTH, start.y + start.height // 2
    x1, y1 = end.x - (7 if end.lines else 0), end.y + end.height // 2
    bend = (x1 - x0) // 2
    through = "" if end.lines else f"H{x1 + WIDTH}"
    return f"M{x0} {y0}C{x0 + bend} {y0} {x1 - bend} {y1} {x1} {y1}{through}"


def context(editions: Iterable[Edition], built: Iterable[str]) -> dict[str, Any]:
    """What the template draws."""
    editions = list(editions)
    places, links, width, height = layout(editions, built)
    return {
        "places": [place for place in places if place.lines],
        "curves": [(curve(*link), bool(link[1].lines)) for link in links], "width": width, "height": height,
        "box": WIDTH, "line": LINE, "pad": PAD,
    }  # fmt: skip
