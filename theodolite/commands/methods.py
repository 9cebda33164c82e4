"""Every method that `train` knows, one row each; a new method is a new row.

The table needs no import of the methods, and so none of JAX, before one is chosen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from theodolite.core.errors import UserError, unknown

if TYPE_CHECKING:
    from theodolite.core.agent import Agent, Solver
    from theodolite.core.demos import Transitions
    from theodolite.core.env import Space
    from theodolite.intent.learned_reward import LearnedReward


class Parts(NamedTuple):
    """What a method is built from: its config, its learner, the expert's transitions, the space."""

    config: Any
    learner: "Agent | None"
    expert: "Transitions | None"
    space: "Space"


@dataclass(frozen=True)
class Method:
    """How the command line builds a method. `build(module, parts)` returns its Agent or Solver."""

    about: str
    module: str
    build: "Callable[[Any, Parts], Agent | Solver]"
    demos: bool = False
    """It learns from demonstrations."""
    learner: str | None = None
    """It needs a learner, and this is the one it takes if none is named."""
    preset: str | None = None
    """Where in the module its config lies, if the defaults of Config are not it."""
    fixed: tuple[str, ...] = ()
    """Fields of the config that make it this method and so are no flags."""
    steps_per_update: Callable[[Any], int] | None = None
    """For a Solver, which has no environment: what one update counts for, in the unit of --steps."""
    steps: int = 1_000_000
    """--steps if not given."""
    num_envs: int = 64
    """--num-envs if not given."""
    every: int = 10
    """--every if not given; more where a record costs much, as it does with a large replay."""
    normalise_obs: bool = True
    """--normalise-obs if not given; off where old observations are replayed beside new ones."""

    def defaults(self, learner: str | None = None) -> dict[str, Any]:
        """Settings of training whose default is the method's, or that of the learner that does the acting."""
        acting = METHODS.get(learner or self.learner or "", self)
        return {"steps": self.steps} | {name: getattr(acting, name) for name in ("num_envs", "every", "normalise_obs")}

    def load(self) -> Any:
        """The module of the method."""
        return import_module(self.module)

    @property
    def default(self) -> Any:
        """The config without any flag."""
        module = self.load()
        return getattr(module, self.preset) if self.preset else module.Config()


_OFF_POLICY: dict[str, Any] = {"num_envs": 1, "every": 100, "normalise_obs": False}

METHODS: dict[str, Method] = {
    "ppo": Method(
        "proximal policy optimisation",
        "theodolite.control.ppo",
        lambda module, p: module.agent(p.config),
    ),
    "trpo": Method(
        "trust-region policy optimisation",
        "theodolite.control.trpo",
        lambda module, p: module.agent(p.config),
    ),
    "dqn": Method(
        "deep Q-learning from replay, with its improvements as flags; actions are choices",
        "theodolite.control.dqn",
        lambda module, p: module.agent(p.config),
        normalise_obs=False,
    ),
    "c51": Method(
        "the same, learning the return's distribution on atoms",
        "theodolite.control.dqn",
        lambda module, p: module.agent(p.config),
        preset="C51",
        fixed=("head", "loss", "kappa"),
        normalise_obs=False,
    ),
    "qr_dqn": Method(
        "the same, learning the return's quantiles",
        "theodolite.control.dqn",
        lambda module, p: module.agent(p.config),
        preset="QR_DQN",
        fixed=("head", "loss", "support"),
        normalise_obs=False,
    ),
    "rainbow": Method(
        "the same with double targets, dueling, priorities, several steps and atoms at once",
        "theodolite.control.dqn",
        lambda module, p: module.agent(p.config),
        preset="RAINBOW",
        fixed=("head", "loss", "kappa"),
        normalise_obs=False,
    ),
    "dqn_minatar": Method(
        "plain deep Q-learning with the network and the optimiser that are usual for the games of MinAtar",
        "theodolite.control.dqn",
        lambda module, p: module.agent(p.config),
        preset="MINATAR",
        normalise_obs=False,
    ),
    "iqn": Method(
        "the same, learning the return's quantile at any level, averse to risk with --worst",
        "theodolite.control.iqn",
        lambda module, p: module.agent(p.config),
        normalise_obs=False,
    ),
    "td3": Method(
        "twin delayed deep deterministic policy gradient, from replay; actions are continuous",
        "theodolite.control.td3",
        lambda module, p: module.agent(p.config),
        **_OFF_POLICY,
    ),
    "ddpg": Method(
        "the same with one critic, neither smoothed nor delayed",
        "theodolite.control.td3",
        lambda module, p: module.agent(p.config),
        preset="DDPG",
        fixed=("twin", "policy_every", "smoothing", "smoothing_clip"),
        **_OFF_POLICY,
    ),
    "sac": Method(
        "soft actor-critic, from replay; actions are continuous",
        "theodolite.control.sac",
        lambda module, p: module.agent(p.config),
        **_OFF_POLICY,
    ),
    "a2oc": Method(
        "advantage option-critic: options learned by a deep network, averse to surprise with --psi",
        "theodolite.safety.a2oc",
        lambda module, p: module.agent(p.config),
    ),
    "a2c": Method(
        "the same without options, which is advantage actor-critic",
        "theodolite.safety.a2oc",
        lambda module, p: module.agent(p.config),
        preset="FLAT",
        fixed=("num_options", "epsilon", "deliberation_cost", "margin"),
    ),
    "preqn": Method(
        "preconditioned Q-networks: continuous control without target networks",
        "theodolite.control.preqn",
        lambda module, p: module.agent(p.config),
        **_OFF_POLICY,
    ),
    "preq_dqn": Method(
        "the same for actions that are choices",
        "theodolite.control.preq_dqn",
        lambda module, p: module.agent(p.config),
        normalise_obs=False,
    ),
    "bc": Method(
        "behavioural cloning",
        "theodolite.intent.bc",
        lambda module, p: module.solver(p.config, p.expert),
        demos=True,
        steps_per_update=lambda config: config.validate_every,
        steps=10_000,
    ),
    "gail": Method(
        "generative adversarial imitation learning, around a learner",
        "theodolite.intent.gail",
        lambda module, p: module.agent(p.config, p.learner, p.expert),
        demos=True,
        learner="trpo",
    ),
    "airl": Method(
        "adversarial inverse reinforcement learning: a reward that transfers, around a learner",
        "theodolite.intent.airl",
        lambda module, p: module.agent(p.config, p.learner, p.expert),
        demos=True,
        learner="trpo",
    ),
    "gan_gcl": Method(
        "guided cost learning as a GAN: AIRL on whole trajectories, around a learner",
        "theodolite.intent.gan_gcl",
        lambda module, p: module.agent(p.config, p.learner, p.expert),
        demos=True,
        learner="trpo",
    ),
    "fem": Method(
        "apprenticeship learning by feature expectation matching, around a learner",
        "theodolite.intent.apprenticeship",
        lambda module, p: module.agent(p.config, p.learner, p.expert, p.space),
        demos=True,
        learner="trpo",
        preset="FEM",
        fixed=("costs",),
    ),
    "gtal": Method(
        "game-theoretic apprenticeship learning, around a learner",
        "theodolite.intent.apprenticeship",
        lambda module, p: module.agent(p.config, p.learner, p.expert, p.space),
        demos=True,
        learner="trpo",
        preset="GTAL",
        fixed=("costs",),
    ),
}
LEARNERS = ("trpo", "ppo", "sac")
"""What can stand in for a learner: methods whose policy has a density, which learned rewards are weighed against."""
_UNFIT = "plays its best action, with options or exploration beside it"
ELSEWHERE = dict.fromkeys(
    ("safe_option_critic", "option_critic"),
    "Options are learned by a2oc, averse to surprise with --psi: theodolite train a2oc --env CartPole-v1 --psi 0.1. "
    "The tabular versions have no command; theodolite run safe_option_critic reruns what is claimed of them.",
)
"""Items whose method has another name here, and what to do."""


