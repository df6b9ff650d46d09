"""Does the curvature beside an image give away that it was pushed across a boundary?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from core.figures.charts.curvature.detector import perturbation_words
from core.geometry.detector.evaluation import NO_DEFENCE, PAIRS, DetectionExhibit
from core.result import Context
from dashboard.state import session
from dashboard.widgets import controls, exports, page
from dashboard.widgets.showing import showing

ANALYSIS, ATTACKS = "detector", "detector_attacks"


def facts(source: str, found: DetectionExhibit) -> None:
    """The numbers of the chosen perturbation, for one model."""
    controls.model_name(source)
    place = min(made.figure["perturbation"], len(found.attack) - 1)
    numbers = list(found.key_numbers(Context()))
    each = len(numbers) // len(found.attack)  # of one perturbation, which ends their names
    known = controls.worded(numbers[place * each : (place + 1) * each])
    lines = {"images": f"{int(np.isfinite(found.clean_nearest).sum())}"}
    lines |= {name.partition(",")[0]: value for name, value in known.items()}
    if found.attack[place] == PAIRS:
        lines["length over distance, median"] = f"{found.overshoot[place]:.3g}"
    controls.facts(lines | {"second derivatives": f"{found.products:,} products", "cost": controls.cost_label(found)})


def chosen() -> None:
    """Choose what perturbed the images, if they come in pairs, and the perturbation whose scores are drawn."""
    if session.image_set(session.images()).partners or made.parameters["perturbed_by"] == PAIRS:
        controls.setting(ANALYSIS, "perturbed_by", "Perturbed by")
    if made.parameters["perturbed_by"] == PAIRS:
        return
    overshoots = made.parameters["overshoots"]
    drawn = overshoots[min(made.figure["perturbation"], len(overshoots) - 1)]
    st.select_slider(
        "Overshoot (distances)",
        overshoots,
        format_func=lambda value: f"{value:.3g}",
        help="The ratio of the perturbation's length to the distance to the boundary; its scores and curve are drawn.",
        **showing(
            f"{ANALYSIS}:perturbation:slider",
            drawn,
            lambda chosen: session.change(ANALYSIS, perturbation=overshoots.index(chosen)),
        ),
    )


made, left, right = page.lens(ANALYSIS)
made = replace(made, rows=(0,))  # the result does not depend on the chosen images
with left:
    st.info(NO_DEFENCE)
    outcome = exports.picture(made, f"{made.parameters['count']} images, clean and perturbed", main=True)
    exports.on_demand(
        session.another(ATTACKS, rows=(0,)),
        "Against other attacks",
        "Attack {count} images by PGD and DDN",
        {
            "show": "Show",
            "score": "Drawn",
            "perturbation": "Perturbation",
            "count": "Images",
            "overshoots": "Lengths of PGD",
            "classes": "Other classes",
            "seed": "Seed",
        },
    )
with right:
    known = [
        (source, result)
        for source, result in zip(made.models, outcome.results, strict=True)
        if isinstance(result, DetectionExhibit)
    ]
    with controls.card():
        chosen()
        for source, result in known:
            facts(source, result)
        if known and made.parameters["perturbed_by"] != PAIRS:
            st.caption(f"At {perturbation_words(known[0][1], made.figure['perturbation'])} times the distance.")
    with controls.card("Scores"):
        controls.settings(ANALYSIS, {"score": "Drawn", "count": "Images"})
        controls.settings(
            ANALYSIS,
            {
                "show": "Show",
                "overshoots": "Overshoots",
                "probes": "Probes",
                "classes": "Other classes",
                "scale": "Scale h",
                "seed": "Seed",
            },
            under="More",
        )
