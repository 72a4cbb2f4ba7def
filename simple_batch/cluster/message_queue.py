"""Socket.IO's message queue between web processes, on a shared Redis.

Each process watches the database and notifies its own clients, so that the events of a room are counted
without a gap; these events do not use the queue (``ignore_queue``). The queue carries the events of
core/events.py, which another process could not know before its next poll, in a namespace without clients.

Socket.IO's RedisManager does not fit: while Redis hangs, each of its publications blocks the caller (10 s;
with short timeouts 1 s); after an outage it listens again up to a minute later, and does not tell that
events were missed meanwhile.
"""

import json
import logging
import time

import redis
from socketio.pubsub_manager import PubSubManager

from ..core import events, redis_client

log = logging.getLogger(__name__)

NAMESPACE = "/house"
AGAIN_S = 1.0  # between two tries to reach a Redis that is away
LISTEN_S = 5.0
DELIVERIES = 4  # sends of a session's end, AGAIN_S apart: the database does not store it
MAX_REPEATS = 1_000


class MessageQueue(PubSubManager):
    """The client manager of Socket.IO. While Redis is unreachable, messages are dropped without waiting."""

    name = "redis"

    def __init__(self, url: str):
        self._redis = redis_client.client(url)
        number = self._redis.get_connection_kwargs().get("db", 0)
        # what is published reaches every database of a Redis: the number keeps installations apart
        super().__init__(channel=f"simple-batch.{number}")
        self._away_until = 0.0
        self._repeats: dict[str, int] = {}  # messages to repeat, and how many deliveries are left
        events.published.connect(self._forward)  # held weakly: the server of Socket.IO keeps this

    def _forward(self, _sender, topic: str, detail: str) -> None:
        message = {
            "method": "emit",
            "namespace": NAMESPACE,
            "event": topic,
            "data": detail,
            "host_id": self.host_id,
        }
        delivered = self._publish(message)
        if topic == events.ACCESS_CHANGED and detail and len(self._repeats) < MAX_REPEATS:
            running = bool(self._repeats)
            self._repeats[json.dumps(message)] = DELIVERIES - delivered
            if not running:
                self.server.start_background_task(self._repeat)

    def _repeat(self) -> None:
        """Repeat each message until Redis took it often enough. While Redis is unreachable nothing is
        delivered, and subscribers may need a moment to reconnect."""
        while self._repeats:
            self.server.sleep(AGAIN_S)
            for message, left in list(self._repeats.items()):
                self._repeats[message] = left - self._publish(json.loads(message))
                if self._repeats[message] <= 0:
                    del self._repeats[message]

    def _handle_emit(self, message: dict) -> None:
        if message.get("namespace") == NAMESPACE:
            events.received.send(None, topic=message["event"], detail=message["data"])
        else:
            super()._handle_emit(message)

    def _publish(self, data: dict) -> bool:
        """Returns False if Redis did not take it."""
        if time.monotonic() < self._away_until:
            return False
        try:
            self._redis.publish(self.channel, json.dumps(data))
            return True
        except redis.RedisError as error:
            self._away_until = time.monotonic() + AGAIN_S
            log.debug("other processes are not notified: %s", error)
            return False

    def _listen(self):
        warned = False
        while True:
            try:
                with self._redis.pubsub(ignore_subscribe_messages=True) as subscription:
                    subscription.subscribe(self.channel)
                    log.log(logging.WARNING if warned else logging.DEBUG, "Redis is there")
                    warned = False
                    # something may have been missed
                    for topic in (events.JOBS_CHANGED, events.ACCESS_CHANGED):
                        events.received.send(None, topic=topic, detail="")
                    while True:
                        message = subscription.get_message(timeout=LISTEN_S)
                        if message is not None:
                            yield message["data"]
            except redis.RedisError as error:
                if not warned:
                    log.warning("Redis is away, events of other processes come later: %s", error)
                warned = True
                time.sleep(AGAIN_S)
