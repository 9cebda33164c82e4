"""Autocomplete by recurrent networks: at every character, guess the word that the character belongs to.

    min_θ  E[ -log softmax(f_θ(x_1..x_t))[word(t)] ]        over positions whose word is in the vocabulary

Where few letters of a word were read, a right guess has to come from context: the task shows who uses it. What a guess
rests on is measured by `memorization_connectivity`. The task, the cells and the training (Adam at its defaults, states
reset at each sequence, no dropout, no clipping) are those of the article. Differences from it:
1. Minibatches are drawn with replacement, not in epochs.
2. Widths are free, so that cells can be matched in recurrent parameters (`matched`) instead of in width.
3. Sequences are split by document; the article's neighbours leak topic into the test set.
4. A vanilla cell and a minimal causal transformer stand beside GRU, LSTM and Nested LSTM.
5. The first layer reads the product of embedding and weights (28 rows), which is the same function for less work.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from theodolite.core import optim
from theodolite.core.agent import Solver
from theodolite.core.arrays import Arrays, Metrics, PRNGKey
from theodolite.core.claim import Paper
from theodolite.core.config import above, any_value, at_least, config, one_of, positive, require
from theodolite.core.env import Box, Discrete, Space
from theodolite.core.errors import UserError
from theodolite.interpret.memorization_cells import KINDS, Kind, Net, net
from theodolite.interpret.memorization_text import ALPHABET, Corpus

PAPER = Paper(
    "Visualizing memorization in RNNs", "Madsen", 2019, url="https://distill.pub/2019/memorization-in-rnns/",
    venue="Distill",
)  # fmt: skip
NESTED = Paper("Nested LSTMs", "Moniz and Krueger", 2017, arxiv="1801.10308")
METRICS = {
    "loss": "mean cross-entropy of the minibatch over positions with a known word, nats",
    "accuracy": "share of those positions whose word is the most likely one",
    "gradient_norm": "global norm of the gradient",
}
FIRST_WORD = 2
"""Targets below are padding and unknown, which no loss counts."""


@config
class Config:
    """Hyper-parameters; cells, biases and optimiser default to the article's, sizes to what a CPU trains in minutes."""

    kind: Kind = "gru"
    """The cell: rnn, gru, lstm, nlstm, or transformer for causal attention."""
    width: int = 96
    """Units of a layer, and of the embedding; the article has 600."""
    layers: int = 2
    """Layers; the article has one for the nested LSTM."""
    depth: int = 2
    """Levels of the nested LSTM's memory."""
    gate_bias: float = 1.0
    """First bias of the GRU's two gates, 1 in TF1: a positive one keeps more of the old state."""
    forget_bias: float = 1.0
    """First bias of the LSTMs' forget gates; TF1 adds 1."""
    learning_rate: float = 1e-3
    """Step size of Adam."""
    batch_size: int = 64
    """Sequences of a minibatch, drawn with replacement."""

    def __post_init__(self):
        require(
            self,
            kind=one_of(*KINDS),
            width=positive,
            layers=positive,
            depth=above(1),
            gate_bias=any_value,
            forget_bias=any_value,
            learning_rate=positive,
            batch_size=at_least(1),
        )
        if self.kind == "transformer" and self.width % 4:
            raise UserError(f"width = {self.width}: must be a multiple of 4 for a transformer, which has four heads.")


class State(Arrays):
    """The network and its optimiser."""

    net: Net
    opt: optim.OptState


class Data(Arrays):
    """Sequences to learn from, as arrays."""

    characters: Int[Array, "N T"]
    words: Int[Array, "N T"]


def data(corpus: Corpus) -> Data:
    """The part of a corpus to learn from."""
    return Data(jnp.asarray(corpus.train.characters), jnp.asarray(corpus.train.words))


def space(corpus: Corpus) -> Space:
    """What the network reads and answers: the codes of T characters, and a word."""
    length = corpus.train.characters.shape[1]
    return Space(Box((length,), 0.0, ALPHABET - 1.0), Discrete(len(corpus.vocabulary)))


