"""Signals of the runner to its listeners: blinker signals, nothing else.

The watcher sends them in each process that serves pages, for changes by any process; a removed job
is announced by finalize.py. Receivers must be quick: they run in the sender's greenlet.
"""

from collections import Counter

from blinker import Namespace

_signals = Namespace()

# job_id: its counters moved
job_changed = _signals.signal("job-changed")
# job_id, from_status, to_status, reason
job_status = _signals.signal("job-status")
# job_id, items [{index, status, outcome, cause, latency_ms, tokens, preview, previews {language: text}}]
requests_finished = _signals.signal("requests-finished")
# job_id: the list of jobs shows something else now
jobs_changed = _signals.signal("jobs-changed")

# Jobs whose finished requests are being watched; previews are made for these only.
tail_wanted: Counter[int] = Counter()

PREVIEW_LENGTH = 120
