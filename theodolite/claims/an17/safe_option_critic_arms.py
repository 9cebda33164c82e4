"""The rooms behind the claims of safe_option_critic: every rule over ψ, chosen on separate seeds, evaluated exactly."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from theodolite.claims.an17 import safe_option_critic_deep as deep
from theodolite.claims.an17 import safe_option_critic_linear as linear
from theodolite.control import sarsa
from theodolite.core import tabular
from theodolite.core.claim import Job, Row, Size, row
from theodolite.core.env import time_limit
from theodolite.core.tiles import one_hot
from theodolite.envs import rooms
from theodolite.safety import option_chain as chain
from theodolite.safety import option_critic as oc
from theodolite.safety import option_diagnostics as diagnostics
from theodolite.safety import safe_option_critic as safe

HORIZON = 500
"""Steps after which an episode is cut."""
NEUTRAL, CRITICS = "option-critic", "both critics"
RELEASED, PRINTED, ALL = "start pair, as released", "start pair, once per visit", "all pairs, actor"
FLAT, FLAT_CRITICS, PLANNED, SARSA = "flat actor-critic", "flat, both critics", "planned", "Sarsa"
RULES: dict[str, safe.Config] = {
    RELEASED: safe.RELEASED, PRINTED: safe.PRINTED, ALL: safe.Config(through="actor", cap=safe.UNCAPPED),
    CRITICS: safe.Config(), FLAT_CRITICS: safe.Config(),
}  # fmt: skip
V1 = oc.Config(critic_rate=0.5, policy_rate=0.01, termination_rate=0.1, temperature=0.001, option_temperature=0.001,
               baseline=False, initial=0.5, initial_spread=1.0)  # fmt: skip
V2 = oc.Config(critic_rate=0.5, policy_rate=0.01, termination_rate=0.1, temperature=0.001, option_temperature=0.001,
               initial=0.5, initial_spread=1.0)  # fmt: skip
TUNED = oc.Config()
FIRST, SECOND = "first version's settings", "second version's settings"
MILD, MILD_UNIFORM, TV = "milder settings", "milder settings, uniform noise", "noisy TV"
OPTION_RULES = (RELEASED, PRINTED, ALL, CRITICS)
PANELS: dict[str, tuple[dict[str, Any], oc.Config, tuple[str, ...]]] = {
    FIRST: ({"noise": "uniform"}, V1, OPTION_RULES),
    SECOND: ({"noise": "normal"}, V2, OPTION_RULES),
    MILD: ({"noise": "normal"}, TUNED, (*OPTION_RULES, FLAT, FLAT_CRITICS, SARSA)),
    MILD_UNIFORM: ({"noise": "uniform"}, TUNED, OPTION_RULES),
    TV: ({"name": "noisy-tv"}, TUNED, (CRITICS,)),
}
PSIS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25)
SHOWN: dict[Size, dict[str, tuple[str, ...]]] = {
    "smoke": {MILD: (CRITICS,)}, "quick": {panel: PANELS[panel][2] for panel in (FIRST, MILD, TV)},
    "full": {panel: rules for panel, (_, _, rules) in PANELS.items()},
}  # fmt: skip
"""Panels and the rules that are run beside option-critic."""
BUDGETS: dict[Size, dict[str, int]] = {
    "smoke": {"seeds": 6, "tuning": 1, "episodes": 20},
    "quick": {"seeds": 204, "tuning": 34, "episodes": 500},
    "full": {"seeds": 402, "tuning": 67, "episodes": 1_000},
}
"""Six values of ψ on the tuning seeds are as many runs as there are seeds, hence one program."""
WINDOWS = 20
"""Points of a learning curve."""
TUNING_SEEDS = 1_000_000
"""Seeds from here on choose ψ and are not judged."""
ROUGHER = 0.4
"""Probability of a random move where what was learned is tried elsewhere."""


def learner_of(c: oc.Config, rule: str) -> oc.Config:
    """The panel's learner, with one option where the rule is flat."""
    return replace(c, num_options=1) if rule in (FLAT, FLAT_CRITICS) else c


def paired(pair: tuple[oc.Config, safe.Config]) -> tuple[oc.Config, Any]:
    """A learner and its penalty, for the sweep."""
    return pair[0], safe.penalty(pair[1])


def stacked(configs: list[Any], each: int) -> Any:
    """Configs one after the other, every one `each` times."""
    return jax.tree.map(lambda *x: jnp.repeat(jnp.array(x, jnp.float32), each), *configs)


def keys_of(seeds: tuple[int, ...]) -> jax.Array:
    """One key per seed, the same for every arm; no run from this root was seen before the settings were fixed."""
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(1_807_041), jnp.array(seeds))


