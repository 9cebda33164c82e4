"""PreQN for choices: deep Q-learning whose steps move a batch as a table's would, without target network or Adam.

    Δ_i = R_i + γᵐ (1 - terminated) max_a Q(s'_i, a) - Q(s_i, a_i)                     errors by the present network
    K_ij = ∇Q(i)·∇Q(j),  K Z = Δ,  θ(α) = θ + α Σ_i Z_i ∇Q(i)              ΔQ = α Δ on the batch, to first order
    accept the largest α of a grid with cos(Q_θ(α) - Q_θ, Δ) ≥ η, or change nothing

The paper's operators are those of this learner: its analysis has finitely many actions, though its experiments have
continuous ones (see `preqn`). Damping turned up ends at the semi-gradient of DQN without a target network.

Differences from the paper:
1. The maximum over actions is exact, so there is no policy network; 2. exploration is DQN's ε-greedy; 3. the step and
its grid are those of PreQN here (see `preconditioning`), and rows of a batch are distinct; 4. rewards of several steps
may be summed; 5. observations are vectors.
"""

from functools import partial

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from theodolite.control import actor_critic, exploring, ntk, preconditioning
from theodolite.control.preconditioning import Solver
from theodolite.core import nets, replay
from theodolite.core.agent import Agent, Batch, RewardOf
from theodolite.core.arrays import Arrays, Metrics, PRNGKey
from theodolite.core.config import config, non_negative, one_of, positive, probability, require, sizes
from theodolite.core.env import Action, Discrete, Obs, Space
from theodolite.core.errors import UserError

PAPER = ntk.PAPER
METRICS = {
    "loss": "mean squared error of the values against their targets before the steps; 0 before learning starts",
    "value": "mean predicted return of the actions drawn from replay; 0 before learning starts",
    "alpha": "mean step α, 0 where none was accepted",
    "skipped": "share of steps for which no α was aligned",
    "alignment": "mean cosine of what accepted steps did to the values of the batch with its errors",
    "attainable": "the same for α → 0, which damping and cutoff cap: below η every step is skipped",
    "row_ratio": "mean row ratio of the batch's kernel: how far a plain step would move other pairs of the batch",
    "excess": "largest predicted return as a share of what the largest reward seen, paid for ever, would be worth: "
    "above 1 no policy can have such a value",
    "epsilon": "probability of a random action",
}


@config
class Config:
    """Hyper-parameters: those of the step are PreQN's, the others DQN's."""

    rollout: int = 1
    """Steps that each environment contributes to an update."""
    train_every: int = 8
    """Steps, of all environments together, per gradient step."""
    learning_starts: int = 1_000
    """Transitions in replay before the first gradient step."""
    replay: int = 100_000
    """Transitions that are kept."""
    batch_size: int = 64
    """Transitions in a gradient step."""
    discount: float = 0.99
    """γ, per step."""
    n_step: int = 1
    """Rewards that are summed before the bootstrap."""
    epsilon_start: float = 1.0
    """Probability of a random action at first."""
    epsilon_end: float = 0.05
    """The same in the end."""
    epsilon_steps: int = 10_000
    """Environment steps over which it falls."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the layers."""
    activation: nets.Activation = "sin"
    """Between the layers."""
    line_search: bool = True
    """Test the alignment; otherwise `first_alpha` is always taken."""
    eta: float = 0.97
    """η: least cosine of the change on the batch with its errors."""
    first_alpha: float = 1.0
    """The largest α that is tried."""
    decay: float = 0.5
    """From each α to the next smaller one."""
    tries: int = 10
    """Sizes of α that are tried, all at once."""
    solver: Solver = "cholesky"
    """How K Z = Δ is solved: by a Cholesky factor, or among the larger eigenvalues."""
    damping: float = 1e-5
    """λ: added to the kernel's diagonal, as a share of its mean; a large one ends at the semi-gradient."""
    cutoff: float = 1e-5
    """Eigenvalues below this share of the largest count as 0, where the solver is `eigen`."""

    def __post_init__(self):
        counts = ("rollout", "train_every", "replay", "batch_size", "n_step", "epsilon_steps")
        require(
            self,
            **dict.fromkeys(counts, positive),
            **dict.fromkeys(("discount", "epsilon_start", "epsilon_end"), probability),
            **preconditioning.CONSTRAINTS,
            learning_starts=non_negative,
            hidden=sizes(),
            activation=one_of(*nets.ACTIVATIONS),
        )


class State(Arrays):
    """The network, its replay, environment steps so far, and the largest size of a reward so far."""

    net: nets.MLP
    replay: replay.Replay
    steps: Int[Array, ""]
    largest_reward: Float[Array, ""]


