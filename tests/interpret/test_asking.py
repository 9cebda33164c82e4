"""Regions, starts, trained policies and worlds without a map."""

import time

import numpy as np
import pytest
from serving import subject

from theodolite.core.errors import UserError
from theodolite.envs import grids, worlds
from theodolite.interpret import asking, contrastive, contrastive_places


def test_a_region_is_a_thing_like_any_other():
    asked = subject("ten", slip=0.1)
    forest = [(int(x), int(y)) for x, y in np.argwhere(asked.world.things["forest"])]
    for question in ("why not avoid the {}?", "why not left whenever near the {}?", "what if you go to the {}?"):
        named, marked = (asking.ask(asked, question.format(w), forest).answer for w in ("forest", "region"))
        assert marked.returns == named.returns
        assert marked.fact == named.fact


def test_another_start_is_another_world():
    asked = subject("monster-grid", slip=0.1)
    found = asking.ask(asked, "why not right?", start=(2, 3))
    elsewhere = subject("monster-grid", slip=0.1, start=(2, 3))
    assert found.answer.returns == asking.ask(elsewhere, "why not right?").answer.returns
    for start in ((2, 0), (4, 1), (9, 9)):
        with pytest.raises(UserError, match="cannot start"):
            asking.ask(asked, "why not right?", start=start)
    with pytest.raises(UserError, match=r"the cell \(2, 0\) is a trap"):
        asking.ask(asked, "why not right in the region?", region=[(2, 0)])


def test_the_q_of_a_given_policy_is_that_of_rollouts_of_the_matrix():
    told = worlds.cliff(slip=0.2)
    rng = np.random.default_rng(0)
    agent = contrastive.follow(told.world, told.reward, rng.integers(4, size=len(told.reward)))
    value, matrix = np.zeros(len(told.reward)), contrastive.followed(told.world, agent.policy).toarray()
    for _ in range(600):
        value = np.where(told.world.over, 0, matrix @ (told.reward + contrastive.DISCOUNT * value))
    own = agent.q[np.arange(len(value)), agent.policy]
    np.testing.assert_allclose(own, value, atol=1e-8)
    best = contrastive.train(told.world, told.reward)
    np.testing.assert_allclose(contrastive.follow(told.world, told.reward, best.policy).q, best.q, atol=1e-5)


def test_the_answer_in_a_decision_process_is_that_of_its_matrices():
    asked = subject("garnet")
    told = worlds.garnet()
    found = asking.ask(asked, "why not a1 3 times?").answer
    state = told.world.begin
    returns = []
    for plan in ([], [1, 1, 1]):
        mass, total = state, 0.0
        for t in range(asked.horizon):
            policy = np.full(len(mass), plan[t]) if t < len(plan) else asked.agent.policy
            mass = contrastive.followed(told.world, policy).toarray().T @ mass
            total += mass @ told.reward
        returns.append(total)
    np.testing.assert_allclose(found.returns, returns, rtol=1e-9)
    assert sum(found.contributions.values()) == pytest.approx(returns[1] - returns[0], abs=1e-9)


def test_states_are_near_where_an_action_leads():
    asked = subject("loop")
    text = asking.ask(asked, "why not a1 whenever near s0?").text
    assert "I take a" in text and "a1 whenever near s0" in text and "come to an end" not in text
    assert "s" in asking.ask(asked, "what if you go to s3?").drawing
    data = asking.world_json(asked)
    assert len(data["names"]) == 16 and data["things"] == {} and len(data["path"]) == asked.horizon + 1


def test_paths_end_where_the_last_move_led():
    asked = subject("monster-grid")
    data = asking.answer_json(asking.ask(asked, "why not right 2 times?"))
    assert [step["cell"] for step in data["tracks"][1]] == [[0, 0], [1, 0], [2, 0]]
    assert data["tracks"][1][-1]["event"] == grids.TRAP
    assert data["tracks"][0][-1]["cell"] == [6, 6]
    same = asking.answer_json(asking.ask(asked, f"why not {data['action']}?"))
    assert same["rows"] == [] and "what I do anyway" in same["text"]


def test_answers_on_ten_by_ten_take_less_than_two_seconds():
    asked = subject("ten", slip=0.1)
    begun = time.process_time()
    for question in contrastive_places.vocabulary(asked.world).examples():
        asking.answer_json(asking.ask(asked, question))
    assert time.process_time() - begun < 2  # all five together
