"""The line between web processes: Socket.IO's message queue, on the Redis they share.

Each process watches the database itself and tells its own clients, so that the events of a room are
counted without a gap; these never pass here (``ignore_queue``). What passes is what another process
could not know before its next look: the news of core/events.py, in a namespace that no client is in.
"""

import json
import logging
import time

import redis
from socketio.pubsub_manager import PubSubManager

from ..core import events, redis_client

log = logging.getLogger(__name__)

HOUSE = "/house"
AGAIN_S = 1.0  # between two tries to reach a Redis that is away
LISTEN_S = 5.0
TIMES = 4  # the end of a session is said so often, AGAIN_S apart: no look at the database finds it
MOST_KEPT = 1_000


class MessageQueue(PubSubManager):
    """What Socket.IO takes for its message queue. While Redis is away nothing passes, and nobody waits."""

    name = "redis"

    def __init__(self, url: str):
        self._redis = redis_client.client(url)
        number = self._redis.get_connection_kwargs().get("db", 0)
        # what is published reaches every database of a Redis: the number keeps installations apart
        super().__init__(channel=f"simple-batch.{number}")
        self._away_until = 0.0
        self._kept: dict[str, int] = {}  # what is to be said again, and how often it was to arrive
        events.published.connect(self._carry)  # held weakly: the server of Socket.IO keeps this

    def _carry(self, _sender, topic: str, detail: str) -> None:
        said = {
            "method": "emit",
            "namespace": HOUSE,
            "event": topic,
            "data": detail,
            "host_id": self.host_id,
        }
        arrived = self._publish(said)
        if topic == events.ACCESS_CHANGED and detail and len(self._kept) < MOST_KEPT:
            begun = bool(self._kept)
            self._kept[json.dumps(said)] = TIMES - arrived
            if not begun:
                self.server.start_background_task(self._say_again)

    def _say_again(self) -> None:
        """Until each has arrived so often: while Redis is away nothing does, and who listens may need
        a moment to come back to it."""
        while self._kept:
            self.server.sleep(AGAIN_S)
            for said, left in list(self._kept.items()):
                self._kept[said] = left - self._publish(json.loads(said))
                if self._kept[said] <= 0:
                    del self._kept[said]

    def _handle_emit(self, message: dict) -> None:
        if message.get("namespace") == HOUSE:
            events.received.send(None, topic=message["event"], detail=message["data"])
        else:
            super()._handle_emit(message)

    def _publish(self, data: dict) -> bool:
        """Whether Redis took it."""
        if time.monotonic() < self._away_until:
            return False
        try:
            self._redis.publish(self.channel, json.dumps(data))
            return True
        except redis.RedisError as error:
            self._away_until = time.monotonic() + AGAIN_S
            log.debug("not told to other processes: %s", error)
            return False

    def _listen(self):
        told = False
        while True:
            try:
                with self._redis.pubsub(ignore_subscribe_messages=True) as ear:
                    ear.subscribe(self.channel)
                    log.log(logging.WARNING if told else logging.DEBUG, "Redis is there")
                    told = False
                    for topic in (
                        events.JOBS_CHANGED,
                        events.ACCESS_CHANGED,
                    ):  # something may have been missed
                        events.received.send(None, topic=topic, detail="")
                    while True:
                        message = ear.get_message(timeout=LISTEN_S)
                        if message is not None:
                            yield message["data"]
            except redis.RedisError as error:
                if not told:
                    log.warning("Redis is away, other processes are heard later: %s", error)
                told = True
                time.sleep(AGAIN_S)