class Study:
    """One panel: its world, its learner, and how runs of a rule are made and measured."""

    def __init__(self, panel: str, episodes: int):
        options, self.learner, _ = PANELS[panel]
        self.world, self.episodes = rooms.rooms(**options), episodes
        noisy, self.rooms = self.world.noisy, diagnostics.rooms_of(self.world)
        features = one_hot(self.world.mdp.initial.size)
        self.task = oc.Task(time_limit(rooms.env(self.world), HORIZON), features, lambda obs: noisy[obs])

    def run(self, rule: str, psis: tuple[float, ...], seeds: tuple[int, ...]) -> list[dict[str, Any]]:
        """For each ψ, exact evaluation of what every seed learned, and its curves while it learned."""
        if rule == SARSA:
            return [self.reference(seeds)]
        c, keys = learner_of(self.learner, rule), jnp.tile(keys_of(seeds), len(psis))
        train: Callable[..., Any] = partial(oc.train, self.task, keys=keys, episodes=self.episodes, windows=WINDOWS)
        if rule in RULES:
            configs = stacked([(c, replace(RULES[rule], psi=psi)) for psi in psis], len(seeds))
            state, seen = train(configs, make=paired)
        else:
            state, seen = train(stacked([c] * len(psis), len(seeds)))
        risk = self.evaluated(c, state)
        found = {**risk._asdict(), "learning": seen["hazards"], "switches": seen["switches"],
                 "weights": state.weights, **self.diagnosed(risk, jax.nn.sigmoid(state.heads.ending))}  # fmt: skip
        return [{name: np.asarray(x[i * len(seeds) : (i + 1) * len(seeds)]) for name, x in found.items()}
                for i in range(len(psis))]  # fmt: skip

    def reference(self, seeds: tuple[int, ...]) -> dict[str, Any]:
        """Sarsa under the same measures."""
        task, c = self.task, sarsa.Config(rate=self.learner.critic_rate, temperature=self.learner.temperature)
        state, seen = sarsa.train(c, *task, keys_of(seeds), episodes=self.episodes, windows=WINDOWS)
        policy = sarsa.policy(c, state.weights)[:, :, None]
        never, always = jnp.zeros_like(policy[..., 0]), jnp.ones_like(policy[..., 0])
        one = jax.jit(lambda p: chain.risk(self.world, chain.Options(p, never[0], always[0]), HORIZON))
        risk = jax.lax.map(one, policy, batch_size=32)
        found = {**risk._asdict(), "learning": seen["hazards"], "switches": jnp.zeros_like(seen["hazards"]),
                 **self.diagnosed(risk, never)}  # fmt: skip
        return {name: np.asarray(x) for name, x in found.items()}

    def diagnosed(self, risk: chain.Risk, ending: jax.Array) -> dict[str, jax.Array]:
        """What options are used for, of every run."""
        maps = jax.vmap(diagnostics.ending_map)(risk.usage, ending)
        return {
            "option_entropy": jax.vmap(diagnostics.usage_entropy)(risk.usage),
            "room_information": jax.vmap(lambda usage: diagnostics.room_information(usage, self.rooms))(risk.usage),
            "ending": jax.vmap(diagnostics.ending_rate)(risk.usage, ending), "endings": maps,
        }  # fmt: skip

    def evaluated(self, c: oc.Config, state: oc.State, world: rooms.World | None = None) -> chain.Risk:
        """Exact risk of every run, in this world or another."""
        where = self.world if world is None else world
        return _evaluated(where, c, state)


@jax.jit
def _evaluated(world: rooms.World, c: oc.Config, state: oc.State) -> chain.Risk:
    def one(weights: jax.Array) -> chain.Risk:
        return chain.risk(world, oc.options(c, oc.State(weights)), HORIZON)

    return jax.lax.map(one, state.weights, batch_size=32)


def planned(world: rooms.World) -> float:
    """The best mean return that there is, by dynamic programming: what a risk-neutral agent could have."""
    paid = jnp.where(world.terminal[:, None], 0, world.mdp.transition @ world.mean)
    return float(tabular.expected_return(world.mdp, tabular.optimal_policy(world.mdp, paid), paid))


def chosen(found: list[dict[str, Any]], neutral: dict[str, Any]) -> int:
    """The ψ of least standard deviation among those whose mean return is not lower by more than a standard error."""
    error = [np.hypot(_error(x["mean"]), _error(neutral["mean"])) for x in found]
    kept = [i for i, x in enumerate(found) if x["mean"].mean() >= neutral["mean"].mean() - error[i]]
    if not kept:
        return int(np.argmax([x["mean"].mean() for x in found]))
    return min(kept, key=lambda i: float(found[i]["deviation"].mean()))


def _error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else 0.0


