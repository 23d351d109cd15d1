# docker build --build-arg EXTRAS=s3 -t registry.example/spark-impex-runner:0.1.0 .
#
# A build that gives the same image in a year names its base by digest: take the line "Digest" of
# `docker buildx imagetools inspect python:3.13-slim`, and build with
# `--build-arg PYTHON=python:3.13-slim@sha256:…`. In the same way, run what you have tested:
# `docker push` prints the digest of the image, and `image: registry.example/…@sha256:…` names it.
ARG PYTHON=python:3.13-slim
FROM ${PYTHON} AS build
ARG EXTRAS=s3
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE ./
COPY spark_impex_runner spark_impex_runner
COPY plugins plugins
COPY schemas schemas
RUN python -m venv /opt/impex && /opt/impex/bin/pip install --no-cache-dir ".[${EXTRAS}]"

FROM ${PYTHON}
COPY --from=build /opt/impex /opt/impex
ENV PATH=/opt/impex/bin:$PATH PYTHONDONTWRITEBYTECODE=1
# Any other user will do, too: nothing is written outside of /impex, so the root can be read-only.
USER 65532:65532
WORKDIR /impex
HEALTHCHECK --interval=1m --timeout=10s CMD ["impex", "--version"]
ENTRYPOINT ["impex"]
CMD ["--help"]
