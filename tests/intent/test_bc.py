"""Behavioural cloning: exact optima, gradients, snapshots, padding and seeds."""

from dataclasses import fields, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from theodolite.core import demos, nets
from theodolite.core.env import Box, Discrete, Space
from theodolite.core.errors import UserError
from theodolite.intent import bc

DISCRETE = Space(Box((3,)), Discrete(4))
CONTINUOUS = Space(Box((3,)), Box((2,)))
WEIGHT = np.array([[1.0, -2.0, 0.5, 0.0], [0.5, 1.0, -1.0, 0.3], [-1.0, 0.2, 0.1, 1.0]])
STD = np.array([0.3, 0.7])
SMALL = bc.Config(hidden=(8,))
ROWS, UPDATES = 50, 40  # where any size will do it is this one, which is compiled once


def expert(space, rows, seed=0, noise=STD):
    """Rows of a linear-softmax policy, or of a linear Gaussian one, as one-step episodes; observations are skewed."""
    rng = np.random.default_rng(seed)
    obs = rng.normal(size=(rows, 2, 3)) * [0.5, 2.0, 1.0] + [1.0, 0.0, -3.0]
    if isinstance(space.action, Discrete):
        actions = (obs[:, 0] @ WEIGHT + rng.gumbel(size=(rows, 4))).argmax(1)[:, None]
    else:
        actions = (obs[:, 0] @ WEIGHT[:, :2] + rng.normal(size=(rows, 2)) * noise)[:, None]
    return demos.transitions(demos.from_arrays(obs, actions, space=space))


def log_softmax(x):
    return x - np.log(np.exp(x).sum(1, keepdims=True))


@pytest.mark.parametrize("space", [DISCRETE, CONTINUOUS])
def test_a_linear_policy_is_recovered_to_the_maximum_of_the_likelihood(space):
    data = expert(space, 6000)
    config = bc.Config(hidden=(), learning_rate=0.01, batch_size=1000, validation_share=0.1)
    state = bc.fit(config, data, jax.random.key(0), space, 2000)
    obs = expert(space, 500, seed=1).obs
    learned, known = bc.policy(state, obs), np.asarray(obs) @ WEIGHT
    if space is DISCRETE:
        divergence = (np.exp(log_softmax(known)) * (log_softmax(known) - jax.nn.log_softmax(learned.logits))).sum(1)
        assert divergence.mean() < 0.005  # 12 free parameters / (2 * 5400 rows) is 0.001
    else:
        order, x = np.asarray(state.split.order)[:5400], np.column_stack([np.ones(6000), data.obs])
        least_squares = np.linalg.lstsq(x[order], np.asarray(data.action)[order], rcond=None)[0]
        np.testing.assert_allclose(learned.mean, np.column_stack([np.ones(500), obs]) @ least_squares, atol=0.1)
        np.testing.assert_allclose(learned.mean, known[:, :2], atol=0.2)  # least squares itself is 0.1 off
        np.testing.assert_allclose(np.exp(learned.log_std), STD, rtol=0.04)


def test_discrete_optimum_is_that_of_scipys_logistic_regression():
    data = expert(DISCRETE, 300)
    config = bc.Config(hidden=(), learning_rate=0.02, batch_size=4000, validate_every=50)
    state = bc.fit(config, data, jax.random.key(0), DISCRETE, 1500)
    train = np.asarray(state.split.order[: int(state.split.num_train)])
    obs, actions = np.asarray(data.obs)[train], np.asarray(data.action)[train]
    x = np.column_stack([np.ones(len(obs)), (obs - obs.mean(0)) / obs.std(0)])

    def nll(theta):
        return -log_softmax(x @ theta.reshape(4, 4))[np.arange(len(x)), actions].mean()

    best = minimize(nll, np.zeros(16), tol=1e-9).fun
    found = bc.losses(state.net, config, state.moments, data.obs[train], data.action[train]).mean()
    assert best - 1e-4 < float(found) < best + 0.01


