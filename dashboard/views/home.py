"""What this is, what the chosen model is, and what it says about the images."""

import streamlit as st

from core.analyses import TABLE, thumbnails
from core.checkpoints import model_card
from core.figures import style
from dashboard import controls, session
from dashboard.viewer.thumbnails import thumbnail_grid

controls.heading("Boundary Atlas", "See where, and how, an image classifier changes its mind.")
left, right = st.columns([640, 380], gap="large")
source = session.models()[0]
classifier, images = session.classifier(source), session.image_set(session.images())
predictions = session.predictions(source, session.images())

with left:
    st.subheader("Lenses")
    for analysis in TABLE.values():
        st.page_link(f"views/{analysis.name}s.py", label=f"**{analysis.name.capitalize()}s**: {analysis.question}")
    st.subheader("What the model says about the images")
    wrong = predictions.label != images.labels.numpy()
    controls.facts({"right": f"{int((~wrong).sum())} of {len(images)} images ({(~wrong).mean():.1%})"})
    only_wrong = st.toggle("Only the wrong ones", key="home:wrong", help="Images whose prediction is not their label.")
    rows = [row for row in range(len(images)) if wrong[row] or not only_wrong][:120]
    thumbnail_grid(
        thumbnails(images[rows]),
        key="home:grid",
        rows=rows,
        labels=[images.class_names[images.labels[row]] for row in rows],
        notes=[classifier.class_names[predictions.label[row]] if wrong[row] else "" for row in rows],
        frames=[style.class_colour(int(predictions.label[row])) for row in rows],
    )
    st.caption(f"The first {len(rows)}; the frame's colour is the predicted class, a wrong one is written below.")
with right, st.container(border=True):
    st.markdown(model_card(source).replace("# ", "#### ", 1))
