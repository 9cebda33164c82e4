"""Advantage option-critic: options learned by a deep network from vectors or pixels, and averse to surprise if asked.

    P(ω,a | s,ω⁻) = [(1 - β(s,ω⁻)) 1(ω = ω⁻) + β(s,ω⁻) μ(ω|s)] π(a|s,ω),      V(s) = Σ_ω μ(ω|s) Q(s,ω)
    R_t = r_t - η β(s',ω) + γ R_{t+1}                    while ω goes on;    s' is what was arrived at
    R_t = r_t - η β(s',ω) + γ Σ_{ω'≠ω} μ(ω'|s') Q(s',ω') / (1 - μ(ω|s'))          where another option took over
    R_t = r_t - η β(s',ω) + γ [(1 - β(s',ω)) Q(s',ω) + β(s',ω) V(s')]             at the rollout's end or a time limit
    R_t = r_t                                                                      where the episode ended

    minimise   ½ (R - Q(s,ω))² - log(π(a|s,ω) + 1e-4) (R - Q(s,ω)) - c_e H(π) + β(s',ω) [Q(s',ω) - V(s') + η + margin]

μ is ε-greedy in Q, η the deliberation cost, and what is not differentiated in its line is taken as given. With ψ > 0
surprise is penalised by min(ψ δ², cap), under the names of safe_option_critic: through the critic it is subtracted
from the reward, δ = r - η β + γ U(ω,s') - Q(s,ω); through the actor it weighs log(π + 1e-4), δ = R - Q(s,ω). With one
option and no cost this is A2C. The option in force is part of what is seen (`theodolite.core.options`).

Differences from the papers, whose workers are asynchronous and end a segment with its option:
1. all environments advance together for a rollout of fixed length, and one gradient step is taken on all of it; 2. an
option that ends and is chosen again has gone on, and its return with it; where another one takes over, the return
bootstraps from the options that might have, which leaves its mean what it was; 3. whether an option ended is never
drawn apart from what followed: η is charged, and the rollout's end valued, by the probability β; 4. endings learn where
options arrive, not where they were just chosen; 5. ends of episodes by a time limit bootstrap; 6. `scope="start"` is
the episode's first step, which their code means and does not do; 7. the critic's penalty and the cap are ours; 8. the
learning rate is constant, and the factor of 5 before the loss is left to it; 9. small images are read by a small
convolution, vectors by dense layers.
"""

from functools import partial
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from theodolite.core import nets, optim, options, returns
from theodolite.core.agent import Agent, Batch
from theodolite.core.arrays import Arrays, Metrics, PRNGKey, Scalar
from theodolite.core.claim import Paper
from theodolite.core.config import at_least, config, non_negative, one_of, positive, probability, require, sizes
from theodolite.core.dists import Categorical
from theodolite.core.env import Action, Obs, Space
from theodolite.core.errors import UserError
from theodolite.safety.penalty import FLOOR, UNCAPPED

PAPER = Paper("When Waiting Is Not an Option: Learning Options with a Deliberation Cost",
              "Harb, Bacon, Klissarov, Precup", 2018, arxiv="1709.04571")  # fmt: skip
METRICS = {
    "policy_loss": "mean of -log π times advantage, without penalty",
    "value_loss": "half the mean squared error of Q against the returns",
    "entropy": "mean entropy of the policies inside options, nats",
    "ending": "mean probability that an option ends where it arrives",
    "switches": "share of the steps after which another option took over",
    "option_entropy": "entropy of the share of steps that every option has, nats; 0 where one does everything",
    "cost": "mean penalty per step that the critic was charged; 0 for rules that act through the actor alone",
}
RAREST = 1e-12
"""Probability that stands for none before a logarithm."""


@config
class Config:
    """Hyper-parameters; the defaults are risk-neutral, sized for classic control and MinAtar."""

    rollout: int = 16
    """Steps that each environment contributes to an update."""
    num_options: int = 4
    """Options, all available everywhere; 1 is A2C."""
    discount: float = 0.99
    """γ, per step."""
    learning_rate: float = 2e-3
    """Step size of RMSProp."""
    rms_epsilon: float = 1e-5
    """Added to the mean square of the gradient, inside the root; the paper's is 0.1."""
    max_gradient_norm: float = 0.5
    """Global norm to which the gradient is clipped."""
    value_coefficient: float = 1.0
    """Weight of the critic's loss."""
    entropy_bonus: float = 0.01
    """c_e: weight of the mean entropy of the policies inside options."""
    epsilon: float = 0.1
    """ε: probability of a uniform option where one is chosen."""
    deliberation_cost: float = 0.02
    """η: what an ending costs, in the returns and in the endings' gradient."""
    margin: float = 0.0
    """Added to η in the endings' gradient alone."""
    psi: float = 0.0
    """ψ: weight of controllability; 0 is risk-neutral."""
    through: Literal["critic", "actor"] = "critic"
    """What feels the penalty: the critic, by the reward, or the policies inside options, by their gradient."""
    scope: Literal["all", "start"] = "all"
    """Which steps are penalised: all, or the first of every episode."""
    cap: float = 20.0
    """Most that one step is penalised."""
    detach: bool = True
    """Keep the actor's penalty out of the critic."""
    hidden: tuple[int, ...] = (128,)
    """Widths of the dense layers."""
    channels: int = 16
    """Channels of the first convolution that reads images."""

    def __post_init__(self):
        require(
            self,
            **dict.fromkeys(("rollout", "learning_rate", "rms_epsilon", "max_gradient_norm"), positive),
            **dict.fromkeys(("value_coefficient", "entropy_bonus", "deliberation_cost", "margin", "psi"), non_negative),
            cap=positive, channels=positive, num_options=at_least(1), discount=probability, epsilon=probability,
            hidden=sizes(), through=one_of("critic", "actor"), scope=one_of("all", "start"),
        )  # fmt: skip
        if not self.detach and self.through != "actor":
            raise UserError("detach = False: must be True with through = critic. The critic's penalty has no gradient "
                            "of its own to keep out.")  # fmt: skip


