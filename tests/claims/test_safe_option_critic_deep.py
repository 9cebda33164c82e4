"""The deep arms of safe_option_critic: their settings, their jobs, and the measures of a policy that is known."""

import jax
import jax.numpy as jnp
import numpy as np

from theodolite.claims.an17 import safe_option_critic_deep as deep
from theodolite.core.agent import Agent
from theodolite.envs import noisy


def test_arms_are_the_rules_by_name():
    game = deep.GAMES[deep.POLE]
    found = {arm: deep.config_of(game, arm, 0.3) for arm in deep.ARMS}
    assert found[deep.DEEP].psi == 0 == found[deep.A2C].psi and found[deep.A2C].num_options == 1
    assert (found[deep.PRINTED].scope, found[deep.PRINTED].through) == ("start", "actor")
    assert not found[deep.RELEASED].detach and found[deep.RELEASED].scope == "all"
    assert (found[deep.CRITIC].through, found[deep.CRITIC].psi) == ("critic", 0.3)


def test_every_size_has_its_jobs_and_what_is_expected_is_run():
    names = {size: [job.name for job in deep.jobs(size, None)] for size in ("smoke", "quick", "full")}
    assert all(len(set(found)) == len(found) > 1 for found in names.values())
    run = {(job.arm, case) for job in deep.jobs("full", None) for case in (job.case, *deep.CASES.get(job.case, ()))}
    for claim in deep.CLAIMS:
        for e in claim.expect:
            assert {(arm, case) for arm in (e.arm, e.than) for case in e.cases} <= run


def test_what_is_played_is_counted_as_it_was():
    """Pushing right for ever: the cart is on the right after a step or two, and the pole falls in about ten."""
    agent = Agent(None, lambda s, obs, key: (jnp.ones(obs.shape[0], jnp.int32), None), None, None, None, 1, options=1)
    total, hazards = jax.jit(lambda key: deep.played(agent, noisy.cartpole(scale=0.0), (), key))(jax.random.key(0))
    steps = np.round(np.asarray(total) / 0.05)
    assert total.shape == (deep.TESTS,) and steps.min() > 7 and steps.max() < 12
    assert (hazards <= steps).all() and hazards.mean() > 0.5 * steps.mean()
