"""How does an image approach the boundary as a corruption grows, and which corruptions does the model withstand?"""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle
from typing import Any

import numpy as np
import streamlit as st

from core.geometry.corruptions.corruptions import CORRUPTIONS, corrupt
from core.geometry.corruptions.prime_draws import PrimeDraws
from core.geometry.corruptions.severity_path import SeverityPath
from dashboard.state import session
from dashboard.widgets import controls, exports, page, plane_controls
from dashboard.widgets.showing import showing

ANALYSIS, SETS, NOISE, LAB = "severity", "corruption", "noise", "augmentation"
OF_THE_LAB: tuple[tuple[Any, ...], ...] = (  # name, label and choices of its settings
    ("spectral", "Filters, s", (0.0, 1.0, 2.0, 4.0, 8.0)),
    ("colour", "Colour curves, T", (0.0, 0.001, 0.003, 0.01, 0.03)),
    ("spatial", "Displacements", (0.0, 0.5, 1.0, 2.0, 4.0)),
    ("mix", "Mixture, m", (0.0, 0.25, 0.5, 0.75, 1.0)),
    ("seed", "Seed of the first draw"),
    ("cutoff", "Cut-off, q", (3, 10, 30, 100, 300)),
)


def marked(results: tuple[SeverityPath | None, ...]) -> None:
    """The image at the marked severity, and each model's prediction."""
    with controls.card("At one severity"):
        name, at = made.parameters["corruption"], made.figure["marked"]
        st.slider(
            "Severity",
            0.0,
            5.0,
            step=0.25,
            help="The image at this severity; a line marks it in the curves.",
            **showing("severity:at", at, lambda chosen: session.change(ANALYSIS, marked=chosen)),
        )
        image = session.image_set(made.images).pixels[[made.rows[0]]]
        changed = corrupt(image, name, at, made.parameters["seed"])
        for source, result in zip(made.models, results, strict=True):
            controls.model_name(source)
            controls.image_card(session.classifier(source), changed)
            if result is not None:
                lost = result.lost_at
                controls.facts(
                    {
                        "signed distance": controls.number_label(np.interp(at, result.severity, result.distance), "ℓ2"),
                        "another class from severity": f"{lost:.3g}" if np.isfinite(lost) else "none on the way",
                    }
                )
        kind = CORRUPTIONS[name]
        controls.facts(
            {
                "strength": f"{kind.strength(at):.3g} ({kind.unit})",
                "change": controls.number_label(float((changed - image).norm()), "ℓ2"),
            }
        )
        st.caption(f"{name.replace('_', ' ').capitalize()} {kind.meaning}.")


made, left, right = page.lens(ANALYSIS, several=640)
with left:
    outcome = exports.picture(made, f"{made.parameters['steps']} severities", main=True, patience=1.0)
    st.subheader("Augmentation lab")
    drawn = replace(session.another(LAB), models=made.models[:1])
    result = exports.picture(drawn, "the draws", patience=1.0).results[0]
    if isinstance(result, PrimeDraws):
        same = int((result.predicted == result.clean_class).sum())
        st.caption(f"{same} of {result.predicted.size} draws keep the class of the image itself.")
    for column, setting in zip(cycle(st.columns(2, gap="large")), OF_THE_LAB, strict=False):
        with column:
            controls.setting(LAB, *setting)
with right:
    with controls.card("Corruption"):
        controls.setting(ANALYSIS, "corruption", "Corruption")
        plane_controls.anchors(made.rows, 1)
        st.button(
            "Slice along this corruption",
            key="corruptions:slice",
            on_click=session.open_view,
            args=("slice",),
            kwargs={"plane": "directions", "u": f"corruption:{made.parameters['corruption']}", "v": "adversarial"},
            help="Opens the plane spanned by the directions to the corrupted image and to the nearest boundary, with"
            " the true path of the severity drawn in it.",
            width="stretch",
        )
        controls.settings(ANALYSIS, {"seed": "Seed", "steps": "Severities", "palette": "Palette"}, under="More")
    marked(tuple(result if isinstance(result, SeverityPath) else None for result in outcome.results))
exports.on_demand(
    session.another(SETS, rows=(0,)),
    "Accuracy against severity",
    "Corrupt {count} images of the set",
    {"count": "Images", "corruptions": "Corruptions", "seed": "Seed"},
    above={"shown": "Shown", "against": "Against"},
)
exports.on_demand(
    session.another(NOISE, rows=(0,)),
    "White noise: forecast and measured",
    "Forecast noise on {count} images of the set",
    {"count": "Images", "strongest": "Strongest", "draws": "Draws", "seed": "Seed"},
)
