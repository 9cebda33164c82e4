"""Questions that can be asked of an agent, in a small English grammar.

    QUESTION := why FACT instead of PLAN [WHEN] ?  |  why not PLAN [WHEN] ?  |  what if you PLAN [WHEN] ?
              | why go through THING ?  |  why avoid COND ?  |  why not avoid COND [until COND] ?
    PLAN     := STEP then STEP ...                 "and then", a comma, and "and" before a step are then
    STEP     := ACTION [N times | until COND]  |  avoid COND [until COND]  |  go to PLACE [through PLACE]
              | go through THING
    WHEN     := at PLACE | near THING | in THING | when COND | whenever COND
    COND     := at PLACE | near THING | next to THING | in THING | wall | not COND | COND and COND | COND or COND
    PLACE    := (x, y) | x, y | THING              "the region" is a thing where the asker has marked one

"Near" is a neighbouring cell. "Until wall" holds where the action would not move. To avoid A and B is to avoid both,
which is to be in neither: "and" joins there like "or", except before "not". "A that is also B" and "both A and B" are
where both hold, everywhere. Words that are not known raise an error which lists what can be said; nothing is guessed.
"""

import re
from typing import NamedTuple

from theodolite.core.errors import UserError, nearest

FILLERS = {"the", "a", "an", "please", "just", "i", "me", "go", "walk", "move", "step", "steps"}
"""Left out, except where "go to" and "go through" need their go."""
MEETING = {
    "you", "it", "there", "are", "is", "am", "be", "being", "get", "come", "coming", "hit", "reach", "bump", "touch",
    "to", "into", "against", "going", "walking", "moving", "stepping", "running",
}  # fmt: skip
"""What may be said before a condition and adds nothing to it."""
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
OFTEN = {"once": 1, "twice": 2, "thrice": 3} | {word: n for n, word in enumerate(NUMBERS)}
REGION = "region"
"""What marked cells are called in questions."""
LONGEST, MOST_STEPS = 300, 12
"""Characters of a question and steps of a plan at most."""
PATTERN = re.compile(r"\(\s*\d+\s*,\s*\d+\s*\)|\d+\s*,\s*\d+|[a-z0-9'-]+|\S")
CELL = re.compile(r"\(?\s*(\d+)\s*,\s*(\d+)\s*\)?")


class Cond(NamedTuple):
    """A condition on the state."""

    kind: str
    """at, near, in, wall, not, and, or."""
    place: tuple[int, int] | str | None = None
    parts: tuple["Cond", ...] = ()

    def __str__(self) -> str:
        if self.kind == "not":
            return f"not {self.parts[0]}"
        if self.kind in ("and", "or"):
            return f"{self.parts[0]} {self.kind} {self.parts[1]}"
        return "the wall" if self.kind == "wall" else f"{self.kind} {said(self.place)}"


class Step(NamedTuple):
    """One part of a plan."""

    kind: str
    """do, avoid, reach."""
    action: str = ""
    times: int = 0
    """Of a do without until."""
    until: Cond | None = None
    target: Cond | None = None
    """What is avoided or reached."""

    def __str__(self) -> str:
        if self.kind == "do":
            return self.action + (f" until {self.until}" if self.until else f" {self.times} times" * (self.times > 1))
        verb = "avoiding being" if self.kind == "avoid" else "going to be"
        return f"{verb} {self.target}" + (f" until {self.until}" if self.until else "")


class Question(NamedTuple):
    """A foil, and where it starts."""

    text: str
    fact: str
    """The action that the asker thinks the agent takes; empty if not said."""
    steps: tuple[Step, ...]
    when: Cond | None
    always: bool
    """Whether the step is for whenever the condition holds, not from the first time on."""


def said(place: tuple[int, int] | str | None) -> str:
    """A place in words."""
    if isinstance(place, tuple):
        return f"({place[0]}, {place[1]})"
    return str(place) if str(place)[-1:].isdigit() else f"the {place}"


