"""Does the model answer to small changes of an image alike in all directions?"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import streamlit as st

from core.geometry.local.at_image import LocalAtImage
from core.geometry.local.local import STATUSES
from dashboard.state import session
from dashboard.widgets import controls, exports, page, plane_controls

ANALYSIS = "local"
COLUMNS = ("measured", "linearised", "random map")
MANY = {  # analyses of more images: heading, then what its button offers
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


def worded(value: float, unit: str = "") -> str:
    """A number of a table in three digits, or that it is not defined."""
    if not math.isfinite(value):
        return "–"
    return f"{value:,.0f}{unit}" if abs(value) >= 1000 else f"{value:.3g}{unit}"


def beside_linear(found: LocalAtImage) -> None:
    """Isotropy and scores of the model, compared with two linear maps."""
    controls.card_title("Beside linear maps")
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
    controls.table(COLUMNS, {name: [worded(float(value)) for value in values] for name, values in rows.items()})
    expected = found.mantel_expected[0]
    words = ["p is of any association, not of topology kept."]
    if math.isfinite(expected):
        words.append(f"A linear map with this spectrum has a score of about {expected:.2f}.")
    st.caption(" ".join(words))


def ladder(found: LocalAtImage) -> None:
    """The Lipschitz numbers, from below to above."""
    word = "logits" if found.representation == "logits" else "probability"
    residual = found.lipschitz_residual[0]
    iterated = f" (residual {residual:.1g})" if residual > 0 else ""
    controls.card_title(f"Steepness, {word} per ℓ2")
    lines = {
        "over pairs of points": worded(found.lipschitz_pairs[0]),
        "at the point": worded(found.lipschitz_point[0]) + iterated,
        "largest met in the ball": worded(found.lipschitz_ball[0]),
        "margin, largest met": worded(found.lipschitz_margin[0]),
        "product of layers, from above": worded(found.product),
        "margin over slope, a length": worded(found.length_of_margin[0], " ℓ2"),
    }
    controls.facts(lines)
    st.caption(
        "The first four are below the constant of the ball."
        + (f" {found.product_words.capitalize()}." if math.isnan(found.product) else "")
    )


def facts(found: LocalAtImage) -> None:
    """What was measured around one image for one model."""
    controls.card_title(f"Around {found.words}")
    status = str(found.status[0])
    if status != "measured":
        st.badge(status, color="orange")
        st.caption(STATUSES[status])
    names = session.classifier(made.models[0]).class_names
    _, ahead, behind, both = found.flip_shares[0]
    label = found.label_ratio[0]
    lines = {
        "class": names[int(found.source_class[0])] if found.source_class[0] >= 0 else "undefined",
        "other class at v alone, -v alone, both": f"{ahead:.0%}, {behind:.0%}, {both:.0%}",
        "rays without another class": f"{found.censored[0]:.0%} up to {found.reach:.3g} ℓ2",
        "label isotropy, 5 % over 95 %": worded(label) if math.isfinite(label) else "beyond reach",
        "points outside the pixel box": f"{found.outside[0]:.0%}",
        "cost": f"{found.forwards:,} forwards, {found.gradients:,} gradients, {found.seconds:.1f} s",
    }
    if found.precision != "float32":
        lines["computed in"] = found.precision
    controls.facts(lines)


def image_asked() -> None:
    """Choose the image and the plane."""
    plane_controls.image_asked(made, how=", in its plane")
    if made.parameters["at"] is None:
        plane_controls.direction(ANALYSIS, "u", "Across")
        plane_controls.direction(ANALYSIS, "v", "Up")


def perturbations() -> None:
    """How the image is changed."""
    st.markdown("**Changes**")
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
        page.cards(*(partial(result, first) for result in (facts, beside_linear, ladder)))
    page.cards(image_asked, perturbations)
