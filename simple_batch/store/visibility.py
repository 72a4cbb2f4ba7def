"""Visibility rules as query conditions. Without a viewer, everything is visible."""

from ..core.identity import Scope
from .models import ApiFile, Job, Upload


def jobs(viewer: Scope | None):
    """The condition on Job."""
    if viewer is None:
        return Job.id.is_null(False)
    return Job.token == viewer.token if viewer.token is not None else Job.user == viewer.user


def files(viewer: Scope | None):
    """The condition on ApiFile, joined with its Upload."""
    if viewer is None:
        return ApiFile.id.is_null(False)
    if viewer.token is not None:
        return ApiFile.token == viewer.token
    return (Upload.user == viewer.user) | ApiFile.job.in_(Job.select(Job.id).where(jobs(viewer)))


def sees_job(viewer: Scope | None, job_id: int) -> bool:
    """False also for a job that does not exist."""
    return Job.select().where((Job.id == job_id) & jobs(viewer)).exists()


def sees_upload(viewer: Scope | None, upload_id: int) -> bool:
    """A token sees no upload: it has the files of the Batch API."""
    found = Upload.id == upload_id
    if viewer is not None and viewer.token is not None:
        return False
    if viewer is not None:
        found &= Upload.user.is_null(False) & (Upload.user == viewer.user)
    return Upload.select().where(found).exists()
