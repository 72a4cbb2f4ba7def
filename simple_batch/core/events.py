"""What happens in one process and others are to know at once.

Whoever misses it finds out at the next look at the database, but for the end of a session, which stands
in none. Where processes share a Redis the line (cluster/message_queue.py) carries it.
"""

from blinker import Namespace

JOBS_CHANGED = "jobs"  # something about jobs was changed
ACCESS_CHANGED = (
    "doors"  # a user, a token or a session is not what it was; ``detail``: the session that ended
)

_signals = Namespace()

# topic, detail: from this process or another one
received = _signals.signal("heard")
# topic, detail: from this process
published = _signals.signal("said")


def publish(topic: str, detail: str = "") -> None:
    """Say it here and to the other processes; to be called when it is committed."""
    received.send(None, topic=topic, detail=detail)
    published.send(None, topic=topic, detail=detail)
