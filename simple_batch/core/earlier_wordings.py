"""Texts that earlier versions stored, and what this version says instead.

A database keeps a Message as its template and values (``store.models.SentenceField``, ``core.domain.Fault``).
Where the wording of a template has changed since, the pages show the present one, in their language; an
earlier text that says something else than any present one keeps its translation.
When you change the text of a message that is stored, add its earlier wording here: to PRESENT if the present
one says the same, as Reworded if its values have other names, else to KEPT.
"""

from typing import Any, NamedTuple


class Reworded(NamedTuple):
    """The present template of an earlier one with other values. ``values``: the present names of values and
    the earlier ones. ``texts``: templates, or empty texts, of values that the earlier one did not have."""

    template: str
    values: dict[str, str]
    texts: dict[str, str] = {}

    def renamed(self, values: dict[str, Any]) -> dict[str, Any]:
        """Values by their present names. Raises KeyError where one is missing."""
        return {name: values[earlier] for name, earlier in self.values.items()}


_ = str  # marks a text for tools/i18n.sh

_CORRECT_KEY = "Correct the connection's key (or what it may do), then resume."
_CORRECT_MODEL = "Correct the connection's model or base URL, then resume."

_FORMATS = (
    'a JSON array of {"messages": [...]} objects, a JSON array of message arrays, JSONL of either, OpenAI '
    "batch JSONL, tables (CSV, TSV, XLSX, Parquet, JSON or JSONL of plain objects), lines of text, or gzip "
    "of these"
)
_NEEDS_TEMPLATE = (
    "%(what)s (%(format)s; columns: %(shown)s): a template is needed that makes a request of each row. Give "
    "one with --template FILE, or upload the table on the page “New job”, which leads to it.%(lines)s"
)

