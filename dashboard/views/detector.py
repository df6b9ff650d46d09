"""Does the curvature beside an image give away that it was pushed across a boundary?"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import streamlit as st

from core.figures.charts.curvature.detector import perturbation_words
from core.geometry.detector.evaluation import NO_DEFENCE, PAIRS, DetectionExhibit
from dashboard.state import session
from dashboard.widgets import controls, exports, page
from dashboard.widgets.showing import showing

ANALYSIS, ATTACKS = "detector", "detector_attacks"


def facts(source: str, found: DetectionExhibit) -> None:
    """The chosen perturbation in numbers, for one model."""
    controls.model_name(source)
    place = min(made.figure["perturbation"], len(found.attack) - 1)
    lines = {"images": f"{int(np.isfinite(found.clean_nearest).sum())}"}
    for number, words in enumerate(("AUC, nearest boundary", "AUC, all class boundaries")):
        value, low, high = (part[place, number] for part in (found.auc, found.auc_low, found.auc_high))
        if np.isfinite(value):
            lines[words] = f"{value:.2f} ({low:.2f} to {high:.2f})"
    low, high = (ends[place] for ends in found.recovery_interval)
    if np.isfinite(found.recovery[place]):
        lines["class before recovered"] = f"{found.recovery[place]:.0%} ({low:.0%} to {high:.0%})"
    lines |= {
        "class changed": f"{found.changed[place].mean():.0%}",
        **({"length over distance, median": f"{found.overshoot[place]:.3g}"} if found.attack[place] == PAIRS else {}),
        "second derivatives": f"{found.products:,} products",
        "cost": f"{found.forwards:,} forwards, {found.gradients:,} gradients",
    }
    controls.facts(lines)


def chosen() -> None:
    """What perturbed the images, where they come in pairs, and the perturbation whose scores are drawn."""
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
        help="The length of the perturbation over the distance to the boundary, whose scores and curve are drawn.",
        **showing(
            f"{ANALYSIS}:perturbation:slider",
            drawn,
            lambda chosen: session.change(ANALYSIS, perturbation=overshoots.index(chosen)),
        ),
    )


def asked_for() -> None:
    """Which images and scores."""
    st.markdown("**Scores**")
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


def perturbation(known: list[tuple[str, DetectionExhibit]]) -> None:
    """The perturbation in force, with the numbers of all models that have some by now."""
    chosen()
    for source, result in known:
        facts(source, result)
    if known and made.parameters["perturbed_by"] != PAIRS:
        st.caption(f"At {perturbation_words(known[0][1], made.figure['perturbation'])} times the distance.")


made, left, right = page.lens(ANALYSIS)
made = replace(made, rows=(0,))  # whichever images are chosen
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
    page.cards(partial(perturbation, known), asked_for)
