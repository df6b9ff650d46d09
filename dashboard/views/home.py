"""What the dashboard offers, the chosen model, and its predictions of the images."""

from pathlib import Path

import streamlit as st

from core.analyses.analysis import thumbnails
from core.analyses.table import TABLE
from core.figures.drawing import style
from core.figures.drawing.provenance import read_recipe
from core.recipes.recipe import Recipe
from dashboard.state import links, session
from dashboard.viewer.thumbnails import thumbnail_grid
from dashboard.viewer.words import LENSES, escape_markdown
from dashboard.widgets import controls, page

PICTURE = Path(__file__).resolve().parents[2] / "assets" / "slice.png"
ARROW = ":material/arrow_forward:"
SHOWN = 120
LARGEST = 200  # MB of a dropped file


def reopen() -> None:
    """Open the view that an exported file was made in."""
    dropped = st.file_uploader(
        "Open an exported file",
        type=["pdf", "svg", "png", "html", "npz", "csv", "json", "zip"],
        max_upload_size=LARGEST,
        help="A figure or its numbers, exported here or by the command line: its recipe opens the view it came from.",
    )
    if dropped is None:
        return
    try:
        recipe = Recipe.read(read_recipe(dropped.getvalue()))
        links.restore(recipe)
    except ValueError as error:
        st.error(escape_markdown(f"{dropped.name} cannot be opened: {error}"))
        return
    st.switch_page(f"views/{recipe.definition.view}.py")


def predictions() -> None:
    """The images with the model's predictions."""
    classifier, images = session.classifier(session.models()[0]), session.image_set(session.images())
    predicted = session.predictions(session.models()[0], session.images())
    labels = images.labels.numpy()
    wrong = (predicted.label != labels) & (labels >= 0)
    only_wrong = False
    if (labels >= 0).any():
        controls.facts({"right": f"{int((~wrong).sum())} of {len(images)} images ({(~wrong).mean():.1%})"})
        only_wrong = st.toggle(
            "Only the wrong ones", key="home:wrong", help="Images whose prediction is not their label."
        )
    rows = [row for row in range(len(images)) if wrong[row] or not only_wrong][:SHOWN]
    thumbnail_grid(
        thumbnails(images[rows]),
        key="home:grid",
        rows=rows,
        labels=images[rows].words,
        notes=[classifier.class_names[predicted.label[row]] if wrong[row] or labels[row] < 0 else "" for row in rows],
        frames=[style.class_colour(int(predicted.label[row])) for row in rows],
    )
    st.caption(
        f"{'All' if len(rows) < SHOWN else 'The first'} {len(rows)}. The frame's colour is the predicted class; it is"
        " written below if it is wrong, or if the image has no label."
    )


page.heading("Boundary Atlas", "See where, and how, an image classifier changes its mind.")
left, right = st.columns([640, 380], gap="large")
with left:
    picture, steps = st.columns([2, 3], gap="medium", vertical_alignment="center")
    picture.image(str(PICTURE), caption="A slice through three images: the colour is what the model says there.")
    with steps:
        st.markdown("**Start here**")
        st.page_link("views/slices.py", label="1. Cut a slice of the demo model, and click into it", icon=ARROW)
        st.page_link("views/gallery.py", label="2. See in the Gallery what five papers ask", icon=ARROW)
        st.page_link("views/model.py", label="3. Bring your own model, and ask the same", icon=ARROW)
    st.subheader("Lenses")
    questions: dict[str, list[str]] = {}
    for analysis in TABLE.values():
        questions.setdefault(analysis.view, []).append(analysis.question)
    for view, title in LENSES.items():
        name, asked = st.columns([1, 3], vertical_alignment="center")
        name.page_link(f"views/{view}.py", label=f":blue[**{title}**]", icon=ARROW)
        asked.caption(questions[view][0], help=" ".join(questions[view][1:]) or None)
    reopen()
    st.subheader("What the model says about the images")
    predictions()
with right, st.container(border=True):
    st.markdown(session.model_card(session.models()[0]).replace("# ", "#### ", 1))