class Vocabulary(NamedTuple):
    """What can be said about a world."""

    actions: tuple[str, ...]
    things: tuple[str, ...]
    size: tuple[int, int] | None
    """Of the map; None if there is none, and then there are neither coordinates nor walls."""

    def examples(self) -> tuple[str, ...]:
        """Questions that can be asked."""
        first, thing, goal = self.actions[0], said(self.things[0]), said(self.things[-1])
        other = self.actions[1 % len(self.actions)]
        place = "(1, 2)" if self.size is not None and not goal[-1:].isdigit() else goal
        wall = "wall" if self.size is not None else f"in {thing}"
        return (
            f"why not {other} until {wall} then {first}?", f"why {first} instead of {other} near {thing}?",
            f"why not avoid {thing}?", f"what if you go to {place}?", f"why go through {thing}?",
        )  # fmt: skip

    def help(self) -> str:
        """What can be asked."""
        places = "things" if self.size is None else f"(x, y) up to ({self.size[0] - 1}, {self.size[1] - 1}), or things"
        asked = ", ".join(f'"{one}"' for one in self.examples())
        actions, things = ", ".join(self.actions), ", ".join(self.things)
        return f"Actions: {actions}. Things: {things}. Places: {places}. For example: {asked}"


def parse(text: str, words: Vocabulary) -> Question:
    """The question of a sentence.

    Raises:
        UserError: a word or form that is not known, and what can be said instead.
    """
    if len(text) > LONGEST:
        raise UserError(f"the question has {len(text)} characters: at most {LONGEST} are read. {words.help()}")
    reader = _Reader(text, words)
    question = reader.question()
    if reader.left:
        reader.fail(f"{' '.join(reader.left)!r} cannot follow")
    return question


def _hint(word: str, known: tuple[str, ...]) -> str:
    """The nearest known words, to stand inside a sentence."""
    return nearest(word, known).replace(" Did you mean", ", perhaps").rstrip("?")


