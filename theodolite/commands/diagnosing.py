"""The work behind `theodolite diagnose`: train a Q-learner, look inside, measure, draw one page."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from theodolite.control import diagnosis, dqn
from theodolite.core import replay
from theodolite.core.demos import Episode
from theodolite.core.errors import UserError
from theodolite.core.evaluate import record
from theodolite.core.files import write_text
from theodolite.core.scores import dumps
from theodolite.core.train import train
from theodolite.envs.registry import make

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS, KERNEL_ROWS = 1_024, 128
"""Transitions per measurement, and of the kernel."""
TITLES = {
    "fit": "Bellman error on the buffer", "validation": "Bellman error on fresh data",
    "gap": "fresh over buffer", "overestimate": "Q less the return that followed",
    "rank": "rank of the features, share", "row_ratio": "row ratio of the kernel",
    "drift": "drift of the targets", "reach": "reach beyond the buffer",
}  # fmt: skip


def diagnose(
    config: dqn.Config, env: str, options: dict[str, Any], *,
    num_envs: int, steps: int, looks: int, episodes: int, seed: int, show: Callable[[str], Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Measures at every look, and those that are beyond their bars at the last.

    Raises:
        UserError: several trunks, too few steps to look or to learn, or an environment that does not fit.
    """
    if config.trunks > 1:
        raise UserError(f"trunks = {config.trunks}: must be 1. One network's features and kernel are measured.")
    envs = make(env, num_envs=num_envs, **options)
    every = steps // (config.rollout * num_envs) // max(looks, 1)
    if looks < 1 or every < 1 or every * config.rollout * num_envs <= config.learning_starts:
        raise UserError(
            f"steps = {steps}, looks = {looks}: the first look must come after learning_starts = "
            f"{config.learning_starts} steps. Take more steps or fewer looks."
        )
    found: list[dict[str, float]] = []
    earlier = None
    for chunk in train(dqn.agent, config, envs, updates=every * looks, every=every, seed=seed):
        state = jax.tree.map(lambda x: jnp.array(x[0]), chunk.carry.agent)
        played = record(lambda obs, key: dqn.mode(config, dqn.head_of(config), state, obs), envs, episodes, seed)  # noqa: B023
        found.append(
            look(config, state, earlier or state, played, jax.random.fold_in(jax.random.key(seed), len(found)))
        )
        found[-1] |= {"steps": chunk.update * config.rollout * num_envs,
                      "return": float(np.mean([e.reward.sum() for e in played]))}  # fmt: skip
        earlier = state
        if show:
            show(f"{found[-1]['steps']:>9,} steps   return {found[-1]['return']:.1f}")
    last = {name: value for name, value in found[-1].items() if name in diagnosis.MEASURES}
    limits = {name: {"value": last[name], "bar": diagnosis.RULES[name].bar, "times": times, "says": says}
              for name, times, says in diagnosis.limits(last)}  # fmt: skip
    return {"env": env, "seed": seed, "looks": found, "limits": limits}


def look(
    c: dqn.Config, state: dqn.State, earlier: dqn.State, played: list[Episode], key: jax.Array
) -> dict[str, float]:
    """The measures of one moment; rows of the buffer are drawn as the learner draws them."""
    head = dqn.head_of(c)

    def mean(net: dqn.Network, obs: jax.Array) -> jax.Array:
        return head.mean(dqn.predict(c, head, net, obs))[..., -1, :]

    now, before = state.learner, earlier.learner
    drawn = replay.sample(state.replay, key, ROWS)
    buffer = diagnosis.Transitions(drawn.obs, drawn.action, drawn.rewards[:, 0], drawn.terminated, drawn.last_obs)
    fresh, returns = flattened(played, c.discount, lambda obs: jnp.max(mean(now.target, obs), -1))
    few = drawn.obs[:KERNEL_ROWS], drawn.action[:KERNEL_ROWS]
    kernel = diagnosis.kernel(lambda net: diagnosis.taken(mean(net, few[0]), few[1]), now.net)
    seen = diagnosis.Look(
        lambda obs: mean(now.net, obs), lambda obs: mean(now.target, obs), lambda obs: mean(before.target, obs),
        now.net.torso, kernel, buffer, fresh, returns, c.discount,
    )  # fmt: skip
    return {name: float(value) for name, value in diagnosis.measure(seen).items()}


def flattened(
    played: list[Episode], discount: float, value: Callable[[jax.Array], jax.Array]
) -> tuple[diagnosis.Transitions, jax.Array]:
    """At most ROWS transitions of whole episodes, evenly spread, and the return from each; what a cut left out is
    valued by the target network."""
    parts, returns = [], []
    for e in played:
        over = np.zeros(len(e.reward), bool)
        over[-1] = e.terminated
        after = 0.0 if e.terminated else float(value(jnp.asarray(e.obs[-1:]))[0])
        returns.append(diagnosis.returns_to_go(jnp.asarray(e.reward), discount, after)[0])
        parts.append((e.obs[:-1], e.action.astype(np.int32), e.reward, over, e.obs[1:]))
    whole = [np.concatenate(column) for column in zip(*parts, strict=True)]
    kept = np.unique(np.linspace(0, len(whole[0]) - 1, ROWS).astype(int))
    return diagnosis.Transitions(*(jnp.asarray(x[kept]) for x in whole)), jnp.concatenate(returns)[kept]


def write(folder: Path, found: dict[str, Any]) -> None:
    """diagnosis.json, .svg and .png."""
    from theodolite.core import figures

    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "diagnosis.json", dumps(found, indent=1) + "\n")
    figures.save(page(found), folder / "diagnosis")


def page(found: dict[str, Any]) -> "Figure":
    """Return and the measures over training, bars dashed, what is beyond its bar in colour, and what that means."""
    from matplotlib.figure import Figure

    from theodolite.core import figures

    limits = found["limits"]
    says = [f"{i}. {TITLES[name]}: {m['says']}" for i, (name, m) in enumerate(limits.items(), 1)]
    text = "\n".join(textwrap.fill(line, 112, subsequent_indent="    ") for line in says)
    head = f"{found['method']} on {found['env']}: " + (
        "what limits this run, the worst first" if says else "no measure is beyond its bar"
    )
    lines = text.count("\n") + 1 if text else 0
    with figures.style():
        whole = Figure(figsize=(figures.WIDTH, 6.6 + 0.17 * lines), layout="constrained")
        whole.suptitle("\n".join([head, text]) if text else head, x=0.01, ha="left", fontsize=9)
        grid = whole.subplots(3, 3).flat
        for axes, name in zip(grid, ("return", *TITLES), strict=True):
            _panel(axes, name, found, name in limits)
            if axes.get_subplotspec().is_last_row():
                axes.set_xlabel("environment steps")
    return whole


def _panel(axes: Any, name: str, found: dict[str, Any], beyond: bool) -> None:
    from theodolite.core import figures

    steps = [one["steps"] for one in found["looks"]]
    colour = figures.COLOURS[1] if beyond else figures.COLOURS[0]
    axes.plot(steps, [one[name] for one in found["looks"]], "o-", color=colour, markersize=4)
    title = "return of the greedy policy" if name == "return" else TITLES[name]
    axes.set_title(title, color=colour if beyond else figures.INK)
    rule = diagnosis.RULES.get(name)
    if rule:
        axes.axhline(rule.bar, color=figures.FAINT, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k" if x >= 1000 else f"{x:g}")
    axes.set_ylim(bottom=min(0, *axes.get_ylim()))
    axes.margins(x=0.06)