def init(c: Config, key: PRNGKey, space: Space) -> State:
    """A network that has seen nothing."""
    assert isinstance(space.action, Discrete), "the words of a corpus"
    fresh = net(
        key,
        c.kind,
        width=c.width,
        layers=c.layers,
        depth=c.depth,
        length=space.obs.shape[0],
        words=space.action.num,
        alphabet=ALPHABET,
        gate_bias=c.gate_bias,
        forget_bias=c.forget_bias,
    )
    return State(fresh, optim.adam(c.learning_rate).init(fresh))


def logits(net: Net, characters: Int[Array, "B T"]) -> Float[Array, "B T V"]:
    """A score for every word at every position."""
    return net(jax.nn.one_hot(characters, ALPHABET))


def act(s: State, obs: Array, key: PRNGKey) -> tuple[Array, Float[Array, "..."]]:
    """Sample the word that the last of the characters belongs to, and its log-probability."""
    scores = jax.nn.log_softmax(_last(s, obs))
    word = jax.random.categorical(key, scores)
    return word, jnp.take_along_axis(scores, word[..., None], -1)[..., 0]


def mode(s: State, obs: Array) -> Int[Array, "..."]:
    """The most likely word at the last of the characters."""
    return jnp.argmax(_last(s, obs), -1).astype(jnp.int32)


def log_prob(s: State, obs: Array, action: Array) -> Float[Array, "..."]:
    """Log-probability of words at the last of the characters, nats."""
    return jnp.take_along_axis(jax.nn.log_softmax(_last(s, obs)), action[..., None], -1)[..., 0]


def _last(s: State, obs: Array) -> Array:
    flat = obs.reshape(-1, obs.shape[-1]).astype(jnp.int32)
    return logits(s.net, flat)[:, -1].reshape(*obs.shape[:-1], -1)


def losses(
    net: Net, characters: Int[Array, "B T"], words: Int[Array, "B T"]
) -> tuple[Float[Array, "B T"], Int[Array, "B T"]]:
    """-log p(word) at every position, and the most likely word."""
    scores = logits(net, characters)
    chosen = jnp.take_along_axis(scores, words[..., None], -1)[..., 0]
    return jax.nn.logsumexp(scores, -1) - chosen, jnp.argmax(scores, -1).astype(words.dtype)


def loss(net: Net, characters: Int[Array, "B T"], words: Int[Array, "B T"]) -> tuple[Float[Array, ""], Array]:
    """The mean over positions with a known word, and the share of them that is guessed."""
    each, guess = losses(net, characters, words)
    known = words >= FIRST_WORD
    count = jnp.maximum(known.sum(dtype=each.dtype), 1)
    return jnp.where(known, each, 0).sum() / count, (known & (guess == words)).sum(dtype=each.dtype) / count


def step(c: Config, text: Data, s: State, key: PRNGKey) -> tuple[State, Metrics]:
    """One minibatch of Adam."""
    rows = jax.random.randint(key, (c.batch_size,), 0, len(text.words))
    batch = text.characters[rows], text.words[rows]
    (value, accuracy), gradient = jax.value_and_grad(loss, has_aux=True)(s.net, *batch)
    norm = jnp.sqrt(sum(jnp.sum(leaf * leaf) for leaf in jax.tree.leaves(gradient)))
    fitted, opt = optim.apply(optim.adam(c.learning_rate), gradient, s.opt, s.net)
    return State(fitted, opt), {"loss": value, "accuracy": accuracy, "gradient_norm": norm}


def solver(c: Config, text: Data) -> Solver:
    """Autocomplete as a solver: `theodolite.solve` trains it."""
    return Solver(init=partial(init, c), act=act, step=partial(step, c, text), mode=mode, log_prob=log_prob)


def matched(kind: Kind, parameters: int, layers: int = 2, depth: int = 2) -> tuple[int, int]:
    """The width and the number of layers with which a cell has about that many numbers between embedding and head.

    A layer of width n has 2n² numbers in a vanilla cell, 6n² in a GRU, 8n² in an LSTM, 8n² for each level of a nested
    LSTM, which is one layer, and 12n² in a block of a transformer.
    """
    per_layer = {"rnn": 2, "gru": 6, "lstm": 8, "nlstm": 8 * depth, "transformer": 12}[kind]
    layers = 1 if kind == "nlstm" else layers
    width = round((parameters / (per_layer * layers)) ** 0.5)
    return (width - width % 4 if kind == "transformer" else width), layers