FLAT = Config(num_options=1, deliberation_cost=0.0)
"""A2C, the same without options."""
RELEASED = Config(psi=0.05, through="actor", cap=UNCAPPED, detach=False, epsilon=0.2, margin=0.99)
"""The penalty of Safe-A2OC as its code has it: all steps, and through the squared error into the critic."""
PRINTED = Config(psi=0.05, through="actor", scope="start", cap=UNCAPPED, epsilon=0.2, margin=0.99)
"""The penalty as its formula has it."""
ATARI = Config(num_options=8, learning_rate=7e-4, rms_epsilon=0.1, max_gradient_norm=40.0, hidden=(256,))
"""Harb et al. 2018, but for the number of workers and the annealing of the rate."""


class Heads(NamedTuple):
    """What is known of a state: every option's value, the logit of its ending, and the logits of its actions."""

    value: Float[Array, "*batch W"]
    ending: Float[Array, "*batch W"]
    preference: Float[Array, "*batch W A"]


class Network(Arrays):
    """Features, and three linear heads."""

    torso: nets.Torso
    value: nets.Linear
    ending: nets.Linear
    preference: nets.Linear
    rank: int = eqx.field(static=True)
    """Axes of an observation."""

    def __call__(self, obs: Obs) -> Heads:
        """What is known of the environment's own observations."""
        features = self.torso(obs)
        value, preference = self.value(features), self.preference(features)
        return Heads(value, self.ending(features), preference.reshape(*value.shape, -1))


class State(Arrays):
    """The network and the optimiser's moments."""

    net: Network
    opt: optim.OptState


def init(c: Config, key: PRNGKey, space: Space) -> State:
    """A fresh network, Glorot-uniform below heads of 0: options start equal, but for their policies.

    Raises:
        UserError: actions are no choice, or observations neither vectors nor images.
    """
    num, torso_key, key = options.num_actions(space), *jax.random.split(key)
    torso, features = nets.torso(torso_key, space.obs, c.hidden, channels=c.channels, hidden=nets.glorot(1.0))
    reach = (6 / (features + num)) ** 0.5 / c.num_options
    drawn = jax.random.uniform(key, (features, c.num_options * num), minval=-reach, maxval=reach)

    def nought() -> nets.Linear:
        return nets.Linear(jnp.zeros((features, c.num_options)), jnp.zeros(c.num_options))

    preference = nets.Linear(drawn, jnp.zeros(c.num_options * num))
    net = Network(torso, nought(), nought(), preference, len(space.obs.shape))
    return State(net, optimiser(c).init(net))


def optimiser(c: Config) -> optim.Optimiser:
    """RMSProp on a gradient of clipped global norm."""
    return optim.rmsprop(c.learning_rate, max_norm=c.max_gradient_norm, eps=c.rms_epsilon)


def choice(c: Config, value: Float[Array, "*batch W"]) -> Float[Array, "*batch W"]:
    """μ: the policy over options, ε-greedy in their values."""
    greedy = jax.nn.one_hot(jnp.argmax(value, -1), c.num_options)
    return c.epsilon / c.num_options + (1 - c.epsilon) * greedy


def policy(c: Config, net: Network, obs: Obs) -> Categorical:
    """P over pairs of option and action, given the option in force or none."""
    own, marks = options.split(obs, c.num_options, net.rank)
    heads = net(own)
    stays = marks * jax.nn.sigmoid(-heads.ending)
    option = stays + (1 - stays.sum(-1, keepdims=True)) * choice(c, heads.value)
    log_option = jnp.log(jnp.maximum(option, RAREST))
    logits = log_option[..., None] + jax.nn.log_softmax(heads.preference)
    return Categorical(logits.reshape(*logits.shape[:-2], -1))


def act(c: Config, s: State, obs: Obs, key: PRNGKey) -> tuple[Action, Float[Array, "..."]]:
    """Draw pairs of option and action, and their log-probabilities."""
    law = policy(c, s.net, obs)
    action = law.sample(key)
    return action, law.log_prob(action)


