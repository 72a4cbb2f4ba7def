# Simple Batch in a container: not root, and its root file system may be read-only. What it keeps is
# in /data: mount a volume there. See docs/deployment.md.
ARG PYTHON=3.13.5-slim-bookworm

FROM python:${PYTHON} AS build
WORKDIR /app
RUN python -m venv /opt/venv
COPY requirements.txt ./
RUN /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check -r requirements.txt
COPY simple_batch ./simple_batch
# a read-only container cannot keep what it compiles
RUN /opt/venv/bin/python -m compileall -q simple_batch

FROM python:${PYTHON}
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    SIMPLE_BATCH_INSTANCE_PATH=/data \
    SIMPLE_BATCH_EXPORT_DIR=/data/exports \
    SIMPLE_BATCH_LOG_DIR=
RUN groupadd --gid 10001 simple-batch \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin simple-batch \
    && install -d -o simple-batch -g simple-batch -m 0700 /data /backups
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app/simple_batch ./simple_batch
COPY .flaskenv gunicorn.conf.py run.py LICENSE ./
COPY templates ./templates
COPY static ./static
COPY examples ./examples
USER 10001:10001
VOLUME /data
EXPOSE 7861
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7861/healthz', timeout=4)"]
CMD ["gunicorn", "-c", "gunicorn.conf.py", "-b", "0.0.0.0:7861", "--worker-tmp-dir", "/dev/shm", "simple_batch:create_app()"]