def test_mean_square_form_finds_least_squares_and_the_residuals_sd():
    data = expert(CONTINUOUS, 2000)
    config = bc.Config(hidden=(), learning_rate=0.01, batch_size=1000, loss="mean_square")
    state = bc.fit(config, data, jax.random.key(0), CONTINUOUS, 2000)
    order, n = np.asarray(state.split.order), int(state.split.num_train)
    x = np.column_stack([np.ones(2000), data.obs])
    coefficients = np.linalg.lstsq(x[order[:n]], np.asarray(data.action)[order[:n]], rcond=None)[0]
    np.testing.assert_allclose(bc.mode(state, data.obs), x @ coefficients, atol=0.08)
    residual = np.asarray(bc.mode(state, data.obs) - data.action)[order[n:]]
    np.testing.assert_allclose(np.exp(state.best.log_std), np.sqrt((residual**2).mean(0)), rtol=1e-4)
    np.testing.assert_allclose(state.best_validation, (residual**2).sum(1).mean(), rtol=1e-4)
    np.testing.assert_allclose(bc.policy(state, data.obs).log_std, np.log(STD), atol=0.08)


@pytest.mark.parametrize("form", ["log_likelihood", "mean_square"])
@pytest.mark.parametrize("space", [DISCRETE, CONTINUOUS])
def test_gradient_agrees_with_finite_differences(space, form, key):
    data, config = expert(space, 40), bc.Config(hidden=(5,), loss=form)
    state = bc.init(config, data, key, space)
    net = jax.tree.map(lambda x: x + 0.3 * jax.random.normal(key, x.shape), state.net)
    flat, unflatten = jax.flatten_util.ravel_pytree(net)
    loss = jax.jit(lambda x: bc.loss(unflatten(x), config, state.moments, data.rows))
    gradient = np.asarray(jax.grad(loss)(flat))
    h = 1e-2
    numeric = jax.vmap(lambda d: (loss(flat + h * d) - loss(flat - h * d)) / (2 * h))(jnp.eye(len(flat)))
    np.testing.assert_allclose(gradient, numeric, atol=2e-3 * np.abs(gradient).max())


def test_loss_is_the_slow_definition():
    data, key = expert(CONTINUOUS, 10), jax.random.key(1)
    for form in ("log_likelihood", "mean_square"):
        config = bc.Config(hidden=(4,), loss=form)
        state = bc.fit(config, data, key, CONTINUOUS, 20)
        mean = np.asarray(state.net(state.moments.standardise(data.obs)).mean, np.float64)
        std, total = np.exp(np.asarray(state.net.log_std, np.float64)), 0.0
        for row in range(10):
            for column in range(2):
                error = float(data.action[row, column]) - mean[row, column]
                density = np.exp(-(error**2) / (2 * std[column] ** 2)) / (std[column] * np.sqrt(2 * np.pi))
                total += error**2 if form == "mean_square" else -np.log(density)
        np.testing.assert_allclose(bc.loss(state.net, config, state.moments, data.rows), total / 10, rtol=1e-5)


def run(config, data, key, space, steps):
    """The solver step by step, with every metric."""
    solver, history = bc.solver(config, data), []
    step, state = jax.jit(solver.step), jax.jit(solver.init, static_argnums=1)(key, space)
    for k in range(steps):
        state, metrics = step(state, jax.random.fold_in(key, k))
        history.append((state, metrics))
    return history