class Told(NamedTuple):
    """What a step should have been worth, what the critic was charged, and what the endings gain by not ending."""

    returns: Float[Array, "T E"]
    cost: Float[Array, "T E"]
    gain: Float[Array, "T E"]
    """Q(s',ω) - V(s') + η + margin; 0 where the episode ended."""


def of(x: Float[Array, "*batch W"], option: Int[Array, "*batch"]) -> Float[Array, "*batch"]:
    """The entry of one option."""
    return jnp.sum(x * jax.nn.one_hot(option, x.shape[-1]), axis=-1)


def goes_on(batch: Batch, option: Int[Array, "T E"]) -> Bool[Array, "T E"]:
    """Whether the same option acts in the next row of the same episode; false in the last row."""
    same = jnp.concatenate([option[1:] == option[:-1], jnp.zeros_like(option[:1], bool)])
    return same & ~batch.terminated & ~batch.truncated


def told(
    c: Config, now: Heads, after: Heads, batch: Batch, option: Int[Array, "T E"], first: Bool[Array, "T E"]
) -> Told:
    """The returns of the recursion above, with the penalty taken from the reward if it goes through the critic."""
    ends, stay = of(jax.nn.sigmoid(after.ending), option), of(after.value, option)
    mu, lives = choice(c, after.value), (~batch.terminated).astype(jnp.float32)
    chosen = jnp.sum(mu * after.value, axis=-1)
    rest = mu * (1 - jax.nn.one_hot(option, c.num_options))
    others = jnp.sum(rest * after.value, axis=-1) / jnp.maximum(rest.sum(-1), RAREST)
    expected = (1 - ends) * stay + ends * chosen
    reward = batch.reward - c.deliberation_cost * lives * ends
    error = reward + c.discount * lives * expected - of(now.value, option)
    cost = penalty(c, error, first) if c.through == "critic" else 0 * error
    switched = jnp.concatenate([option[1:] != option[:-1], jnp.zeros_like(first[:1])]) & ~batch.truncated
    bootstrap = lives * jnp.where(switched, others, expected)
    found = returns.segments(reward - cost, bootstrap, goes_on(batch, option), c.discount)
    return Told(found, cost, lives * (stay - chosen + c.deliberation_cost + c.margin))


def penalty(c: Config, error: Float[Array, "T E"], first: Bool[Array, "T E"]) -> Float[Array, "T E"]:
    """min(ψ δ², cap) where the scope reaches, else 0."""
    found = jnp.minimum(c.psi * error**2, c.cap)
    return found if c.scope == "all" else jnp.where(first, found, 0)


def loss(net: Network, c: Config, batch: Batch) -> tuple[Scalar, Metrics]:
    """The sum of the losses above, each a mean over the batch."""
    own, marks = options.split(batch.obs, c.num_options, net.rank)
    now, after = net(own), net(options.split(batch.last_obs, c.num_options, net.rank)[0])
    num = now.preference.shape[-1]
    option, action, first = batch.action // num, batch.action % num, marks.sum(-1) == 0
    given = jax.lax.stop_gradient(told(c, now, after, batch, option, first))
    inside = Categorical(jnp.sum(now.preference * jax.nn.one_hot(option, c.num_options)[..., None], axis=-2))
    score = jnp.log(jnp.exp(inside.log_prob(action)) + FLOOR)
    error = given.returns - of(now.value, option)
    advantage = jax.lax.stop_gradient(error)
    policy_loss, value_loss = -(score * advantage).mean(), 0.5 * (error**2).mean()
    averse = (score * penalty(c, advantage if c.detach else error, first)).mean() if c.through == "actor" else 0.0
    entropy, ending = inside.entropy().mean(), of(jax.nn.sigmoid(after.ending), option)
    ending_loss = (ending * given.gain).mean()
    whole = policy_loss + averse + c.value_coefficient * value_loss - c.entropy_bonus * entropy + ending_loss
    share = jax.nn.one_hot(option, c.num_options).mean((0, 1))
    follows = ~(batch.terminated | batch.truncated)[:-1]
    switches = jnp.sum((option[1:] != option[:-1]) & follows) / jnp.maximum(jnp.sum(follows), 1)
    return whole, {
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "entropy": entropy,
        "ending": ending.mean(),
        "switches": switches,
        "option_entropy": jnp.sum(jax.scipy.special.entr(share)),
        "cost": given.cost.mean(),
    }


def update(c: Config, s: State, batch: Batch, key: PRNGKey) -> tuple[State, Metrics]:
    """One gradient step on one rollout."""
    gradient, metrics = jax.grad(loss, has_aux=True)(s.net, c, batch)
    return State(*optim.apply(optimiser(c), gradient, s.opt, s.net)), metrics


def agent(c: Config) -> Agent:
    """Advantage option-critic as an agent."""
    return Agent(
        init=partial(init, c),
        act=partial(act, c),
        update=partial(update, c),
        mode=lambda s, obs: policy(c, s.net, obs).mode(),
        log_prob=lambda s, obs, action: policy(c, s.net, obs).log_prob(action),
        rollout=c.rollout,
        options=c.num_options,
    )
