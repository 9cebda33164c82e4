"""Achiam et al. 2019: when deep Q-learning contracts, and a critic's step that makes it contract on its batch."""

from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from theodolite.claims.an51 import preqn_control, preqn_cost, preqn_tabular, preqn_theory
from theodolite.control import counterexamples, preqn, sac, td3
from theodolite.core.claim import Claim, Expectation, Item, Job, Size, at_least, at_most, better, close, lower
from theodolite.core.scores import Scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MUJOCO = find_spec("envpool") is not None
"""Whether HalfCheetah's pairs can be had."""
NETS = ("relu", "tanh", "sin")
PLAIN = ("SGD, small steps", "SGD, large steps")
NO_TARGET = ("PreQN, no line search", "PreQN, relu", "no preconditioning", "DDPG, no target")
KERNEL: dict[str, Any] = {"arms": NETS, "statistic": "mean", "where": "section on kernels of fresh networks"}
SCORE: dict[str, Any] = {
    "metric": "score", "arms": preqn_control.ARMS, "scope": "scaled-down",
    "unit": "return of the noiseless policy: 0 poor, 1 solved",
}  # fmt: skip
HELD_OUT: dict[str, Any] = {
    "source": "newsletter", "scope": "substitute", "arms": tuple(preqn_tabular.DAMPINGS), "statistic": "mean",
    "level": "pairs of a batch",
}  # fmt: skip


@dataclass(frozen=True)
class Budget:
    """What a size covers."""

    seeds: int
    """Of everything but control."""
    draws: int
    operator_steps: int
    scanned: tuple[str, ...]
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    worlds: tuple[str, ...]
    table_steps: int
    """With a kernel; plain ones are ten times as many."""
    swept: tuple[str, ...]
    sweep_steps: int
    batches: tuple[int, ...]
    foretold: tuple[str, ...]
    """Worlds on which networks of many shapes learn by plain steps."""
    shapes: tuple[preqn_tabular.Shape, ...]
    shape_steps: int
    timed: tuple[str, ...]
    control_steps: int
    control_seeds: int
    arms: tuple[str, ...] = preqn_control.ARMS
    games: tuple[str, ...] = ()
    game_steps: int = 0
    game_seeds: int = 0


EVERY = tuple(preqn_tabular.WORLDS)
GAME_ARMS = ("PreQN", "DDPG, no target", "TD3", "SAC")
BUDGETS: dict[Size, Budget] = {
    "smoke": Budget(1, 10, 50, ("Pendulum-v1",), (8, 16), (1, 2), ("cliffwalk",), 3, ("cliffwalk",), 3, (8,),
                    ("cliffwalk",), preqn_tabular.ARCHITECTURES[:2], 20, ("64 64/64",), 1_100, 1,
                    ("PreQN", "DDPG, no target")),
    "quick": Budget(10, 100, 5_000, ("Pendulum-v1", "HalfCheetah-v5"), preqn_theory.WIDTHS, preqn_theory.DEPTHS, EVERY,
                    150, ("grid", "pendulum"), 300, preqn_tabular.BATCHES, EVERY[:3], preqn_tabular.ARCHITECTURES, 600,
                    tuple(preqn_cost.SHAPES), 20_000, 10),
    "full": Budget(20, 200, 20_000, ("Pendulum-v1", "HalfCheetah-v5", "LinkSwimmer-v0"), preqn_theory.WIDTHS,
                   preqn_theory.DEPTHS, EVERY, 500, ("cliffwalk", "grid", "pendulum"), 1_000, preqn_tabular.BATCHES,
                   EVERY, preqn_tabular.ARCHITECTURES, 2_000, tuple(preqn_cost.SHAPES), 50_000, 10,
                   games=("InvertedDoublePendulum", "HalfCheetah"), game_steps=100_000, game_seeds=3),
}  # fmt: skip

