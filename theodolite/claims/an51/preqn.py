"""Achiam et al. 2019: when deep Q-learning contracts, and a critic's step that makes it contract on its batch."""

from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from theodolite.claims.an51 import preqn_control, preqn_cost, preqn_tabular, preqn_theory
from theodolite.claims.an51.preqn_claims import CLAIMS, EVERY
from theodolite.control import counterexamples, dqn, preqn, sac, td3
from theodolite.core.claim import Item, Job, Size
from theodolite.core.scores import Scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MUJOCO = find_spec("envpool") is not None
"""Whether HalfCheetah's pairs and the tasks of MuJoCo can be had."""


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
    choosing_steps: int
    """On CartPole."""
    arms: tuple[str, ...] = preqn_control.ARMS
    choosing: tuple[str, ...] = preqn_control.CHOOSING
    games: tuple[str, ...] = ()
    game_steps: int = 0
    game_seeds: int = 0


GAMES = ("InvertedDoublePendulum", "HalfCheetah")
GAME_ARMS = ("PreQN", "no preconditioning", "DDPG, no target", "TD3", "SAC")
BUDGETS: dict[Size, Budget] = {
    "smoke": Budget(1, 10, 50, ("Pendulum-v1",), (8, 16), (1, 2), ("cliffwalk",), 3, ("cliffwalk",), 3, (8,),
                    ("cliffwalk",), preqn_tabular.ARCHITECTURES[:2], 20, ("64 64/64",), 1_100, 1,
                    1_200, ("PreQN", "DDPG, no target"), ("PreQ-DQN",)),
    "quick": Budget(10, 100, 5_000, ("Pendulum-v1", "HalfCheetah-v5"), preqn_theory.WIDTHS, preqn_theory.DEPTHS, EVERY,
                    150, ("grid", "pendulum"), 300, preqn_tabular.BATCHES, EVERY[:3], preqn_tabular.ARCHITECTURES, 600,
                    tuple(preqn_cost.SHAPES), 20_000, 10, 24_000, games=GAMES, game_steps=30_000, game_seeds=3),
    "full": Budget(20, 200, 20_000, ("Pendulum-v1", "HalfCheetah-v5", "LinkSwimmer-v0"), preqn_theory.WIDTHS,
                   preqn_theory.DEPTHS, EVERY, 500, ("cliffwalk", "grid", "pendulum"), 1_000, preqn_tabular.BATCHES,
                   EVERY, preqn_tabular.ARCHITECTURES, 2_000, tuple(preqn_cost.SHAPES), 50_000, 10, 100_000,
                   games=GAMES, game_steps=100_000, game_seeds=5),
}  # fmt: skip


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
    for arm in b.choosing:
        add(arm, "CartPole", 40, partial(preqn_control.study, arm), b.choosing_steps, seeds=few)
    for case in b.games if MUJOCO else ():
        for arm in GAME_ARMS:
            for seed in range(seeds or b.game_seeds):
                add(arm, case, 600, partial(preqn_control.study, arm), b.game_steps, seeds=(seed,))
    return found


def figure(scores: Scores) -> "Figure":
    """From what is learned to what a step does off its batch."""
    from theodolite.claims.an51 import preqn_figure

    return preqn_figure.figure(scores)


ITEM = Item(
    name="preqn",
    edition="an51",
    module=__name__,
    title="Divergence in deep Q-learning, and PreQN",
    category="Reinforcement learning",
    papers=(preqn.PAPER, counterexamples.BAIRD, counterexamples.TSITSIKLIS, td3.PAPER, sac.PAPER, dqn.PAPER),
    claims=CLAIMS,
    jobs=jobs,
    figure=figure,
    summary="To first order a step of Q-learning moves all values by their errors, times the data, times the network's "
    "tangent kernel; large entries off its diagonal make it diverge. Multiplying the errors of a batch by the kernel's "
    "inverse makes values on the batch move as a table's would. The paper finds that continuous control then works "
    "without target networks; what came out here is in the verdicts.",
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
        "Control is Pendulum-v1 with networks of (64, 64), batches of 64, a step per transition, and Adam at 1e-3 in "
        "every arm; where EnvPool is installed, also two tasks of MuJoCo at (128, 128), a step per two transitions, "
        "three seeds of 30,000 steps at size quick and five of 100,000 at size full.",
        "'No preconditioning' is a damping of the size of the batch times the kernel's diagonal and no line search: "
        "the semi-gradient at about its largest stable rate.",
        "That control without target network and preconditioner diverges is what the paper says, and was made an "
        "expectation here only after ten seeds on Pendulum had been seen not to. 'DDPG, no target' steps by Adam; how "
        "often it diverges is recorded, and no claim had foretold it.",
        "A run has diverged if its values pass ten times what the largest reward seen, paid for ever, would be worth; "
        "one that does not stay finite is given the worst return of its task.",
        "'Right across' and 'still across' solve for two batches at once, and ask the second to move by its own errors "
        "or not to move; both make it as dear as a batch of twice the size. In a trial on another seed the test of "
        "alignment refused every step of 'still across': batches of one memory are too alike for the one to move "
        "without the other. Its low return then says that there are no such steps, and not what they would teach.",
        "With choices: CartPole-v1, a step per four transitions, DQN at the settings of `distributional`; target "
        "networks are copied every 100 steps, or without them every step.",
        "Networks of many shapes learn by plain steps at the largest rate at which regression on fixed targets would "
        "not oscillate when fresh.",
        "Whole tables: small versions of the worlds of `diagnosing`, hard maximum, and ten plain steps for one with a "
        "kernel; an error above ten times Q* counts as ten.",
        "Costs are processor time of one thread, critics only, targets and slow copies included; PreQN's is the "
        "dearest case, in which every size of the step is tried.",
    ),
)