def panel_rows(panel: str, rule: str, seeds: tuple[int, ...], tuning: int, episodes: int, *, alone: bool) -> list[Row]:
    """A rule in a panel: its curve over ψ on the seeds that choose it, and the chosen ψ on the others.

    Ratios need option-critic's runs, which have the same keys in every job; `alone` adds rows of their own.
    """
    study, others = Study(panel, episodes), tuple(TUNING_SEEDS + i for i in range(tuning))
    both = study.run(NEUTRAL, (0.0,), seeds + others)[0]
    base, trial = ({k: v[part] for k, v in both.items()} for part in (slice(len(seeds)), slice(len(seeds), None)))
    rows, psi = [], 0.0
    if alone:
        rows += rows_of(panel, NEUTRAL, 0.0, seeds, base, base, episodes)
        rows += curve_rows(panel, NEUTRAL, PSIS, others, [trial] * len(PSIS), trial)
        rows += [row(PLANNED, panel, seed, mean_return=planned(study.world)) for seed in seeds]
    if rule in RULES:
        sweep = study.run(rule, PSIS, others)
        rows += curve_rows(panel, rule, PSIS, others, sweep, trial)
        psi = RULES[CRITICS].psi if panel == TV else PSIS[chosen(sweep, trial)]
    found = study.run(rule, (psi,), seeds)[0]
    rows += rows_of(panel, rule, psi, seeds, found, base, episodes)
    if panel == MILD and rule == CRITICS:
        rows += deployed(study, seeds, {NEUTRAL: base, CRITICS: found})
    return rows


def rows_of(
    panel: str, arm: str, psi: float, seeds: tuple[int, ...], found: dict, base: dict, episodes: int
) -> list[Row]:
    """A row per seed, with the ratios that the bar speaks of; the first one carries the map of mean visits."""
    error = np.hypot(_error(found["mean"]), _error(base["mean"])) or 1.0
    windows = found["learning"].shape[1]
    at, unit = (np.arange(windows) + 0.5) * episodes / windows, base["learning"].mean()
    rows = []
    for i, seed in enumerate(seeds):
        learning = found["learning"][i]
        curves = {"hazards": (at, learning)} if panel == MILD else {}
        if i == 0:
            curves["visits"] = (np.arange(found["visits"].shape[1]), found["visits"].mean(0))
            curves["endings"] = (np.arange(found["endings"].shape[1]), found["endings"].mean(0))
        rows.append(row(
            arm, panel, seed, curves, psi=psi, mean_return=found["mean"][i], return_in_errors=found["mean"][i] / error,
            deviation=found["deviation"][i], within=found["within"][i], hazards=found["hazards"][i],
            steps=found["steps"][i], switches=found["switches"][i, -1],
            relative_deviation=found["deviation"][i] / base["deviation"].mean(),
            relative_hazards=found["hazards"][i] / base["hazards"].mean(),
            option_entropy=found["option_entropy"][i], room_information=found["room_information"][i],
            ending=found["ending"][i], learning_hazards=learning.mean() / unit,
            first_hazards=learning[0] / base["learning"][:, 0].mean(),
        ))  # fmt: skip
    return rows


def curve_rows(panel: str, arm: str, psis: Any, seeds: tuple[int, ...], sweep: list[dict], base: dict) -> list[Row]:
    """The whole curve over ψ."""
    return [
        row(arm, f"{panel}/{psi:g}", seed, sweep_return=found["mean"][i],
            sweep_deviation=found["deviation"][i] / base["deviation"].mean(),
            sweep_hazards=found["hazards"][i] / max(base["hazards"].mean(), 1e-9),
            sweep_entropy=found["option_entropy"][i], sweep_information=found["room_information"][i],
            sweep_ending=found["ending"][i])
        for psi, found in zip(psis, sweep, strict=True) for i, seed in enumerate(seeds)
    ]  # fmt: skip


def deployed(study: Study, seeds: tuple[int, ...], found: dict[str, dict]) -> list[Row]:
    """Noisy cells per episode while learning, after learning has stopped, and in a rougher world."""
    rougher = rooms.rooms("frozen", slip=ROUGHER)
    rows = []
    for arm, x in found.items():
        there = np.asarray(study.evaluated(study.learner, oc.State(jnp.asarray(x["weights"])), rougher).hazards)
        per_case = {"while learning": x["learning"].mean(1), "frozen": x["hazards"], "frozen, rougher world": there}
        rows += [row(arm, case, seed, mistakes=v) for case, values in per_case.items()
                 for seed, v in zip(seeds, values, strict=True)]  # fmt: skip
    return rows


def jobs(size: Size, seeds: int | None) -> list[Job]:
    """The panels, the linear tasks, the gambles, and the deep networks."""
    b = BUDGETS[size]
    who = tuple(range(seeds or b["seeds"]))
    tuning = min(b["tuning"], max(1, len(who)))
    in_rooms = [
        Job(rule, panel, who, partial(panel_rows, panel, rule, who, tuning, b["episodes"], alone=rule == rules[0]), 20)
        for panel, rules in SHOWN[size].items() for rule in rules
    ]  # fmt: skip
    return [*in_rooms, *linear.jobs(size, seeds), *deep.jobs(size, seeds)]
