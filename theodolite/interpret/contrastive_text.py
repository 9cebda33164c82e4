"""Answers as text: at most four outcomes, largest contribution first, each probability with its number beside it."""

import numpy as np

from theodolite.envs.grids import World
from theodolite.interpret.contrastive import Answer

MOST = 4
CHAIN = 10
"""Steps of a path that are told in words."""
NOTICED = 0.01
"""Differences of a return, in its units, that are not worth a line."""


def render(world: World, found: Answer) -> str:
    """What the agent does, what would follow from the plan instead, and what that is worth to the agent."""
    situation, proposal, judgement, small_print = sentences(world, found)
    lines = [situation, proposal]
    if not same(found) and (outcomes := _outcomes(world, found)):
        lines += ["", f"{'':28}{'what I do':>12}{'your plan':>12}{'for me':>10}", *outcomes, ""]
    return "\n".join([*lines, judgement, small_print])


def same(found: Answer) -> bool:
    """Whether the plan makes no difference."""
    return found.paths[0] == found.paths[1] and max(map(abs, found.contributions.values())) < NOTICED


def sentences(world: World, found: Answer) -> tuple[str, str, str, str]:
    """The situation, the proposal, what it is worth in all, and the small print."""
    plan = ", then ".join(map(str, found.question.steps))
    if found.question.always:
        plan += f" whenever {found.question.when}"
    return (
        _situation(world, found),
        f"What you propose: {plan}; then I go on as usual.",
        "That is what I do anyway, or makes no difference that I can see." if same(found) else _judgement(found),
        _small_print(world, found),
    )


def _situation(world: World, found: Answer) -> str:
    place = f"({found.cell[0]}, {found.cell[1]})" if world.names is None else world.names[found.cell]
    often = "" if found.reached > 0.995 else f" (I come there with probability {found.reached:.2f})"
    most = "" if found.surely > 0.995 else f"Most probably (with probability {found.surely:.2f}) it begins there: "
    said = found.question.fact
    disagrees = f" You say {said}, but that is not what I do." if said and said != found.action else ""
    begins = f"{most}{'at' if most else 'At'} {place} I {'go' if world.names is None else 'take'} {found.action}"
    return f"{begins}{often}.{disagrees}"


def rows(world: World, found: Answer) -> list[tuple[str, str, str, float]]:
    """The outcomes that matter, with the numbers of fact and foil and what the difference is worth; the rest as one."""
    order = sorted(found.contributions, key=lambda o: -abs(found.contributions[o]))
    shown = [o for o in order if abs(found.contributions[o]) >= NOTICED][:MOST]
    told = []
    for name in shown:
        if world.over[world.events[name]].all():
            values = [f"{100 * c.ever[name]:.1f}%" for c in (found.fact, found.foil)]
        else:
            values = [f"{c.counts[name]:.1f} times" for c in (found.fact, found.foil)]
        told.append((name, values[0], values[1], found.contributions[name]))
    rest = sum(found.contributions[o] for o in order if o not in shown)
    return told + ([("all else", "", "", rest)] if abs(rest) >= NOTICED else [])


def _outcomes(world: World, found: Answer) -> list[str]:
    return [f"  {name:26}{fact:>12}{foil:>12}{worth:>+10.1f}" for name, fact, foil, worth in rows(world, found)]


def _judgement(found: Answer) -> str:
    difference = found.returns[1] - found.returns[0]
    if abs(difference) < NOTICED:
        return f"In all I am indifferent: both are worth {found.returns[0]:.1f} to me."
    if difference > 0:
        return (
            f"Your plan is better by my own rewards: {found.returns[1]:.1f} instead of {found.returns[0]:.1f}. "
            "I discount what comes late, and do not plan perfectly over the whole time."
        )
    return f"In all your plan is worth {found.returns[1]:.1f} to me, mine {found.returns[0]:.1f}."


def _small_print(world: World, found: Answer) -> str:
    open_end = found.foil.unfinished if world.over.any() else 0.0  # some worlds never end
    ends = f"; with probability {open_end:.2f} your plan has not come to an end by then" if open_end > 0.005 else ""
    slip = f", a random move with probability {world.slip:g}" if world.slip else ""
    return f"(exact expectations over {found.horizon} steps{slip}{ends})"


def drawing(world: World, found: Answer) -> str:
    """Both most probable paths on the map, side by side: o the cells passed, @ where it starts; in words, if no map."""
    titles = "what I do", "your plan"
    if world.names is not None:
        return "\n".join(f"{title:12}{_chain(world, along)}" for along, title in zip(found.paths, titles, strict=True))
    shown = []
    for along, title in zip(found.paths, titles, strict=True):
        chars = np.array([list(line) for line in world.drawing[::-1]]).T
        chars[np.isin(chars, ["r", "S"])] = "."
        for s in along[1:]:
            if not world.over[s]:
                x, y = world.cells[s]
                chars[x, y] = "o" if chars[x, y] == "." else chars[x, y].lower()
        chars[tuple(world.cells[along[0]])] = "@"
        lines = [" ".join(line) for line in chars.T[::-1]]
        shown.append([f"{title:{len(lines[0])}}", *lines])
    width = max(len(line) for line in shown[0])
    return "\n".join(f"{a:{width}}     {b}" for a, b in zip(*shown, strict=True))


def _chain(world: World, along: list[int]) -> str:
    """The first states of a path by name."""
    assert world.names is not None
    names = [world.names[int(x), int(y)] for x, y in world.cells[along[: CHAIN + 1]]]
    return " > ".join(names) + " > ..." * (len(along) > CHAIN + 1)
