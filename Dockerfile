# The image: dregsy in a virtual environment, and skopeo; docs/docker.md tells how to run and build it.
# What comes from PyPI is wheels alone, pinned with hashes for all architectures: deploy/image/*.lock, made by `make lock`.
# `make pin` renews the other pins: the base, python:3.11-slim-bookworm, and the day of snapshot.debian.org that packages are of.
ARG BASE=docker.io/library/python@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
ARG SNAPSHOT=20261120T000000Z

FROM ${BASE} AS build
WORKDIR /build
COPY deploy/image/build.lock deploy/image/dregsy.lock ./
# Compiled files are checked against nothing: they are made once, at the end, the same for everybody.
RUN python3 -m venv /build/tools \
 && tools/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-compile \
      --require-hashes --only-binary :all: -r build.lock \
 && python3 -m venv --without-pip /opt/dregsy \
 && tools/bin/python -m pip --python /opt/dregsy/bin/python install --no-cache-dir --disable-pip-version-check \
      --no-compile --require-hashes --only-binary :all: -r dregsy.lock
COPY pyproject.toml README.md LICENSE ./
COPY dregsy dregsy
COPY relays relays
RUN tools/bin/python -m pip wheel --no-cache-dir --disable-pip-version-check --no-index --no-build-isolation \
      --no-deps --wheel-dir dist . \
 && tools/bin/python -m pip --python /opt/dregsy/bin/python install --no-cache-dir --disable-pip-version-check \
      --no-compile --no-index --no-deps dist/dregsy-*.whl \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/dregsy/lib

FROM ${BASE}
LABEL org.opencontainers.image.title="dregsy" \
      org.opencontainers.image.description="Keeps container images in step between registries" \
      org.opencontainers.image.licenses="Apache-2.0"
ARG SNAPSHOT
ARG SNAPSHOTS=http://snapshot.debian.org/archive
RUN if [ -n "$SNAPSHOT" ]; then \
      . /etc/os-release; \
      rm -rf /etc/apt/sources.list /etc/apt/sources.list.d; \
      for suite in "debian $VERSION_CODENAME" "debian $VERSION_CODENAME-updates" \
          "debian-security $VERSION_CODENAME-security"; do \
        echo "deb [check-valid-until=no signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
          "$SNAPSHOTS/${suite% *}/$SNAPSHOT ${suite#* } main"; \
      done > /etc/apt/sources.list; \
    fi
# gpg is named so that not all of gnupg comes along, and /usr/lib/cni is for networks of containers, which nobody makes here.
# tini, as process 1, passes signals on from the first moment, and buries what credential helpers leave behind.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates gpg skopeo tini \
 && rm -rf /usr/lib/cni /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/cache/ldconfig/* /var/log/* \
 && useradd --uid 65532 --user-group --no-log-init --create-home dregsy \
 && install -d -o dregsy -g dregsy /state
COPY --from=build /opt/dregsy /opt/dregsy
ENV PATH=/opt/dregsy/bin:$PATH \
    HOME=/home/dregsy \
    HEALTH_ADDRESS=:8080
# By number, so that Kubernetes can see that it is not root.
USER 65532:65532
WORKDIR /home/dregsy
HEALTHCHECK --interval=30s --timeout=10s --start-period=15s CMD dregsy health --if-served "$HEALTH_ADDRESS"
ENTRYPOINT ["tini", "--"]
CMD ["dregsy", "-config=/config.yaml"]
