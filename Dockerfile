# A node for PostgreSQL and Valkey: `docker build -t dabir:0.1.0 .`
# It has no model of its own: mount a models.toml into /etc/dabir.

FROM python:3.11.14-slim-bookworm AS build
WORKDIR /build
RUN python -m venv /opt/dabir
# First what seldom changes. Whatever does not have its hash is refused.
COPY requirements/nodes.txt requirements/
RUN /opt/dabir/bin/pip install --no-cache-dir --no-deps --only-binary=:all: --require-hashes -r requirements/nodes.txt
COPY pyproject.toml README.md dabir.py dabir_operator.py ./
COPY domain domain
COPY application application
COPY infrastructure infrastructure
COPY interfaces interfaces
# The pages use the clients' own module, by a link to it.
COPY clients/js/dabir-client.js clients/js/
RUN /opt/dabir/bin/pip install --no-cache-dir --no-deps --no-build-isolation --no-index .

FROM python:3.11.14-slim-bookworm
RUN groupadd --gid 10001 dabir \
    && useradd --uid 10001 --gid dabir --no-create-home --home-dir /var/lib/dabir --shell /usr/sbin/nologin dabir \
    && install --directory --owner dabir --group dabir --mode 0700 /var/lib/dabir \
    && install --directory /etc/dabir
# Owned by root: the service cannot change its own code.
COPY --from=build --chown=root:root /opt/dabir /opt/dabir
ENV PATH=/opt/dabir/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DABIR_HOST=0.0.0.0 \
    DABIR_DATA_DIR=/var/lib/dabir
WORKDIR /etc/dabir
USER 10001:10001
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:3000/healthz', timeout=4)"]
ENTRYPOINT ["dabir"]
CMD ["serve"]
