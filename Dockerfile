# The image of API, worker, beat and migrations; docker-compose.yml says which command each runs.
FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
# Only a change of what is required builds this layer again.
COPY requirements-run.txt .
RUN /opt/venv/bin/pip install --no-cache-dir -r requirements-run.txt

FROM python:3.12-slim
LABEL org.opencontainers.image.title=GiftPulse org.opencontainers.image.version=0.1.0
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin giftpulse
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=build /opt/venv /opt/venv
WORKDIR /srv/giftpulse
COPY alembic.ini ./
COPY alembic alembic
COPY templates templates
COPY app app
USER 10001
EXPOSE 8000
# Celery stops in order on SIGTERM, and so does uvicorn.
STOPSIGNAL SIGTERM
CMD ["uvicorn", "app.api.main:app", "--host", "0.0.0.0", "--port", "8000"]
