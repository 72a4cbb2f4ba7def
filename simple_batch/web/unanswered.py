"""The sentence that says how the calls of a job without any answer have failed."""

from collections import Counter
from collections.abc import Iterable
from functools import reduce

from flask_babel import gettext as _
from flask_babel import ngettext

from ..core.domain import Cause
from ..insight.error_log import ErrorGroup
from . import labels
from .filters import number

_MOST = 4  # kinds of failure that the sentence names


def no_answer(groups: Iterable[ErrorGroup], ended: bool) -> str:
    """“No answer yet: 6 calls, all refused (401).”; empty where no call has ended. Calls that were
    interrupted count where there are no others: they were sent, and may cost."""
    known = list(groups)
    failed = [group for group in known if group["cause"] != Cause.CANCELLED]
    calls: Counter[tuple[bool, str]] = Counter()
    for group in failed or known:
        calls[_kind(group)] += group["count"]
    if not calls:
        return ""
    count = calls.total()
    total = ngettext("%(n)s call", "%(n)s calls", count, n=number(count))
    words = {"calls": total, "how": _how(calls)}
    if ended:
        return _("No answer: %(calls)s, %(how)s.", **words)
    return _("No answer yet: %(calls)s, %(how)s.", **words)


def _kind(group: ErrorGroup) -> tuple[bool, str]:
    """(whether the provider refused the call, the HTTP status or else the cause in words)."""
    status = group["http_status"]
    if status is None or 200 <= status < 300:
        return False, str(labels.CAUSES.get(group["cause"], group["cause"]))
    return 400 <= status < 500, str(status)


def _how(calls: Counter[tuple[bool, str]]) -> str:
    """How they failed, the most frequent kinds first."""
    if len(calls) == 1:
        ((refused, why),) = calls
        if calls.total() == 1:
            return _("refused (%(why)s)", why=why) if refused else _("failed (%(why)s)", why=why)
        return (
            _("all refused (%(why)s)", why=why) if refused else _("all failed (%(why)s)", why=why)
        )
    kinds = calls.most_common(_MOST)
    shown = [
        _("%(n)s refused (%(why)s)", n=number(count), why=why)
        if refused
        else _("%(n)s failed (%(why)s)", n=number(count), why=why)
        for (refused, why), count in kinds
    ]
    rest = calls.total() - sum(count for _kind, count in kinds)
    if rest:
        shown.append(_("%(n)s failed otherwise", n=number(rest)))
    return reduce(lambda some, word: _("%(some)s, %(word)s", some=some, word=word), shown)