CLAIMS = (
    Claim(
        id="counter-examples",
        text="Baird's star diverges by semi-gradients and converges by the preconditioned step. Two states that share "
        "one feature diverge by both, and the test of alignment stops them; a feature that tells them apart mends it.",
        metric="growth",
        arms=("semi-gradient", "preconditioned", "preconditioned, aligned"),
        cases=tuple(preqn_theory.WORLDS),
        statistic="mean",
        exact=True,
        higher_is_better=False,
        unit="log10 of how many times the error grew",
        expect=(
            at_least("semi-gradient", 6.0, cases=("Baird's star", "two states"), each=True),
            at_most("preconditioned", -6.0, cases=("Baird's star", "two states, told apart"), each=True),
            at_least("preconditioned", 6.0, cases=("two states",)),
            close("preconditioned, aligned", 0.0, 1e-6, cases=("two states",)),
        ),
    ),
    Claim(
        id="modulus",
        text="With a constant kernel no draw with β < 1 diverges, and the larger β the more do.",
        where="theorem 2",
        metric="diverged",
        arms=tuple(preqn_theory.BANDS),
        statistic="mean",
        higher_is_better=False,
        unit="share of random worlds, data, steps and kernels that diverge",
        expect=(
            at_most("β < 1", 0.0, statistic="max", cases=("linear",)),
            better("2 to 10", than="1 to 2", cases=("linear",)),
            better("above 10", than="2 to 10", cases=("network",)),
        ),
    ),
    Claim(
        id="kernel-diagonal",
        text="Fresh networks: relu has the largest diagonal, it learns fastest.",
        metric="mean_log_diagonal",
        unit="log10 of the kernel's mean diagonal",
        expect=tuple(better("relu", than=other, each=True) for other in NETS[1:]),
        **KERNEL,
    ),
    Claim(
        id="kernel-rows",
        text="Relu generalises most aggressively, and sines least.",
        metric="mean_ratio",
        higher_is_better=False,
        unit="mean row ratio",
        expect=(better("relu", than="tanh", each=True), lower("sin", than="tanh", each=True)),
        **KERNEL,
    ),
    Claim(
        id="diagonal-grows-with-width",
        text="The diagonal grows with width.",
        metric="width_diagonal",
        unit="log10 of the diagonal, per doubling of width",
        expect=tuple(at_least(net, 0.0, each=True) for net in NETS),
        **KERNEL,
    ),
    Claim(
        id="diagonal-shrinks-with-depth",
        text="The diagonal shrinks with depth.",
        metric="depth_diagonal",
        higher_is_better=False,
        unit="log10 of the diagonal, per layer",
        expect=tuple(at_most(net, 0.0, each=True) for net in NETS),
        **KERNEL,
    ),
    Claim(
        id="rows-grow-with-depth",
        text="The row ratio grows with depth.",
        metric="depth_ratio",
        unit="row ratio, per layer",
        expect=tuple(at_least(net, 0.0, each=True) for net in NETS),
        **KERNEL,
    ),
    Claim(
        id="rows-and-width",
        text="The row ratio has no clear trend with width.",
        metric="width_ratio",
        unit="row ratio, per doubling of width",
        expect=tuple(close(net, 0.0, 0.02, each=True) for net in NETS),
        **KERNEL,
    ),
    Claim(
        id="tables-stay-finite",
        text="Whole tables as batches, no target network: PreQN never diverges, plain steps do on some world.",
        metric="diverged",
        scope="substitute",
        arms=tuple(preqn_tabular.RULES),
        cases=EVERY,
        statistic="mean",
        higher_is_better=False,
        unit="share of runs",
        expect=(at_most("PreQN", 0.0, statistic="max"), lower("PreQN", than="SGD, large steps")),
    ),
    Claim(
        id="tables-error",
        text="It ends nearer to Q* than plain steps of about the same cost, and the line search does not hurt.",
        metric="log_error",
        scope="substitute",
        arms=tuple(preqn_tabular.RULES),
        cases=EVERY,
        statistic="mean",
        higher_is_better=False,
        unit="log10 of the largest error, share of the largest Q*",
        expect=(
            *(lower("PreQN", than=arm, by=0.3) for arm in PLAIN),
            Expectation("PreQN is at most 0.1 above its version without line search", "PreQN", high=0.1,
                        than="PreQN, no line search", lower_wins=True),
        ),
    ),
    Claim(
        id="on-par",
        text="Without target network, twin critics or Adam for its critic PreQN keeps up with TD3 and SAC.",
        expect=tuple(better("PreQN", than=other, by=-0.1, each=True) for other in ("TD3", "SAC")),
        **SCORE,
    ),
    Claim(
        id="needs-its-preconditioner",
        text="Without target network and without the preconditioner returns are lower.",
        expect=(
            better("PreQN", than="no preconditioning", cases=("Pendulum",)),
            better("PreQN", than="DDPG, no target", each=True),
        ),
        **SCORE,
    ),
    Claim(
        id="needs-its-parts",
        text="The line search and sines are needed: without the one or the other returns are lower.",
        expect=tuple(better("PreQN", than=arm, cases=("Pendulum",)) for arm in NO_TARGET[:2]),
        **SCORE,
    ),
    Claim(
        id="no-seed-fails",
        text="Every seed of PreQN solves the task.",
        expect=(at_least("PreQN", 0.8, statistic="min", cases=("Pendulum",)),),
        **SCORE,
    ),
    Claim(
        id="cost",
        text="A step of the critic costs at most three times one of TD3's critics at (256, 256) and batches of 256.",
        source="newsletter",
        metric="relative_cost",
        arms=("PreQN", "PreQN, no line search"),
        cases=tuple(preqn_cost.SHAPES),
        higher_is_better=False,
        unit="processor time, in TD3's steps",
        level="batch",
        expect=(at_most("PreQN", 3.0, cases=("256 256/256",)),),
    ),
    Claim(
        id="still-generalises",
        text="Generalisation is suppressed inside the batch only: off the batch values still move along their errors.",
        metric="held_out_alignment",
        unit="cosine of change and error on pairs that were not in the batch",
        expect=tuple(at_least("λ = 1e-5", 0.0, cases=(f"{world}/{b}",)) for world in ("grid", "pendulum")
                     for b in (8, 32, 128)),
        **HELD_OUT,
    ),
    Claim(
        id="spills-less",
        text="A preconditioned step moves what it does not see less than a semi-gradient does.",
        metric="spill",
        higher_is_better=False,
        unit="change off the batch over change on it",
        expect=tuple(lower("λ = 1e-5", than="semi-gradient", cases=(f"*/{b}",)) for b in (8, 32, 128)),
        **HELD_OUT,
    ),
    Claim(
        id="inner-optimum",
        text="Some damping is best: an error between those of full preconditioning and of the semi-gradient is not.",
        metric="log_error",
        higher_is_better=False,
        unit="log10 of the largest error, share of the largest Q*",
        expect=tuple(lower("λ = 0.01", than=end, cases=("*/32",)) for end in ("λ = 1e-5", "semi-gradient")),
        **HELD_OUT,
    ),
    Claim(
        id="foretold",
        text="The kernel before the first step tells which shapes of network diverge.",
        source="newsletter",
        scope="substitute",
        metric="auc",
        arms=("β", "row ratio"),
        statistic="mean",
        unit="chance that a run which diverges has the larger number",
        expect=(at_least("β", 0.7), at_least("row ratio", 0.7)),
    ),
)  # fmt: skip


