"""What is asked before a job is deleted."""

from flask import Flask
from flask_babel import gettext as _
from flask_babel import ngettext

from ..core import context
from ..insight.summary import cost
from ..store.models import Job
from .filters import cost_money, number


def register(app: Flask) -> None:
    app.add_template_global(delete_question)


def delete_question(job: Job) -> str:
    """With the job's name, its answers and what they cost."""
    answers = job.succeeded + job.failed
    if answers:
        what = ngettext(
            "Delete “%(name)s” with %(num)s answer (%(money)s)?",
            "Delete “%(name)s” with %(num)s answers (%(money)s)?",
            answers,
            name=job.name,
            money=cost_money(cost(job)),
        )
    else:
        what = _("Delete “%(name)s”?", name=job.name)
    if hours := context.settings().DELETED_JOBS_KEEP_HOURS:
        return f"{what} " + _("You can restore it for %(hours)s hours.", hours=number(hours))
    return f"{what} " + _("This can't be undone.")
