"""The work behind `theodolite diagnose`: train a learner of Q or take a trained one, look inside, measure, conclude."""

import math
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from theodolite.commands import diagnosable, lenses, methods, policies, training
from theodolite.commands.lenses import Lens
from theodolite.commands.playing import EVALUATION, copies
from theodolite.control import actor_critic, diagnosis
from theodolite.core import replay, results, runlog
from theodolite.core.agent import Agent
from theodolite.core.demos import Episode
from theodolite.core.env import Box, JaxEnvs, Space
from theodolite.core.errors import NotFinite, UserError
from theodolite.core.evaluate import Policy, record
from theodolite.core.files import write_text
from theodolite.core.judge import Json
from theodolite.core.scores import dumps
from theodolite.core.train import env_seed
from theodolite.envs import registry

ROWS, KERNEL_ROWS = 1_024, 128
"""Transitions per measurement, and of the kernel."""
HUGE = 1e30
"""What stands for a measure that is infinite."""
RECORDS = 20
"""Records of training between two looks: where it diverges between them, the newest state is looked at."""


class Stretch(NamedTuple):
    """ROWS of the behaviour between two numbers of steps."""

    since: int
    until: int
    rows: replay.Sample


class Subject(NamedTuple):
    """Who is looked at, where it plays, and how many episodes of it are watched at a time."""

    method: str
    config: Any
    lens: Lens
    agent: Agent
    space: Space
    env: str
    options: dict[str, Any]
    episodes: int
    seed: int

    def ring(self, episodes: list[Episode]) -> replay.Replay:
        """Episodes as the learner would have kept them."""
        return ring_of(episodes, self.space.action if isinstance(self.space.action, Box) else None)

    def policy(self, state: PyTree) -> Policy:
        """The one whose values are learned: the best action, unless the lens has another."""
        drawn = self.lens.sampled
        return partial(drawn, state) if drawn else lambda obs, _: self.agent.mode(state, obs)

    def plays(self, policy: Policy, turn: int) -> list[Episode]:
        """Whole episodes in copies of their own, from starts that training does not meet."""
        envs = registry.make(self.env, num_envs=copies(self.env, self.episodes), **self.options)
        try:
            return record(policy, envs, self.episodes, env_seed(self.seed + EVALUATION, turn))
        finally:
            if not isinstance(envs, JaxEnvs):
                envs.close()


def train(
    setup: training.Setup, folder: Path, *, looks: int, episodes: int, show: Callable[[str], Any] | None = None
) -> Json:
    """Train into a folder as `train` does, look so many times on the way, and say what limits the run; a run that
    diverges is looked at in its newest good state.

    Raises:
        UserError: the folder holds another run, or looks or episodes are too few or too many.
    """
    plan, config, per = setup.plan, setup.traced[0], setup.steps_per_update
    marks = _marks(setup, looks, episodes)
    x = subject_of(setup.identity, setup.recipe.make(setup.traced), config, setup.recipe.space, episodes, plan.seed)
    log = runlog.RunLog(folder, setup.identity, setup.about)
    found: list[Json] = []
    whose = {"while_training": True, "run_seed": plan.seed, "of_seed": 0, "look_seed": plan.seed}
    held_out: list[Stretch] = []
    stopped = False
    try:
        with log:
            found.extend(_earlier(folder, log.update * per))
            for chunk in training.logged(setup, log):
                done = found[-1]["steps"] // per if found else 0
                if any(done < mark <= chunk.update for mark in marks):
                    held = chunk.held.agent  # as it is: this is over before training goes on
                    state = held if chunk.alone else jax.tree.map(lambda leaf: leaf[0], held)
                    found.append(_while_training(x, state, held_out, done * per))
                    write_text(_file(folder), dumps(conclude(x, whose, found, log.findings), indent=1) + "\n")
                    if show:
                        show(f"{found[-1]['steps']:>9,} steps   return {found[-1]['return']:.1f}")
    except NotFinite:  # the log has noted it
        stopped = True
    if log.update * per > config.learning_starts and not (found and found[-1]["steps"] == log.update * per):
        done = found[-1]["steps"] if found else 0
        found.append(_while_training(x, policies.Trained(folder).state(0), held_out, done))
    return conclude(x, whose, found, log.findings, stopped=stopped)