def jobs(size: Size, seeds: int | None) -> list[Job]:
    """One job per experiment and world, task or arm; every seed of a game by itself."""
    b = BUDGETS[size]
    who, few = tuple(range(seeds or b.seeds)), tuple(range(seeds or b.control_seeds))
    found: list[Job] = []

    def add(arm: str, case: str, cost: float, work: Any, *args: Any, seeds: tuple[int, ...] = who) -> None:
        found.append(Job(arm, case, seeds, partial(work, case, seeds, *args), cost=cost))

    for case in preqn_theory.WORLDS:
        add("counter-example", case, 5, preqn_theory.counterexample)
    for case in ("linear", "network"):
        add("operators", case, 30, preqn_theory.operators, b.draws, b.operator_steps)
    for case in (c for c in b.scanned if MUJOCO or c != "HalfCheetah-v5"):
        add("kernels", case, 40, preqn_theory.scan, b.widths, b.depths)
    for case in b.worlds:
        add("whole tables", case, 50, preqn_tabular.full_batch, b.table_steps)
    for case in b.foretold:
        add("shapes", case, 80, preqn_tabular.foretold, b.shape_steps, b.shapes)
    for case in b.swept:
        add("batches", case, 60, preqn_tabular.off_batch, b.sweep_steps, b.batches)
    for case in b.timed:
        add("cost", case, 10, preqn_cost.cost)
    for arm in b.arms:
        cost = 150 if "PreQN" in arm else 60
        add(arm, "Pendulum", cost, partial(preqn_control.study, arm), b.control_steps, seeds=few)
    for case in b.games:
        for arm in GAME_ARMS:
            for seed in range(seeds or b.game_seeds):
                add(arm, case, 600, partial(preqn_control.study, arm), b.game_steps, seeds=(seed,))
    return found


