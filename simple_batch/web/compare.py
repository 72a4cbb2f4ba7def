"""Two jobs beside each other."""

from flask import Blueprint, render_template, request

from .. import insight
from ..auth.guard import must_see
from ..core import identity
from ..core.saving_words import SAVED_BY
from .rating_view import mean_word, score_word

blueprint = Blueprint("compare", __name__)

OFFERED = 200


@blueprint.get("/compare")
def index():
    """Choose two jobs, or see them row by row; ``job`` given twice is as good as ``a`` and ``b``."""
    chosen = request.args.getlist("job", type=int)
    a = request.args.get("a", chosen[0] if chosen else None, type=int)
    b = request.args.get("b", chosen[1] if len(chosen) > 1 else None, type=int)
    different = bool(request.args.get("different"))
    found = summaries = None
    if a is not None and b is not None:
        must_see(a)
        must_see(b)
        after = request.args.get("after", -1, type=int)
        found = insight.compare(a, b, after, different)
        summaries = (insight.summary(a), insight.summary(b))
    return render_template(
        "compare.html",
        a=a,
        b=b,
        different=different,
        found=found,
        summaries=summaries,
        score_word=score_word,
        mean_word=mean_word,
        saved_ways=_saved_ways(summaries or ()),
        offered=insight.jobs_page(per_page=OFFERED, viewer=identity.current().sees).rows,
    )


def _saved_ways(summaries) -> list[str]:
    """The ways in which any of the jobs saved money, in their order."""
    ways = {saving["by"] for summary in summaries for saving in summary["saved"]}
    return [by for by in SAVED_BY if by in ways]
