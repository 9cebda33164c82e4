"""Every item of both editions by name, in a table that needs no import of the items (and so none of JAX)."""

import importlib
from typing import NamedTuple

from theodolite.core.claim import Item
from theodolite.core.errors import UserError, unknown


class Entry(NamedTuple):
    """Where an item lives and what it is about."""

    edition: str
    name: str
    system: str
    category: str

    @property
    def path(self) -> str:
        """The name with its edition, such as an17/gail."""
        return f"{self.edition}/{self.name}"

    @property
    def module(self) -> str:
        """The module that defines the item as ITEM."""
        return f"theodolite.claims.{self.edition}.{self.name}"


ENTRIES = (
    Entry("an17", "image_parameterizations", "Differentiable image parameterizations", "Interpretability"),
    Entry("an17", "gail", "Generative adversarial imitation learning", "Learning human intent"),
    Entry("an17", "airl", "Adversarial inverse reinforcement learning", "Learning human intent"),
    Entry("an17", "maxent_irl", "Maximum-entropy inverse reinforcement learning", "Learning human intent"),
    Entry("an17", "safe_option_critic", "Safe option-critic", "Preventing bad behavior"),
    Entry("an17", "contrastive", "Contrastive explanations by expected consequences", "Interpretability"),
    Entry("an17", "quantilizers", "Quantilizers and recursive quantilization", "Agent foundations"),
    Entry("an17", "local_preferences", "Local preferences and the price of utility functions", "Agent foundations"),
    Entry("an17", "speed_prior", "Exorcizing the speed prior?", "Agent foundations"),
    Entry("an17", "ultimatum", "Meta-fairness and the repeated Ultimatum game", "Agent foundations"),
    Entry("an17", "evil_genie", "The evil genie puzzle", "Agent foundations"),
    Entry("an17", "fundamental_uncertainty", "Robustness to fundamental uncertainty", "Agent foundations"),
    Entry("an51", "preqn", "PreQN and its kernel laboratory", "Reinforcement learning"),
    Entry("an51", "rnn_memorization", "Connectivity of recurrent networks on autocomplete", "Interpretability"),
    Entry("an51", "diagnosing", "Diagnosing bottlenecks in deep Q-learning", "Reinforcement learning"),
    Entry("an51", "distributional", "Expected and distributional reinforcement learning", "Deep learning"),
)  # fmt: skip


def find(name: str) -> Entry:
    """The entry of "gail" or "an17/gail".

    Raises:
        UserError: nothing has the name, or several editions have it.
    """
    found = [entry for entry in ENTRIES if name in (entry.name, entry.path)]
    if len(found) > 1:
        raise UserError(f"item {name!r} is in several editions. Say {' or '.join(e.path for e in found)}.")
    if not found:
        known = [n for entry in ENTRIES for n in (entry.name, entry.path)]
        raise unknown("item", name, known, "See `theodolite list`.")
    return found[0]


def load(name: str) -> Item:
    """The item of that name; imports its module."""
    return importlib.import_module(find(name).module).ITEM
