"""Corruptions of growing severity, of one image and of a set; white noise; and PRIME's random primitives."""

from __future__ import annotations

from core.analyses.analysis import PALETTE, Analysis, ChartInputs, of_all, one_to_three, whole_set
from core.analyses.parameters import Parameter
from core.figures.charts.corruptions.corruptions import noise_forecast_chart, severity_path_chart, severity_sweep_chart
from core.figures.charts.corruptions.transforms import augmentation_chart
from core.figures.drawing.chart import Chart

# the table's names, without the import of torch; a test compares them
NAMES = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "speckle_noise",
    "gaussian_blur",
    "motion_blur",
    "contrast",
    "brightness",
    "fog",
    "elastic",
    "pixelate",
    "jpeg",
)


def listed(text: str) -> tuple[str, ...]:
    """The corruptions that a text names.

    >>> listed("fog, contrast")
    ('fog', 'contrast')

    Args:
        text: "all", or names with commas between them.

    Returns:
        Names, each once.

    Raises:
        ValueError: if one is not known or there is none.
    """
    if text == "all":
        return NAMES
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise ValueError(f"expected all, or corruptions out of {', '.join(NAMES)}, got {unknown[0][:40]!r}")
    return names


def _draws_chart(inputs: ChartInputs) -> Chart:
    image = inputs.images.pixels[inputs.rows[0]].numpy()
    return inputs.each(
        lambda found, one, title: augmentation_chart(found, image=image, class_names=one.class_names, title=title)
    )


_SEED = Parameter(
    name="seed",
    kind="integer",
    default=0,
    limits=(0, 1e9),
    help="Another seed draws other noise, other fields and other images of the set.",
)
_COUNT = Parameter(
    name="count",
    kind="integer",
    default=80,
    limits=(1, 10_000),
    unit="images",
    help="Images of known class, drawn from the set; all of them where there are fewer.",
)

SEVERITY = Analysis(
    name="severity",
    version=1,
    question="How does one image come to the boundary as a corruption grows?",
    papers=("moosavi2016deepfool", "hendrycks2019corruptions"),
    view="corruptions",
    parameters=(
        Parameter(
            name="corruption",
            kind="choice",
            default="contrast",
            choices=NAMES,
            help="The corruption; its strengths at severities 1 to 5 are those of a table of our own.",
        ),
        Parameter(
            name="steps",
            kind="integer",
            default=21,
            limits=(2, 201),
            help="Severities looked at, evenly spaced from 0 to 5.",
        ),
        _SEED,
    ),
    figure=(
        Parameter(
            name="marked",
            kind="number",
            default=3.0,
            limits=(0, 5),
            help="The severity that a line marks; the view shows the image there.",
        ),
        PALETTE,
    ),
    images=one_to_three,
    lines=True,
    prepare="core.analyses.prepare.corruptions:severity",
    chart=of_all(severity_path_chart),
)

CORRUPTION = Analysis(
    name="corruption",
    version=1,
    question="Which corruptions, how strong, does the model endure?",
    papers=("moosavi2016deepfool", "hendrycks2019corruptions"),
    view="corruptions",
    parameters=(
        Parameter(
            name="corruptions",
            kind="text",
            default="all",
            check=listed,
            help=f"all, or some of {', '.join(NAMES)}, with commas between them.",
        ),
        _COUNT,
        _SEED,
    ),
    figure=(
        Parameter(
            name="shown",
            kind="choice",
            default="accuracy",
            choices=("accuracy", "distance"),
            help="Accuracy with its 95 % interval, or the median signed distance to the boundary of the true class.",
        ),
        Parameter(
            name="against",
            kind="choice",
            default="severity",
            choices=("severity", "change"),
            help="Severity, or the mean ℓ2 length of the change: at equal change, what differs is not owed to a table"
            " of strengths.",
        ),
    ),
    images=one_to_three,
    lines=True,
    prepare="core.analyses.prepare.corruptions:sweep",
    chart=of_all(severity_sweep_chart),
    shared=whole_set,
)

NOISE = Analysis(
    name="noise",
    version=1,
    question="Can the geometry at the clean image tell what white noise will do?",
    papers=("fawzi2016noise",),
    view="corruptions",
    parameters=(
        Parameter(
            name="strongest",
            kind="number",
            default=0.4,
            limits=(1e-3, 10),
            unit="standard deviation",
            help="The strongest noise; eight strengths up to it are looked at.",
        ),
        Parameter(
            name="draws",
            kind="integer",
            default=24,
            limits=(1, 1000),
            help="Draws of noise for each image, the same at all strengths.",
        ),
        _COUNT,
        _SEED,
    ),
    figure=(),
    images=one_to_three,
    lines=True,
    prepare="core.analyses.prepare.corruptions:noise",
    chart=of_all(noise_forecast_chart),
    shared=whole_set,
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
