"""Arms of `contrastive`: foils that are or are not followed, consequences, novel questions, and simulated listeners."""

from functools import cache, partial

import numpy as np

from theodolite.claims.an17 import contrastive_referee as referee
from theodolite.core.claim import Job, Row, Size, row
from theodolite.core.errors import UserError
from theodolite.envs import grids
from theodolite.envs.grids import World
from theodolite.interpret import contrastive as why
from theodolite.interpret import contrastive_answers, contrastive_places, contrastive_plans, questions

WORLD, HORIZON = "monster-grid", 60
SLIPS = (0.0, 0.1, 0.2)
ROLLOUTS, ROUNDED = 20_000, 0.1
"""Rollouts that are taken for the truth, and to what stated numbers are rounded."""
EPISODES, OFF = 2_000, 0.05
"""Episodes that the referee plays, and by how much a probability may differ from their share."""
SELDOM, NEVER = 0.05, 1e-3
"""Shares of episodes which are too few to tell what follows, and which are none."""
ASKED_WORLDS = (WORLD, "ten")
"""Of novel questions; the second has walls."""
ASKED = ("why not right until wall then up?", "why not go to (3, 3)?", "why not avoid the territory?", "why not right?")
NUM: dict[Size, dict[str, int]] = {
    "smoke": {"agents": 2, "states": 2, "plans": 1, "questions": 4, "candidates": 5, "told": 2},
    "quick": {"agents": 5, "states": 20, "plans": 8, "questions": 40, "candidates": 30, "told": 6},
    "full": {"agents": 30, "states": 50, "plans": 20, "questions": 200, "candidates": 200, "told": 40},
}


@cache
def world_with(slip: float, name: str = WORLD) -> World:
    """A grid, the monster's if no other is named."""
    return grids.grid(name, slip=slip)


def agent_of(seed: int, slip: float, name: str = WORLD) -> why.Agent:
    """The optimal agent for rewards drawn at random: 100 for the goal, other outcomes better or worse than usual."""
    rng = np.random.default_rng(seed)
    drawn = {
        grids.TRAP: rng.uniform(-150, 0), grids.CAUGHT: rng.uniform(-150, 0), grids.NEAR_MONSTER: rng.uniform(-150, 0),
        grids.FOREST: rng.uniform(-20, 2), grids.STEP: rng.uniform(-3, -0.2),
    }  # fmt: skip
    world = world_with(slip, name)
    return why.train(world, grids.rewards(world, drawn))


def stranger(seed: int, slip: float) -> why.Agent:
    """An agent of whom little is known: it may seek or shun each of the endings."""
    rng = np.random.default_rng(100 + seed)
    drawn = {ending: rng.uniform(-100, 100) for ending in grids.ENDINGS} | {
        grids.NEAR_MONSTER: rng.uniform(-100, 0), grids.FOREST: rng.uniform(-20, 0), grids.STEP: rng.uniform(-3, -0.2),
    }  # fmt: skip
    world = world_with(slip)
    return why.train(world, grids.rewards(world, drawn))


def visited(world: World, agent: why.Agent, rng: np.random.Generator, num: int) -> list[int]:
    """States drawn by how often the agent is there."""
    start = np.eye(len(agent.policy))[world.start]
    there = np.where(world.over, 0.0, start + why.propagate(world, [], agent, start, HORIZON)[0])
    return [int(s) for s in rng.choice(len(there), num, p=there / there.sum())]


def foils(slip: float, seeds: tuple[int, ...], num: int) -> list[Row]:
    """Share of states in which each foil takes the action that was asked about."""
    rows, world = [], world_with(slip)
    for seed in seeds:
        agent, rng, hits = agent_of(seed, slip), np.random.default_rng(seed), {}
        for state in visited(world, agent, rng, num):
            action = int((agent.policy[state] + rng.integers(1, 4)) % 4)
            policies = {
                "printed formula": why.printed_foil(world, agent, state, action),
                "with Q in place of R": why.margin_foil(world, agent, state, action),
            }
            for arm, policy in policies.items():
                hits.setdefault(arm, []).append(policy[state] == action)
        rows += [row(arm, f"foils/{slip:g}", seed, adherence=np.mean(found)) for arm, found in hits.items()]
    return rows


def plans(slip: float, seeds: tuple[int, ...], num: int) -> list[Row]:
    """How far plans of novel questions do what their words say, in the referee's eyes."""
    rows, world = [], world_with(slip)
    for seed in seeds:
        agent, rng = agent_of(seed, slip), np.random.default_rng(2_000 + seed)
        for kind in ("until", "go to", "avoid"):
            found: list[float] = []
            while len(found) < num:
                text = referee.sampled_question(rng, world, kind)
                question = questions.parse(text, contrastive_places.vocabulary(world))
                begin, met = referee.starts(world, agent, question.when, HORIZON, EPISODES, rng)
                best = referee.surest(world, question, begin, HORIZON) if met >= SELDOM else 0.0
                if best > 0:
                    seen = judged(world, agent, question, begin, rng)
                    measures = {
                        "until": seen.obeyed.mean(),
                        "go to": min(1.0, seen.kept.mean() / best),
                        "avoid": seen.kept_out.mean(),
                    }
                    found.append(float(measures[kind]))
            rows.append(row(kind, f"foils/{slip:g}", seed, adherence=np.mean(found)))
    return rows


