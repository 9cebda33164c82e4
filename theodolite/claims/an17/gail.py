"""Ho & Ermon 2016: imitation is occupancy matching, and a discriminator does it from few demonstrations."""

from typing import TYPE_CHECKING

from theodolite.claims.an17.gail_classic import CLASSIC, bias_jobs, imitation_jobs
from theodolite.claims.an17.gail_mujoco import ENVS, mujoco_jobs
from theodolite.claims.an17.gail_tabular import EXACT_CASE, tabular_jobs
from theodolite.core.claim import Claim, Item, Job, Size, at_least, at_most, better, close
from theodolite.core.scores import Scores
from theodolite.intent import apprenticeship, gail

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLASSIC_CASES = tuple(f"{task}/{count}" for task in CLASSIC for count in (1, 4, 7, 10))
MUJOCO_CASES = tuple(f"{env}/{count}" for env in ENVS for count in (4, 25))
STUCK = 0.05
"""A run is stuck if it stays within 5% of the uniform policy: at -200 on Acrobot and MountainCar."""
SHARE = "share of the expert's return"

PAPER_RETURNS = {
    "CartPole-v0": {"random": 18.64, "expert": 200.0, "bc": (72.02, 169.18, 188.60, 177.19),
                    "fem": (200.0, 200.0, 200.0, 199.75), "gtal": (200.0, 200.0, 199.94, 200.0),
                    "gail": (200.0, 200.0, 200.0, 200.0)},
    "Acrobot-v0": {"random": -200.0, "expert": -75.25, "bc": (-130.60, -93.20, -96.92, -95.09),
                   "fem": (-133.14, -94.21, -95.08, -77.22), "gtal": (-81.35, -94.80, -95.75, -94.32),
                   "gail": (-77.26, -83.12, -82.56, -78.91)},
    "MountainCar-v0": {"random": -200.0, "expert": -98.75, "bc": (-136.76, -133.25, -127.34, -123.14),
                       "fem": (-100.97, -99.29, -100.65, -100.48), "gtal": (-115.48, -143.58, -128.96, -120.05),
                       "gail": (-101.55, -101.35, -99.90, -100.83)},
}  # fmt: skip
"""Table 3 of the paper: mean return of 7 runs for 1, 4, 7 and 10 demonstrated episodes."""
PAPER_MUJOCO = {
    "Hopper-v5": {"random": 14.47, "expert": 3571.38, "bc": (50.57, 3383.96), "gail": (3614.22, 3560.85)},
    "HalfCheetah-v5": {"random": -282.43, "expert": 4463.46, "bc": (-493.62, 3718.58), "gail": (4515.70, 4840.07)},
}
"""The same table for 4 and 25 episodes, on the v1 tasks of 2016: only shares of the expert's return compare."""


def as_shares(table: dict, counts: tuple[int, ...]) -> dict[tuple[str, str], float]:
    """The paper's returns between its own random policy (0) and its own expert (1)."""
    shares = {}
    for task, line in table.items():
        low, high = line["random"], line["expert"]
        for arm, values in line.items():
            per_count = values if isinstance(values, tuple) else (values,) * len(counts)
            for count, value in zip(counts, per_count, strict=True):
                shares[arm, f"{task}/{count}"] = round((value - low) / (high - low), 3)
    return shares


IMITATION = {
    "metric": "normalised_return",
    "arms": ("random", "expert", "bc", "fem", "gtal", "gail"),
    "cases": CLASSIC_CASES,
    "unit": SHARE,
    "level": "demonstrated episodes",
    "where": "table 3",
    "paper_values": as_shares(PAPER_RETURNS, (1, 4, 7, 10)),
}

