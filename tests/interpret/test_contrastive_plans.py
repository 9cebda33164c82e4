"""Plans against the enumeration of every policy of small processes, rollouts, and the rules that they are made by."""

from itertools import product

import numpy as np
import pytest
from serving import subject

from theodolite.envs import grids, worlds
from theodolite.interpret import (
    asking,
    contrastive_answers,
    contrastive_places,
    contrastive_plans,
    contrastive_text,
    questions,
)
from theodolite.interpret import contrastive as why

HORIZON = 60


def process(seed, *, random):
    """Five states, three actions, costs from 0 to 9; state 4 keeps the agent for good, state 3 is asked for."""
    rng = np.random.default_rng(seed)
    to = rng.integers(0, 5, (5, 3))
    transition = np.eye(5)[to]
    if random:
        transition = 0.8 * transition + 0.2 * rng.dirichlet(np.ones(5), (5, 3))
    transition[4] = np.eye(5)[4]
    paid = -rng.integers(1, 10, (5, 3)).astype(float)
    paid[4] = -1
    told = worlds.of_mdp(transition, np.eye(5)[0], paid)
    agent = why.train(told.world, told.reward)
    return told.world, agent, transition, paid


def enumerated(world, agent, transition, paid, target=3):
    """Of every policy: the probability of coming to the target within the horizon, and what is paid, then by the agent.

    Plain sums over the process's own matrices.
    """
    own = np.array([agent.policy[np.flatnonzero((world.cells == world.cells[s]).all(1))[0]] for s in last(world)])
    rows, after = np.arange(5), np.zeros(5)
    for _ in range(HORIZON):
        after = paid[rows, own] + transition[rows, own] @ after
    for choice in product(range(3), repeat=5):
        done, worth = np.eye(5)[target], np.where(rows == target, after, 0.0)
        for _ in range(HORIZON):
            done = np.where(rows == target, 1.0, transition[rows, choice] @ done)
            worth = np.where(rows == target, after, paid[rows, choice] + transition[rows, choice] @ worth)
        yield choice, done[0], worth[0]


def last(world):
    """The unpaid state of each of the process's states."""
    return range(len(world.cells) - 5, len(world.cells))


@pytest.mark.parametrize("seed", range(8))
def test_the_surest_way_is_taken_and_of_those_the_one_that_the_agent_likes_best(seed):
    world, agent, transition, paid = process(seed, random=False)
    question = questions.parse("what if you go to s3?", contrastive_places.vocabulary(world))
    every = {choice: (p, v) for choice, p, v in enumerated(world, agent, transition, paid)}
    best = max(every.values())
    found = contrastive_answers.answer(world, agent, question, HORIZON)
    assert bool(found.impossible) == (best[0] == 0)
    assert contrastive_plans.possible(world, question.steps, world.begin, HORIZON) == pytest.approx(best[0])
    if best[0]:
        policy = contrastive_plans.phases(world, agent, question, None, HORIZON)[0].policy
        chosen = tuple(int(policy[s]) for s in last(world))
        assert every[chosen] == pytest.approx(best)
        assert found.carried.kept == 1


@pytest.mark.parametrize("seed", range(8, 14))
def test_with_chance_hardly_any_probability_is_given_up_and_only_for_what_it_likes(seed):
    world, agent, transition, paid = process(seed, random=True)
    question = questions.parse("what if you go to s3?", contrastive_places.vocabulary(world))
    every = {choice: (p, v) for choice, p, v in enumerated(world, agent, transition, paid)}
    surest = max(p for p, _ in every.values())
    plan = contrastive_plans.phases(world, agent, question, None, HORIZON)
    p, v = every[tuple(int(plan[0].policy[s]) for s in last(world))]
    assert p >= 0.99 * surest - 1e-9
    assert not any(q > p + 1e-4 and u > v + 1e-2 for q, u in every.values())
    assert why.adherence(world, plan, agent, world.begin, HORIZON).kept == pytest.approx(p)
    assert contrastive_plans.possible(world, question.steps, world.begin, HORIZON) >= surest - 1e-9


def test_a_way_that_costs_little_is_taken_although_it_is_longer():
    asked = subject("ten", start=(6, 2))
    told = worlds.ten(start=(6, 2))
    reward = told.reward.copy()
    reward[told.world.events[grids.FOREST]] = -50
    asked = asked._replace(agent=why.train(told.world, reward))
    found = asking.ask(asked, "what if you go to (6, 4)?").answer
    assert found.returns[1] == pytest.approx(87)
    assert found.carried == (1, 0, 0, 0)


