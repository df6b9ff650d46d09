"""Local properties: isotropy, symmetry, topology and steepness around an image, by layer, by radius, in pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.analyses.analysis import PALETTE, Analysis, of_all, one_to_three, whole_set
from core.analyses.parameters import Parameter
from core.analyses.start import START, start_images
from core.figures.charts.local.adversarial_comparison import kinds_chart
from core.figures.charts.local.by_layer import layers_chart, sweep_chart
from core.figures.charts.local.local import local_chart


def _plane_is_laid(parameters: Mapping[str, Any]) -> bool:
    """A plane of directions depends on the reference and the whole set; one through images on these alone."""
    return parameters["at"] is None or bool(parameters["plane"] == "directions")


_RADIUS = Parameter(
    name="radius",
    kind="number",
    default=0.5,
    limits=(1e-4, 100),
    unit="ℓ2 pixel",
    help="Length of all perturbations; compare it with the distance of the boundary.",
)
_SAMPLER = Parameter(
    name="sampler",
    kind="choice",
    default="sphere",
    choices=("sphere", "subspace", "pixels", "dct", "attack"),
    help="The distribution of directions: uniform; in a random subspace; one pixel value each; blocks of frequencies;"
    " or where an attack goes. Uniform ones flatter a model.",
)
_SEED = Parameter(
    name="seed",
    kind="integer",
    default=0,
    limits=(0, 1e6),
    help="Of what is drawn at random; another seed, other directions and images.",
)


def _directions(default: int) -> Parameter:
    return Parameter(
        name="directions",
        kind="integer",
        default=default,
        limits=(4, 512),
        unit="pairs v, -v",
        help="How many directions are tried around each image.",
    )


def _others(default: int) -> Parameter:
    return Parameter(
        name="others",
        kind="integer",
        default=default,
        limits=(0, 500),
        unit="images",
        help="Images of the set, drawn evenly from the classes, beside the chosen one.",
    )


LOCAL = Analysis(
    name="local",
    version=1,
    question="Does the model answer to small changes of this image alike in all directions?",
    papers=("aghdam2017local",),
    view="local",
    parameters=(
        *START,
        _RADIUS,
        _SAMPLER,
        Parameter(
            name="dimension",
            kind="integer",
            default=8,
            limits=(2, 512),
            unit="dimensions",
            help="Of the random subspace, where the directions lie in one; few of them show a contrast.",
            only_if=("sampler", "subspace"),
        ),
        Parameter(
            name="count",
            kind="integer",
            default=128,
            limits=(4, 512),
            unit="pairs v, -v",
            help="How many directions are tried; the ends of the first of each pair make the Mantel score.",
        ),
        Parameter(
            name="reach",
            kind="number",
            default=10.0,
            limits=(1e-3, 1e4),
            unit="ℓ2 pixel",
            help="How far rays are followed in search of another class; further ones count as beyond reach.",
        ),
        Parameter(
            name="representation",
            kind="choice",
            default="logits",
            choices=("logits", "probabilities"),
            help="What is measured: logits, or their softmax, whose constant is at most half as large.",
        ),
        Parameter(
            name="permutations",
            kind="integer",
            default=199,
            limits=(0, 9999),
            help="Of the points, for the p of the Mantel scores; p cannot be smaller than 1 over one more than these.",
        ),
        _SEED,
    ),
    figure=(
        Parameter(
            name="show",
            kind="choice",
            default="plane",
            choices=("plane", "distances", "directions"),
            help="Gains and boundary in a plane; distances before against after; or gains and asymmetry over all"
            " directions.",
        ),
        PALETTE,
    ),
    images=start_images,
    prepare="core.analyses.prepare.local:local",
    chart=of_all(local_chart),
    shared=_plane_is_laid,
)

LOCAL_LAYERS = Analysis(
    name="local_layers",
    version=1,
    question="What happens to small changes on their way through the layers?",
    papers=("aghdam2017local",),
    view="local",
    parameters=(
        _RADIUS,
        Parameter(
            name="layers",
            kind="text",
            default="",
            help="Paths of modules separated by commas, the last giving the logits; empty for up to 8 that everything"
            " passes.",
        ),
        _others(7),
        _directions(32),
        _SEED,
    ),
    figure=(),
    images=one_to_three,
    lines=True,
    prepare="core.analyses.prepare.local:by_layer",
    chart=of_all(layers_chart),
    shared=whole_set,
)

LOCAL_SWEEP = Analysis(
    name="local_sweep",
    version=1,
    question="Up to which radius is the model what its linearisation says?",
    papers=("aghdam2017local",),
    view="local",
    parameters=(
        Parameter(
            name="radii",
            kind="numbers",
            default=(0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
            limits=(1e-4, 100),
            unit="ℓ2 pixel",
            help="Lengths of the perturbations, growing.",
        ),
        _SAMPLER,
        _others(15),
        _directions(16),
        _SEED,
    ),
    figure=(),
    images=one_to_three,
    lines=True,
    prepare="core.analyses.prepare.local:by_radius",
    chart=of_all(sweep_chart),
    shared=whole_set,
)

ADVERSARIAL_COMPARISON = Analysis(
    name="adversarial_comparison",
    aliases=("local_kinds",),
    version=1,
    question="Is the model steeper at adversarial points than at the images themselves?",
    papers=("aghdam2017local", "madry2018towards"),
    view="local",
    parameters=(
        _RADIUS,
        Parameter(
            name="strength",
            kind="number",
            default=1.0,
            limits=(1e-3, 100),
            unit="ℓ2 pixel",
            help="Radius of the ball that the attack stays in; images whose class it does not change are left out.",
        ),
        _others(47),
        _SEED,
    ),
    figure=(
        Parameter(
            name="number",
            kind="choice",
            default="point",
            choices=("point", "pairs", "ball", "margin"),
            help="Which Lipschitz number: at the point, over pairs of sampled points, the largest met in the ball, or"
            " of margins of logits there.",
        ),
    ),
    images=one_to_three,
    prepare="core.analyses.prepare.local:comparison_of_set",
    chart=of_all(kinds_chart),
    shared=whole_set,
)
