"""The progress of a job on a terminal: a bar, figures, failures by cause, and what limits its speed."""

import sys
import time

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .. import insight
from ..core.terminal import shown_line
from ..insight.speed_limits import in_english
from . import colours
from .follow import Notes, done_of, is_over, parts_in_words

_BAR = 40  # columns


def follow_on_terminal(job_id: int, interval_s: float) -> None:
    """Show the progress until the job ends or is paused."""
    console = Console(file=sys.stderr, no_color=not colours.shown_on(sys.stderr))
    notes = Notes(job_id)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            shown = insight.progress(job_id)
            for line in notes.new():
                live.console.print(Text(shown_line(line)))
            live.update(_panel(job_id, shown), refresh=True)
            if is_over(shown):
                return
            time.sleep(interval_s)


def _panel(job_id: int, shown: insight.Progress) -> Group:
    lines = [Text(_figures(shown))]
    if shown["counts"]["failed"]:
        lines.append(Text(f"Failed: {_causes(job_id)}", style=colours.WRONG))
    if shown["parts"] and shown["parts"]["count"]:
        lines.append(Text(parts_in_words(shown["parts"])))
    sentence = in_english(shown)
    if sentence:
        lines.append(Text(shown_line(sentence), style="dim"))
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return Group(_bar(job_id, shown), *lines)


def _bar(job_id: int, shown: insight.Progress) -> Table:
    total, done = shown["counts"]["total"], done_of(shown)
    row = Table.grid(padding=(0, 1))
    share = f"{done / total:4.0%}" if total else ""
    row.add_row(
        f"job {job_id}",
        ProgressBar(
            total=max(1, total),
            completed=done,
            width=_BAR,
            complete_style=colours.UNDER_WAY,
            finished_style=colours.GOOD,
        ),
        share,
        f"{done:,} of {total:,}",
    )
    return row


def _figures(shown: insight.Progress) -> str:
    """Rate, time left and cost."""
    counts, cost = shown["counts"], shown["cost"]
    parts = [shown["status"]]
    if shown["requests_per_second"]:
        parts.append(f"{shown['requests_per_second']:.1f}/s")
    if counts["in_flight"]:
        parts.append(f"{counts['in_flight']:,} in flight")
    if shown["eta_s"]:
        parts.append(f"about {duration(shown['eta_s'])} left")
    parts.append(f"{duration(shown['elapsed_s'])} so far")
    if cost["amount"] is not None:
        parts.append(f"{cost['amount']:.4g} {cost['currency']}")
    return " · ".join(parts)


def duration(seconds: int) -> str:
    """1:05, or 2:03:04 with hours."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _causes(job_id: int) -> str:
    errors = insight.summary(job_id)["errors"]
    return ", ".join(f"{one['count']:,} {one['cause'].replace('_', ' ')}" for one in errors[:6])
