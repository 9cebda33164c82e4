"""Rollouts against exact expectations in a world where both can be had; the words of environments against episodes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core.env import time_limit
from theodolite.core.errors import UserError
from theodolite.envs import world_env, worlds
from theodolite.interpret import asking, contrastive, contrastive_places, questions
from theodolite.interpret import contrastive_sampled as sampled
from theodolite.interpret import contrastive_sampled_text as words
from theodolite.interpret.outcomes import Spoken


@pytest.fixture(scope="module")
def both():
    """The optimal agent on the slippery cliff, to be asked exactly and by rollouts, for 40 steps."""
    told = worlds.cliff(slip=0.3)
    world = told.world
    agent = contrastive.train(world, told.reward)
    near = contrastive_places.beside(world, world.things["trap"])
    cells = np.zeros((len(told.reward), 1), np.float32)
    cells[~world.over, 0] = near[world.cells[~world.over, 0], world.cells[~world.over, 1]]
    distance, policy = jnp.asarray(2 - 1.5 * cells[:, 0]), jnp.asarray(agent.policy, jnp.int32)

    def event(mask):
        states = jnp.asarray(mask)
        return lambda obs, terminated, truncated: states[obs.argmax(1)]

    names = [name for name in world.events if name != "take a step"]
    spoken = Spoken(
        {name: k for k, name in enumerate(world.actions)},
        {"trap": lambda obs: distance[obs.argmax(1)]},
        {name: event(world.events[name]) for name in names},
        "take a step",
    )
    env = time_limit(world_env.environment(told), 40)
    asked = sampled.Asked(env, spoken, lambda obs: policy[obs.argmax(1)], 40)
    return asking.Subject(world, agent, 40), asked


@pytest.mark.parametrize("text", ["why not right 3 times?", "why not right whenever near the trap?",
                                  "why not left until near the trap then up 2 times?"])  # fmt: skip
def test_rollouts_agree_with_exact_expectations(both, text):
    exact = asking.ask(both[0], text).answer
    found = sampled.answer(both[1], text, episodes=2_000)
    if exact.question.when is None:
        assert found.met == found.episodes
    for side in (0, 1):
        assert found.returns[side] == pytest.approx(exact.returns[side], abs=5)
    for name, (worth, low, high) in zip(found.outcomes, found.contributions, strict=True):
        reach = (high - low) / 2
        assert abs(worth - exact.contributions[name]) <= 2.2 * reach + 1e-4 or found.met < found.episodes
    difference, low, high = found.difference
    truth = exact.returns[1] - exact.returns[0]
    assert abs(difference - truth) <= 1.2 * (high - low) / 2 + 1.0
    assert sum(found.contributions[:, 0]) == pytest.approx(difference, abs=1e-6)


def test_the_same_plan_makes_no_difference(both):
    own = "up" if both[0].agent.policy[both[0].world.start] == 0 else "right"
    found = sampled.answer(both[1], f"why not {own}?", episodes=100)
    assert found.difference == (0, 0, 0) and not found.noticed.any()
    assert "can detect no difference" in words.render(found)


def test_a_plan_that_is_not_kept_is_counted(both):
    found = sampled.answer(both[1], "why not up until in the trap?", episodes=100)  # nowhere is in the trap
    assert found.kept == 0
    assert "carried out in 0% of them" in words.render(found)
    assert "I never carried your plan out to its end" in words.render(found)
    assert "of at most 40 steps" in words.render(found) and words.as_json(found)["horizon"] == 40
    always = sampled.answer(both[1], "why not up 3 times?", episodes=100)
    assert always.kept > 0.5


def test_what_is_avoided_to_the_end_is_kept_whether_or_not_its_until_comes(both):
    def never(obs):
        return jnp.zeros(len(obs), bool)

    key = jax.random.key(0)
    avoiding = sampled.Phase(both[1].policy, never, 0, never)
    then_up = sampled.Phase(both[1].policy, None, 1)
    assert sampled.simulate(both[1], [avoiding], None, key, 20).kept.all()
    assert not sampled.simulate(both[1], [avoiding, then_up], None, key, 20).kept.any()


def test_or_is_where_either_holds(both):
    near, away = questions.Cond("near", "trap"), questions.Cond("not", parts=(questions.Cond("near", "trap"),))
    obs = jnp.eye(len(both[0].agent.policy))
    either, every = (sampled.holds(both[1].spoken, questions.Cond(k, parts=(near, away))) for k in ("or", "and"))
    assert either(obs).all() and not every(obs).any() and sampled.holds(both[1].spoken, near)(obs).any()


def test_text_and_data_say_the_same_numbers(both):
    found = sampled.answer(both[1], "why up instead of right 4 times?", episodes=300)
    text, data = words.render(found), words.as_json(found)
    assert f"{data['return_foil']:.1f}" in text and f"{data['difference_interval'][0]:+.1f}" in text
    noticed = [o for o in data["outcomes"] if o["noticed"]]
    assert noticed and all(f"{o['contribution']:+.1f}" in text for o in noticed[:3])
    with pytest.raises(UserError, match="must be >= 2"):
        sampled.answer(both[1], "why not up?", episodes=1)
    with pytest.raises(UserError, match=r"Things: trap\. Places: things\."):
        sampled.answer(both[1], "why not up at (1, 2)?")
