"""Corruptions of growing severity, of one image and of a set; and white noise, forecast and measured."""

from __future__ import annotations

from typing import Any

from core.analyses.analysis import PALETTE, Analysis, ChartInputs, one_to_three, whole_set
from core.analyses.parameters import Parameter
from core.figures.charts.corruptions.corruptions import noise_forecast_chart, severity_path_chart, severity_sweep_chart
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


def _walk_chart(inputs: ChartInputs, **figure: Any) -> Chart:
    names = inputs.names
    return severity_path_chart(
        inputs.results, models=names, class_names=inputs.class_names, shared_scale=inputs.shared_scale, **figure
    )


def _sweep_chart(inputs: ChartInputs, *, shown: Any, against: Any) -> Chart:
    names = inputs.names
    return severity_sweep_chart(
        inputs.results, models=names, shown=shown, against=against, shared_scale=inputs.shared_scale
    )


def _noise_chart(inputs: ChartInputs) -> Chart:
    return noise_forecast_chart(inputs.results, models=inputs.names)


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
    chart=_walk_chart,
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
    chart=_sweep_chart,
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
    chart=_noise_chart,
    shared=whole_set,
)
