"""Madsen 2019: how far back recurrent networks look, in numbers over held-out articles instead of one sentence."""

from typing import TYPE_CHECKING, Any

from theodolite.claims.an51 import rnn_memorization_figure as drawing
from theodolite.claims.an51.rnn_memorization_arms import (
    CELLS,
    CHANGING,
    CONTROL,
    GRU,
    LOSS,
    LSTM,
    NESTED,
    STEPS,
    UNBIASED,
    jobs,
    leave,
)
from theodolite.claims.an51.rnn_memorization_looks import DELETED, LETTERS
from theodolite.core.claim import Claim, Item, at_least, at_most, better, close, lower
from theodolite.core.scores import Scores
from theodolite.interpret import memorization as rnn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ARMS = tuple(CELLS)
READ = tuple(f"letters read/{k}" for k in LETTERS)
PUBLISHED_ACCURACY: dict[str, tuple[float, ...]] = {
    GRU: (0.1650, 0.3831, 0.5560, 0.6579, 0.6780, 0.6725, 0.6595, 0.6651, 0.6518),
    LSTM: (0.1668, 0.3763, 0.5388, 0.6408, 0.6696, 0.6697, 0.6594, 0.6692, 0.6607),
    NESTED: (0.1367, 0.3262, 0.4920, 0.5911, 0.6216, 0.6260, 0.6194, 0.6351, 0.6306),
}
PUBLISHED_SHARE: dict[str, tuple[float, ...]] = {
    GRU: (0.79, 0.61, 0.47, 0.30, 0.25, 0.19),
    LSTM: (0.84, 0.58, 0.46, 0.29, 0.18, 0.09),
    NESTED: (0.70, 0.07, 0.05, 0.03, 0.02, 0.02),
}
SCALED: dict[str, Any] = {"scope": "scaled-down", "statistic": "mean"}


def _by_letters(published: dict[str, tuple[float, ...]]) -> dict[tuple[str, str], float]:
    return {(arm, f"letters read/{k}"): v for arm, values in published.items() for k, v in enumerate(values)}