def judged(
    world: World, agent: why.Agent, question: questions.Question, begin: np.ndarray, rng: np.random.Generator
) -> referee.Judged:
    """What the referee sees of the foil of a question, begun in given states."""
    apart, known = contrastive_places.told_apart(world, agent, question)
    start = np.bincount(begin, minlength=len(known.policy)) / len(begin)
    plan = contrastive_plans.phases(apart, known, question, start, HORIZON)
    return referee.judge(world, question, referee.play(world, plan, agent, begin, HORIZON, rng))


def endings(found: why.Consequences) -> np.ndarray:
    """Probabilities of the three endings and of none."""
    return np.array([*(found.ever[e] for e in grids.ENDINGS), found.unfinished])


@cache
def successors(slip: float) -> tuple[np.ndarray, np.ndarray]:
    """The states that each state and action may lead to, and their cumulative probabilities."""
    dense = world_with(slip).transition.toarray()
    likely = np.argsort(-dense, axis=1)[:, :5]  # no row has more successors
    return likely, np.take_along_axis(dense, likely, 1).cumsum(1)


def rolled_out(world: World, plan: list[why.Phase], agent: why.Agent, rng: np.random.Generator) -> np.ndarray:
    """The same from rollouts."""
    every = [*plan, why.Phase(agent.policy, None)]
    likely, cumulative = successors(world.slip)
    s, k = np.full(ROLLOUTS, world.start), np.zeros(ROLLOUTS, int)
    for _ in range(HORIZON):
        for i, phase in enumerate(plan):
            if phase.until is not None:
                k = np.where((k == i) & phase.until[s], i + 1, k)
        taken = np.stack([phase.policy for phase in every])[k, s]
        index = s * len(world.actions) + taken
        pick = (rng.random(ROLLOUTS)[:, None] > cumulative[index]).sum(1).clip(0, 4)
        s = likely[index, pick]
        k = k + np.array([phase.single for phase in every])[k]
    ended = np.array([world.events[e][s].mean() for e in grids.ENDINGS])
    return np.append(ended, 1 - ended.sum())


def consequences(slip: float, seeds: tuple[int, ...]) -> list[Row]:
    """Total variation between what is reported of the endings and rollouts, for fact and foils."""
    rows, world = [], world_with(slip)
    start = np.eye(len(world.cells))[world.start]
    for seed in seeds:
        agent, rng = agent_of(seed, slip), np.random.default_rng(seed)
        errors: dict[str, list[float]] = {"expectation": [], "most probable path": []}
        for text in ASKED:
            plan = contrastive_plans.phases(world, agent, questions.parse(text, contrastive_places.vocabulary(world)))
            truth = rolled_out(world, plan, agent, rng)
            reported = {
                "expectation": why.consequences(world, plan, agent, start, HORIZON),
                "most probable path": why.most_probable(world, plan, agent, world.start, HORIZON),
            }
            for arm, found in reported.items():
                errors[arm].append(float(np.abs(endings(found) - truth).sum() / 2))
        rows += [row(arm, f"endings/{slip:g}", seed, error=np.mean(found)) for arm, found in errors.items()]
    return rows


def right(world: World, agent: why.Agent, question: questions.Question, rng: np.random.Generator) -> tuple[bool, bool]:
    """Whether what is said of a plan agrees with the referee's episodes, and whether it is impossible in truth.

    How often its situation is met must be what is said, and is all that is judged where that is seldom. A place that
    nothing can lead to must be said to be so; other plans must be carried out as often as is said, and nearly as often
    as can be.
    """
    begin, met = referee.starts(world, agent, question.when, HORIZON, EPISODES, rng)
    try:
        found = contrastive_answers.answer(world, agent, question, HORIZON)
    except UserError:  # it says that it never comes there
        return met < NEVER, False
    if met < SELDOM or abs(found.reached - met) > OFF:
        return abs(found.reached - met) <= SELDOM, False
    ends_before = any(step.kind == "do" for step in question.steps)
    best = referee.surest(world, question, begin, HORIZON)
    if best == 0 or found.impossible:
        return best == 0 and bool(found.impossible), best == 0
    share = float(judged(world, agent, question, begin, rng).kept.mean())
    avoids = any(step.kind == "avoid" for step in question.steps)
    enough = ends_before or avoids or share >= (1 - OFF) * best - OFF
    return abs(share - found.carried.kept) <= OFF and enough, False