def _marks(setup: training.Setup, looks: int, episodes: int) -> list[int]:
    """The updates after which to look, if they can be looked at."""
    _check_counts(looks=looks, episodes=episodes)
    steps, starts = setup.plan.steps, setup.traced[0].learning_starts
    if looks > setup.updates:
        raise UserError(
            f"looks = {looks}: expected at most {setup.updates}, one after every update that steps = {steps} make. "
            "Take more steps or fewer looks."
        )
    marks = [setup.updates * (k + 1) // looks for k in range(looks)]
    if marks[0] * setup.steps_per_update <= starts:
        raise UserError(
            f"steps = {steps}, looks = {looks}: the first look must come after learning_starts = {starts} steps. Take "
            "more steps or fewer looks."
        )
    return marks


def _check_counts(**counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise UserError(f"{name} = {value}: must be >= 1.")


def _file(folder: Path) -> Path:
    return folder / f"{diagnosable.TRAINING}.json"


def _while_training(x: Subject, state: PyTree, held_out: list[Stretch], since: int) -> Json:
    """A look; the behaviour since the last one joins what was held out before, as many rows as at every look."""
    steps = int(x.lens.memory(state).steps)
    held_out.append(Stretch(since, steps, behaved(x, state, since)))
    return look(x, state, held_out)


def behaved(x: Subject, state: PyTree, since: int) -> replay.Sample:
    """ROWS of the behaviour since so many steps: as it is now, and the share of uniform actions that it began with."""
    steps = int(x.lens.memory(state).steps)
    key = jax.random.fold_in(jax.random.key(x.seed), steps)
    first = eqx.tree_at(lambda s: x.lens.memory(s).steps, state, jnp.int32(0))
    uniform = round(ROWS * min(max(x.lens.random_steps - since, 0) / (steps - since), 1))
    drawn = []
    for count, of in ((ROWS - uniform, state), (uniform, first)):
        if count:
            episodes = x.plays(lambda obs, key, of=of: x.agent.act(of, obs, key)[0], steps)
            drawn.append(replay.sample(x.ring(episodes), key, count, steps=x.lens.n_step))
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), *drawn)


