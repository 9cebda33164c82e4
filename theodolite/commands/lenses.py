"""How a look reads each learner of Q from replay: its values, its own targets, its features, what its targets trail.

One lens for each kind. Of choices the maximum over actions is what goes on; of actions in a box, the value of the
policy's own action. There it is critic 1 that is looked at, against the targets that all critics share: r + γ (1 -
terminated) times

    TD3      E_ε min_i Q⁻_i(s', clip(μ⁻(s') + ε))          DDPG is one critic without ε
    SAC      E_u' [min_i Q⁻_i(s', u') - α log π(u'|s')]
    PreQN    Q(s', μ(s'))

An expectation is the mean of DRAWS draws: what the critic is fitted to in the mean. SAC's values count what its policy
is paid for chance, and belong to the policy as it acts: with J = α H(π(·|s)) for the pay of a state, Q stands against
the soft return G_t = r_t + γ (J_{t+1} + G_{t+1}), without J_t since the action is given, and where a time limit cuts an
episode J + G is what Q says, V(s) = E_u Q(s, u) + J.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from theodolite.commands.methods import METHODS
from theodolite.control import actor_critic, diagnosis, dqn, heads, horizons, iqn, ntk, preq_dqn, preqn, sac, td3
from theodolite.control.off_policy import Memory
from theodolite.control.target_network import Learner
from theodolite.core import nets
from theodolite.core.arrays import PRNGKey, Scalar
from theodolite.core.errors import UserError
from theodolite.core.replay import Replay, Sample, sample

AHEAD = 1_000
"""Gradient steps that are made at most, on the buffer as it is, to see the target network's next move."""
DRAWS = 16
"""Of the noise in a target, and of a policy's action, for a mean."""


ALSO = {
    "excess": {"twin": "--twin", "td3": "td3, which takes the lower of two critics"},
    "shift": {"noise": "a smaller --noise"},
    "overestimate": {"twin": "--twin", "td3": "td3, which takes the lower of two critics"},
    "row_ratio": {"preqn": "preqn, whose steps allow for it"},
    "reach": {"noise": "a larger --noise", "random_steps": "a larger --random-steps"},
}
"""What else to try beyond a measure's bar where actions lie in a box, in the manner of `Rule.try_`."""


class Lens(NamedTuple):
    """A learner seen from outside; `net` is what its gradient steps change, and actions are as its buffer has them."""

    memory: Callable[[PyTree], Memory]
    """Of the agent's state."""
    net: Callable[[PyTree], PyTree]
    """Of the agent's state; the first one where there are twins."""
    q: Callable[[PyTree, Array, Array], Float[Array, " B"]]
    """Of a net, observations and actions: the mean return."""
    features: Callable[[PyTree, Array, Array], Float[Array, "B F"]]
    """What the last layer of a net reads."""
    kernel: Callable[[PyTree, Array, Array], Float[Array, "B B"]]
    """The tangent kernel of a net's values."""
    targets: Callable[[PyTree, Sample, PRNGKey], Float[Array, " B"]]
    """What the learner of a state would have a sample's values be, in the mean."""
    moved: Callable[[PyTree, Sample, PRNGKey], Float[Array, " B"]] | None
    """How far these move at the target network's next move; None without such a network."""
    goes_on: Callable[[PyTree, Array, PRNGKey], Float[Array, " B"]]
    """What an episode that goes on in these observations is worth by the net."""
    most: Callable[[PyTree], Scalar]
    """The largest size of what a step pays, as far as the learner has seen."""
    discount: float
    n_step: int = 1
    random_steps: int = 0
    """Environment steps at first whose actions were drawn uniformly."""
    sampled: Callable[[PyTree, Array, PRNGKey], Array] | None = None
    """An action of the policy whose values are learned, where this is not the best action."""
    bonus: Callable[[PyTree, Array], Float[Array, " B"]] | None = None
    """What the learner is paid for chance in a state, beside its rewards."""