def novel(seeds: tuple[int, ...], num: int) -> list[Row]:
    """Shares of novel questions that are understood and answered rightly, and of impossible plans that are said so."""
    rows = []
    for seed in seeds:
        rng, understood, good, impossible = np.random.default_rng(1_000 + seed), 0, 0, list[bool]()
        for i in range(num):
            name = ASKED_WORLDS[i % len(ASKED_WORLDS)]
            world, agent = world_with(0.1, name), agent_of(seed, 0.1, name)
            try:
                text = referee.sampled_question(rng, world)
                question = questions.parse(text, contrastive_places.vocabulary(world))
            except UserError:
                continue
            understood += 1
            said, never = right(world, agent, question, rng)
            good += said
            impossible += [said] * never
        world, agent = world_with(0.1, ASKED_WORLDS[1]), agent_of(seed, 0.1, ASKED_WORLDS[1])
        for _ in range(num // 4):
            question = questions.parse(referee.walled_question(rng, world), contrastive_places.vocabulary(world))
            said, never = right(world, agent, question, rng)
            impossible += [said] * never
        shares = {"understood": understood / num, "answered rightly": good / num}
        shares |= {"impossible, and said so": float(np.mean(impossible))} if impossible else {}
        rows += [row(arm, "novel questions", seed, share=share) for arm, share in shares.items()]
    return rows


def told(world: World, agent: why.Agent, state: int, action: int) -> tuple[np.ndarray, np.ndarray]:
    """Expected counts of outcomes from a state: of the agent, and of three steps of an action and then the agent."""
    start = np.eye(len(agent.policy))[state]
    plan = [why.Phase(np.full(len(start), action), None, single=True)] * 3
    arrived = [why.propagate(world, p, agent, start, HORIZON)[0] for p in ([], plan)]
    counts = [[found[mask].sum() for mask in world.events.values()] for found in arrived]
    return np.array(counts[0]), np.array(counts[1])


def listeners(num_candidates: int, num_told: int, seeds: tuple[int, ...]) -> list[Row]:
    """How well a listener predicts actions after one explanation, which leaves the candidates that agree with it.

    Two outcomes are told: those that weigh most in what the agent does ("outcomes"), or in the difference that the
    foil would make ("contrast"); "both" tells two of each, "one action" what the agent does here.
    """
    world = world_with(0.1)
    agents = [stranger(i, 0.1) for i in range(num_candidates)]
    policies = np.stack([agent.policy for agent in agents])
    rows = []
    for seed in seeds:
        speaker, rng, scores = agents[seed], np.random.default_rng(seed), {}
        tests = rng.choice(np.flatnonzero(~world.over), 50, replace=False)
        worth = np.array(list(why.values(world, speaker).values()))
        for state in visited(world, speaker, rng, num_told):
            action = int((speaker.policy[state] + rng.integers(1, 4)) % 4)
            facts, plans = (np.stack(x) for x in zip(*(told(world, a, state, action) for a in agents), strict=True))
            plain, contrast = facts, plans - facts
            agreeing = {
                "nothing": np.ones(num_candidates, bool),
                "one action": policies[:, state] == speaker.policy[state],
                "outcomes": agree(plain, seed, worth, 2),
                "contrast": agree(contrast, seed, worth, 2),
                "both": agree(plain, seed, worth, 2) & agree(contrast, seed, worth, 2),
                "four outcomes": agree(plain, seed, worth, 4),
            }
            for arm, kept in agreeing.items():
                kept = kept & (np.arange(num_candidates) != seed)  # the speaker itself is no candidate
                votes = policies[kept if kept.any() else slice(None)][:, tests]
                guessed = np.stack([(votes == a).sum(0) for a in range(4)]).argmax(0)
                scores.setdefault(arm, []).append(np.mean(guessed == speaker.policy[tests]))
        rows += [row(arm, "listeners", seed, accuracy=np.mean(found)) for arm, found in scores.items()]
    return rows


def agree(numbers: np.ndarray, speaker: int, worth: np.ndarray, num: int) -> np.ndarray:
    """Which candidates have the speaker's numbers, where they weigh most, up to rounding."""
    chosen = np.argsort(-np.abs(worth * numbers[speaker]), kind="stable")[:num]
    return np.all(np.abs(numbers[:, chosen] - numbers[speaker, chosen]) <= ROUNDED, axis=1)


def jobs(size: Size, seeds: int | None) -> list[Job]:
    """All the work behind the claims."""
    n = NUM[size]
    who = tuple(range(seeds or n["agents"]))
    speakers = tuple(range(min(n["candidates"], seeds or n["candidates"], 20)))
    return [
        *(Job("foils", f"{slip:g}", who, partial(foils, slip, who, n["states"]), cost=2) for slip in SLIPS),
        *(Job("plans", f"{slip:g}", who, partial(plans, slip, who, n["plans"]), cost=8) for slip in SLIPS),
        *(Job("consequences", f"{slip:g}", who, partial(consequences, slip, who), cost=2) for slip in SLIPS),
        Job("answers", "novel", who, partial(novel, who, n["questions"]), cost=5),
        Job("listeners", "all", speakers, partial(listeners, n["candidates"], n["told"], speakers), cost=20),
    ]
