"""A trained policy, out of its run folder, as a plain function from NumPy observations to NumPy actions."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from theodolite.commands import methods
from theodolite.commands.methods import Recipe, Traced
from theodolite.core import checkpoint, compile_cache, runlog
from theodolite.core.agent import Agent, Solver
from theodolite.core.arrays import PRNGKey
from theodolite.core.demos import Lengths, Transitions
from theodolite.core.env import Box, Discrete, Space
from theodolite.core.errors import UserError
from theodolite.core.judge import Json
from theodolite.core.options import NOT_YET, join, num_actions
from theodolite.core.train import expected_state


def load(folder: str | Path, seed: int = 0, *, stochastic: bool = False) -> "Policy":
    """The policy of one seed of a training run, counted from 0; needs no environment.

        policy = theodolite.load("runs/ppo-CartPole-v1-0")
        action = policy(obs)

    With `stochastic` actions are drawn, from one stream of keys, instead of being the most likely ones.

    Raises:
        UserError: the folder holds no training run, or has no such seed.
    """
    trained = Trained(Path(folder))
    return Policy(trained.agent, trained.state(seed), trained.space, trained.manifest, stochastic)


class Trained:
    """A run folder read back: its manifest, its agent, and the state of every seed."""

    def __init__(self, folder: Path) -> None:
        compile_cache.enable()
        self.folder = folder
        self.manifest = runlog.read(folder)
        self.seeds: int = self.manifest["seeds"]
        self.space = runlog.space_from_json(self.manifest["space"])
        recipe, traced = rebuild(self.manifest, self.space)
        self.agent = recipe.make(traced)
        self._like = (recipe, traced)
        self._cache: dict[Path, PyTree] = {}

    def state(self, seed: int) -> PyTree:
        """The agent's state of one seed of the run."""
        runlog.check_seed(self.folder, self.seeds, seed)
        parts = self.manifest.get("parts")
        folder, index, count = (self.folder / parts[seed], 0, 1) if parts else (self.folder, seed, self.seeds)
        if folder not in self._cache:
            recipe, traced = self._like
            like = expected_state(recipe.make, traced, self.space, count)
            self._cache[folder] = checkpoint.load(folder / runlog.LAST, like, part="agent").agent
        return jax.tree.map(lambda x: x[index], self._cache[folder])


def rebuild(manifest: Json, space: Space) -> tuple[Recipe, Traced]:
    """How the run's agent is made; demonstrations are stood in for by zeros, as a trained policy needs them no more."""
    method = methods.find(manifest["method"])
    learner = methods.find_learner(manifest["learner"]) if manifest["learner"] else None
    config = runlog.config_from_json(method.load().Config, manifest["config"])
    learner_config = runlog.config_from_json(learner.load().Config, manifest["learner_config"]) if learner else None
    rows = manifest["demos"]["rows"] if manifest["demos"] else 0
    expert = _blank(rows, space) if rows else None
    recipe = Recipe(method, learner, space, manifest["normalise_obs"], manifest["normalise_reward"])
    return recipe, (config, learner_config, expert, None)  # a policy needs no reward any more


def _blank(rows: int, space: Space) -> Transitions:
    obs = jnp.zeros((rows, *space.obs.shape), jnp.float32)
    kind = space.action
    discrete = isinstance(kind, Discrete)
    action = jnp.zeros(rows, jnp.int32) if discrete else jnp.zeros((rows, *kind.shape), jnp.float32)
    zero = jnp.int32(0)
    return Transitions(obs, action, obs, jnp.zeros(rows, bool), jnp.int32(rows), Lengths(zero, zero, zero))


class Policy:
    """`policy(obs)` is the action for one observation, or one per row of a batch; NumPy in and out.

    `policy(obs, key)` draws it instead. Continuous actions are clipped to the action space. A policy with options
    remembers which are in force from call to call: `policy.reset()` at the start of an episode forgets them, and
    `policy.reset(over)` those of the rows whose episode ended.
    """

    def __init__(self, agent: Agent | Solver, state: PyTree, space: Space, manifest: Json, stochastic: bool) -> None:
        self.space, self.manifest, self.stochastic = space, manifest, stochastic
        self._state = state
        self._mode = jax.jit(agent.mode)
        self._act = jax.jit(agent.act)
        self._calls = 0
        self._options, self._in_force = agent.options, np.zeros(0, np.int32)

    def __repr__(self) -> str:
        return f"Policy({self.manifest['method']} on {self.manifest['env']})"

    def __call__(self, obs: Any, key: PRNGKey | None = None) -> Any:
        """The action for an observation, or those for a batch."""
        obs = np.asarray(obs, self.space.obs.dtype)
        shape = self.space.obs.shape
        if obs.shape != shape and obs.shape[1:] != shape:
            raise UserError(
                f"the observation has the shape {obs.shape}: expected {shape}, or a batch of them, as in "
                f"{self.manifest['env'] or 'the demonstrations'}."
            )
        if key is None and self.stochastic:
            key = jax.random.fold_in(jax.random.key(0), self._calls)
            self._calls += 1
        batch = obs if obs.ndim > len(shape) else obs[None]
        batch = self._remembering(batch) if self._options else batch
        action = self._mode(self._state, batch) if key is None else self._act(self._state, batch, key)[0]
        if self._options:
            self._in_force, action = np.divmod(np.asarray(action), num_actions(self.space))
        found = clip(np.asarray(action), self.space.action)
        return found if obs.ndim > len(shape) else found[0]

    def reset(self, over: Any = None) -> None:
        """Forget the options in force, of all rows or of those where `over` is true; other policies have none."""
        self._in_force = np.zeros(0, np.int32) if over is None else np.where(over, NOT_YET, self._in_force)

    def _remembering(self, batch: np.ndarray) -> np.ndarray:
        if len(self._in_force) != len(batch):
            self._in_force = np.full(len(batch), NOT_YET)
        return join(batch, self._in_force, self._options)


def clip(action: np.ndarray, space: Discrete | Box) -> np.ndarray:
    """Actions within the bounds of their space, in its dtype."""
    if isinstance(space, Discrete):
        return action.astype(np.int64)
    return np.clip(action, space.low, space.high).astype(space.dtype)
