"""Consequences against rollouts and dense dynamic programming; foils against what was asked."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core import tabular
from theodolite.core.errors import UserError
from theodolite.envs import grids
from theodolite.interpret import contrastive as why
from theodolite.interpret import contrastive_answers, contrastive_places, contrastive_plans, contrastive_text, questions


@pytest.fixture(scope="module")
def slippery():
    world = grids.grid("monster-grid", slip=0.2)
    return world, why.train(world, grids.rewards(world))


def ask(world, agent, text, **options):
    return contrastive_answers.answer(
        world, agent, questions.parse(text, contrastive_places.vocabulary(world)), **options
    )


def test_values_are_those_of_policy_iteration():
    world = grids.grid("cliff", slip=0.1)
    reward = grids.rewards(world)
    agent = why.train(world, reward)
    dense = world.transition.toarray().reshape(-1, 4, len(reward))
    paid = np.where(world.over[:, None], 0.0, dense @ reward)
    with jax.enable_x64(True):
        initial = jnp.asarray(np.eye(len(reward))[world.start])
        mdp = tabular.MDP(jnp.asarray(dense), initial, jnp.asarray(why.DISCOUNT))
        exact = tabular.optimal_value(mdp, jnp.asarray(paid))
    np.testing.assert_allclose(agent.q.max(1), exact, atol=1e-5)


@pytest.mark.parametrize("text", ["why not right until wall then up 2 times?", "why not up whenever near the trap?"])
def test_expectations_are_those_of_rollouts(slippery, text):
    world, agent = slippery
    question = questions.parse(text, contrastive_places.vocabulary(world))
    plan = contrastive_plans.phases(world, agent, question)
    start = np.eye(len(agent.policy))[world.start]
    exact = why.consequences(world, plan, agent, start, horizon=30)
    rng, num = np.random.default_rng(0), 3_000
    dense = world.transition.toarray().cumsum(1)
    counts = {name: np.zeros(num) for name in world.events}
    for i in range(num):
        s, k = world.start, 0
        for _ in range(30):
            while k < len(plan) and plan[k].until is not None and plan[k].until[s]:
                k += 1
            phase = plan[k] if k < len(plan) else why.Phase(agent.policy, None)
            s = int(np.searchsorted(dense[s * 4 + phase.policy[s]], rng.random()))
            k += phase.single
            for name, mask in world.events.items():
                counts[name][i] += mask[s]
            if world.over[s]:
                break
    for name, found in counts.items():
        assert abs(found.mean() - exact.counts[name]) < 5 * found.std() / num**0.5 + 1e-3
        ever = np.minimum(found, 1)
        assert abs(ever.mean() - exact.ever[name]) < 5 * ever.std() / num**0.5 + 2e-3


def test_contributions_add_up_and_probabilities_are_ones(slippery):
    found = ask(*slippery, "why not go to (3, 3) through (0, 3)?")
    assert sum(found.contributions.values()) == pytest.approx(found.returns[1] - found.returns[0], abs=1e-9)
    for c in (found.fact, found.foil):
        assert sum(c.ever[o] for o in grids.ENDINGS) + c.unfinished == pytest.approx(1, abs=1e-9)
        assert all(c.ever[o] <= min(1, c.counts[o]) + 1e-9 for o in c.ever)


def test_plans_do_what_was_asked():
    world = grids.grid("ten")
    agent = why.train(world, grids.rewards(world))
    avoiding = ask(world, agent, "what if you avoid the forest?")
    assert avoiding.foil.ever[grids.FOREST] == 0
    going = ask(world, agent, "why not go to (0, 9)?")
    assert [0, 9] in [world.cells[s].tolist() for s in going.paths[1]]
    first = ask(world, agent, "why not right 2 times then up?")
    assert [world.cells[s].tolist() for s in first.paths[1][:4]] == [[0, 0], [1, 0], [2, 0], [2, 0]]  # a wall above
    wall = ask(world, agent, "why not right until wall?")
    assert wall.foil.ever[grids.TRAP] == 1


def test_the_agent_never_loses_by_its_own_discounted_rewards(slippery):
    world, agent = slippery
    start = np.eye(len(agent.policy))[world.start]
    for text in ("why not right?", "why not avoid the territory?"):
        plan = contrastive_plans.phases(world, agent, questions.parse(text, contrastive_places.vocabulary(world)))
        values = []
        for p in ([], plan):
            arrived = [why.propagate(world, p, agent, start, t)[0] @ agent.reward for t in range(1, 40)]
            values.append(np.diff(arrived, prepend=0) @ why.DISCOUNT ** np.arange(39))
        assert values[1] <= values[0] + 0.5  # what lies beyond 39 steps


def test_the_margin_is_followed_where_asked_and_the_printed_formula_only_by_luck(slippery):
    world, agent = slippery
    state, asked = world.start, 1 - int(agent.policy[world.start])
    assert why.margin_foil(world, agent, state, asked)[state] == asked
    cliff = grids.grid("cliff")  # all steps pay alike, so the printed reward is 0 away from the cliff
    walker = why.train(cliff, grids.rewards(cliff))
    middle = int(np.flatnonzero((cliff.cells == [5, 3]).all(1))[0])
    assert why.printed_foil(cliff, walker, middle, 3)[middle] != 3
    far = np.abs(world.cells - world.cells[state]).sum(1) > 9
    np.testing.assert_array_equal(why.margin_foil(world, agent, state, asked)[far], agent.policy[far])


def test_the_most_probable_path_misses_what_expectations_see(slippery):
    world, agent = slippery
    modal = why.most_probable(world, [], agent, world.start)
    exact = why.consequences(world, [], agent, np.eye(len(agent.policy))[world.start])
    assert modal.ever["take a step"] == 1
    assert modal.ever[grids.CAUGHT] == 0 < exact.ever[grids.CAUGHT]


def test_the_text_says_the_numbers_of_the_answer(slippery):
    world, agent = slippery
    found = ask(world, agent, "why left instead of right until wall?")
    text, plain = contrastive_text.render(world, found), contrastive_answers.as_json(world, found)
    goal = next(o for o in plain["outcomes"] if o["name"] == grids.GOAL)
    assert f"{100 * goal['fact']:.1f}%" in text
    assert f"{100 * goal['foil']:.1f}%" in text
    assert f"{plain['return_foil']:.1f}" in text
    assert "that is not what I do" in text
    assert contrastive_text.drawing(world, found).count("@") == 2
    same = ask(world, agent, f"why not {found.action}?")
    assert "what I do anyway" in contrastive_text.render(world, same)


def test_what_is_never_met_is_said(slippery):
    world = grids.grid("cliff")
    agent = why.train(world, grids.rewards(world))
    with pytest.raises(UserError, match="never come to be at"):
        ask(world, agent, "why not up at (0, 3)?")
    world, agent = slippery
    assert 0 < ask(world, agent, "why not left near the monster?").reached < 1
