# takotwist in a container: docker build -t takotwist .
#
# Debian's own Python, so that its security updates come with the base, and the same Debian
# packages as without a container.  How to run it: docs/howto/docker.md.
ARG DEBIAN=trixie-slim

FROM debian:${DEBIAN} AS build
# Versions are those of the Debian release, which changes them for security only.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends python3 python3-venv
# pip stays behind in a folder of its own: what runs has no installer.
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/takotwist
WORKDIR /src
COPY pyproject.toml setup.cfg README.md LICENSE ./
COPY twisted twisted
COPY takotwist takotwist
# Such as [webtransport]; the extras are in setup.cfg.
ARG EXTRAS=""
# A quarter of what that installs is tests of the libraries.
RUN /opt/pip/bin/pip --python /opt/takotwist/bin/python install --no-cache-dir ".${EXTRAS}" && \
    find /opt/takotwist/lib -type d \( -name test -o -name tests \) -prune -exec rm -r {} +

FROM debian:${DEBIAN}
LABEL org.opencontainers.image.title="takotwist" \
      org.opencontainers.image.description="Durable realtime channels on your own server" \
      org.opencontainers.image.licenses="MIT"
# hadolint ignore=DL3008
RUN apt-get update && \
    apt-get install --yes --no-install-recommends ca-certificates python3 && \
    rm -rf /var/lib/apt/lists/* && \
    groupadd --system --gid 10001 takotwist && \
    useradd --system --uid 10001 --gid takotwist --home-dir /var/lib/takotwist \
        --shell /usr/sbin/nologin takotwist && \
    install -d -o takotwist -g takotwist -m 700 /var/lib/takotwist && \
    install -d -m 755 /app
COPY --from=build /opt/takotwist /opt/takotwist
ENV PATH=/opt/takotwist/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TAKO_STATE_DIR=/var/lib/takotwist
# tako.toml, channels and pages, read-only; nothing but the volume is ever written.
WORKDIR /app
VOLUME ["/var/lib/takotwist"]
EXPOSE 8080 8443
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["tako", "health", "--live"]
ENTRYPOINT ["tako"]
CMD ["serve"]