def records(steps: int, per_update: int, looks: int) -> int:
    """Updates between two records of a run of so many looks."""
    return max(1, steps // per_update // (max(looks, 1) * RECORDS))


def _earlier(folder: Path, steps: int) -> list[Json]:
    """The looks of an interrupted diagnosis, as far as its checkpoint reaches; none of a look at a finished run."""
    found = results.read_json(_file(folder)) if _file(folder).exists() else {}
    return [one for one in found["looks"] if one["steps"] <= steps] if found.get("while_training") else []


def finished(folder: Path, index: int, episodes: int, seed: int) -> Json:
    """The same for the state in which a run of `train` stands; nothing was held out from it.

    Raises:
        UserError: the folder holds no run, one of another kind, or one that has not learned yet; no episodes.
    """
    _check_counts(episodes=episodes)
    trained = policies.Trained(folder)
    m = trained.manifest
    diagnosable.check(m["method"])
    if m["normalise_reward"] or m["reward"] or (m["normalise_obs"] and trained.space.obs.dtype != "uint8"):
        raise UserError(
            f"{folder} normalises observations or changes rewards: expected a run that learns from what its "
            "environment gives. Train without --normalise-obs, --normalise-reward and --reward."
        )
    config = runlog.config_from_json(methods.find(m["method"]).load().Config, m["config"])
    subject = subject_of(m, trained.agent, config, trained.space, episodes, seed)
    state = trained.state(index)
    steps = int(subject.lens.memory(state).steps)
    if steps <= config.learning_starts:
        raise UserError(
            f"{folder} stands at {steps:,} steps: expected more than learning_starts = {config.learning_starts}, "
            "before which nothing is learned. Raise --steps and train on."
        )
    whose = {"while_training": False, "run_seed": m["seed"], "of_seed": index, "look_seed": seed}
    return conclude(subject, whose, [look(subject, state, [])], m.get("findings", []))


def subject_of(identity: Json, agent: Any, config: Any, space: Space, episodes: int, seed: int) -> Subject:
    """What a manifest says of who is looked at."""
    method, env = identity["method"], identity["env"]
    return Subject(method, config, _lens(method, config), agent, space, env, identity["env_options"], episodes, seed)


@cache
def _lens(method: str, config: Any) -> Lens:
    """One for equal settings: what is compiled for it serves the next diagnosis of this process."""
    return lenses.lens_of(method, config)


def look(x: Subject, state: PyTree, held_out: list[Stretch]) -> Json:
    """Steps so far, the policy's return, and the measures; None for a measure that there is not."""
    lens, memory = x.lens, x.lens.memory(state)
    steps, ring = int(memory.steps), replay.Replay(memory.replay.rows, memory.replay.written, None)
    kept = int(replay.held(ring))
    played = x.plays(x.policy(state), 0)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(x.seed), steps), 4)
    drawn = replay.sample(ring, keys[0], min(ROWS, kept), steps=lens.n_step, repeats=False)
    own = replay.sample(x.ring(played), keys[1], ROWS, steps=lens.n_step)
    held = _mixed(held_out, steps - kept, keys[2]) if held_out else None
    returns, cut = followed(
        played, lens.discount, lambda obs: lens.goes_on(state, obs, _noise(keys[3])),
        partial(lens.bonus, state) if lens.bonus else None,
    )  # fmt: skip
    fresh = jax.jit(lambda key: lens.net(x.agent.init(key, x.space)))(jax.random.key(x.seed))
    values = _measured(lens)(state, fresh, drawn, own, held, returns[own.index], cut[own.index], keys[3])
    found: Json = {"steps": steps, "return": float(np.mean([e.reward.sum() for e in played]))}
    for name, value in values.items():
        capped = min(float(value), HUGE)
        found[name] = None if math.isnan(capped) else capped
    return found


def _noise(key: Array) -> Array:
    """The key of noise in targets and policies; those of the steps ahead are folded in below it."""
    return jax.random.fold_in(key, lenses.AHEAD + 1)


def _mixed(held_out: list[Stretch], oldest: int, key: Array) -> replay.Sample:
    """ROWS of the stretches that are not older than the buffer, of each by its share of the steps."""
    shares = np.array([max(part.until - max(part.since, oldest), 0) for part in held_out], float)
    ends = np.rint(ROWS * np.cumsum(shares) / shares.sum()).astype(int)
    counts = np.diff(ends, prepend=0)
    parts = []
    for own_key, part, count in zip(jax.random.split(key, len(counts)), held_out, counts, strict=True):
        kept = jax.random.permutation(own_key, ROWS)[:count]
        parts.append(jax.tree.map(lambda x, kept=kept: x[kept], part.rows))
    return jax.tree.map(lambda *x: jnp.concatenate(x), *parts)


@cache
def _measured(lens: Lens) -> Callable[..., dict[str, Float[Array, ""]]]:
    """Compiled once for all looks."""
    return jax.jit(partial(measured, lens))


def measured(
    lens: Lens, state: PyTree, fresh: PyTree, drawn: replay.Sample, own: replay.Sample, held: replay.Sample | None,
    returns: Float[Array, " B"], cut: Float[Array, " B"], key: Array,
) -> dict[str, Float[Array, ""]]:  # fmt: skip
    """MEASURES of samples from the buffer, of the policy, and of rows that were held out."""
    net, seen_as = lens.net(state), partial(lenses.rows, lens, state, key=_noise(key))
    seen = diagnosis.Look(
        buffer=seen_as(drawn),
        held_out=None if held is None else seen_as(held),
        played=seen_as(own),
        returns=returns,
        cut=cut,
        features=lens.features(net, drawn.obs, drawn.action),
        fresh=lens.features(fresh, drawn.obs, drawn.action),
        kernel=lens.kernel(net, drawn.obs[:KERNEL_ROWS], drawn.action[:KERNEL_ROWS]),
        moved=lens.moved(state, drawn, key) if lens.moved else None,
        largest=lens.most(state) / max(1 - lens.discount, 1e-6),
    )
    return diagnosis.measure(seen)


