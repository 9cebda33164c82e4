"""Fu et al. 2018: a reward of states learned by AIRL holds where the dynamics differ; rewards of actions do not."""

from typing import TYPE_CHECKING, Any

import numpy as np

from theodolite.claims.an17.airl_tabular import ARMS, CASES, tabular_jobs
from theodolite.claims.an17.airl_transfer import GRID, METHODS, cells, transfer_jobs
from theodolite.core.claim import Claim, Item, Job, Size, at_least, at_most, better, close
from theodolite.core.scores import Scores
from theodolite.envs import maze
from theodolite.intent import airl, gan_gcl

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DETERMINISTIC, STOCHASTIC = CASES["deterministic"], CASES["stochastic"]
PAPER_MAZE = {
    ("true reward", "maze"): -8.45,
    ("airl state", "maze"): -8.82,
    ("airl pair", "maze"): -31.2,
    ("gan_gcl state", "maze"): -41.8,
    ("gan_gcl pair", "maze"): -40.2,
    ("gail policy", "maze"): -29.9,
}
"""Table 1 of the paper, mean return of 5 runs."""
EXACT: dict[str, Any] = {"exact": True, "scope": "faithful"}

CLAIMS = (
    Claim(
        id="recovers-reward",
        text="In deterministic decomposable worlds AIRL's reward of states is the true one up to a constant.",
        metric="reward_error",
        arms=ARMS,
        cases=(DETERMINISTIC,),
        higher_is_better=False,
        unit="largest difference, means removed",
        where="theorem C.1, figure 1",
        expect=(at_most("airl state", 0.01, statistic="max"), at_least("airl pair", 0.1, statistic="min")),
        **EXACT,
    ),
    Claim(
        id="transfers",
        text="Where actions mean something else, a reward of states is worth the optimal return and a reward of pairs "
        "little more than acting at random.",
        metric="transfer",
        arms=ARMS,
        cases=(DETERMINISTIC, STOCHASTIC),
        unit="share of optimal less uniform",
        where="figure 2",
        expect=(
            at_least("airl state", 0.98, cases=(DETERMINISTIC,)),
            at_least("maxent state", 0.98, each=True),
            at_most("airl pair", 0.3, each=True),
            at_most("maxent pair", 0.3, each=True),
            at_most("advantage", 0.3, each=True),
        ),
    ),
    Claim(
        id="chance-defeats-it",
        text="Where outcomes are chance, AIRL's potential of the next state keeps it from the true reward, which "
        "maximum-entropy IRL finds; the potential's expectation under a model restores it.",
        source="newsletter",
        metric="reward_error",
        arms=("maxent state", "airl state", "airl corrected"),
        cases=(STOCHASTIC,),
        higher_is_better=False,
        unit="largest difference, means removed",
        expect=(
            at_least("airl state", 0.1),
            at_most("maxent state", 0.01, statistic="max"),
            at_most("airl corrected", 0.01, statistic="max"),
        ),
        **EXACT,
    ),
    Claim(
        id="maze",
        text="A reward of states learned where the way is on the left brings a fresh policy to the target where it "
        "is on the right; rewards of actions, trajectory discriminators and copied policies do not.",
        metric="transfer_return",
        arms=("true reward", *METHODS),
        cases=("maze",),
        scope="scaled-down",
        unit="return",
        where="table 1",
        paper_values=PAPER_MAZE,
        expect=(
            at_least("airl state", -13),
            better("airl state", than="true reward", by=-5),
            *(at_most(arm, -22) for arm in METHODS if not arm.startswith("airl state")),
        ),
    ),
    Claim(
        id="self-transfer",
        text="Optimised anew where it was learned, a reward brings back what was shown if the discriminator remembers "
        "300,000 transitions, all of the quick size; with the last 20,000 alone it does not.",
        source="newsletter",
        metric="self_return",
        arms=("true reward", *METHODS),
        cases=("maze",),
        scope="scaled-down",
        unit="return",
        where="does the reward say what was wanted",
        expect=(at_least("airl state, long memory", -10), better("airl state, long memory", than="airl state", by=5)),
    ),
    Claim(
        id="imitates",
        text="Where nothing changes, AIRL imitates as well as GAIL, and GAN-GCL less well.",
        metric="imitation_share",
        arms=tuple(METHODS),
        cases=("maze",),
        scope="substitute",
        unit="share of the expert's return",
        where="table 2",
        expect=(
            close("airl pair", to="gail policy", tolerance=0.1),
            close("airl state", to="gail policy", tolerance=0.1),
            better("airl pair", than="gan_gcl pair", by=0.1),
        ),
    ),
    Claim(
        id="swimmer",
        text="With drag along and across the body swapped, a copied policy swims backwards, and a learned reward of "
        "states brings more than one of pairs.",
        metric="transfer_return",
        arms=("true reward", *METHODS),
        cases=("swimmer",),
        scope="substitute",
        unit="return",
        where="table 1, the disabled ant",
        expect=(
            at_most("gail policy", 0.0),
            better("airl state", than="airl pair"),
            at_least("airl state", 0.62),  # three fifths of what the oracle earns
        ),
    ),
)


def jobs(size: Size, seeds: int | None) -> list[Job]:
    """All the work behind the claims."""
    return [*tabular_jobs(size, seeds), *transfer_jobs(size, seeds)]