CLAIMS = (
    Claim(
        id="reach",
        text="Connectivity reaches further back in the GRU than in the LSTM, and further there than in the nested one.",
        where="figure 2 and its published data",
        metric="lag",
        arms=ARMS,
        cases=(STEPS,),
        unit="mean lag of squared connectivity, characters",
        paper_values={(GRU, STEPS): 12.8, (LSTM, STEPS): 7.8, (NESTED, STEPS): 1.1},
        expect=(better(GRU, than=LSTM), better(LSTM, than=NESTED)),
        **SCALED,
    ),
    Claim(
        id="reach-at-matched-loss",
        text="So it is at equal loss: each network is looked at when its validation loss is first as low as all reach.",
        source="newsletter",
        metric="lag",
        arms=ARMS,
        cases=(LOSS,),
        unit="mean lag of squared connectivity, characters",
        expect=(better(GRU, than=LSTM), better(LSTM, than=NESTED)),
        **SCALED,
    ),
    Claim(
        id="equal-loss",
        text="GRU and LSTM end within 0.1 nats of each other.",
        where="training table",
        metric="loss",
        higher_is_better=False,
        arms=ARMS,
        cases=(STEPS,),
        unit="cross-entropy on held-out articles, nats",
        paper_values={(GRU, STEPS): 2.1170, (LSTM, STEPS): 2.1713, (NESTED, STEPS): 2.4950},
        expect=(close(GRU, LSTM, 0.1),),
        **SCALED,
    ),
    Claim(
        id="accuracy",
        text="GRU and LSTM are almost equally accurate, and the nested LSTM is less so by at least two points.",
        where="training table",
        metric="accuracy",
        arms=ARMS,
        cases=(STEPS,),
        unit="accuracy on known words",
        paper_values={(GRU, STEPS): 0.5201, (LSTM, STEPS): 0.5140, (NESTED, STEPS): 0.4710},
        expect=(close(GRU, LSTM, 0.02), better(LSTM, than=NESTED, by=0.02)),
        **SCALED,
    ),
    Claim(
        id="crossover",
        text="With one to three letters read the GRU is more accurate, with seven or eight the LSTM.",
        where="appendix, accuracy by number of characters",
        metric="accuracy_by_letters",
        arms=ARMS,
        cases=READ,
        unit="accuracy on known words",
        level="letters of the word that were read",
        paper_values=_by_letters(PUBLISHED_ACCURACY),
        expect=(better(GRU, than=LSTM, cases=READ[1:4]), better(LSTM, than=GRU, cases=READ[7:9])),
        **SCALED,
    ),
    Claim(
        id="context-alone",
        text="With no letter read, where only context can help, the GRU is more accurate.",
        where="the headline at its purest point; the article's own table has 16.50 against 16.68%",
        metric="accuracy_by_letters",
        arms=ARMS,
        cases=READ[:1],
        unit="accuracy on known words",
        paper_values={(arm, READ[0]): values[0] for arm, values in PUBLISHED_ACCURACY.items()},
        expect=(better(GRU, than=LSTM),),
        **SCALED,
    ),
    Claim(
        id="share-after-one-letter",
        text="After one letter the nested LSTM has under a fifth of its connectivity before the current word, GRU and "
        "LSTM over two fifths.",
        where="figure 2 and its published data",
        metric="share_by_letters",
        arms=ARMS,
        cases=READ[1:2],
        unit="share of squared connectivity before the word",
        paper_values={(arm, READ[1]): values[1] for arm, values in PUBLISHED_SHARE.items()},
        expect=(at_most(NESTED, 0.2), at_least(GRU, 0.4), at_least(LSTM, 0.4)),
        **SCALED,
    ),
    Claim(
        id="share-falls",
        text="The share before the current word falls with every letter read, up to five.",
        where="figure 2 and its published data",
        metric="share_rises",
        higher_is_better=False,
        arms=ARMS,
        cases=(STEPS,),
        unit="largest rise of the share from one letter to the next",
        expect=tuple(at_most(arm, 0.02) for arm in (GRU, LSTM, NESTED)),
        **SCALED,
    ),
    Claim(
        id="repeats",
        text="A rarer word that has occurred before in the sequence is recognised after one letter, more so by the GRU "
        "than by the LSTM.",
        where="figure 2, the second 'grammar'",
        metric="repeat_gain",
        arms=ARMS,
        cases=(STEPS,),
        unit="accuracy at the second occurrence minus at the first",
        expect=(at_least(GRU, 0.0), better(GRU, than=LSTM)),
        **SCALED,
    ),
    Claim(
        id="deletion",
        text=f"The most connected characters are those that the guess depends on: without the {DELETED} most connected "
        f"past words it loses at least twice as much log-probability as without {DELETED} random ones.",
        source="newsletter",
        metric="deletion",
        arms=ARMS,
        cases=(STEPS,),
        unit="loss from the most connected minus twice that from random ones, nats",
        expect=tuple(at_least(arm, 0.0) for arm in (GRU, LSTM, NESTED)),
        **SCALED,
    ),
    Claim(
        id="finds-the-key",
        text="On a text in which a known word decides, connectivity peaks on that word in at least nine cases of ten.",
        source="newsletter",
        metric="control_peak",
        arms=ARMS,
        cases=(CONTROL,),
        unit="share of sequences",
        expect=tuple(at_least(arm, 0.9) for arm in (GRU, LSTM)),
        scope="toy",
        statistic="mean",
    ),
    Claim(
        id="solves-the-control",
        text="There, GRU and LSTM are as accurate as the best guess can be, within a twentieth.",
        source="newsletter",
        metric="control_accuracy",
        arms=ARMS,
        cases=(CONTROL,),
        unit="accuracy, share of the exact Bayes accuracy",
        expect=tuple(at_least(arm, 0.95) for arm in (GRU, LSTM)),
        scope="toy",
        statistic="mean",
    ),
    Claim(
        id="plateau",
        text="The GRU stays longer on the plateau of single words than the LSTM; it leaves earlier with gate biases of "
        "-1 instead of 1.",
        where="training curves; the bias is our conjecture",
        metric="plateau",
        higher_is_better=False,
        arms=(GRU, UNBIASED, CHANGING, LSTM),
        cases=(STEPS,),
        unit="minibatches on the plateau",
        expect=(better(GRU, than=LSTM), lower(CHANGING, than=GRU)),
        **SCALED,
    ),
    Claim(
        id="page",
        text="The figure can be played with: one page of under 2 MB, which needs nothing else, with all networks.",
        source="newsletter",
        metric="page_megabytes",
        higher_is_better=False,
        arms=("page",),
        cases=("size",),
        unit="MB of a page with as much text and as many networks as the run's",
        expect=(at_most("page", 2.0),),
        exact=True,
    ),
)


def figure(scores: Scores) -> "Figure":
    """Reach, accuracy and share by letters read, training curves, and what deletions cost."""
    return drawing.figure(scores, {claim.id: claim for claim in CLAIMS})


ITEM = Item(
    name="rnn_memorization",
    edition="an51",
    module=__name__,
    title="Visualizing memorization in RNNs",
    category="Interpretability",
    papers=(rnn.PAPER, rnn.NESTED),
    claims=CLAIMS,
    jobs=jobs,
    figure=figure,
    leave=leave,
    summary="What a character model's guess of a word rests on: the gradient with respect to every earlier character, "
    "for GRU, LSTM, nested LSTM, a vanilla cell and a small transformer. The run leaves a page to play with.",
    equation="connectivity(t, u) = ‖ ∂ logit_u[word] / ∂ x_t ‖",
    how_to=("theodolite run rnn_memorization", "theodolite run rnn_memorization --size full"),
    notes=(
        "The text is 206 pages of Wikipedia that the package gensim ships, 2.8 million characters; the article has 100 "
        "million. Sequences of 100 characters, split by article, not 200 split at random.",
        "At size quick 512 words are known, 16,384 in the article: the accuracies are not of the same task.",
        "Cells have equally many numbers between embedding and head, 65,536 at size quick; in the article they have "
        "equal widths. The nested LSTM has one layer and the others two, as there.",
        "Lag, share and spread are of squared connectivity, as published; targets are known words after character 40.",
        "Accuracy counts known words alone; over all positions it is in the scores as accuracy_everywhere.",
        "The networks compared at matched loss are the first of two dozen checkpoints at or under 3 nats.",
        "The paper's reach and shares were computed from its published file on one sentence.",
        "The transformer has no counterpart in the article and nothing is expected of it.",
        "The text comes with pip install -e '.[text]'; or THEODOLITE_TEXT names a wheel of gensim 4. The page to "
        "play with is page.html in the run's folder; theodolite remember makes one of a text of yours.",
    ),
)