def figure(scores: Scores) -> "Figure":
    """Eleven panels, from what is learned to what a step does off its batch."""
    from theodolite.claims.an51 import preqn_figure

    return preqn_figure.figure(scores)


ITEM = Item(
    name="preqn",
    edition="an51",
    module=__name__,
    title="Divergence in deep Q-learning, and PreQN",
    category="Reinforcement learning",
    papers=(preqn.PAPER, counterexamples.BAIRD, counterexamples.TSITSIKLIS, td3.PAPER, sac.PAPER),
    claims=CLAIMS,
    jobs=jobs,
    figure=figure,
    summary="To first order a step of Q-learning moves all values by their errors, times the data, times the network's "
    "tangent kernel; large entries off its diagonal make it diverge. Multiplying the errors of a batch by the kernel's "
    "inverse makes values on the batch move as a table's would, and continuous control then works without target "
    "networks.",
    equation="K Z = Δ,   θ' = θ + α Σ Z_i ∇Q_i,   cos(ΔQ, Δ) ≥ η",
    how_to=("theodolite run preqn", "theodolite train preqn --env Pendulum-v1 --steps 20000"),
    notes=(
        "The paper has curves and no tables: there are no numbers of its own to set beside ours.",
        "η = 0.97 and sines for the critic are recalled from the paper, as are the numbers of pairs and shapes of the "
        "kernel study; the grid of steps (1 to 1/512) and the damping are ours.",
        "Kernels are of networks with weights and biases uniform within 1/√inputs, at raw observations and actions of "
        "a random policy; HalfCheetah's need EnvPool, and are left out where it is missing.",
        "The example of two states is one against least squares itself: a full batch does not mend it, since one "
        "feature cannot follow two errors. PreQN's test of alignment then refuses every step.",
        "At size quick control is Pendulum-v1 with networks of (64, 64), batches of 64, a step per transition, and "
        "Adam at 1e-3 in every arm; full adds two tasks of MuJoCo at (128, 128), a step per two transitions.",
        "'No preconditioning' is a damping of the size of the batch times the kernel's diagonal and no line search: "
        "the semi-gradient at about its largest stable rate.",
        "Whole tables: small versions of the worlds of `diagnosing`, hard maximum, and ten plain steps for one with a "
        "kernel; an error above ten times Q* counts as ten.",
        "Costs are processor time of one thread, critics only, targets and slow copies included; PreQN's is the "
        "dearest case, in which every size of the step is tried.",
    ),
)