def init(c: Config, key: PRNGKey, space: Space) -> State:
    """A fresh network, weights and biases uniform in ± 1/√fan-in, and an empty ring.

    Raises:
        UserError: actions are no choice, observations no vectors, or replay is too small.
    """
    kind = space.action
    if not isinstance(kind, Discrete):
        raise UserError(f"actions lie in {kind}, expected a choice among some: preqn is for continuous ones.")
    if len(space.obs.shape) != 1:
        raise UserError(
            f"observations have the shape {space.obs.shape}, expected vectors: the kernel is a sum over dense layers. "
            "Use dqn, or wrap the environment (gymnasium.wrappers.FlattenObservation, say)."
        )
    net = actor_critic.network(key, (*space.obs.shape, *c.hidden, kind.num), c.activation)
    return State(
        net, replay.empty(space, c.replay, c.rollout, learning_starts=c.learning_starts), jnp.int32(0), jnp.float32(0)
    )


def exploration(c: Config, s: State) -> Float[Array, ""]:
    """ε now."""
    return exploring.falling(c.epsilon_start, c.epsilon_end, c.epsilon_steps, s.steps)


def act(c: Config, s: State, obs: Obs, key: PRNGKey) -> tuple[Action, Float[Array, "..."]]:
    """The best action, or with probability ε any."""
    return exploring.drawn(key, mode(s, obs), exploration(c, s), _actions(s))


def mode(s: State, obs: Obs) -> Action:
    """The action of the largest value."""
    return jnp.argmax(s.net(obs), axis=-1).astype(jnp.int32)


def log_prob(c: Config, s: State, obs: Obs, action: Action) -> Float[Array, "..."]:
    """Log-probability of an action under the present ε, at least that of 1e-8."""
    return exploring.log_prob(exploration(c, s), _actions(s), action == mode(s, obs))


def _actions(s: State) -> int:
    return s.net.layers[-1].bias.shape[0]


def targets(c: Config, net: nets.MLP, b: replay.Sample) -> Float[Array, " B"]:
    """R + γᵐ (1 - terminated) max_a Q(s', a), by the network that is to be changed."""
    reward, discount = b.returns(c.discount)
    return reward + discount * net(b.last_obs).max(-1)


def improve(c: Config, net: nets.MLP, b: replay.Sample) -> tuple[nets.MLP, Metrics]:
    """One preconditioned step."""
    obs = b.obs.astype(jnp.float32)
    x = ntk.parts(net, obs, b.action)
    error = targets(c, net, b) - x.q
    taken = preconditioning.step(net, x, obs, b.action, error, preconditioning.rules(c))
    return taken.net, {
        "loss": jnp.mean(error**2),
        "value": jnp.mean(x.q),
        "largest": jnp.max(jnp.abs(x.q)),
        "alpha": taken.rate,
        "skipped": taken.skipped.astype(jnp.float32),
        "alignment": taken.alignment,
        "attainable": taken.attainable,
        "row_ratio": taken.row_ratio,
    }


def update(c: Config, s: State, batch: Batch, key: PRNGKey) -> tuple[State, Metrics]:
    """Remember a batch, then one step for every `train_every` of its transitions.

    Raises:
        UserError: the batch is no multiple of `train_every`.
    """
    steps, ring = replay.paid(batch, c.train_every), replay.add(s.replay, batch)
    largest_reward = jnp.maximum(s.largest_reward, jnp.abs(batch.reward).max())

    def one(net: nets.MLP, key: PRNGKey) -> tuple[nets.MLP, Metrics]:
        return improve(c, net, replay.sample(ring, key, c.batch_size, steps=c.n_step, repeats=False))

    started = replay.held(ring) >= jnp.maximum(c.learning_starts, 1)
    net, m = replay.gradient_steps(one, s.net, key, steps, started)
    accepted = 1 - m["skipped"]
    alignment = jnp.sum(m.pop("alignment") * accepted) / jnp.maximum(jnp.sum(accepted), 1)
    excess = actor_critic.excess(m.pop("largest"), largest_reward, c.discount)
    found = {name: x.mean() for name, x in m.items()}
    found |= {"alignment": alignment, "excess": excess, "epsilon": exploration(c, s)}
    return State(net, ring, s.steps + batch.reward.size, largest_reward), found


def repay(s: State, reward: RewardOf) -> State:
    """The state with the rewards in its replay computed anew."""
    ring = replay.repaid(s.replay, lambda rows: reward(replay.seen(rows)))
    return State(s.net, ring, s.steps, jnp.abs(ring.rows.reward).max())


def agent(c: Config) -> Agent:
    """PreQN for choices as an agent."""
    return Agent(
        init=partial(init, c),
        act=partial(act, c),
        update=partial(update, c),
        mode=mode,
        log_prob=partial(log_prob, c),
        rollout=c.rollout,
        repay=repay,
        greedy=True,
    )