CLAIMS = (
    Claim(
        id="few-demonstrations",
        text="GAIL imitates the expert on classic control from as little as one thinned-out episode.",
        expect=tuple(at_least("gail", 0.9, cases=(f"{task}/*",)) for task in CLASSIC),
        **IMITATION,
    ),
    Claim(
        id="never-collapses",
        text="No GAIL run gets stuck near the uniform policy, while FEM and GTAL runs do on Acrobot or MountainCar.",
        expect=(
            at_least("gail", STUCK, statistic="min"),
            at_most("fem", STUCK, statistic="min", cases=("Acrobot-v0/*", "MountainCar-v0/*")),
            at_most("gtal", STUCK, statistic="min", cases=("Acrobot-v0/*", "MountainCar-v0/*")),
        ),
        **IMITATION,
    ),
    Claim(
        id="cloning-needs-more",
        text="Behavioural cloning of one thinned-out episode falls far short of the expert.",
        expect=(
            at_most("bc", 0.6, cases=("CartPole-v0/1",)),
            at_most("bc", 0.8, cases=("Acrobot-v0/1",)),
            at_most("bc", 0.8, cases=("MountainCar-v0/1",)),
            better("gail", than="bc", by=0.1, cases=("*/1",)),
        ),
        **IMITATION,
    ),
    Claim(
        id="mujoco",
        text="GAIL imitates Hopper and HalfCheetah from 4 thinned-out episodes, where behavioural cloning fails.",
        metric="normalised_return",
        arms=("random", "expert", "bc", "gail"),
        cases=MUJOCO_CASES,
        scope="scaled-down",
        unit=SHARE,
        level="demonstrated episodes",
        where="table 3",
        paper_values=as_shares(PAPER_MUJOCO, (4, 25)),
        expect=(
            *(at_least("gail", 0.7, cases=(f"{env}/*",)) for env in ENVS),
            *(at_most("bc", 0.2, cases=(f"{env}/4",)) for env in ENVS),
        ),
    ),
    Claim(
        id="one-convex-problem",
        text="RL on the cost that ψ-regularised IRL finds is the policy whose occupancy minimises -λH + ψ*.",
        metric="occupancy_difference",
        arms=("constant", "l2_ball", "simplex", "logistic", "exponential", "quadratic"),
        cases=(EXACT_CASE,),
        exact=True,
        higher_is_better=False,
        unit="largest difference of the two occupancies",
        where="proposition 3.1",
        expect=tuple(
            at_most(psi, 1e-4, statistic="max")
            for psi in ("constant", "l2_ball", "simplex", "logistic", "exponential", "quadratic")
        ),
    ),
    Claim(
        id="constant-psi-matches-exactly",
        text="Without regularisation (ψ constant) the imitator's occupancy is the expert's.",
        metric="matching_error",
        arms=("constant",),
        cases=(EXACT_CASE,),
        exact=True,
        higher_is_better=False,
        unit="largest difference to the expert's occupancy",
        where="corollary 3.2.1",
        expect=(at_most("constant", 1e-6, statistic="max"),),
    ),
    Claim(
        id="discriminator-is-jensen-shannon",
        text="The conjugate of ψ_GA is the Jensen-Shannon divergence of the occupancies: 2 JS - 2 log 2.",
        metric="js_error",
        arms=("logistic",),
        cases=(EXACT_CASE,),
        exact=True,
        higher_is_better=False,
        unit="nats",
        where="equation (15)",
        expect=(at_most("logistic", 1e-6, statistic="max"),),
    ),
    Claim(
        id="survival-bias",
        text="The sign of the learned reward imitates by itself where episodes may end: a positive one keeps the pole "
        "up with no demonstrator behind it. A fixed horizon or a judged absorbing state takes the bias away.",
        metric="normalised_return",
        arms=("softplus", "logsigmoid"),
        unit=SHARE,
        level="kind of horizon",
        where="section 2.2; Kostrikov et al. 2019",
        expect=(
            at_least("softplus", 1 / 3, cases=("CartPole-v0, random shown/variable",)),
            at_most("softplus", 1 / 3, cases=("CartPole-v0, random shown/fixed",)),
            at_most("softplus", 1 / 3, cases=("CartPole-v0, random shown/absorbing",)),
            better("softplus", than="logsigmoid", by=0.1, cases=("CartPole-v0, expert shown/variable",)),
            better("logsigmoid", than="softplus", by=0.1, cases=("MountainCar-v0, expert shown/variable",)),
            *(at_least(arm, 0.8, cases=("*, expert shown/absorbing",)) for arm in ("softplus", "logsigmoid")),
        ),
    ),
    Claim(
        id="exact-matching-needs-data",
        text="In a stochastic world matching a sampled occupancy exactly imitates badly when demonstrations are few; "
        "ψ_GA degrades less, and the two meet as demonstrations grow.",
        source="newsletter",
        scope="toy",
        metric="share_of_expert",
        arms=("psi projection", "psi read_off", "psi logistic", "psi quadratic"),
        unit=SHARE,
        level="demonstrated episodes",
        expect=(
            *(
                better("psi logistic", than="psi projection", by=0.05, cases=(f"stochastic MDPs/{n}",))
                for n in (1, 2, 4)
            ),
            close("psi projection", to="psi logistic", tolerance=0.05, cases=("stochastic MDPs/256",)),
        ),
    ),
)


def jobs(size: Size, seeds: int | None) -> list[Job]:
    """All the work behind the claims."""
    return [job for part in (imitation_jobs, bias_jobs, tabular_jobs, mujoco_jobs) for job in part(size, seeds)]


DRAWN = ("few-demonstrations", "mujoco", "survival-bias", "exact-matching-needs-data")
"""The claims of the figure; the others speak of the same scores, or of differences near zero."""


def figure(scores: Scores) -> "Figure":
    """One row per drawn claim."""
    from theodolite.core import figures  # matplotlib loads slowly, and worker processes do without

    return figures.of_claims([claim for claim in CLAIMS if claim.id in DRAWN], scores)


ITEM = Item(
    name="gail",
    edition="an17",
    module=__name__,
    title="Generative adversarial imitation learning",
    category="Learning human intent",
    papers=(gail.PAPER, apprenticeship.PAPER),
    claims=CLAIMS,
    jobs=jobs,
    figure=figure,
    summary="Imitation without a reward: a discriminator learns to tell the expert's state-action pairs from the "
    "policy's, and the policy is trained by reinforcement learning to be taken for the expert.",
    equation="min_π max_D  E_π[log(1 - D(s,a))] + E_E[log D(s,a)] - λ H(π)",
    how_to=(
        "theodolite run gail",
        "theodolite train gail --env Hopper-v5 --demos my_demos",
    ),
    notes=(
        "Rollouts continue across updates, and time limits bootstrap from the true final observation; the released "
        "code collects whole episodes and sets the value after a time limit to 0.",
        "The value function does not see the time step.",
        "MuJoCo: the v5 tasks through EnvPool, PPO as learner, 2.5 million steps instead of 25 million.",
    ),
)