def lens_of(method: str, config: Any) -> Lens:
    """The lens of a method that learns a Q function from replay.

    Raises:
        UserError: it has several trunks, or acts by a mixture of horizons.
    """
    makers: dict[str, Callable[[Any], Lens]] = {
        dqn.__name__: _dqn, iqn.__name__: _iqn, preq_dqn.__name__: _preq_dqn, td3.__name__: _td3, sac.__name__: _sac,
        preqn.__name__: _preqn,
    }  # fmt: skip
    return makers[METHODS[method].module](config)


def turnable(method: str, config: Any, images: bool) -> set[str]:
    """What advice may name: the method's settings, without switches that are on, and methods that do better."""
    fixed = METHODS[method].fixed
    found = {name for name in config.__dataclass_fields__ if name not in fixed and getattr(config, name) is not True}
    if isinstance(config, actor_critic.Settings):
        others = {"ddpg": {"td3", "preqn"}, "preqn": set()}.get(method, {"preqn"})
        return found | others
    return found if images or method == "preq_dqn" else found | {"preq_dqn"}


def rule(measure: str, lens: Lens) -> diagnosis.Rule:
    """The rule of a measure, in words that fit the learner."""
    own = diagnosis.RULES[measure]
    says = own.says.replace("greedy policy", "policy") if lens.sampled else own.says
    return own._replace(says=says, try_=own.try_ | ALSO.get(measure, {}))


def rows(lens: Lens, s: PyTree, b: Sample, key: PRNGKey) -> diagnosis.Rows:
    """A sample as the learner sees it."""
    return diagnosis.Rows(b.obs, lens.q(lens.net(s), b.obs, b.action), lens.targets(s, b, key))


def _check_horizon(c: horizons.Settings) -> None:
    if c.horizons > 1 and c.act_by != "longest":
        raise UserError(f"act_by = {c.act_by}: must be longest. The values of the head that acts are measured.")


def _last_read(net: nets.MLP, x: Array) -> Float[Array, "B F"]:
    """What the last layer reads."""
    x = x.astype(jnp.float32)
    for layer in net.layers[:-1]:
        x = net.activation(layer(x))
    return x


def _ahead(
    c: Any, every: int, step: Callable[[Any, Sample, PRNGKey], Any], ring: Replay, now: Any, key: PRNGKey
) -> tuple[Any, Any]:
    """The learner just before its slow copies' next move, and just after it."""

    def one(i: Array, now: Any) -> Any:
        row_key, own_key = jax.random.split(jax.random.fold_in(key, i))
        return step(now, sample(ring, row_key, c.batch_size, steps=getattr(c, "n_step", 1)), own_key)

    if every == 1:
        return now, one(jnp.int32(0), now)
    left = jnp.minimum((-now.updates - 1) % every, AHEAD)
    before = jax.lax.fori_loop(0, left, one, now)
    return before, one(left, before)


# Choices


def _of_choices(
    c: Any, *, net: Callable, values: Callable[[PyTree, Array], Float[Array, "B A"]], features: Callable,
    targets: Callable[[PyTree, Sample], Float[Array, " B"]], moved: Callable | None, discount: float,
    preferred: Callable[[PyTree, Array], Float[Array, "B A"]] | None = None,
) -> Lens:  # fmt: skip
    """`preferred` is what actions are chosen by, where these are not the values."""

    def goes_on(s: PyTree, obs: Array, _: PRNGKey) -> Float[Array, " B"]:
        best = jnp.argmax((preferred or values)(net(s), obs), -1)
        return diagnosis.taken(values(net(s), obs), best)

    def q(of: PyTree, obs: Array, action: Array) -> Float[Array, " B"]:
        return diagnosis.taken(values(of, obs), action)

    return Lens(
        memory=lambda s: s,
        net=net,
        q=q,
        features=lambda of, obs, _: features(of, obs),
        kernel=lambda of, obs, action: diagnosis.kernel(lambda n: q(n, obs, action), of),
        targets=lambda s, b, _: targets(s, b),
        moved=moved,
        goes_on=goes_on,
        most=lambda s: s.largest_reward,
        discount=discount,
        n_step=c.n_step,
    )