PANELS = (
    ("self-transfer", "maze", "Optimised anew\nin the same maze", "return"),
    ("maze", "maze", "... and where the way\nis on the other side", "return"),
    ("transfers", STOCHASTIC, "... and in random MDPs,\nactions permuted", "share of optimal"),
)


def reward_map(scores: Scores, arm: str) -> np.ndarray | None:
    """An arm's standardised reward over the maze, the mean over seeds; nothing if no seed has one."""
    maps = [np.asarray(values) for _, values in scores.curves("reward_map", arm, "maze").values()]
    if not maps:
        return None
    return np.mean([(g - g.mean()) / max(float(g.std()), 1e-9) for g in maps], axis=0)


def draw_map(axes: "Axes", values: np.ndarray) -> None:
    """A reward over the maze of training, with its barrier, start and target."""
    extent = (maze.LOW, maze.HIGH, maze.LOW, maze.HIGH)
    axes.imshow(values.reshape(GRID, GRID), origin="lower", extent=extent, cmap="cividis", interpolation="nearest")
    axes.plot(maze.BARRIERS["left"], [maze.BARRIER_Y] * 2, color="white", linewidth=4)
    axes.plot(*maze.START, "o", color="white", markersize=5)
    axes.plot(*maze.TARGET, "*", color="white", markersize=10)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)


def figure(scores: Scores) -> "Figure":
    """The learned rewards beside the true one, what they are worth in the other maze, and the exact claims."""
    from matplotlib.figure import Figure

    from theodolite.core import figures  # matplotlib loads slowly, and worker processes do without

    distance = np.hypot(*(cells() - np.array(maze.TARGET)).T)
    drawn = {"true": -(distance - distance.mean()) / distance.std()}
    arms = "airl state", "airl state, long memory", "airl pair"
    drawn |= {arm: m for arm in arms if (m := reward_map(scores, arm)) is not None}
    exact = [c for c in CLAIMS if c.id in ("transfers", "chance-defeats-it", "maze", "swimmer")]
    if len(drawn) == 1:
        return figures.of_claims([c for c in exact if scores.cases(c.metric, c.arms)], scores)
    with figures.style():
        page = Figure(figsize=(figures.WIDTH, 7.2), layout="constrained")
        halves: Any = page.subfigures(2, 1, height_ratios=(1, 1.35))  # an array of them, which its types do not say
        top, bottom = halves
        for axes, (name, values) in zip(top.subplots(1, len(drawn)), drawn.items(), strict=True):
            draw_map(axes, values)
            axes.set_title(name.replace(", ", ",\n"))
        top.suptitle("The reward over the maze where it was learned: barrier, start and target in white", fontsize=10)
        by_id = {c.id: c for c in CLAIMS}
        panels = bottom.subplots(1, 3)
        for axes, (name, case, title, unit) in zip(panels, PANELS, strict=True):
            figures.rows_of_dots(axes, by_id[name], scores, [case])
            axes.set_title(title)
            axes.set_xlabel(unit)
        panels[1].tick_params(labelleft=False)  # the arms are those of the first panel
    return page


ITEM = Item(
    name="airl",
    edition="an17",
    module=__name__,
    title="Adversarial inverse reinforcement learning",
    category="Learning human intent",
    papers=(airl.PAPER, gan_gcl.PAPER),
    claims=CLAIMS,
    jobs=jobs,
    figure=figure,
    summary="A discriminator built such that its optimum contains a reward of states, free of the dynamics it was "
    "learned in; that reward can be optimised again after the world has changed.",
    equation="D(s,a,s') = exp f / (exp f + π(a|s)),   f = g(s) + γ h(s') - h(s)",
    how_to=(
        "theodolite run airl",
        "theodolite train airl --env PointMaze-WayLeft-v1 --demos my_demos --out runs/left",
        "theodolite train ppo --env PointMaze-WayRight-v1 --reward runs/left --temperature 1 --squash",
    ),
    notes=(
        "Random MDPs: exact occupancies and best responses in the place of samples; actions are permuted for the "
        "test, because dynamics drawn afresh keep the good action where it was.",
        "Maze: PPO with a squashed Gaussian instead of TRPO, 300,000 steps per phase in quick, 600,000 in full; "
        "observations show the velocity; returns are of the policy's mode.",
        "States of the maze are positions and velocities. The claim on the discriminator's memory was conceived, and "
        "its margins set, after runs on seeds 1000 to 1003; the transfer of the other arms on the seeds reported had "
        "been seen once before, with the same settings and margins.",
        "Learned rewards are high at the target, but also in corners that nobody visited: most fresh policies go there "
        "or stop at the barrier, and 4 of 20 find the target. A linear reward, one of positions alone, noisier "
        "experts, weight decay and other temperatures of the fresh policy, on other seeds, did not mend it.",
        "The swimmer's reward of states was to bring more than that of pairs; that it be worth three fifths of the "
        "oracle was added after the results, since any difference is too kind a margin.",
        "A swimmer with swapped drag stands in for the disabled ant. Its rewards are small, and at the maze's price of "
        "entropy no expert swims: a first run like that (oracle 0.06 where 1.1 can be had), on the same seeds, said "
        "nothing and was thrown away.",
        "GAIL's discriminator pays its logit here, the reward that does not care how an episode ends.",
    ),
)