def test_waiting_never_pays_on_the_way():
    """Where every step is paid, a place is gone to at once, and not in the last moment."""
    told = worlds.ten()
    reward = told.reward.copy()
    reward[told.world.events[grids.STEP]] = 1.0
    question = questions.parse("what if you go to (4, 0)?", contrastive_places.vocabulary(told.world))
    found = contrastive_answers.answer(told.world, why.train(told.world, reward), question)
    assert [told.world.cells[s].tolist() for s in found.paths[1][:5]] == [[x, 0] for x in range(5)]


def test_a_horizon_that_is_short_makes_haste():
    told = worlds.ten(start=(6, 2))
    reward = told.reward.copy()
    reward[told.world.events[grids.FOREST]] = -50
    agent = why.train(told.world, reward)
    question = questions.parse("what if you go to (6, 4)?", contrastive_places.vocabulary(told.world))
    short, shorter = (contrastive_answers.answer(told.world, agent, question, h) for h in (4, 1))
    assert short.carried.kept == 1 and short.foil.counts[grids.FOREST] == 1
    assert shorter.impossible == "no way of mine comes to be at (6, 4) from there within 1 steps"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("ten", "what if you go to (2, 1)?", "I cannot: (2, 1) is a wall."),
        ("ten", "what if you go to the wall?", "I cannot: there is no state in which I am at the wall."),
        ("ten", "what if you go to (9, 9) through (2, 1)?", "I cannot: (2, 1) is a wall."),
        ("ten", "what if you go to (0, 3) through the trap?",
         "I cannot: no way of mine comes to be at (0, 3) from there within 200 steps."),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(name, text, said):
    asked = subject(name)
    found = asking.ask(asked, text)
    assert said in found.text and "what I do anyway" not in found.text and "your plan  " not in found.text
    assert found.drawing.count("@") == 1 and "your plan" not in found.drawing
    data = asking.answer_json(found)
    assert data["plan_kept"] == 0 and data["impossible"] and data["rows"] == []
    assert data["sentences"][2] == said
    poor = why.follow(asked.world, asked.agent.reward, np.zeros(len(asked.agent.policy), int))  # walks into walls
    assert said in asking.ask(asked._replace(agent=poor), text).text


@pytest.mark.parametrize(("name", "cell", "slip"), [("ten", (5, 0), 0.0), ("monster-grid", (4, 2), 0.0),
                                                     ("ten", (2, 3), 0.2)])  # fmt: skip
def test_the_cell_of_a_trap_is_that_trap(name, cell, slip):
    asked = subject(name, slip=slip)
    found = asking.ask(asked, f"what if you go to {cell}?")
    assert found.answer.carried.kept > 0.8 and found.answer.foil.ever[grids.TRAP] > 0.9
    assert asking.answer_json(found)["tracks"][1][-1] | {"monster": None} == {
        "cell": list(cell), "monster": None, "event": grids.TRAP, "action": ""
    }  # fmt: skip
    assert "carried out with probability" in found.text


def test_an_agent_that_is_not_optimal_is_asked_the_same():
    asked = subject("cliff", slip=0.1)
    poor = asked._replace(agent=why.follow(asked.world, asked.agent.reward, np.ones(len(asked.agent.policy), int)))
    trap = asking.ask(poor, "what if you go to (5, 0)?").answer
    assert trap.carried.kept > 0.5 and trap.foil.ever[grids.TRAP] == pytest.approx(1)
    through = asking.ask(subject("ten"), "why do you avoid the forest?")
    assert "going to be in the forest" in through.text and through.answer.foil.counts[grids.FOREST] >= 1


def test_traps_told_apart_are_one_event():
    told = worlds.ten(slip=0.2)
    agent = why.train(told.world, told.reward)
    question = questions.parse("why not go to (5, 1) through (4, 1)?", contrastive_places.vocabulary(told.world))
    apart, known = contrastive_places.told_apart(told.world, agent, question)
    size, trap = len(agent.policy), np.flatnonzero(told.world.events[grids.TRAP])[0]
    dense = apart.transition.toarray()[: size * 4]
    np.testing.assert_allclose(dense.sum(1), 1)
    dense[:, trap] += dense[:, size]
    np.testing.assert_allclose(dense[:, :size], told.world.transition.toarray(), atol=1e-12)
    beside = next(s for s in range(size) if told.world.cells[s].tolist() == [4, 1])
    shares = apart.transition.toarray()[beside * 4 : beside * 4 + 4, size]
    np.testing.assert_allclose(shares, [0.05, 0.85, 0.05, 0.05])
    own = [why.consequences(w, [], a, w.begin).counts for w, a in ((told.world, agent), (apart, known))]
    assert own[0] == pytest.approx(own[1])


