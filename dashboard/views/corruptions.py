"""How does one image come to the boundary as a corruption grows, and which corruptions does the model endure?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from core.analyses.table import TABLE
from core.geometry.corruptions.corruptions import CORRUPTIONS, corrupt
from core.geometry.corruptions.prime_draws import PrimeDraws
from core.geometry.corruptions.severity_path import SeverityWalk
from core.recipes.recipe import Recipe
from dashboard.state import session
from dashboard.state.session import Outcome
from dashboard.widgets import controls, exports, page, plane_controls
from dashboard.widgets.showing import showing

ANALYSIS, SETS, NOISE, LAB = "severity", "corruption", "noise", "augmentation"


def walk(outcome: Outcome) -> None:
    """The film strip, distances and probabilities of all chosen models."""
    exports.drawn(made, outcome, f"{made.parameters['steps']} severities", main=True)


def marked(results: tuple[SeverityWalk | None, ...]) -> None:
    """The image at the marked severity, and what each model says of it."""
    name, at = made.parameters["corruption"], made.figure["marked"]
    st.markdown("**At one severity**")
    st.slider(
        "Severity",
        0.0,
        5.0,
        step=0.25,
        help="The image at this severity; a line marks it in the curves.",
        **showing("severity:at", at, lambda chosen: session.change(ANALYSIS, marked=chosen)),
    )
    images = session.image_set(made.images)
    changed = corrupt(images.pixels[[made.rows[0]]], name, at, made.parameters["seed"])
    for source, result in zip(made.models, results, strict=True):
        classifier = session.classifier(source)
        if len(made.models) > 1:
            st.markdown(f"**{classifier.name}**")
        controls.image_card(classifier, changed)
        if result is not None:
            far = float(np.interp(at, result.severity, result.distance))
            lost = result.lost_at
            controls.facts(
                {
                    "signed distance": f"{far:.3g} ℓ2" if np.isfinite(far) else "not known",
                    "another class from severity": f"{lost:.3g}" if np.isfinite(lost) else "none on the way",
                }
            )
    kind = CORRUPTIONS[name]
    strength = f"{kind.strength(at):.3g} ({kind.unit})"
    moved = f"{float((changed - images.pixels[[made.rows[0]]]).norm()):.3g} ℓ2"
    controls.facts({"strength": strength, "change": moved})
    st.caption(f"{name.replace('_', ' ').capitalize()} {kind.meaning}.")


def question() -> None:
    """Which image, which corruption."""
    st.markdown("**Corruption**")
    controls.setting(ANALYSIS, "corruption", "Corruption")
    plane_controls.anchors(made.rows, 1)
    st.button(
        "Slice along this corruption",
        key="corruptions:slice",
        on_click=towards_slices,
        help="Opens the plane of this image towards its corrupted self and towards the nearest boundary, with the true"
        " path of the severity drawn in it.",
        width="stretch",
    )
    with st.expander("More"):
        controls.setting(ANALYSIS, "seed", "Seed")
        controls.setting(ANALYSIS, "steps", "Severities")
        controls.setting(ANALYSIS, "palette", "Palette")


def towards_slices() -> None:
    """Set the plane of slices, and go there."""
    session.change("slice", plane="directions", u=f"corruption:{made.parameters['corruption']}", v="adversarial")
    session.go("slices")


def lab() -> None:
    """What PRIME's primitives make of the image."""
    st.subheader("Augmentation lab")
    drawn = replace(session.make(LAB, session.settings(LAB)), models=made.models[:1])
    outcome = session.live(drawn, lambda there: exports.drawn(drawn, there, "the draws"), patience=1.0)
    left, right = st.columns(2, gap="large")
    with left:
        controls.setting(LAB, "spectral", "Filters, s", (0.0, 1.0, 2.0, 4.0, 8.0))
        controls.setting(LAB, "spatial", "Displacements", (0.0, 0.5, 1.0, 2.0, 4.0))
        controls.setting(LAB, "seed", "Seed of the first draw")
    with right:
        controls.setting(LAB, "colour", "Colour curves, T", (0.0, 0.001, 0.003, 0.01, 0.03))
        controls.setting(LAB, "mix", "Mixture, m", (0.0, 0.25, 0.5, 0.75, 1.0))
        controls.setting(LAB, "cutoff", "Cut-off, q", (3, 10, 30, 100, 300))
    result = outcome.results[0]
    if isinstance(result, PrimeDraws):
        kept = int((result.predicted == result.clean_class).sum())
        st.caption(f"{kept} of {result.predicted.size} draws keep the class of the image itself.")
    exports.export(drawn, outcome, st.container())


def sets() -> None:
    """Accuracy against severity over the set, once someone has asked for it: it takes many forwards."""
    st.subheader("Accuracy against severity")
    counted = replace(session.make(SETS, session.settings(SETS)), rows=(0,))
    if SETS not in session.asked():
        words = f"Corrupt {counted.parameters['count']} images of the set"
        st.button(words, on_click=session.ask, args=(SETS,), help=TABLE[SETS].question)
        return
    shown, against, _ = st.columns(3, gap="large")
    with shown:
        controls.setting(SETS, "shown", "Shown")
    with against:
        controls.setting(SETS, "against", "Against")
    beside(counted, f"{counted.parameters['count']} images")
    with st.expander("Images and corruptions"):
        controls.setting(SETS, "count", "Images")
        controls.setting(SETS, "corruptions", "Corruptions")
        controls.setting(SETS, "seed", "Seed")


def noise() -> None:
    """White noise, forecast and measured, once someone has asked for it."""
    st.subheader("White noise: forecast and measured")
    forecast = replace(session.make(NOISE, session.settings(NOISE)), rows=(0,))
    if NOISE not in session.asked():
        words = f"Forecast noise on {forecast.parameters['count']} images of the set"
        st.button(words, on_click=session.ask, args=(NOISE,), help=TABLE[NOISE].question)
        return
    beside(forecast, f"{forecast.parameters['count']} images")
    with st.expander("Images and noise"):
        controls.setting(NOISE, "count", "Images")
        controls.setting(NOISE, "strongest", "Strongest")
        controls.setting(NOISE, "draws", "Draws")
        controls.setting(NOISE, "seed", "Seed")


def beside(asked: Recipe, size: str) -> None:
    """A chart that takes a while, with its progress and its export menu."""
    there = session.live(asked, lambda there: exports.drawn(asked, there, size), patience=0.0)
    exports.export(asked, there, st.container())


controls.heading("Corruptions", TABLE[ANALYSIS].question)
made = session.recipe(ANALYSIS)
left, right = st.columns([640, 380], gap="large")
with left:
    outcome = session.live(made, walk, patience=1.0, urgent=True)
    lab()
exports.export(made, outcome)
with right:
    with st.container(border=True):
        question()
    with st.container(border=True):
        marked(tuple(result if isinstance(result, SeverityWalk) else None for result in outcome.results))
    page.about("corruptions")
sets()
noise()