def test_the_best_snapshot_outlives_overfitting(key):
    data = expert(DISCRETE, 60)
    data = replace(data, action=jax.random.randint(key, (60,), 0, 4))  # nothing to learn but by heart
    config = bc.Config(learning_rate=5e-3, validate_every=5)
    history = run(config, data, key, DISCRETE, 40)
    scores = [float(m["validation"]) for _, m in history]
    final, metrics = history[-1]
    assert scores[-1] > float(final.best_validation) + 0.5
    first = float(bc.init(config, data, key, DISCRETE).validation)
    assert float(final.best_validation) == min([first, *scores]) == float(metrics["best_validation"])
    best = min(range(40), key=scores.__getitem__)
    if scores[best] < first:
        assert int(final.best_update) == 5 * (best + 1)
        jax.tree.map(np.testing.assert_array_equal, final.best, history[best][0].net)
    again, _ = bc.validate(config, data, final.split, final.moments, final.best)
    np.testing.assert_allclose(again, final.best_validation, rtol=1e-6)
    np.testing.assert_array_equal(bc.mode(final, data.obs), final.best(final.moments.standardise(data.obs)).mode())


@pytest.mark.parametrize("count", [1, 2, 3, 10, 57])
def test_rows_are_split_into_disjoint_parts_and_padding_stays_out(count, key):
    data = demos.pad_to(expert(DISCRETE, count), 64)
    split = bc.split_rows(data, 0.3, key)
    order, n = np.asarray(split.order), int(split.num_train)
    train, held_out = set(order[:n]), set(order[np.asarray(split.held_out)])
    assert sorted(order) == list(range(64)) and train | held_out == set(range(count))
    assert (train == held_out) if count == 1 else not train & held_out
    assert len(held_out) == max(round(0.3 * count), 1)


def test_the_split_is_random_and_depends_on_the_key_alone():
    data = expert(DISCRETE, 20)
    splits = jax.vmap(lambda k: bc.split_rows(data, 0.3, k))(jax.random.split(jax.random.key(0), 2000))
    often = np.zeros(20)
    for order in np.asarray(splits.order):
        often[order[:14]] += 1
    np.testing.assert_allclose(often / 2000, 0.7, atol=0.05)  # 4.9 standard errors


@pytest.mark.parametrize("space", [DISCRETE, CONTINUOUS])
def test_padding_has_no_influence(space, key):
    data = expert(space, ROWS)
    padded = demos.pad_to(data, 77)
    poisoned = replace(padded, obs=padded.obs.at[ROWS:].set(jnp.nan), next_obs=padded.next_obs.at[ROWS:].set(jnp.nan))
    a = bc.fit(SMALL, data, key, space, UPDATES)
    for other in (padded, poisoned):
        b = bc.fit(SMALL, other, key, space, UPDATES)
        np.testing.assert_array_equal(a.split.order, b.split.order[:ROWS])
        same = [(s.net, s.best, s.moments, s.best_update, s.best_validation) for s in (a, b)]
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5), *same)


@pytest.mark.parametrize("space", [DISCRETE, CONTINUOUS])
def test_vmapped_seeds_with_their_own_demonstrations_agree_with_a_loop(space):
    sets = [demos.pad_to(expert(space, n, seed=n), ROWS) for n in (20, 35, ROWS)]
    keys = jax.random.split(jax.random.key(3), 3)
    together = jax.vmap(lambda data, key: bc.fit(SMALL, data, key, space, UPDATES))(demos.stack(sets), keys)
    for s, data in enumerate(sets):
        alone = bc.fit(SMALL, data, keys[s], space, UPDATES)
        mine = jax.tree.map(lambda x, s=s: x[s], together)
        for name in ("net", "best", "best_validation", "best_update"):
            jax.tree.map(
                lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5),
                getattr(alone, name),
                getattr(mine, name),
            )


CHANGES = {
    "learning_rate": 1e-2, "batch_size": 64, "loss": "mean_square", "validation_share": 0.5, "validate_every": 10,
    "hidden": (9,),
}  # fmt: skip


def test_every_field_of_the_config_matters(key):
    assert set(CHANGES) == {f.name for f in fields(bc.Config)}
    data = expert(CONTINUOUS, ROWS)
    score = bc.log_prob(bc.fit(SMALL, data, key, CONTINUOUS, UPDATES), data.obs, data.action)
    for name, value in CHANGES.items():
        changed = bc.fit(replace(SMALL, **{name: value}), data, key, CONTINUOUS, UPDATES)
        assert not np.allclose(score, bc.log_prob(changed, data.obs, data.action), atol=1e-4), name


