# Lianxin in a container: one binary and the certificates it trusts. Built with BuildKit (the default since Docker 23):
#   docker build -t lianxin .
# Where Docker Hub is reached through a mirror, name the images: --build-arg BUILDER=… --build-arg RUNTIME=…
ARG BUILDER=rust:1.95-bookworm
ARG RUNTIME=debian:bookworm-slim

FROM ${BUILDER} AS build
# The image brings the C toolchain that aws-lc, mimalloc and the built-in libpq are compiled with; no libpq-dev is needed.
WORKDIR /src
COPY . .
# The binary is copied out in the same step: a cache mount is not part of the layer.
RUN --mount=type=cache,id=lianxin-registry,target=/usr/local/cargo/registry \
    --mount=type=cache,id=lianxin-target,target=/src/target \
    cargo build --locked --profile dist --bin lianxin \
    && cp target/dist/lianxin /usr/local/bin/lianxin

FROM ${RUNTIME}
# Certificates to check api.weixin.qq.com with, in their newest version; everything else is inside the binary.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin lianxin \
    && install -d -o 10001 -g 10001 -m 700 /var/lib/lianxin/files
COPY --from=build /usr/local/bin/lianxin /usr/local/bin/lianxin
# By number, so that Kubernetes' runAsNonRoot can tell.
USER 10001:10001
WORKDIR /
# Inside a container loopback would reach nobody.
ENV BIND=0.0.0.0 PORT=8080
EXPOSE 8080
# /livez says that the process serves, not that PostgreSQL is there: restarting us would not bring that back.
# bash's /dev/tcp spares the image curl. For `lianxin worker`, which has no port, see docker-compose.yml.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/${PORT:-8080} && printf 'GET /livez HTTP/1.0\\r\\n\\r\\n' >&3 && IFS= read -r -t 2 line <&3 && [[ $line == *' 200 '* ]]"]
# SIGTERM finishes what was begun: requests for up to 20 seconds, jobs for up to 50.
ENTRYPOINT ["lianxin"]
CMD ["serve"]
