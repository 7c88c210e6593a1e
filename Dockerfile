# A flowhost worker: docker build --target worker --tag flowhost-worker .
# docs/operations.md says how to run it.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package flowhost --bin flowhost

# The component of examples/fleet, for the producer alone.
FROM build AS example
RUN cargo build --release --locked --target wasm32-wasip2 \
    --manifest-path examples/fleet/guest/Cargo.toml --target-dir examples/fleet/guest/target

# The C library, certificates that vouch for rediss:// servers, and a user that owns nothing.
FROM debian:bookworm-slim AS base
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 65532 --create-home --shell /usr/sbin/nologin nonroot
USER nonroot

# What compose.yaml runs on the workers.
FROM base AS producer
COPY --from=build /src/target/release/flowhost /usr/local/bin/flowhost
COPY --from=example --chown=nonroot:nonroot /src/examples/batch/penguins.csv /home/nonroot/examples/batch/penguins.csv
COPY --from=example --chown=nonroot:nonroot /src/examples/fleet/workflow.toml /home/nonroot/examples/fleet/workflow.toml
COPY --from=example --chown=nonroot:nonroot /src/examples/fleet/guest/target/wasm32-wasip2/release/chance.wasm \
    /home/nonroot/examples/fleet/guest/target/wasm32-wasip2/release/chance.wasm
WORKDIR /home/nonroot
ENTRYPOINT ["/usr/local/bin/flowhost", "run", "--root", ".", "--state-dir", ".flowhost", "examples/fleet/workflow.toml"]

# Nothing but the program on top of it. The user is 65532.
FROM base AS worker
COPY --from=build /src/target/release/flowhost /usr/local/bin/flowhost
WORKDIR /home/nonroot
STOPSIGNAL SIGTERM
EXPOSE 9464
ENTRYPOINT ["/usr/local/bin/flowhost", "worker"]