@pytest.mark.parametrize(
    ("name", "value"),
    [("learning_rate", 0.0), ("learning_rate", np.nan), ("batch_size", 0), ("loss", "huber"), ("validation_share", 0.0),
     ("validation_share", 1.0), ("validate_every", 0), ("hidden", (0,))],
)  # fmt: skip
def test_bad_settings_are_refused(name, value):
    made = object.__new__(bc.Config)  # past the tests' own type checks, which know Literal
    for field in fields(bc.Config):
        object.__setattr__(made, field.name, value if field.name == name else field.default)
    with pytest.raises(UserError, match=name):
        made.__post_init__()


@pytest.mark.parametrize(("space", "form"), [(DISCRETE, "log_likelihood"), (CONTINUOUS, "mean_square")])
def test_metrics_are_finite_and_documented_and_the_state_is_arrays(space, form, key):
    step = jax.jit(lambda data, s, key: bc.solver(replace(SMALL, loss=form), data).step(s, key))
    for rows in (1, 2, ROWS):
        data = demos.pad_to(expert(space, rows), ROWS)
        state = bc.init(replace(SMALL, loss=form), data, key, space)
        for k in range(3):
            state, metrics = step(data, state, jax.random.fold_in(key, k))
            assert set(metrics) == set(bc.METRICS)
            assert all(np.isfinite(m) for m in metrics.values())
        assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))


@pytest.mark.parametrize("space", [DISCRETE, CONTINUOUS])
def test_actions_are_those_of_the_snapshot_on_any_leading_axes(space, key):
    data = expert(space, ROWS)
    state = bc.fit(SMALL, data, key, space, UPDATES)
    obs = data.obs.reshape(5, 10, 3)
    action, log_prob = bc.act(state, obs, key)
    np.testing.assert_allclose(log_prob, bc.log_prob(state, obs, action), rtol=1e-6)
    assert bc.mode(state, obs).shape == action.shape == (5, 10, *data.action.shape[1:])
    assert bc.log_prob(state, obs, bc.mode(state, obs)).mean() > log_prob.mean()


def test_a_new_learning_rate_does_not_compile_again(key):
    data = expert(DISCRETE, ROWS)
    bc.fit(SMALL, data, key, DISCRETE, UPDATES)
    before = bc.fit._cache_size()
    bc.fit(replace(SMALL, learning_rate=0.1, validation_share=0.2), data, key, DISCRETE, UPDATES)
    assert bc.fit._cache_size() == before


def test_a_constant_column_does_no_harm(key):
    data = expert(CONTINUOUS, ROWS)
    data = replace(data, obs=data.obs.at[:, 1].set(7.0))
    state = bc.fit(SMALL, data, key, CONTINUOUS, UPDATES)
    assert np.isfinite(state.best_validation) and np.isfinite(bc.mode(state, data.obs)).all()


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (Space(Box((4,)), Discrete(4)), r"\(\(3,\), \(\)\), the environment has \(\(4,\), \(\)\)"),
        (CONTINUOUS, r"the environment has \(\(3,\), \(2,\)\)"),
        (Space(Box((3, 1)), Discrete(4)), "expected vectors: flatten them"),
    ],
)
def test_demonstrations_of_another_shape_are_refused(space, message, key):
    with pytest.raises(UserError, match=message):
        bc.fit(bc.Config(), expert(DISCRETE, 5), key, space, 1)


def test_the_network_is_the_papers(key):
    state = bc.init(bc.Config(), expert(DISCRETE, 5), key, DISCRETE)
    assert isinstance(state.net, nets.Actor) and [x.weight.shape for x in state.net.net.layers] == [
        (3, 100),
        (100, 100),
        (100, 4),
    ]
    np.testing.assert_allclose(bc.policy(state, jnp.ones(3)).entropy(), np.log(4), rtol=1e-6)
