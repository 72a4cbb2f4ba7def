"""Socket.IO's message queue between web processes, on a shared Redis.

Each process watches the database and notifies its own clients, so that the events of a room are counted
without a gap; these events do not use the queue (``ignore_queue``). The queue carries the events of
core/events.py, which another process could not know before its next poll, in a namespace without clients.
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
TIMES = 4  # sends of a session's end, AGAIN_S apart: the database does not store it
MOST_KEPT = 1_000


class MessageQueue(PubSubManager):
    """The client manager of Socket.IO. While Redis is unreachable, messages are dropped without waiting."""

    name = "redis"

    def __init__(self, url: str):
        self._redis = redis_client.client(url)
        number = self._redis.get_connection_kwargs().get("db", 0)
        # what is published reaches every database of a Redis: the number keeps installations apart
        super().__init__(channel=f"simple-batch.{number}")
        self._away_until = 0.0
        self._kept: dict[str, int] = {}  # messages to repeat, and how many deliveries are left
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
        """Repeat each message until Redis took it often enough. While Redis is unreachable nothing is
        delivered, and subscribers may need a moment to reconnect."""
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