class _Reader:
    """Recursive descent over the words of a sentence."""

    def __init__(self, text: str, words: Vocabulary) -> None:
        found = PATTERN.findall(text.lower().strip().rstrip("?!. "))
        self.text, self.words = text, words
        self.left: list[str] = []
        for i, word in enumerate(found):
            needed = word == "go" and found[i + 1 : i + 2] in (["to"], ["through"])
            if word not in FILLERS or needed:
                self.left.append("not" if word in ("don't", "dont") else word)

    def fail(self, what: str) -> None:
        raise UserError(f"question {self.text!r}: {what}. {self.words.help()}")

    def take(self, *words: str) -> bool:
        """Whether the next words are these; then they are consumed."""
        if self.left[: len(words)] == list(words):
            del self.left[: len(words)]
            return True
        return False

    def question(self) -> Question:
        if self.take("what", "if", "you") or self.take("what", "if"):
            return self.rest("")
        if not self.take("why"):
            self.fail("a question begins with why or what if")
        if self.take("do", "you", "not"):
            self.left.insert(0, "not")
        _ = self.take("do", "you") or self.take("you")
        if self.take("go", "through") or self.take("through") or self.take("go", "to"):
            avoided = Cond("in", self.place())
            return Question(self.text, "", (Step("avoid", target=avoided),), *self.when())
        if self.take("avoid"):
            return Question(self.text, "", (Step("reach", target=self.cond(bare=True)),), *self.when())
        if self.take("not"):
            _ = self.take("do", "you") or self.take("you")
            return self.rest("")
        fact = self.action()
        _ = self.take(",")
        if not (self.take("instead", "of") or self.take("rather", "than")):
            self.fail('after what I do, say "instead of" and what you expected')
        return self.rest(fact)

    def rest(self, fact: str) -> Question:
        steps = list(self.step())
        while self.another():
            steps += self.step()
        if len(steps) > MOST_STEPS:
            self.fail(f"a plan of {len(steps)} steps is too long; at most {MOST_STEPS} are followed")
        if any(step.kind == "avoid" and step.until is None for step in steps[:-1]):
            self.fail("an avoid that more steps follow needs an until, or they never come")
        when, always = self.when()
        if always and (len(steps) > 1 or steps[0].kind != "do" or steps[0].until):
            self.fail('"whenever" goes with one action alone')
        return Question(self.text, fact, tuple(steps), when, always)

    def another(self) -> bool:
        """Whether a step follows; what joins it is consumed."""
        joined = self.joined()
        if joined:
            del self.left[:joined]
        return joined > 0

    def joined(self) -> int:
        """Of how many words that consists: (comma) (and) (then), where a step follows or "then" is said."""
        n = 0
        for word in (",", "and", "then"):
            n += self.left[n : n + 1] == [word]
        after = self.left[n : n + 1]
        begins = bool(after) and (after[0] in self.words.actions or after[0] in ("avoid", "go"))
        return n if begins or "then" in self.left[:n] else 0

    def step(self) -> tuple[Step, ...]:
        if self.take("avoid"):
            target = self.cond(bare=True)
            until = self.cond() if self.take("until") or self.take(",", "until") else None
            return (Step("avoid", target=target, until=until),)
        if self.take("go", "through") or self.take("through"):
            return (Step("reach", target=Cond("in", self.place())),)
        if self.take("go", "to"):
            steps = [Step("reach", target=Cond("at", self.place()))]
            if self.take("through") or self.take("via"):
                steps.insert(0, Step("reach", target=Cond("at", self.place())))
            return tuple(steps)
        action = self.action()
        if self.take("until"):
            return (Step("do", action, until=self.cond()),)
        return (Step("do", action, times=self.times()),)

    def times(self) -> int:
        """How often, once if it is not said."""
        _ = self.take("for")
        if not self.left or not (self.left[0].isdecimal() or self.left[0] in OFTEN):
            return 1
        word = self.left.pop(0)
        times = OFTEN.get(word) if word in OFTEN else int(word)
        _ = self.take("times") or self.take("time")
        if times is None or not 1 <= times <= 100:
            self.fail(f"{word} times is not between 1 and 100")
        return times or 1

    def when(self) -> tuple[Cond | None, bool]:
        _ = self.take(",")
        if self.take("whenever"):
            return self.cond(), True
        if self.take("when") or (self.left and self.left[0] in ("at", "near", "next", "in")):
            return self.cond(), False
        return None, False

    def cond(self, *, bare: bool = False) -> Cond:
        """A condition; `bare`: a thing alone is meant to be in, and what is listed is so one by one."""
        found = self.every(bare)
        while not self.joined() and self.left[1:2] not in (["until"], ["when"], ["whenever"]):
            listed = bare and (self.take(",", "and") or self.take(",", "or") or self.take(",") or self.take("and"))
            if not (listed or self.take("or")):
                break
            found = Cond("or", parts=(found, self.every(bare)))
        return found

    def every(self, bare: bool) -> Cond:
        """Conditions that are to hold together."""
        both = self.take("both") or self.take("where", "both")
        first = self.single(bare)
        while True:
            also = any(self.take(word, "is", "also") for word in ("that", "which")) or self.take("where", "also")
            excepted = self.left[:2] == ["and", "not"] or self.left[:2] == ["but", "not"]
            together = (both or not bare) and not self.joined() and self.left[:1] == ["and"]
            if not (also or excepted or together):
                return first
            if not also:
                del self.left[0]
            both = False if bare else both
            first = Cond("and", parts=(first, self.single(bare)))

    def single(self, bare: bool) -> Cond:
        while self.left and self.left[0] in MEETING:
            del self.left[0]
        if self.take("not"):
            return Cond("not", parts=(self.single(bare),))
        if self.take("at"):
            return Cond("at", self.place())
        if self.take("near") or self.take("next", "to"):
            return Cond("near", self.place())
        if self.take("in") or self.take("through") or self.take("go", "through"):
            return Cond("in", self.place())
        if not bare and self.words.size is not None and (self.take("wall") or self.take("blocked")):
            return Cond("wall")
        if bare or (self.left and (self.left[0] in (*self.words.things, REGION) or CELL.fullmatch(self.left[0]))):
            place = self.place()
            return Cond("near" if place == "monster" else "in", place)  # it is avoided at a distance
        self.fail(f"a condition is expected, not {self.left[0] if self.left else 'the end'!r}")
        raise AssertionError

    def action(self) -> str:
        if not self.left or self.left[0] not in self.words.actions:
            found = self.left[0] if self.left else "the end"
            self.fail(f"an action is expected, not {found!r}{_hint(found, self.words.actions)}")
        return self.left.pop(0)

    def place(self) -> tuple[int, int] | str:
        if not self.left:
            self.fail("a place is expected, not the end")
        word = self.left.pop(0)
        if (cell := CELL.fullmatch(word)) is not None:
            x, y = int(cell[1]), int(cell[2])
            size = self.words.size
            if size is None:
                self.fail(f"there is no map to find ({x}, {y}) on")
            elif x >= size[0] or y >= size[1]:
                self.fail(f"the place ({x}, {y}) is off the map")
            return x, y
        single = word.removesuffix("s") if word.removesuffix("s") in self.words.things else word
        if single == REGION and single not in self.words.things and self.words.size is not None:
            self.fail("no region is marked: name its cells with --region x y x y, or mark them on the page of --serve")
        if single not in self.words.things:
            self.fail(f"{word!r} is no place that I know{_hint(word, self.words.things)}")
        return single