# the earlier template: the present one
PRESENT: dict[str, str | Reworded] = {
    # why jobs pause
    "Correct the key (or what it may do) in the API config, then resume.": _CORRECT_KEY,
    "Correct the model or the base URL in the API config, then resume.": _CORRECT_MODEL,
    "The %(which)s spend cap of %(most)s of the API config “%(alias)s” is reached: %(spent)s spent. "
    "The job goes on %(when)s (%(zone)s), or when you raise or remove that cap in the API config.": (
        "The %(which)s spend cap of %(most)s of the connection “%(alias)s” is reached: %(spent)s spent. "
        "The job goes on %(when)s (%(zone)s), or when you raise or remove that cap."
    ),
    "%(count)s requests in a row failed with the same error, for example: %(failure)s – They stay "
    "pending. Fix the cause, then resume. If the requests themselves are invalid, resume anyway: they "
    "then count as failed.": (
        "Requests failed in a row (%(count)s) with the same error, for example: %(failure)s – They stay "
        "pending. Fix the cause, then resume. If the requests themselves are invalid, resume anyway: "
        "they then count as failed."
    ),
    "This tier has no quota for this model. Choose another model, or another tier at the provider, "
    "then resume.": (
        "This tier has no quota for this model. Choose another model or a higher tier at the provider, "
        "then resume."
    ),
    "The quota of this day is used up. As the provider documents, it renews at midnight Pacific time.": (
        "Today's quota is used up. The provider documents that it renews at midnight Pacific time."
    ),
    "The quota of this day is used up. The provider does not say when it renews. Midnight in China is "
    "assumed.": (
        "Today's quota is used up. The provider doesn't say when it renews, so midnight China time is "
        "assumed."
    ),
    "The quota of this day is used up. The provider does not say when it renews. Midnight UTC is "
    "assumed.": (
        "Today's quota is used up. The provider doesn't say when it renews, so midnight UTC is assumed."
    ),
    "The job goes on by itself at %(until)s UTC. Resume it to try sooner.": (
        "The job continues automatically at %(until)s UTC. Resume it to try sooner."
    ),
    # the history of jobs and connections
    "%(config)s: no room in the service tier for a request after %(count)s tries. Requests like this "
    "are sent at the standard tier.": (
        "%(config)s: no room in the service tier for a request after %(count)s refusals. Requests like "
        "this are sent at the standard tier."
    ),
    "alias": "name",
    # faults of uploads and batches
    "no active API config has the alias or the model %(model)r: make one first.": (
        "no active connection has the name or the model %(model)r: make one first."
    ),
    "an OpenAI batch line among plain requests: do not mix.": (
        "a batch line among plain requests: do not mix."
    ),
    "There is no API config %(given)r.": "There is no connection %(given)r.",
    "The API config “%(alias)s” is deactivated.": "The connection “%(alias)s” is deactivated.",
    "%(bad)s of %(count)s lines are faulty: correct them, or skip them.": (
        "Faulty lines: %(bad)s of %(count)s. Correct them, or skip them."
    ),
    "%(count)s lines are faulty: go back and correct them, or skip them.": (
        "%(count)s lines are invalid. Correct them or skip them."
    ),
    "not valid JSON: %(error)s.": Reworded("not valid JSON: %(why)s", {"why": "error"}),
    "Schema, line %(line)s, column %(column)s: not JSON: %(why)s.": (
        "Schema, line %(line)s, column %(column)s: not JSON: %(why)s"
    ),
    # faults and notes of files and tables
    'a JSON array of {"messages": [...]} objects, a JSON array of message arrays, JSONL of either, OpenAI '
    "batch JSONL, tables (CSV, TSV, XLSX, Parquet, JSON or JSONL of plain objects), or gzip of these": (
        _FORMATS
    ),
    'a JSON array of {"messages": [...]} objects, a JSON array of message arrays, JSONL of either, OpenAI '
    "batch JSONL, CSV and TSV with a header, or gzip of these": _FORMATS,
    "The file is one object of columns, not a list of rows. Write it as rows: in pandas "
    'to_json(orient="records", lines=True).': (
        "The file is one object, not a list of rows. Write the rows as a list, or one a line: in pandas "
        'to_json(orient="records", lines=True).'
    ),
    "“%(sheet)s” is " + "to be the sheet, and only XLSX has sheets: leave it out.": (
        "“%(sheet)s”: only XLSX files have sheets. Leave the sheet out."
    ),
    "%(what)s (%(format)s; columns: %(shown)s): a template is needed that makes a request of each row. Give "
    "one with --template FILE, or upload the table on the page “New job”, which leads to it.": Reworded(
        _NEEDS_TEMPLATE,
        {"what": "what", "format": "format", "shown": "shown"},
        {"lines": ""},
    ),
    "This is a table (%(format)s; columns: %(shown)s): a template is needed that makes a request of each "
    "row. Give one with --template FILE, or upload the table on the page “New job”, which leads to it.": (
        Reworded(
            _NEEDS_TEMPLATE,
            {"format": "format", "shown": "shown"},
            {"what": "This is a table", "lines": ""},
        )
    ),
    "it holds numbers only. The first line must name the columns.": (
        "it holds numbers only. The first row must name the columns."
    ),
    "column %(number)s has no name but a text (%(name)r…). The first line must name the columns.": (
        "column %(number)s has no name but a text (%(name)r…). The first row must name the columns."
    ),
    "The XLSX file is damaged: %(what)s is broken in line %(line)s: %(why)s. Save it again.": (
        "The XLSX file is damaged: %(what)s is broken in line %(line)s. Save it again."
    ),
    "NaN is read as an empty cell: %(count)s times": (
        "cells that hold NaN are read as empty: %(count)s"
    ),
    # streams, service tiers and batches
    "the stream ended before the answer was complete": "the stream ended before the answer did",
    "a piece of the stream is not valid JSON": "a piece of the stream cannot be read",
    "%(config)s: no room in the service tier for a request. Requests like this are sent at the standard "
    "tier.": (
        "%(config)s: no room in the service tier for a request after 1 refusal. Requests like this are sent "
        "at the standard tier."
    ),
    "The API config “%(config)s” has no batch API. Choose another one for this job, or set its batch API.": (
        "The connection “%(config)s” has no batch API. Choose another one for this job, or set its batch API."
    ),
    "The spend caps of the API config “%(alias)s” leave %(left)s, and the next batch may cost %(needed)s. "
    "The job goes on when they leave as much, or when you raise or remove them in the API config.": (
        "The spend caps of the connection “%(alias)s” leave %(left)s, and the next batch may cost %(needed)s. "
        "The job goes on when they leave as much, or when you raise or remove them in the connection."
    ),
    "%(count)s requests are sent now, each by a call": (
        "What is left is sent now, each request by a call. Requests: %(count)s"
    ),
    "Part %(part)s is sent: %(count)s requests, batch %(batch)s": (
        "Part %(part)s is sent as batch %(batch)s. Requests: %(count)s"
    ),
    "Part %(part)s waits: its files cannot be written here (%(reason)s)": (
        "The files of its parts cannot be written here (%(reason)s)"
    ),
    "the config or the job was edited meanwhile": "the connection or the job was edited meanwhile",
}

# earlier texts that say something else than any present one: shown as they are, in the page's language
KEPT = frozenset(
    {
        _(
            "The file unpacks to more than is allowed (%(size)s bytes): split it, or raise "
            "SIMPLE_BATCH_MAX_UNPACKED_BYTES."
        ),
        _(
            "The file unpacks to more than is allowed (%(read)s bytes so far): split it, or raise "
            "SIMPLE_BATCH_MAX_UNPACKED_BYTES."
        ),
        _("must be an object like the others, {column: value}."),
        _("“%(name)s”: %(error)s."),
        _("“%(name)s” holds %(kind)s: a cell holds one value. Leave it out, or write it as text."),
        _(
            "Column “%(name)s” is nested (%(type)s): a cell holds one value. Leave the column out, or write "
            "it as text (for example as JSON)."
        ),
        _("The file is UTF-16: save it as UTF-8 and upload it again."),
        _("Line 1: the file begins with %(shown)r, which is not JSON and no table. %(remedy)s"),
        _("It may be a spreadsheet or a Parquet file: save it as CSV (UTF-8)."),
        _("Read are %(formats)s."),
        _('%(what)s must be an object like {"messages": [...]}.'),
        _('"messages": %(error)s.'),
        _('"%(name)s" must be a text.'),
        _(
            "Deadline %(deadline)s UTC: what is not ready at %(moment)s UTC is sent now, because that may "
            "take %(sending)s min, and cancelling batches %(cancel)s min. How long a batch takes is not known "
            "yet; the provider promises %(batch)s min."
        ),
    }
)
