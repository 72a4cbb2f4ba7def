"""How ratings are shown: scores in words, the form of one answer, what a review shows."""

from typing import Any

import msgspec
from flask_babel import gettext as _

from .. import insight
from ..core.domain import SCORES, RatingScale
from ..core.errors import InvalidInput
from ..core.messages import translatable
from ..insight.review import RANDOM, UNRATED, Review
from ..services import judging
from ..store import ratings
from ..store.models import Job

COUNTS = (20, 50, 100, 200)
_LARGEST_SEED = 10**9


def score_word(score: float | None, scale: str) -> str:
    """A score, or a mean of several, as a cell shows it."""
    if score is None:
        return ""
    if scale == RatingScale.THUMBS:
        if score in (0, 1):
            return "👍 " + _("Good") if score else "👎 " + _("Bad")
        return _("%(n)s%% 👍", n=round(100 * score))
    return f"{score:g}"


def mean_word(figures: insight.RatingFigures) -> str:
    """The mean of a job's scores."""
    mean = figures["mean"]
    if mean is None:
        return "–"
    if figures["scale"] == RatingScale.THUMBS:
        return _("%(n)s%% 👍", n=round(100 * mean))
    return _("%(n)s of 5", n=f"{mean:.2f}")


def rating_context(job: Job, found: insight.RequestDetail) -> dict[str, Any]:
    """Template variables of the rating of one request."""
    index = found["index"]
    given = ratings.of_answers(job.id, [index]).get(index, [])
    me = judging.rater()
    own = next((one for one in given if one.rater == me), None)
    offered = list(ratings.labels_of(job))
    earlier = ratings.of_earlier_answers(job.id, index)
    sums = ratings.sums(job.id, [index]).get(index)
    return {
        "request_": found,
        "may_be_rated": found["status"] == "succeeded" or bool(found["outcome"]),
        "scores": SCORES[RatingScale(job.rating_scale)],
        "own": own,
        "labels_offered": [
            *offered,
            *(one for one in (own.labels if own else ()) if one not in offered),
        ],
        "ratings_of_others": [one for one in given if one.rater != me],
        "earlier_ratings": earlier,
        "rated": sums and (ratings.shown_score(sums[0]), sums[1], sums[2]),
        "score_word": score_word,
    }


class ReviewView(msgspec.Struct, frozen=True):
    """A review as URLs have it; ``review`` is None where the grid shows what the filters find."""

    review: Review | None = None

    @classmethod
    def parse(cls, args: Any) -> "ReviewView":
        """From URL parameters (review, n, seed). Raises InvalidInput naming the parameter."""
        order = args.get("review") or ""
        if not order:
            return cls()
        if order not in (UNRATED, RANDOM):
            raise InvalidInput(
                translatable(
                    "review=%(review)r: use one of %(allowed)s.",
                    review=order[:60],
                    allowed=", ".join((UNRATED, RANDOM)),
                ),
                "review",
            )
        count = args.get("n", 50, type=int)
        seed = args.get("seed", 1, type=int)
        return cls(Review(order, max(1, min(COUNTS[-1], count)), abs(seed) % _LARGEST_SEED))

    def to_args(self) -> dict[str, Any]:
        """The URL parameters that ``parse`` reads back."""
        if self.review is None:
            return {}
        seed = {"seed": self.review.seed} if self.review.order == RANDOM else {}
        return {"review": self.review.order, "n": self.review.count, **seed}