@pytest.mark.parametrize(
    "text", ["what if you go to (3, 3) through (0, 3)?", "what if you avoid the territory?", "why not up until wall?",
             "why not avoid the forest until at (4, 6) then down 2 times?"],
)  # fmt: skip
def test_adherence_is_that_of_rollouts(text):
    world = grids.grid("monster-grid", slip=0.2)
    agent = why.train(world, grids.rewards(world))
    question = questions.parse(text, contrastive_places.vocabulary(world))
    plan = contrastive_plans.phases(world, agent, question, None, 30)
    exact = why.adherence(world, plan, agent, world.begin, 30)
    assert sum(exact) == pytest.approx(1)
    rng, num, dense = np.random.default_rng(0), 1_500, world.transition.toarray().cumsum(1)
    ends = np.zeros(4)
    for _ in range(num):
        ends[episode(world, plan, dense, rng)] += 1
    for share, probability in zip(ends / num, exact, strict=True):
        assert abs(share - probability) < 5 * np.sqrt(probability * (1 - probability) / num) + 2e-3


def episode(world, plan, dense, rng):
    """Whether the plan was kept (0), something avoided was met (1), or it ended (2) or was open (3) before that."""
    s, k = world.start, 0
    for t in range(31):
        while k < len(plan) and plan[k].until is not None and plan[k].until[s]:
            k += 1
        if k == len(plan):
            return 0
        if world.over[s] or t == 30:
            return 0 if plan[k].endless else 2 if world.over[s] else 3
        phase = plan[k]
        s = int(np.searchsorted(dense[s * 4 + phase.policy[s]], rng.random()))
        if phase.forbidden is not None and phase.forbidden[s]:
            return 1
        k += phase.single
    raise AssertionError


def test_avoiding_on_slippery_ground_goes_on_and_says_what_slips():
    asked = subject("ten", slip=0.1)
    for text in ("what if you avoid the forest until at (5, 5)?", "why not avoid the forest?"):
        found = asking.ask(asked, text)
        assert found.answer.foil.ever[grids.GOAL] > 0.9
        assert 0.01 < found.answer.carried.entered < 0.2
        assert "a slip brings me to be in the forest all the same" in found.text
    dry = asking.ask(subject("ten"), "what if you avoid the forest?").answer
    assert dry.carried == (1, 0, 0, 0) and dry.foil.counts[grids.FOREST] == 0


def test_inside_what_it_avoids_it_leaves_by_the_fewest_moves():
    asked = subject("monster-grid", start=(4, 4))
    world = asked.world
    region = contrastive_places.states_of(world, questions.Cond("in", "territory"))
    allowed = contrastive_plans.outside(world, region)
    to = contrastive_plans.intended(world)
    for s in np.flatnonzero(~world.over):
        keeps_out = ~region[to[s]]
        if keeps_out.any():
            np.testing.assert_array_equal(allowed[s], keeps_out)
        assert allowed[s].any()


def test_avoiding_two_things_is_to_be_in_neither():
    asked = subject("ten")
    way = asking.ask(asked, "why not avoid (0,3) and (0,4)?").answer.paths[1]
    assert not {(0, 3), (0, 4)} & {tuple(asked.world.cells[s].tolist()) for s in way}
    both = asking.ask(asked, "why not avoid near the trap that is also the forest?")
    assert "avoiding being near the trap and in the forest" in both.text


def test_a_plan_that_is_over_too_soon_is_no_plan_without_difference():
    asked = subject("ten")
    found = asking.ask(asked, "why not right until wall and then up?")
    assert found.answer.carried == (0, 0, 1, 0) and not found.answer.impossible
    assert "I cannot carry your plan out to its end." in found.text
    assert "with probability 1.00 it is over before your plan is" in found.text
    own = asking.ask(asked, "why not up until at (2, 1)?")  # what it does anyway, but never to a wall
    assert own.answer.carried.kept == 0 and "what I do anyway" not in own.text


def test_no_line_says_nothing():
    for text in ("what if you avoid the forest?", "why not right near the trap?"):
        found = asking.ask(subject("ten", slip=0.1), text)
        for _, _, _, worth in contrastive_text.rows(found.world, found.answer):
            assert f"{abs(worth):.1f}" != "0.0"
