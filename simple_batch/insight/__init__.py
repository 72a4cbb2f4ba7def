"""What happened: counts, percentiles, timeline, cost, error groups. Reads only."""

from ..store.savings import saved
from .audit import audit_page, audit_row
from .batches import batch, batches_page, mixed, status_times
from .breakdown import by_config, by_worker, spent_now
from .charts import buckets, charts
from .compare import compare
from .detail import RequestDetail, request_detail, whole_answer, whole_request, whole_response
from .error_log import Event, FailedAttempt, attempts_page, error_groups, events
from .jobs import JobRow, job_counts, job_tags, jobs_page, shown_counts
from .page import Page
from .parts import parts, parts_page
from .rating_figures import RatingFigures, better, rating_figures
from .request_table import neighbours, requests_page
from .results_grid import GridPage, GridQuery, column_values, grid_page, single_rows
from .review import review_set
from .summary import Progress, outcomes_known, progress, summary, waits_for_share

__all__ = [
    "Event",
    "FailedAttempt",
    "GridPage",
    "GridQuery",
    "JobRow",
    "Page",
    "Progress",
    "RatingFigures",
    "RequestDetail",
    "attempts_page",
    "audit_page",
    "audit_row",
    "batch",
    "batches_page",
    "better",
    "buckets",
    "by_config",
    "by_worker",
    "charts",
    "column_values",
    "compare",
    "error_groups",
    "events",
    "grid_page",
    "job_counts",
    "job_tags",
    "jobs_page",
    "mixed",
    "neighbours",
    "outcomes_known",
    "parts",
    "parts_page",
    "progress",
    "rating_figures",
    "request_detail",
    "requests_page",
    "review_set",
    "saved",
    "shown_counts",
    "single_rows",
    "spent_now",
    "status_times",
    "summary",
    "waits_for_share",
    "whole_answer",
    "whole_request",
    "whole_response",
]
