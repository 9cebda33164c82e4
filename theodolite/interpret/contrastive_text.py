"""Answers as text: at most four outcomes, largest contribution first, each probability with its number beside it."""

import numpy as np

from theodolite.envs.grids import ENDINGS, World
from theodolite.interpret.contrastive import Answer

MOST = 4
NOTICED = 0.01
"""Differences of a return, in its units, that are not worth a line."""


def render(world: World, found: Answer) -> str:
    """What the agent does, what would follow from the plan instead, and what that is worth to the agent."""
    plan = ", then ".join(map(str, found.question.steps))
    lines = [_situation(found)]
    if found.question.always:
        plan += f" whenever {found.question.when}"
    lines.append(f"What you propose: {plan}; then I go on as usual.")
    if found.paths[0] == found.paths[1] and max(map(abs, found.contributions.values())) < NOTICED:
        lines.append("That is what I do anyway, or makes no difference that I can see.")
    else:
        lines += [
            "",
            f"{'':28}{'what I do':>12}{'your plan':>12}{'for me':>10}",
            *_outcomes(found),
            "",
            _judgement(found),
        ]
    lines.append(_small_print(world, found))
    return "\n".join(lines)


def _situation(found: Answer) -> str:
    often = "" if found.reached > 0.995 else f" (I come there with probability {found.reached:.2f})"
    said = found.question.fact
    disagrees = f" You say {said}, but that is not what I do." if said and said != found.action else ""
    return f"At ({found.cell[0]}, {found.cell[1]}) I go {found.action}{often}.{disagrees}"


def _outcomes(found: Answer) -> list[str]:
    order = sorted(found.contributions, key=lambda o: -abs(found.contributions[o]))
    shown = [o for o in order if abs(found.contributions[o]) >= NOTICED][:MOST]
    lines = []
    for name in shown:
        if name in ENDINGS:
            values = [f"{100 * c.ever[name]:.1f}%" for c in (found.fact, found.foil)]
        else:
            values = [f"{c.counts[name]:.1f} times" for c in (found.fact, found.foil)]
        lines.append(f"  {name:26}{values[0]:>12}{values[1]:>12}{found.contributions[name]:>+10.1f}")
    rest = sum(found.contributions[o] for o in order if o not in shown)
    return lines + ([f"  {'all else':26}{'':24}{rest:>+10.1f}"] if abs(rest) >= NOTICED else [])


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
    open_end = found.foil.unfinished
    ends = f"; with probability {open_end:.2f} your plan has not come to an end by then" if open_end > 0.005 else ""
    slip = f", a random move with probability {world.slip:g}" if world.slip else ""
    return f"(exact expectations over {found.horizon} steps{slip}{ends})"


def drawing(world: World, found: Answer) -> str:
    """Both most probable paths on the map, side by side: o the cells passed, @ where it starts."""
    shown = []
    for along, title in zip(found.paths, ("what I do", "your plan"), strict=True):
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
