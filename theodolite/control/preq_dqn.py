"""PreQN for choices: deep Q-learning whose steps move a batch as a table's would, without target network or Adam.

    Δ_i = R_i + γᵐ (1 - terminated) max_a Q(s'_i, a) - Q(s_i, a_i)                     errors by the present network
    K_ij = ∇Q(i)·∇Q(j),  K Z = Δ,  θ(α) = θ + α Σ_i Z_i ∇Q(i)              ΔQ = α Δ on the batch, to first order
    accept the largest α of a grid with cos(Q_θ(α) - Q_θ, Δ) ≥ η, or change nothing

The paper's operators are those of this learner: its analysis has finitely many actions, though its experiments have
continuous ones (see `preqn`). Damping turned up ends at the semi-gradient of DQN without a target network.

Differences from the paper:
1. The maximum over actions is exact, so there is no policy network; 2. exploration is DQN's ε-greedy; 3. the step and
its grid are those of PreQN here (see `preconditioning`), and rows of a batch are distinct; 4. rewards of several steps
may be summed; 5. observations are vectors; 6. there is one horizon: with H of them the
errors of all heads would share one kernel of H times as many rows, whose solution costs H³ times as much.
"""

from dataclasses import replace
from functools import partial

import jax.numpy as jnp
from jaxtyping import Array, Float

from theodolite.control import actor_critic, ntk, off_policy, preconditioning, value_learner
from theodolite.core import nets, replay
from theodolite.core.agent import Agent, Batch
from theodolite.core.arrays import Metrics, PRNGKey
from theodolite.core.config import config, one_of, probability, require
from theodolite.core.env import Obs, Space
from theodolite.core.errors import UserError

PAPER = ntk.PAPER
METRICS = {
    "loss": "mean squared error of the values against their targets before the steps; 0 before learning starts",
    "alpha": "mean step α, 0 where none was accepted",
    "skipped": "share of steps for which no α was aligned",
    "alignment": "mean cosine of what accepted steps did to the values of the batch with its errors",
    "attainable": "the same for α → 0, which damping and cutoff cap: below η every step is skipped",
    "row_ratio": "mean row ratio of the batch's kernel: how far a plain step would move other pairs of the batch",
    **value_learner.METRICS,
}


@config
class Config(preconditioning.Settings, value_learner.Settings):
    """Hyper-parameters: those of the step are PreQN's, the others DQN's."""

    batch_size: int = 64
    """Transitions in a gradient step."""
    discount: float = 0.99
    """γ, per step."""
    n_step: int = 1
    """Rewards that are summed before the bootstrap."""
    epsilon_steps: int = 10_000
    """Environment steps over which it falls."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the layers."""
    activation: nets.Activation = "sin"
    """Between the layers."""

    def __post_init__(self):
        require(
            self,
            **value_learner.CONSTRAINTS,
            **preconditioning.CONSTRAINTS,
            discount=probability,
            activation=one_of(*nets.ACTIVATIONS),
        )


class State(off_policy.Memory):
    """The memory and the network."""

    net: nets.MLP


def init(c: Config, key: PRNGKey, space: Space) -> State:
    """A fresh network, weights and biases uniform in ± 1/√fan-in, and an empty ring.

    Raises:
        UserError: actions are no choice, observations no vectors, or replay is too small.
    """
    num = value_learner.num_actions(space, otherwise="preqn is for continuous ones")
    if len(space.obs.shape) != 1:
        raise UserError(
            f"observations have the shape {space.obs.shape}, expected vectors: the kernel is a sum over dense layers. "
            "Use dqn, or wrap the environment (gymnasium.wrappers.FlattenObservation, say)."
        )
    net = actor_critic.network(key, (*space.obs.shape, *c.hidden, num), c.activation)
    return State(*value_learner.nothing(c, space), net)


def values(s: State, obs: Obs) -> Float[Array, "*batch A"]:
    """The values by which actions are chosen."""
    return s.net(obs)


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
    steps, after = replay.paid(batch, c.train_every), off_policy.remember(s, batch)

    def one(net: nets.MLP, key: PRNGKey) -> tuple[nets.MLP, Metrics]:
        return improve(c, net, replay.sample(after.replay, key, c.batch_size, steps=c.n_step, repeats=False))

    net, m = off_policy.learn(after, s.net, key, one, steps=steps, starts=c.learning_starts)
    accepted = 1 - m["skipped"]
    alignment = jnp.sum(m.pop("alignment") * accepted) / jnp.maximum(jnp.sum(accepted), 1)
    found = value_learner.described(c, s, after, m, c.discount)
    return replace(after, net=net), found | {"alignment": alignment}


def agent(c: Config) -> Agent:
    """PreQN for choices as an agent."""
    return value_learner.agent(c, init=partial(init, c), values=values, update=partial(update, c))
