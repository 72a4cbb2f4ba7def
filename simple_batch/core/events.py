"""Events that one process publishes and other processes receive at once.

A process that misses an event finds the change at its next query of the database. The exception is
the end of a session, which the database does not store. Where processes share a Redis, the message queue
(cluster/message_queue.py) carries the events.
"""

from blinker import Namespace

JOBS_CHANGED = "jobs"  # something about jobs was changed
# a user, a token or a session changed; ``detail``: the session that ended
ACCESS_CHANGED = "doors"

_signals = Namespace()

# topic, detail: from this process or another one
received = _signals.signal("received")
# topic, detail: from this process
published = _signals.signal("published")


def publish(topic: str, detail: str = "") -> None:
    """Send an event to this process and the others. Call it after the commit."""
    received.send(None, topic=topic, detail=detail)
    published.send(None, topic=topic, detail=detail)
