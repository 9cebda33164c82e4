"""Sampled answers as text: differences that are real only, each with its interval."""

from typing import Any

from theodolite.interpret.contrastive_sampled import Answer

MOST = 4


def render(found: Answer) -> str:
    """What the agent does, what would follow from the plan instead, and what that is worth to the agent."""
    steps = ", then ".join(map(str, found.question.steps))
    if found.question.always:
        steps += f" whenever {found.question.when}"
    lines = [_situation(found), f"What you propose: {steps}; then I go on as usual."]
    if outcomes := _outcomes(found):
        lines += ["", f"{'':26}{'what I do':>14}{'your plan':>14}{'for me':>10}", *outcomes, ""]
    return "\n".join([*lines, _judgement(found), _small_print(found)])


def _situation(found: Answer) -> str:
    when = found.question.when
    place = "At the start" if when is None else f"Where I first come to be {when}"
    often = "" if found.met == found.episodes else f" (in {found.met} of {found.episodes} episodes)"
    said = found.question.fact
    disagrees = f" You say {said}, but that is not what I mostly do." if said and said != found.action else ""
    share = "" if found.share > 0.995 else f" in {100 * found.share:.0f}% of the cases"
    return f"{place}{often} I go {found.action}{share}.{disagrees}"


def _outcomes(found: Answer) -> list[str]:
    order = sorted(range(len(found.outcomes)), key=lambda k: -abs(found.contributions[k, 0]))
    changed = [k for k in order if found.noticed[k] or abs(found.fact[k, 0] - found.foil[k, 0]) > 0.05][:MOST]
    lines = []
    for k in changed:
        often = max(found.fact[k, 1], found.foil[k, 1]) > 1
        fact, foil = (f"{s[k, 1]:.1f} times" if often else f"{100 * s[k, 0]:.1f}%" for s in (found.fact, found.foil))
        worth, low, high = found.contributions[k]
        lines.append(f"  {found.outcomes[k]:24}{fact:>14}{foil:>14}{worth:>+10.1f}  [{low:+.1f}, {high:+.1f}]")
    return lines


def _judgement(found: Answer) -> str:
    unkept = "" if found.kept else "I never carried your plan out to its end: this is what trying led to. "
    return unkept + _worth(found)


def _worth(found: Answer) -> str:
    difference, low, high = found.difference
    if low <= 0 <= high:
        return (
            f"I can detect no difference in all: what I do is worth {found.returns[0]:.1f} to me, your plan "
            f"{found.returns[1]:.1f}, and the difference is between {low:+.1f} and {high:+.1f}."
        )
    better = "Your plan is better by my own rewards" if difference > 0 else "In all your plan is worth less to me"
    return (
        f"{better}: {found.returns[1]:.1f} instead of {found.returns[0]:.1f}, a difference of {difference:+.1f} "
        f"[{low:+.1f}, {high:+.1f}]."
    )


def _small_print(found: Answer) -> str:
    kept = f"your plan was carried out in {100 * found.kept:.0f}% of them, of at most {found.limit} steps"
    return f"({found.met} episodes of each with the same random numbers, 95% intervals; {kept})"


def as_json(found: Answer) -> dict[str, Any]:
    """The answer as plain data."""
    return {
        "question": found.question.text, "plan": [str(step) for step in found.question.steps],
        "episodes": found.episodes, "reached": found.met / found.episodes, "action": found.action,
        "action_share": found.share, "outcomes": [
            {"name": name, "fact": found.fact[k, 0], "foil": found.foil[k, 0], "fact_count": found.fact[k, 1],
             "foil_count": found.foil[k, 1], "contribution": found.contributions[k, 0],
             "interval": found.contributions[k, 1:].tolist(), "noticed": bool(found.noticed[k])}
            for k, name in enumerate(found.outcomes)
        ],
        "return_fact": found.returns[0], "return_foil": found.returns[1], "difference": found.difference[0],
        "difference_interval": list(found.difference[1:]), "plan_kept": found.kept,
        "horizon": found.limit,
    }  # fmt: skip
