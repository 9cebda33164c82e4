"""The grammar of questions: what each sentence means, and what is said about the others."""

import pytest

from theodolite.core.errors import UserError
from theodolite.interpret.questions import Cond, Step, Vocabulary, parse

WORDS = Vocabulary(("up", "right", "down", "left"), ("forest", "trap", "goal", "monster"), (7, 7))
UP, RIGHT = Step("do", "up", times=1), Step("do", "right", times=1)
WALL, FOREST = Cond("wall"), Cond("in", "forest")


@pytest.mark.parametrize(
    ("text", "fact", "steps", "when"),
    [
        ("why right instead of up near the trap?", "right", (UP,), Cond("near", "trap")),
        ("Why do you go up rather than right?", "up", (RIGHT,), None),
        ("why not go right until the wall then up?", "", (Step("do", "right", until=WALL), UP), None),
        ("Why don't you walk up 3 times, then right?", "", (Step("do", "up", times=3), RIGHT), None),
        ("why not up, then right?", "", (UP, RIGHT), None),
        ("why not up, right, and then up near the trap?", "", (UP, RIGHT, UP), Cond("near", "trap")),
        ("why right, instead of up, near the trap?", "right", (UP,), Cond("near", "trap")),
        ("why not go right until wall and then up?", "", (Step("do", "right", until=WALL), UP), None),
        ("why not right until you hit the wall?", "", (Step("do", "right", until=WALL),), None),
        ("why not right until you reach the goal, then up?", "",
         (Step("do", "right", until=Cond("in", "goal")), UP), None),
        ("why not up twice then right three times?", "",
         (Step("do", "up", times=2), Step("do", "right", times=3)), None),
        ("why not up for 4 steps and go to 3,3?", "",
         (Step("do", "up", times=4), Step("reach", target=Cond("at", (3, 3)))), None),
        ("why not avoid being near the trap?", "", (Step("avoid", target=Cond("near", "trap")),), None),
        ("why not avoid going through the forest?", "", (Step("avoid", target=FOREST),), None),
        ("why do you avoid the forest?", "", (Step("reach", target=FOREST),), None),
        ("why not go through the forest?", "", (Step("reach", target=FOREST),), None),
        ("why go to the trap?", "", (Step("avoid", target=Cond("in", "trap")),), None),
        ("why not avoid near the trap and the forest?", "",
         (Step("avoid", target=Cond("or", parts=(Cond("near", "trap"), FOREST))),), None),
        ("why not avoid (0,3), (0,4) and (0, 5), until at (1, 2)?", "",
         (Step("avoid", target=Cond("or", parts=(Cond("or", parts=(Cond("in", (0, 3)), Cond("in", (0, 4)))),
                                                 Cond("in", (0, 5)))), until=Cond("at", (1, 2))),), None),
        ("why not avoid the forest that is also near the trap?", "",
         (Step("avoid", target=Cond("and", parts=(FOREST, Cond("near", "trap")))),), None),
        ("why not avoid both the forest and near the trap?", "",
         (Step("avoid", target=Cond("and", parts=(FOREST, Cond("near", "trap")))),), None),
        ("why not avoid the forest but not near the trap?", "",
         (Step("avoid", target=Cond("and", parts=(FOREST, Cond("not", parts=(Cond("near", "trap"),))))),), None),
        ("what if up when near the trap or in the forest?", "", (UP,),
         Cond("or", parts=(Cond("near", "trap"), FOREST))),
        ("why go through the forest?", "", (Step("avoid", target=FOREST),), None),
        ("why do you not avoid forest until at (1, 2)?", "",
         (Step("avoid", target=FOREST, until=Cond("at", (1, 2))),), None),
        ("why not avoid the monster?", "", (Step("avoid", target=Cond("near", "monster")),), None),
        ("what if you go to (1,2) through (3, 3)?", "",
         (Step("reach", target=Cond("at", (3, 3))), Step("reach", target=Cond("at", (1, 2)))), None),
        ("what if up when near traps and not in forest", "", (UP,),
         Cond("and", parts=(Cond("near", "trap"), Cond("not", parts=(FOREST,))))),
    ],
)  # fmt: skip
def test_sentences_mean_plans(text, fact, steps, when):
    found = parse(text, WORDS)
    assert (found.fact, found.steps, found.when, found.always) == (fact, steps, when, False)


def test_whenever_is_a_rule():
    found = parse("why not up whenever next to the trap?", WORDS)
    assert found.always
    assert found.when == Cond("near", "trap")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tell me", "begins with why"),
        ("why", "an action is expected, not 'the end'"),
        ("why not wait?", "an action is expected, not 'wait'"),
        ("why not rihgt?", "perhaps right"),
        ("why up?", "instead of"),
        ("why not go to the gaol?", "no place that I know, perhaps goal"),
        ("why not go to (9, 9)?", "off the map"),
        ("why not up until?", "a condition is expected"),
        ("why not up 0 times?", "between 1 and 100"),
        ("why not up then right whenever near trap?", "one action alone"),
        ("why not up quickly?", "'quickly' cannot follow"),
        ("why not up until near", "a place is expected"),
        ("why not up in the region?", "name its cells with --region x y x y"),
        ("why not avoid the region?", "--region"),
        ("why not up until in region", "--region"),
        ("why not zero, up?", "an action is expected, not 'zero'"),
        ("why not up zero times?", "between 1 and 100"),
        ("why not avoid the trap then up?", "needs an until"),
        ("why not avoid the trap,", "a place is expected, not the end"),
        ("why not up and?", "'and' cannot follow"),
    ],
)
def test_what_is_not_understood_is_answered_with_what_can_be_asked(text, said):
    with pytest.raises(UserError) as error:
        parse(text, WORDS)
    assert said in str(error.value)
    assert "Actions: up, right, down, left. Things: forest, trap, goal, monster." in str(error.value)
