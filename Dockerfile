# The dashboard for strangers: no rights, no uploads, and an end when its health asks for a restart. See docs/serving.md.
FROM python:3.12-slim

# such as another index, for a torch without CUDA
ARG PIP_OPTIONS=""
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /srv/boundary-atlas
COPY pyproject.toml ./
RUN python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' > requirements.txt \
    && python -m pip install $PIP_OPTIONS -r requirements.txt
COPY LICENSE README.md ./
COPY .streamlit/config.toml .streamlit/
COPY assets assets
COPY core core
COPY dashboard dashboard

RUN useradd --system --home-dir /var/lib/boundary-atlas --create-home atlas
ENV BOUNDARY_ATLAS_CACHE=/var/lib/boundary-atlas/cache NUMBA_CACHE_DIR=/var/lib/boundary-atlas/numba
USER atlas

EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=40s --start-period=60s CMD ["python", "-m", "dashboard.server.probe", "--stop", "1"]
CMD ["python", "-m", "dashboard", "--host", "0.0.0.0", "--headless", "--read-only"]
