"""The name by which ``celery -A simple_batch.worker`` finds the Celery app (docs/scale-out.md)."""

from .cluster.celery_app import app as app
