"""Views of results under a name: filters, order and columns as a query of the results page.

A view of one job is there for all who see the job. A view for all jobs belongs to the user who saved it, and is
offered for jobs that have the same columns of a table and fields of a schema.
"""

import json
from urllib.parse import urlencode

from ..core import identity
from ..core.clock import now_ms
from ..core.errors import InvalidInput, NotFound
from ..core.messages import translatable
from ..store.grid_columns import Columns
from ..store.models import Job, SavedView, database

LONGEST_NAME = 100  # characters
LONGEST_QUERY = 4_000  # of a query: servers refuse longer addresses
MOST = 100  # views of a job, or of a user for all jobs


def listed(job: Job) -> list[SavedView]:
    """The views that the caller can open for a job, by name."""
    own = SavedView.job.is_null() & _same_owner() & (SavedView.columns == _columns(job))
    views = SavedView.select().where((SavedView.job == job.id) | own)
    return sorted(views, key=lambda view: (view.name.casefold(), view.id))


def save(job: Job, name: str, args: dict, for_all: bool) -> SavedView:
    """Keep the query ``args`` under a name; a view of that name is replaced. Raises InvalidInput."""
    name, query = _checked(name), urlencode(args, doseq=True)
    if len(query) > LONGEST_QUERY:
        raise InvalidInput(translatable("This view has too many filters to be saved."), "query")
    with database.atomic():
        same = [view for view in listed(job) if view.name == name and (not view.job_id) == for_all]
        if same:
            same[0].query = query
            same[0].save()
            return same[0]
        if len(listed(job)) >= MOST:
            raise InvalidInput(
                translatable("There are %(most)s views already. Delete one first.", most=MOST),
                "name",
            )
        return SavedView.create(
            user=identity.current().user,
            job=None if for_all else job.id,
            columns=_columns(job),
            name=name,
            query=query,
            created_at=now_ms(),
        )


def rename(job: Job, view_id: int, name: str) -> SavedView:
    """Raises InvalidInput for the name, NotFound for the view."""
    view = _find(job, view_id)
    view.name = _checked(name)
    view.save()
    return view


def delete(job: Job, view_id: int) -> SavedView:
    """Returns the view that is gone. Raises NotFound."""
    view = _find(job, view_id)
    view.delete_instance()
    return view


def _find(job: Job, view_id: int) -> SavedView:
    for view in listed(job):
        if view.id == view_id:
            return view
    raise NotFound(translatable("There is no view %(id)s.", id=view_id))


def _same_owner():
    user = identity.current().user
    return SavedView.user.is_null() if user is None else SavedView.user == user


def _columns(job: Job) -> str:
    return json.dumps(Columns(job).own)


def _checked(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME:
        raise InvalidInput(
            translatable("Give the view a name of up to %(most)s characters.", most=LONGEST_NAME),
            "name",
        )
    return name
