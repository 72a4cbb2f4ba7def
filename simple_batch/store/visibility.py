"""Visibility rules as query conditions. Without a viewer, everything is visible."""

from ..core.domain import Sharing
from ..core.identity import Scope
from .models import ApiFile, Job, Upload


def jobs(viewer: Scope | None):
    """The condition on Job: the viewer's own, and those that their owners share. A deleted job is shared with
    nobody."""
    if viewer is None or viewer.token is not None:
        return own_jobs(viewer)
    return own_jobs(viewer) | (shared() & Job.deleted_at.is_null())


def own_jobs(viewer: Scope | None):
    """The condition on Job: those of the viewer alone."""
    if viewer is None:
        return Job.id.is_null(False)
    return Job.token == viewer.token if viewer.token is not None else Job.user == viewer.user


def shared():
    """The condition on Job: every user sees it."""
    return Job.sharing.in_((Sharing.VIEW, Sharing.EDIT))


def whose(user: int | None, whose: str):
    """The condition on Job: those of the user (``mine``), or those that others share (``shared``)."""
    mine = Job.user.is_null() if user is None else Job.user == user
    if whose == "mine":
        return mine
    others = Job.user.is_null(False) if user is None else Job.user.is_null() | (Job.user != user)
    return shared() & others


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


def visible_of(viewer: Scope | None, job_ids: set[int]) -> set[int]:
    """Those of the jobs that the viewer sees."""
    found = Job.select(Job.id).where(Job.id.in_(job_ids) & jobs(viewer))
    return {job_id for (job_id,) in found.tuples()}


def listed_of(viewer: Scope | None, job_ids: set[int]) -> set[int]:
    """The same, without those that are deleted."""
    found = Job.select(Job.id).where(Job.id.in_(job_ids) & Job.deleted_at.is_null() & jobs(viewer))
    return {job_id for (job_id,) in found.tuples()}


def sees_upload(viewer: Scope | None, upload_id: int) -> bool:
    """A token sees no upload: it has the files of the Batch API."""
    found = Upload.id == upload_id
    if viewer is not None and viewer.token is not None:
        return False
    if viewer is not None:
        found &= Upload.user.is_null(False) & (Upload.user == viewer.user)
    return Upload.select().where(found).exists()
