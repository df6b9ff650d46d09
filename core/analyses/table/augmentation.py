"""What PRIME's random primitives make of one image."""

from __future__ import annotations

from core.analyses.analysis import Analysis, ChartInputs, one_to_three
from core.analyses.parameters import Parameter
from core.figures.charts.corruptions.transforms import augmentation_chart
from core.figures.drawing.chart import Chart


def _draws_chart(inputs: ChartInputs) -> Chart:
    image = inputs.images.pixels[inputs.rows[0]].numpy()
    return inputs.each(
        lambda found, one, title: augmentation_chart(found, image=image, class_names=one.class_names, title=title)
    )


AUGMENTATION = Analysis(
    name="augmentation",
    version=1,
    question="What do PRIME's random filters, displacements and colour curves make of this image?",
    papers=("modas2022prime",),
    view="corruptions",
    parameters=(
        Parameter(
            name="spectral",
            kind="number",
            default=4.0,
            limits=(0, 20),
            unit="standard deviation",
            help="The largest s: each filter's coefficients have a standard deviation drawn up to it.",
        ),
        Parameter(
            name="spatial",
            kind="number",
            default=1.0,
            limits=(0, 20),
            unit="times T",
            help="Scales the variance T of displacements; 1 is the variance of the paper.",
        ),
        Parameter(
            name="colour",
            kind="number",
            default=0.01,
            limits=(0, 1),
            unit="variance",
            help="The largest T of the coefficients of a colour curve.",
        ),
        Parameter(
            name="cutoff",
            kind="integer",
            default=100,
            limits=(2, 500),
            unit="half waves",
            help="The largest q: how many waves a displacement (at most half the image's side) or a colour curve has.",
        ),
        Parameter(
            name="mix",
            kind="number",
            default=0.5,
            limits=(0, 1),
            unit="share",
            help="m, the share of the chains in the mixture; training draws it anew for each image.",
        ),
        Parameter(name="draws", kind="integer", default=3, limits=(1, 8), help="Draws of each primitive."),
        Parameter(
            name="seed",
            kind="integer",
            default=0,
            limits=(0, 1e9),
            help="Of the first draw; each further one has the next number.",
        ),
    ),
    figure=(),
    images=one_to_three,
    prepare="core.analyses.prepare.corruptions:augmentation",
    chart=_draws_chart,
)
