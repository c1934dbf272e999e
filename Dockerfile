# One image for every part of Relay: `relay api`, `relay worker`, `relay migrate`.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /srv/relay

# The locked dependencies first: this layer is built again only when the lock changes.
COPY requirements.lock ./
RUN pip install --require-hashes -r requirements.lock

COPY pyproject.toml api.py worker.py ./
COPY app ./app
COPY workflows ./workflows
COPY activities ./activities
RUN pip install --no-deps --no-build-isolation -e . \
    && useradd --system --create-home --home-dir /var/lib/relay --uid 10001 relay

USER relay
ENV RELAY_API_HOST=0.0.0.0 RELAY_API_PORT=8000 RELAY_DATA_DIR=/var/lib/relay RELAY_LOG_JSON=true
EXPOSE 8000

# For the API. A container that runs something else sets a check of its own (docker-compose.yml does).
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=6 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]

CMD ["relay", "api"]
