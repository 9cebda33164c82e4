"""The referee of `contrastive` sees what is kept and what is not, and would find a wrong answer."""

import numpy as np
import pytest

from theodolite.claims.an17 import contrastive_arms as arms
from theodolite.claims.an17 import contrastive_referee as referee
from theodolite.envs import grids
from theodolite.interpret import contrastive as why
from theodolite.interpret import contrastive_answers, contrastive_places, questions


@pytest.fixture(scope="module")
def ten():
    world = arms.world_with(0.1, "ten")
    return world, why.train(world, grids.rewards(world))


def asked(world, text):
    return questions.parse(text, contrastive_places.vocabulary(world))


def test_an_agent_that_goes_on_as_usual_keeps_no_plan(ten):
    world, agent = ten
    rng, begin = np.random.default_rng(0), np.full(500, ten[0].start)
    usual = referee.play(world, [], agent, begin, arms.HORIZON, rng)
    place = asked(world, "why not go to (0, 9)?")
    assert referee.judge(world, place, usual).kept.mean() < 0.02
    assert arms.judged(world, agent, place, begin, rng).kept.mean() > 0.95
    down = asked(world, "why not down until at (0, 9)?")
    assert not referee.judge(world, down, usual).obeyed.any()
    assert arms.judged(world, agent, down, begin, rng).obeyed.all()
    careless = why.Phase(np.zeros_like(agent.policy), None)  # up, through whatever is there
    trees = np.full(500, np.flatnonzero((world.cells == [5, 2]).all(1))[0])
    into = referee.judge(world, asked(world, "why not avoid the forest?"),
                         referee.play(world, [careless], agent, trees, 5, rng))  # fmt: skip
    assert into.kept_out.max() < 1 and into.kept.mean() < 0.2


def test_moves_are_those_of_the_matrix(ten):
    world, _ = ten
    rules = referee.board("ten")
    dense = world.transition.toarray().reshape(len(world.cells), 4, -1)
    for s in np.flatnonzero(~world.over)[::7]:
        made = sum(np.eye(len(world.cells))[rules.next[s, m]] for m in range(4)) * 0.1 / 4
        for a in range(4):
            np.testing.assert_allclose(dense[s, a], made + 0.9 * np.eye(len(world.cells))[rules.next[s, a]], atol=1e-12)


def test_the_surest_way_is_that_of_backward_induction(ten):
    from theodolite.interpret import contrastive_plans

    world, _ = ten
    for text in ("why not go to (9, 0)?", "why not go to (9, 9) through (0, 9)?", "why not go to (2, 1)?"):
        question, begin = asked(world, text), np.full(1, world.start)
        exact = contrastive_plans.possible(world, question.steps, world.begin, arms.HORIZON)
        assert referee.surest(world, question, begin, arms.HORIZON) == pytest.approx(exact, abs=0.02)


def test_wrong_answers_are_found(ten, monkeypatch):
    world, agent = ten
    question, wall = asked(world, "why not right 4 times?"), asked(world, "why not go to (2, 1)?")
    rng = np.random.default_rng(0)
    assert arms.right(world, agent, question, rng) == (True, False)
    assert arms.right(world, agent, wall, rng) == (True, True)
    answer = contrastive_answers.answer
    sure = why.Adherence(0.5, 0, 0.5, 0)
    monkeypatch.setattr(contrastive_answers, "answer", lambda *a: answer(*a)._replace(carried=sure, impossible=""))
    assert arms.right(world, agent, question, rng) == (False, False)
    assert arms.right(world, agent, wall, rng) == (False, True)


def test_the_shares_of_a_few_questions_are_whole(ten):
    found = {r["arm"]: r["metrics"]["share"] for r in arms.novel((1_000,), 8)}
    assert found["understood"] == 1 and found["answered rightly"] == 1
    for r in arms.plans(0.2, (1_000,), 1):
        assert r["metrics"]["adherence"] > 0.9


def test_a_way_through_the_trap_to_the_trap_is_a_way_and_none_leads_through_it_elsewhere():
    world = grids.grid("monster-grid")
    x, y = np.argwhere(world.things["trap"])[0]
    both, beyond, alone = (
        referee.surest(world, asked(world, f"why not go to {text}?"), np.array([world.start]), 60)
        for text in (f"the trap through ({x}, {y})", f"(0, 0) through ({x}, {y})", "the trap")
    )
    assert both == alone > 0.9 and beyond == 0


def test_a_way_to_a_wall_is_impossible(ten):
    world, rng = ten[0], np.random.default_rng(1_000)
    for _ in range(6):
        question = asked(world, referee.walled_question(rng, world))
        assert referee.surest(world, question, np.array([world.start]), arms.HORIZON) == 0
