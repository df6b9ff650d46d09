"""Along which directions does the boundary bend for many images at once, and for many models?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from core.geometry.shared_directions.sharing import DirectionSharing
from dashboard.state import session
from dashboard.state.session import Outcome
from dashboard.widgets import controls, exports, page

ANALYSIS = "shared_directions"
MORE = {  # further analyses: heading, label of the button, settings
    "direction_noise": (
        "What noise along them flips",
        "Put noise along directions on {count} images",
        {
            "whose": "Directions",
            "count": "Images",
            "directions": "Dimension",
            "lengths": "Lengths",
            "draws": "Draws",
            "scale": "Scale h",
            "seed": "Seed",
        },
    ),
    "direction_overlap": (
        "Between models",
        "Compare the directions of {count} images with those of as many others, and between models",
        {"show": "Show", "count": "Images", "directions": "Dimension", "scale": "Scale h", "seed": "Seed"},
    ),
}


def facts(source: str, found: DirectionSharing) -> None:
    """The numbers of one model, and their cost."""
    controls.model_name(source)

    def times(ratio: np.ndarray) -> str:
        known = ratio[np.isfinite(ratio).all(1)]
        return f"{np.median(known):.3g} times" if len(known) else "on its way"

    largest = found.curvatures[found.order()[0]]
    lines = {
        "largest mean curvature": f"{largest:+.3g} 1/ℓ2",
        "images they come from": times(found.seen),
        "other images": times(found.unseen),
        "the same, scrambled": times(found.scrambled),
        "uniform noise": times(found.noise),
    }
    if found.complete:
        lines["sign of the mean returns"] = f"{found.same_sign:.0%}"
    if np.isfinite(found.scale):
        lines |= {
            "scale of the differences": f"{found.scale:.3g} ℓ2",
            "asymmetry of the matrix": f"{found.asymmetry_ratio:.2g}",
        }
    lines |= {
        "second derivatives": f"{found.products:,} products",
        "cost": controls.cost_label(found),
    }
    controls.facts(lines)
    if np.isfinite(found.scale):
        st.caption("A network of kinks: gradients are differenced over this length, and the matrix is symmetrised.")


def known(outcome: Outcome) -> None:
    """The numbers of all models that have results so far, updated while the search runs."""
    found = [
        (source, result)
        for source, result in zip(made.models, outcome.results, strict=True)
        if isinstance(result, DirectionSharing)
    ]
    if found:
        with st.container(border=True):
            st.markdown("**Curvature over chance**")
            for source, result in found:
                facts(source, result)


made, left, right = page.lens(ANALYSIS)
made = replace(made, rows=(0,))  # the result does not depend on the chosen images
with left:
    outcome = exports.picture(made, f"{made.parameters['count']} images and as many others", main=True)
    for name, (title, words, settings) in MORE.items():
        recipe = session.another(name, rows=(0,))
        if name == "direction_overlap" and len(made.models) == 1:  # a matrix of one number says less
            recipe = recipe.with_settings(show="angles")
        exports.on_demand(recipe, title, words, settings)
        if name == "direction_overlap" and len(made.models) == 1 and name not in session.asked():
            st.caption("One model: its directions from two samples of images. Add models with compare, above.")
with right:
    if not outcome.error:
        session.live(made, known, patience=0.0, urgent=True)
    with controls.card("Directions"):
        controls.settings(ANALYSIS, {"show": "Show", "count": "Images", "directions": "Kept"})
        controls.settings(ANALYSIS, {"noise": "Noise", "scale": "Scale h", "seed": "Seed"}, under="More")
