"""The pages of Boundary Atlas, drawn by Streamlit: `python -m dashboard`."""
