"""The plane viewer, a Streamlit component: zoom, pan and pick on a slice."""