def find(name: str) -> Method:
    """The method of that name.

    Raises:
        UserError: nothing has the name.
    """
    if name in ELSEWHERE:
        raise UserError(f"method {name!r} has another name here. {ELSEWHERE[name]}")
    if name not in METHODS:
        raise unknown("method", name, METHODS, f"The methods are {', '.join(METHODS)}.")
    return METHODS[name]


def find_learner(name: str) -> Method:
    """The method of that name, if it can be a learner.

    Raises:
        UserError: it cannot.
    """
    these = f"The learners are {', '.join(LEARNERS)}."
    if name in METHODS and name not in LEARNERS:
        own = METHODS[name]
        raise UserError(
            f"{name} cannot be a learner, since it {'learns from demonstrations itself' if own.demos else _UNFIT}: "
            f"expected a policy that learns the density of its actions. {these}"
        )
    if name not in LEARNERS:
        raise unknown("learner", name, LEARNERS, these)
    return METHODS[name]


Traced = tuple[Any, Any, "Transitions | None", "LearnedReward | None"]
"""(own config, learner's config, demonstrations, what pays instead of the environment): a pytree, so that numbers and
data are traced and never recompile."""


@dataclass(frozen=True)
class Recipe:
    """Everything about an agent that is not traced; `make(traced)` builds it."""

    method: Method
    learner: Method | None
    space: "Space"
    normalise_obs: bool = True
    normalise_reward: bool = False

    @property
    def is_solver(self) -> bool:
        """It learns without an environment."""
        return self.method.steps_per_update is not None

    def make(self, traced: Traced) -> "Agent | Solver":
        """The agent or solver, with its wrappers; observation moments start from the expert's where there is one."""
        config, learner_config, expert, reward = traced
        if self.learner is not None:
            learner: Any = self.learner.build(self.learner.load(), Parts(learner_config, None, None, self.space))
            inner = self._wrapped(learner, learner_config, expert)
            return self.method.build(self.method.load(), Parts(config, inner, expert, self.space))
        agent: Any = self.method.build(self.method.load(), Parts(config, None, expert, self.space))
        if self.is_solver:
            return agent
        wrapped = self._wrapped(agent, config, expert)
        return wrapped if reward is None else self._paid(wrapped, reward)

    def _paid(self, agent: "Agent", reward: "LearnedReward") -> "Agent":
        from theodolite.intent import learned_reward

        return learned_reward.paid_by(partial(learned_reward.ground, reward), agent, self.space)

    def _wrapped(self, agent: "Agent", config: Any, expert: "Transitions | None") -> "Agent":
        from theodolite.core import normalise

        if self.normalise_reward:
            agent = normalise.normalise_reward(agent, config.discount)
        if self.normalise_obs and self.space.obs.dtype != "uint8":  # networks scale bytes themselves
            initial = None if expert is None else normalise.moments_of(expert.obs, expert.count)
            agent = normalise.normalise_obs(agent, initial)
        return agent


def check_wrappers(name: str, method: Method, normalise_reward: bool) -> None:
    """Refuse reward normalisation where rewards are learned.

    Raises:
        UserError: they are.
    """
    if normalise_reward and method.demos:
        raise UserError(
            f"normalise_reward does not go with {name}: its rewards are learned, or it has none. Leave the flag out."
        )