def _dqn(c: dqn.Config) -> Lens:
    if c.trunks > 1:
        raise UserError(f"trunks = {c.trunks}: must be 1. One network's features and kernel are measured.")
    _check_horizon(c)
    head = dqn.head_of(c)

    def targets(now: Learner, b: Sample) -> Array:
        found = dqn.targets(c, head, now, b)
        if c.head != "categorical":
            return (found.reward + found.discount * head.mean(found.following))[:, -1]
        z = heads.support(c.atoms, *c.support)
        moved = found.reward[..., None] + found.discount[..., None] * z[None, None]
        onto = jnp.clip(moved, *c.support)  # as the loss does; between the ends the mean is kept
        return jnp.sum(jax.nn.softmax(found.following) * onto, -1)[:, -1]

    def step(now: Learner, b: Sample, _: PRNGKey) -> Learner:
        return dqn.improve(c, head, now, b)[0]

    return _of_choices(
        c,
        net=lambda s: s.learner.net,
        values=lambda net, obs: head.mean(dqn.predict(c, head, net, obs))[..., -1, :],
        features=lambda net, obs: net.torso(obs),
        targets=lambda s, b: targets(s.learner, b),
        moved=lambda s, b, key: _copied(c, targets, step, s, b, key),
        discount=float(horizons.longest(c)),
    )


def _iqn(c: iqn.Config) -> Lens:
    _check_horizon(c)

    def targets(now: Learner, b: Sample) -> Array:
        levels = jnp.broadcast_to(heads.midpoints(c.policy_levels), (b.action.shape[0], c.policy_levels))
        return iqn.targets(c, now, b, levels).mean(1)[:, -1]

    def step(now: Learner, b: Sample, key: PRNGKey) -> Learner:
        return iqn.improve(c, now, b, key)[0]

    return _of_choices(
        c,
        net=lambda s: s.learner.net,
        values=lambda net, obs: net(obs, heads.midpoints(c.policy_levels)).mean(-3)[..., -1, :],
        preferred=lambda net, obs: iqn.means(c, net, obs)[..., -1, :],
        features=lambda net, obs: net.torso(obs),
        targets=lambda s, b: targets(s.learner, b),
        moved=lambda s, b, key: _copied(c, targets, step, s, b, key),
        discount=float(horizons.longest(c)),
    )


def _preq_dqn(c: preq_dqn.Config) -> Lens:
    return _of_choices(
        c,
        net=lambda s: s.net,
        values=lambda net, obs: net(obs),
        features=_last_read,
        targets=lambda s, b: preq_dqn.targets(c, s.net, b),
        moved=None,
        discount=float(c.discount),
    )


def _copied(c: Any, targets: Callable, step: Callable, s: PyTree, b: Sample, key: PRNGKey) -> Float[Array, " B"]:
    """How far targets are apart, at the target network's next move, with it and with the online one in its place: for
    a network that is copied this is the move, for one that trails behind its whole distance."""
    before, now = _ahead(c, c.target_every, step, s.replay, s.learner, key)
    old, new = (type(now)(now.net, net, now.opt, now.updates) for net in (before.target, now.net))
    return targets(new, b) - targets(old, b)


# Actions in a box


