# The suite on a CPU, without a screen. Files are read and written in the folder that is mounted at /work:
#   docker build --tag gait-suite .
#   docker run --rm --user "$(id -u)" --volume "$PWD:/work" gait-suite shape_optimizer --cohort my_cohort.json
FROM python:3.11-slim-bookworm

# For drawing without a screen: DEBIAN_PACKAGES of gait/viewing/offscreen_renderer.py.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libegl1 libgl1 libgl1-mesa-dri \
    && rm -rf /var/lib/apt/lists/*

# --build-arg PIP_EXTRA_INDEX_URL=... names PyTorch's index of CPU builds, which are several GB smaller.
ARG PIP_EXTRA_INDEX_URL=
WORKDIR /opt/gait-suite
COPY constraints.txt pyproject.toml setup.py README.md LICENSE ./
COPY shape_optimizer.py train_transformer.py train_multi_mlp.py attention_viewer.py ./
COPY gait ./gait
COPY data ./data
# The compiler is for the pose solver (gait/fitting/solver/native_solver.c).
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && pip install --no-cache-dir --constraint constraints.txt ".[dask,explain,minirocket,viewer]" \
    && apt-get purge --yes --auto-remove gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/* \
    && cd /tmp && python -c "from gait.fitting.solver.native import load_library; assert load_library()"

# Any user may run it; what libraries cache goes to /tmp.
ENV HOME=/tmp
RUN useradd --uid 1000 gait && install --directory --owner gait /work
USER gait
WORKDIR /work
RUN python -m gait.viewing.offscreen_renderer

ENTRYPOINT ["python", "-m"]
CMD ["shape_optimizer", "--help"]
