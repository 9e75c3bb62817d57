# syntax=docker/dockerfile:1
# One static binary and nothing else: no shell, no package manager, no C library. Built for the platform of the builder; an
# image for several platforms is put together from several builders, so that nothing is cross-compiled.
# `make image` runs these instructions without a container engine; `.ci/image` says which ones it knows.

# Alpine's Rust links statically by default, and is the version that rust-toolchain.toml pins.
FROM docker.io/library/rust:1.95.0-alpine AS build
# For `ring` and `mimalloc`, the dependencies that have C or assembly in them.
# hadolint ignore=DL3018
RUN apk add --no-cache build-base
WORKDIR /src
# Writes the list of dependencies into the binary, as in the released ones, where `cargo audit bin` and scanners find it.
RUN cargo install --locked cargo-auditable@0.7.7
# Members of the workspace have to be there to be left out of the build.
COPY Cargo.toml Cargo.lock ./
COPY tests/testbed tests/testbed
COPY tests/bench tests/bench
COPY src src
COPY templates templates
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo auditable build --locked --release --bin sidecar-drift \
    && install -D target/release/sidecar-drift result/sidecar-drift

FROM scratch
LABEL org.opencontainers.image.title="sidecar-drift" \
      org.opencontainers.image.description="Finds running Pods whose sidecar is out of date, and rolls out only those" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /src/result/sidecar-drift /usr/local/bin/sidecar-drift
COPY LICENSE /LICENSE
# By which the webhook of --notify-url is known.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# Nobody, by number, so that Kubernetes can see that it is not root.
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/sidecar-drift"]
CMD ["run"]
