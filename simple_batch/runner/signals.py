"""Signals of the runner to its listeners: blinker signals, nothing else.

They are sent in the process that serves the pages, whether it runs the jobs
itself (recorder, job runs) or follows another process that does (watcher).
Receivers must be quick: they run in the sender's greenlet.
"""

from collections import Counter

from blinker import Namespace

_signals = Namespace()

# job_id: its counters moved
job_changed = _signals.signal("job-changed")
# job_id, from_status, to_status, reason
job_status = _signals.signal("job-status")
# job_id, items [{index, status, cause, latency_ms, tokens, preview}]
requests_finished = _signals.signal("requests-finished")
# job_id: the list of jobs shows something else now
jobs_changed = _signals.signal("jobs-changed")

# Jobs whose finished requests are being watched; previews are made for these only.
tail_wanted: Counter[int] = Counter()

PREVIEW_LENGTH = 120
