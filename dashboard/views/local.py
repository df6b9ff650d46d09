"""Does the model answer to small changes of an image alike in all directions?"""

from __future__ import annotations

import math

import numpy as np
import streamlit as st

from core.geometry.local.at_image import LocalAtImage
from core.geometry.local.local import STATUSES
from dashboard.state import session
from dashboard.widgets import controls, exports, page, plane_controls

ANALYSIS = "local"
COLUMNS = ("measured", "linearised", "random map")
MANY = {  # analyses of more images: heading, then label of the button
    "local_layers": ("Layer by layer", "Follow changes through the layers, {others} more images"),
    "local_sweep": ("By radius", "Measure at growing radii, {others} more images"),
    "adversarial_comparison": (
        "Clean against adversarial",
        "Compare {others} more images with their adversarial points",
    ),
}
OTHERS = {"others": "Others of the set", "directions": "Directions", "seed": "Seed"}
SETTINGS = {
    "local_layers": {"radius": "Radius", "layers": "Layers", **OTHERS},
    "local_sweep": {"radii": "Radii", "sampler": "Directions drawn", **OTHERS},
    "adversarial_comparison": {
        "number": "Number",
        "radius": "Radius",
        "strength": "Attack",
        "others": "Others of the set",
        "seed": "Seed",
    },
}


def beside_linear(found: LocalAtImage) -> None:
    """Isotropy and scores of the model, next to those of two linear maps."""
    with controls.card("Beside linear maps", of_first=True):
        scores = (found.mantel_raw[0], found.mantel_linear[0], found.mantel_random[0])
        symmetry = (np.nanmean(found.asymmetry[0]) if np.isfinite(found.asymmetry[0]).any() else math.nan, 0.0, 0.0)
        rows = {
            "variation of the gain": found.variation[0],
            "5 % over 95 % quantile": found.ratio[0],
            "least over largest slope": found.spectral[0],
            "share of directions that matter": found.effective[0],
            "mean asymmetry": symmetry,
            "Mantel score": scores,
            "its p, by permutations": (found.mantel_p[0, 0], found.mantel_p[0, 1], math.nan),
            "against linearised distances": (found.mantel_jacobian[0], 1.0, math.nan),
            "p of that, by permutations": (found.mantel_p[0, 2], math.nan, math.nan),
        }
        controls.table(
            COLUMNS,
            {
                name: [controls.number_label(float(value)) if math.isfinite(value) else "–" for value in values]
                for name, values in rows.items()
            },
        )
        words = "p tests for any association, not for preserved topology."
        expected = found.mantel_expected[0]
        if math.isfinite(expected):
            words += f" A linear map with this spectrum has a score of about {expected:.2f}."
        st.caption(words)


def ladder(found: LocalAtImage) -> None:
    """The Lipschitz numbers, from lower bounds to the upper one."""
    with controls.card(f"Steepness of the {found.representation}", of_first=True):
        slopes = ("lipschitz_pairs", "lipschitz_point", "lipschitz_ball", "lipschitz_margin", "product")
        extra = ["length_of_margin:margin over the steepest slope met:ℓ2"]
        if found.lipschitz_residual[0] > 0:
            extra.append("lipschitz_residual:residual of the slope at the image")
        controls.facts(controls.worded(found.quoted(*slopes, *extra), first=True))
        st.caption(
            "Slopes are lower bounds of the Lipschitz constant of the ball."
            + (f" {found.product_words.capitalize()}." if math.isnan(found.product) else "")
        )


def facts(found: LocalAtImage) -> None:
    """The class of one image, and where other classes begin around it, for one model."""
    with controls.card(f"Around {found.words}", of_first=True):
        status = str(found.status[0])
        if status != "measured":
            st.badge(status, color="orange")
            st.caption(STATUSES[status])
        names = session.classifier(made.models[0]).class_names
        lines = {
            "class": names[int(found.source_class[0])] if found.source_class[0] >= 0 else "undefined",
            "other class at v alone, -v alone, both": "{1:.0%}, {2:.0%}, {3:.0%}".format(*found.flip_shares[0]),
        }
        specs = (
            "censored:share of rays that meet no other class",
            "reach:length of the rays:ℓ2",
            "label_ratio:distance of the boundary, 5 % over 95 % quantile",
            "outside:share of points outside the pixel box",
        )
        lines |= controls.worded(found.quoted(*specs), first=True) | {"cost": controls.cost_label(found)}
        if found.precision != "float32":
            lines["computed in"] = found.precision
        controls.facts(lines)


asked, left, right = page.lens(ANALYSIS, narrow=400)
made = asked.with_settings(show="plane")
with left:
    outcome = exports.picture(asked, "one image", shown=made, main=True)
    first = session.shown(made, outcome)[0]
    if outcome.finished and isinstance(first, LocalAtImage):
        st.subheader("Over all directions")
        exports.chart(made.with_settings(show="directions"), outcome)
        st.subheader("Distances before and after")
        exports.chart(made.with_settings(show="distances"), outcome)
    for name, (title, words) in MANY.items():
        exports.on_demand(session.another(name), title, words, SETTINGS[name])
with right:
    if isinstance(first, LocalAtImage):
        for draw in (facts, beside_linear, ladder):
            draw(first)
    with controls.card("Image"):
        plane_controls.image_asked(made, how=", in its plane")
        if made.parameters["at"] is None:
            plane_controls.direction(ANALYSIS, "u", "Across")
            plane_controls.direction(ANALYSIS, "v", "Up")
    with controls.card("Changes"):
        controls.settings(ANALYSIS, {"radius": "Radius r", "sampler": "Directions drawn"})
        if made.parameters["sampler"] == "subspace":
            controls.setting(ANALYSIS, "dimension", "Subspace")
        controls.setting(ANALYSIS, "representation", "Outputs")
        controls.settings(
            ANALYSIS,
            {
                "count": "Directions",
                "reach": "Reach of rays",
                "permutations": "Permutations",
                "seed": "Seed",
                "palette": "Palette",
            },
            under="More",
        )
