"""Answers as text: at most four outcomes, largest contribution first, each probability with its number beside it."""

import numpy as np

from theodolite.envs.grids import World
from theodolite.interpret.contrastive_answers import Answer
from theodolite.interpret.contrastive_plans import NEVER

MOST = 4
CHAIN = 10
"""Steps of a path that are told in words."""
NOTICED = 0.01
"""Differences of a return, in its units, that are none."""
SHOWN = 0.05
"""Those that are worth a line: less is printed as 0.0."""
CERTAIN = 0.005
"""Probabilities that are not worth a word."""


def render(world: World, found: Answer) -> str:
    """What the agent does, what would follow from the plan instead, and what that is worth to the agent."""
    situation, proposal, judgement, small_print = sentences(world, found)
    lines = [situation, proposal]
    if told(found) and (outcomes := _outcomes(world, found)):
        lines += ["", f"{'':28}{'what I do':>12}{'your plan':>12}{'for me':>10}", *outcomes, ""]
    return "\n".join([*lines, judgement, small_print])


def same(found: Answer) -> bool:
    """Whether the plan makes no difference; one that is never carried out makes none that can be judged."""
    nothing = found.paths[0] == found.paths[1] and max(map(abs, found.contributions.values())) < NOTICED
    return nothing and found.carried.kept > CERTAIN


def told(found: Answer) -> bool:
    """Whether there are differences to tell."""
    return not found.impossible and not same(found)


def sentences(world: World, found: Answer) -> tuple[str, str, str, str]:
    """The situation, the proposal, what it is worth in all, and the small print."""
    plan = ", then ".join(map(str, found.question.steps))
    if found.question.always:
        plan += f" whenever {found.question.when}"
    return (
        _situation(world, found),
        f"What you propose: {plan}; then I go on as usual.{_shortfall(world, found)}",
        "That is what I do anyway, or makes no difference that I can see." if same(found) else _judgement(found),
        _small_print(world, found),
    )


def _shortfall(world: World, found: Answer) -> str:
    """Why the plan is not carried out for certain."""
    if found.impossible:
        return ""
    _, entered, ended, open_end = found.carried
    avoided = " or ".join(str(step.target) for step in found.question.steps if step.kind == "avoid")
    brings = "a slip brings me to be" if world.slip else "chance brings me to be" if world.names else "I come to be"
    reasons = (
        (entered, f"{brings} {avoided} all the same"),
        (ended, "it is over before your plan is"),
        (open_end, f"I am not done with your plan after {found.horizon} steps"),
    )
    said = [f"with probability {p:.2f} {what}" for p, what in reasons if p > CERTAIN]
    return f" But {', and '.join(said)}." if said else ""


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
    shown = [o for o in order if abs(found.contributions[o]) >= SHOWN][:MOST]
    told = []
    for name in shown:
        if world.over[world.events[name]].all():
            values = [f"{100 * c.ever[name]:.1f}%" for c in (found.fact, found.foil)]
        else:
            values = [f"{c.counts[name]:.1f} times" for c in (found.fact, found.foil)]
        told.append((name, values[0], values[1], found.contributions[name]))
    rest = sum(found.contributions[o] for o in order if o not in shown)
    return told + ([("all else", "", "", rest)] if abs(rest) >= SHOWN else [])


def _outcomes(world: World, found: Answer) -> list[str]:
    return [f"  {name:26}{fact:>12}{foil:>12}{worth:>+10.1f}" for name, fact, foil, worth in rows(world, found)]


def _judgement(found: Answer) -> str:
    if found.impossible:
        return f"I cannot: {found.impossible}."
    if found.carried.kept <= NEVER:
        return f"I cannot carry your plan out to its end. {_worth(found)}"
    return _worth(found)


def _worth(found: Answer) -> str:
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
    open_end = found.foil.unfinished if world.over.any() and not found.impossible else 0.0  # some worlds never end
    ends = f"; with probability {open_end:.2f} your way has come to no ending by then" if open_end > CERTAIN else ""
    slip = f", a random move with probability {world.slip:g}" if world.slip else ""
    kept = f"; your plan is carried out with probability {found.carried.kept:.2f}"
    return f"(exact expectations over {found.horizon} steps{slip}{kept}{ends})"


def drawing(world: World, found: Answer) -> str:
    """Both most probable paths on the map, side by side: o the cells passed, @ where it starts; in words, if no map."""
    ways = list(zip(found.paths, ("what I do", "your plan"), strict=True))[: 1 if found.impossible else 2]
    if world.names is not None:
        return "\n".join(f"{title:12}{_chain(world, along)}" for along, title in ways)
    shown = []
    for along, title in ways:
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
    return "\n".join("     ".join(f"{part:{width}}" for part in line).rstrip() for line in zip(*shown, strict=True))


def _chain(world: World, along: list[int]) -> str:
    """The first states of a path by name."""
    assert world.names is not None
    names = [world.names[int(x), int(y)] for x, y in world.cells[along[: CHAIN + 1]]]
    return " > ".join(names) + " > ..." * (len(along) > CHAIN + 1)
