"""Techniques 5 and 6 of `image_parameterizations`: textures of meshes, seen by a network through rendered views."""

from functools import partial
from typing import TYPE_CHECKING, Any

from theodolite.claims.an17.image_parameterizations_3d_arms import (
    CPPN,
    DECAYS,
    FEATURES,
    ONE_VIEW,
    PAINTED,
    PYRAMID,
    SINGLY,
    STYLES,
    TEXTURE_ARMS,
    THROUGH,
    feature_jobs,
    style_jobs,
)
from theodolite.claims.an17.image_parameterizations_runs import unpacked
from theodolite.core.claim import Claim, Job, Size, at_least, at_most, better, lower
from theodolite.core.scores import Scores

if TYPE_CHECKING:
    pass

NONE, LONG = "no memory", "memory 0.95"
STYLE_ARMS = tuple(DECAYS)
RATIO = "activation on unseen views, in units of the painted picture's"
SEAMS = "change of colour across seams over that across other edges"

CLAIMS_3D: tuple[Claim, ...] = (
    Claim(
        id="texture-through-views",
        text="A texture that is optimised through rendered views excites the channel from every side, more than a flat "
        "picture for the same channel that is painted on.",
        metric="activation_ratio",
        arms=TEXTURE_ARMS,
        cases=FEATURES,
        scope="substitute",
        unit=RATIO,
        where="section 3D feature visualization",
        expect=(at_least(THROUGH, 1.5), better(THROUGH, than=ONE_VIEW, by=0.1)),
    ),
    Claim(
        id="texture-without-seams",
        text="A texture that is optimised through rendered views has no visible seams; a flat picture that is painted "
        "on has.",
        metric="seam_ratio",
        arms=TEXTURE_ARMS,
        cases=FEATURES,
        scope="substitute",
        higher_is_better=False,
        unit=SEAMS,
        where="section 3D feature visualization",
        expect=(at_most(THROUGH, 1.3), at_least(PAINTED, 2.0)),
    ),
    Claim(
        id="solid-without-seams",
        text="What is smooth in space instead of in the atlas has no seams by construction: a CPPN of the point on the "
        "surface, and a pyramid of grids that fill space.",
        source="newsletter",
        metric="seam_ratio",
        arms=TEXTURE_ARMS,
        cases=FEATURES,
        scope="substitute",
        higher_is_better=False,
        unit=SEAMS,
        expect=(at_most(CPPN, 1.3), at_most(PYRAMID, 1.3)),
    ),
    Claim(
        id="solid-excites-as-much",
        text="The pyramid in space excites the channel on unseen views as a texture through views does.",
        source="newsletter",
        metric="activation_ratio",
        arms=TEXTURE_ARMS,
        cases=FEATURES,
        scope="substitute",
        unit=RATIO,
        expect=(at_least(PYRAMID, 1.5),),
    ),
    Claim(
        id="style-memory-pools",
        text="With a memory of Gram matrices over views the mesh as a whole comes closer to the style.",
        metric="pooled_style",
        arms=STYLE_ARMS,
        cases=STYLES,
        scope="substitute",
        higher_is_better=False,
        unit="distance of the mean Gram matrix of 64 unseen views, as a share of the style's",
        where="section style transfer in 3D",
        expect=(lower(LONG, than=NONE),),
    ),
    Claim(
        id="style-memory-distributes",
        text="With the memory the style is distributed over the surface: views differ more from each other.",
        metric="between_views",
        arms=STYLE_ARMS,
        cases=STYLES,
        scope="substitute",
        unit="variance of Gram matrices between views, as a share of the style's squared norm",
        where="section style transfer in 3D",
        expect=(better(LONG, than=NONE),),
    ),
    Claim(
        id="style-holds-across-views",
        text="A texture looks the same from neighbouring views; pictures of the two views that are stylised each for "
        "itself do not agree.",
        metric="disagreement",
        arms=(*STYLE_ARMS, SINGLY),
        cases=STYLES,
        scope="substitute",
        higher_is_better=False,
        unit="mean difference of colour of the same point of the surface, of 1",
        where="section style transfer in 3D",
        expect=(lower(LONG, than=SINGLY, by=0.05),),
    ),
)
"""Margins are those of the sheet, fixed before any run of the claims."""
NOTES_3D = (
    "Meshes are Newell's teapot in 16 charts and a bumpy sphere in 6, made here; the network is SqueezeNet 1.1 in the "
    "place of InceptionV1, textures and views are smaller than the article's.",
    "Content weighs 15 in 3D style transfer where equal gradients would ask for 120: chosen by eye on tuning seeds.",
    "Learning rates are swept alike for every arm on a seed of its own, judged on unseen views.",
)


def jobs_3d(size: Size, seeds: int | None) -> list[Job]:
    """The work behind the claims."""
    return [*feature_jobs(size, seeds), *style_jobs(size, seeds)]


def rows_3d(scores: Scores) -> list[tuple[float, Any]]:
    """(height in inches, draw(subfigure)) for the figure of the item: turntables of every arm, then the numbers."""
    rows = []
    for cases, arms, title in (
        (FEATURES, TEXTURE_ARMS, "The same channel of SqueezeNet"),
        (STYLES, (*STYLE_ARMS, SINGLY), "The same style"),
    ):
        for case in cases:
            drawn = [arm for arm in arms if scores.curves("strip", arm, case)]
            if drawn:
                heading = f"{title}, {case.replace('/', ': ')}"
                rows.append((0.35 + 1.12 * -(-len(drawn) // 2), partial(_strips, scores, drawn, case, heading)))
    return rows


def _strips(scores: Scores, arms: list[str], case: str, heading: str, part: Any) -> None:
    """The mesh from four sides, an arm each, of the first seed."""
    part.suptitle(heading, x=0.01, ha="left", fontsize=10)
    grid = part.subplots(-(-len(arms) // 2), 2, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, arm in zip(grid.flat, arms, strict=False):
        axes.imshow(unpacked(next(iter(scores.curves("strip", arm, case).values()))), interpolation="lanczos")
        axes.set_title(arm, fontsize=8.5, fontweight="normal", pad=2)