def _of_critics(
    c: Any, *, targets: Callable[[Any, Sample, PRNGKey], Float[Array, "B *H"]],
    acts: Callable[[Any, Array, PRNGKey], Float[Array, "B A"]], moved: Callable | None, discount: float,
    most: Callable[[PyTree], Scalar] = lambda s: s.memory.largest_reward,
    sampled: Callable | None = None, bonus: Callable | None = None,
) -> Lens:  # fmt: skip
    """`acts` is the policy of a learner, in units of its box."""

    def q(net: nets.MLP, obs: Array, action: Array) -> Float[Array, " B"]:
        return net(actor_critic.pairs(obs, action))[:, -1]

    def kernel(net: nets.MLP, obs: Array, action: Array) -> Float[Array, "B B"]:
        longest = jnp.full(action.shape[0], net.layers[-1].bias.shape[-1] - 1)
        return ntk.kernel(net, actor_critic.pairs(obs, action), longest)

    def goes_on(s: PyTree, obs: Array, key: PRNGKey) -> Float[Array, " B"]:
        drawn = partial(acts, s.learner, obs)
        value = _mean(lambda k: q(s.learner.critics.nets[0], obs, drawn(k)), key)
        return value if bonus is None else value + bonus(s, obs)

    return Lens(
        memory=lambda s: s.memory,
        net=lambda s: s.learner.critics.nets[0],
        q=q,
        features=lambda net, obs, action: _last_read(net, actor_critic.pairs(obs, action)),
        kernel=kernel,
        targets=lambda s, b, key: _expected(targets, s.learner, b, key),
        moved=moved,
        goes_on=goes_on,
        most=most,
        discount=discount,
        random_steps=c.random_steps,
        sampled=sampled,
        bonus=bonus,
    )


def _mean(of: Callable[[PRNGKey], Array], key: PRNGKey) -> Array:
    return jax.vmap(of)(jax.random.split(key, DRAWS)).mean(0)


def _expected(targets: Callable, now: Any, b: Sample, key: PRNGKey) -> Float[Array, " B"]:
    """A learner's targets at the longest horizon, in the mean over their noise."""
    found = _mean(lambda k: targets(now, b, k), key)
    return found if found.ndim == 1 else found[:, -1]


def _trailed(c: Any, every: int, targets: Callable, step: Callable, parts: tuple[str, ...]) -> Callable:
    """How far targets are apart, at the slow copies' next move, with them and with what they trail in their place."""

    def moved(s: PyTree, b: Sample, key: PRNGKey) -> Float[Array, " B"]:
        before, now = _ahead(c, every, step, s.memory.replay, s.learner, key)
        old = replace(now, **{f"slow_{part}": getattr(before, f"slow_{part}") for part in parts})
        new = replace(now, **{f"slow_{part}": getattr(now, part) for part in parts})
        return _expected(targets, new, b, key) - _expected(targets, old, b, key)

    return moved


def _td3(c: td3.Config) -> Lens:
    _check_horizon(c)
    targets, critic_step = partial(td3.targets, c), actor_critic.regression(c.learning_rate)

    def step(now: td3.Learner, b: Sample, key: PRNGKey) -> td3.Learner:
        return td3.improve(c, critic_step, now, b, key)[0]

    return _of_critics(
        c,
        targets=targets,
        acts=lambda now, obs, _: now.policy(obs),
        moved=_trailed(c, c.policy_every, targets, step, ("policy", "critics")),
        discount=float(horizons.longest(c)),
    )


def _sac(c: sac.Config) -> Lens:
    _check_horizon(c)
    targets, critic_step = partial(sac.targets, c), actor_critic.regression(c.learning_rate)

    def step(now: sac.Learner, b: Sample, key: PRNGKey) -> sac.Learner:
        return sac.improve(c, critic_step, now, b, key)[0]

    def most(s: sac.State) -> Scalar:
        """With the largest entropy of a box, or the wanted one, as its `excess` counts."""
        entropy = max(abs(c.target_entropy), math.log(2)) * s.box.shape[0]
        return s.memory.largest_reward + jnp.exp(s.learner.log_temperature) * entropy

    return _of_critics(
        c,
        targets=targets,
        acts=lambda now, obs, key: now.actor(obs).sample(key),
        moved=_trailed(c, 1, targets, step, ("critics",)),
        discount=float(horizons.longest(c)),
        most=most,
        sampled=lambda s, obs, key: s.learner.actor.scaled(obs).sample(key),
        bonus=lambda s, obs: jnp.exp(s.learner.log_temperature) * s.learner.actor(obs).entropy(),
    )


def _preqn(c: preqn.Config) -> Lens:
    return _of_critics(
        c,
        targets=lambda now, b, _: preqn.targets(c, now, b),
        acts=lambda now, obs, _: now.policy(obs),
        moved=None,
        discount=float(c.discount),
    )