def ring_of(episodes: list[Episode], box: Box | None = None) -> replay.Replay:
    """Episodes one after another, as the learner would have kept them: actions in units of a box, if they have one."""
    over = [np.arange(len(e.reward)) == len(e.reward) - 1 for e in episodes]
    columns = (
        [e.obs[:-1] for e in episodes], [_kept(e.action, box) for e in episodes], [e.reward for e in episodes],
        [o & e.terminated for o, e in zip(over, episodes, strict=True)],
        [o & (not e.terminated) for o, e in zip(over, episodes, strict=True)], [e.obs[1:] for e in episodes],
    )  # fmt: skip
    rows = replay.Rows(*(jnp.asarray(np.concatenate(column))[:, None] for column in columns))
    return replay.Replay(rows, jnp.int32(rows.reward.shape[0]), None)


def _kept(action: np.ndarray, box: Box | None) -> np.ndarray:
    if box is None:
        return action.astype(np.int32)
    return np.asarray(actor_critic.to_unit(box, jnp.asarray(action, jnp.float32)))


def followed(
    played: list[Episode], discount: float, goes_on: Callable[[Array], Float[Array, " B"]],
    bonus: Callable[[Array], Float[Array, " B"]] | None = None,
) -> tuple[Float[Array, " N"], Float[Array, " N"]]:  # fmt: skip
    """The return from every step of the episodes, where they were cut with what goes on in place of the rest, and the
    weight of that; 0 where an episode ended by itself. A bonus is paid in every state that a step leads to and the
    next one leaves."""
    lengths = [len(e.reward) for e in played]
    reward = np.zeros((len(played), max(lengths)), np.float32)
    between = np.asarray(bonus(jnp.asarray(np.concatenate([e.obs[1:-1] for e in played])))) if bonus else None
    for row, e in zip(reward, played, strict=True):
        row[len(row) - len(e.reward) :] = e.reward  # zeros before an episode change nothing in it
        if between is not None:
            own, between = np.split(between, [len(e.reward) - 1])
            row[len(row) - len(e.reward) : -1] += discount * own
    cut = jnp.array([not e.terminated for e in played])
    best = goes_on(jnp.asarray(np.stack([e.obs[-1] for e in played])))
    total, weight = jax.vmap(lambda r, after: diagnosis.returns_to_go(r, discount, after))(
        jnp.asarray(reward), jnp.where(cut, best, 0)
    )
    weight = jnp.where(cut[:, None], weight, 0)
    whole, rest = (
        jnp.concatenate([row[-n:] for row, n in zip(rows, lengths, strict=True)]) for rows in (total, weight)
    )
    return whole, rest


def conclude(x: Subject, whose: Json, looks: list[Json], findings: list[str], *, stopped: bool = False) -> Json:
    """Whose they are, all looks, and what is beyond its bar at the last; findings of the run itself come first."""
    last: dict[str, Any] = looks[-1] if looks else dict.fromkeys(diagnosis.MEASURES)
    turnable = lenses.turnable(x.method, x.config, len(x.space.obs.shape) > 1)
    rules = {name: lenses.rule(name, x.lens) for name in diagnosis.RULES}
    limits: Json = {}
    if findings:
        says = diagnosis.said(rules["excess"], turnable, " ".join(findings))
        limits["diverged"] = {"value": last["excess"], "bar": rules["excess"].bar, "says": says}
    for name, times, _ in diagnosis.limits({name: last[name] for name in diagnosis.MEASURES}, turnable):
        measure = "excess" if name == "diverged" else name
        falls = name == "overestimate" and len(looks) > 1 and (looks[-2][name] or 0) > last[name]
        patience = falls and "diverged" not in limits
        says = diagnosis.COMING_DOWN if patience else diagnosis.said(rules[measure], turnable)
        limits.setdefault(name, {"value": last[measure], "bar": rules[measure].bar, "times": times, "says": says})
    about = {"method": x.method, "env": x.env, **whose, "policy": "stochastic" if x.lens.sampled else "mode"}
    return {**about, "stopped": stopped, "looks": looks, "limits": limits}
