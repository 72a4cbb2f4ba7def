"""The live feed: signals → Socket.IO (docs/live-feed.md), at a rate that the process can bear.

The runner's signals only mark what changed; one background task looks a few times a second at what is
marked and watched (live_clients.py), and sends that.

Where several processes serve, each watches the database and sends to its own clients, which stay with it:
``seq`` is counted by the process that a client is connected to, and no event of a room goes through the
queue, where it would come once from each process. cluster/message_queue.py says what does.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

from flask import Flask
from flask_socketio import SocketIO
from gevent import monkey
from socketio import Server
from socketio.pubsub_manager import PubSubManager

from .. import insight
from ..auth import job_rights
from ..auth.job_rights import Right
from ..core.domain import FINAL_STATUSES
from ..core.errors import SimpleBatchError
from ..core.identity import Actor, Scope
from ..core.request_input import LARGEST_ID
from ..runner import signals
from ..services import finished_jobs
from ..store import visibility
from ..store.database import connected, log_failure
from . import socket_packets
from .live_clients import FINISHED, JOB_LIST, NAMESPACE, Clients
from .socket_packets import EventPacket

log = logging.getLogger(__name__)

VERSION = 1
TICK_S = 0.5  # job.progress and request.finished: twice a second
SLOW_TICKS = 2  # job.buckets, job.errors, jobs.changed, jobs.finished: once a second
SHARE = 0.05  # of the time may go into sending: with very many clients the ticks are further apart
MESSAGE_S = 0.0001  # what one event to one client takes, about
EVENTS = 3  # a tick, to a client that watches everything
TAIL_ITEMS = 20
LIST_ROOM = "list"
RECENT_BUCKETS_S = 10
_BUCKET = ("t", "sent", "succeeded", "failed", "p95_ms", "cost")
_ERROR_GROUP = ("cause", "http_status", "message", "count", "failed", "recovered")
_MAX_ERROR_GROUPS = 10


def create(app: Flask, message_queue: PubSubManager | None = None) -> SocketIO:
    """The live feed of an app; ``message_queue`` joins several web processes. Only clients of the same
    origin are accepted, as Socket.IO does without ``cors_allowed_origins``."""
    socketio = SocketIO(  # type: ignore[call-arg]  # the stubs lack serializer
        app,
        client_manager=message_queue,
        async_mode="gevent" if monkey.is_module_patched("socket") else "threading",
        path="socket.io",
        serializer=EventPacket,
    )
    server: Server = socketio.server  # type: ignore[attr-defined]  # likewise
    socket_packets.guard(app, server)
    _without_compression(app)
    app.extensions["simple_batch_feed"] = Feed(app, server)  # signals hold their receivers weakly
    return socketio


def _without_compression(app: Flask) -> None:
    """Events are short; compressing them would keep a quarter of a megabyte for each client."""
    served = app.wsgi_app

    def serve(environ, start_response):
        environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)  # what the browser offers
        return served(environ, start_response)

    app.wsgi_app = serve  # type: ignore[method-assign]  # as Flask's docs do


class Feed:
    """Collects what changed, and sends it to the clients that watch it."""

    def __init__(self, app: Flask, server: Server):
        self._server = server
        self.clients = Clients(app, server)
        self._running = False
        self._seq: dict[str, int] = defaultdict(int)  # by room
        self._snapshots: dict[str, tuple[float, int, Mapping]] = {}  # room → when, at which seq
        self._changed: set[int] = set()  # jobs with new figures
        self._listed: set[int] = set()  # jobs that look different in the list
        self._ended = False  # a job has ended, or a user has looked at those that have
        self._newest: dict[str, set[int]] = {}  # list's room → the jobs that it last showed
        self._tails: dict[int, list[dict]] = defaultdict(list)  # finished requests by job
        self._dropped: dict[int, int] = defaultdict(int)  # those that the tail has no room for
        # Flask-SocketIO would make a request of every event
        server.on("connect", self.clients.connect, namespace=NAMESPACE)
        server.on("subscribe", self.subscribe, namespace=NAMESPACE)
        server.on("disconnect", self.clients.disconnect, namespace=NAMESPACE)
        signals.job_changed.connect(self._on_changed)
        signals.job_status.connect(self._on_status)
        signals.jobs_changed.connect(self._on_listed)
        signals.requests_finished.connect(self._on_finished)

    # --- subscriptions ----------------------------------------------------------------------

    def subscribe(self, sid: str, data=None, *_more) -> dict:
        """``{"job_id": n, "tail": bool}``, ``{"finished": true}``, or ``{}`` for the list of jobs."""
        data = {} if data is None else data
        if not isinstance(data, dict):
            return {"ok": False, "error": "send an object"}
        job_id, tail = data.get("job_id"), data.get("tail", False) is True
        if job_id is not None and not _is_id(job_id):
            return {"ok": False, "error": "job_id must be the number of a job"}
        caller = self.clients.caller(sid)
        if caller is None:
            return {"ok": False, "error": "connect first"}
        if data.get("finished") is True:
            return self._subscribe_finished(sid, caller)
        room = _list_room(caller.sees) if job_id is None else f"job-{job_id}"
        try:
            if job_id is None:
                with connected():
                    snapshot: Mapping = {"jobs": self._list_items(caller.sees)}
            else:
                _check_visible(job_id, caller)
                snapshot = self._snapshot(room, job_id)
        except SimpleBatchError as error:
            return {"ok": False, "error": str(error)}
        self._server.enter_room(sid, room, namespace=NAMESPACE)
        self._watch(sid, job_id or JOB_LIST, tail)
        if tail:
            self._server.enter_room(sid, f"{room}-tail", namespace=NAMESPACE)
        return {"ok": True, "seq": self._seq[room], "snapshot": snapshot}

    def _subscribe_finished(self, sid: str, caller: Actor) -> dict:
        if caller.token is not None:
            return {"ok": False, "error": "only users have finished jobs to look at"}
        room = _finished_room(caller)
        with connected():
            snapshot = {"unseen": finished_jobs.unseen(caller)}
        self._server.enter_room(sid, room, namespace=NAMESPACE)
        self._watch(sid, FINISHED, tail=False)
        return {"ok": True, "seq": self._seq[room], "snapshot": snapshot}

    def finished_seen(self) -> None:
        """A user has looked at the finished jobs: their other pages follow."""
        self._ended = True

    def _snapshot(self, room: str, job_id: int) -> Mapping:
        """The state of a job; clients that subscribe within one tick get the same."""
        now, seq = time.monotonic(), self._seq[room]
        made, after, snapshot = self._snapshots.get(room, (0.0, -1, {}))
        if after != seq or now - made > self._pace_s():
            with connected():
                snapshot = insight.progress(job_id)
            if len(self.clients):  # else nothing would ever forget it
                self._snapshots[room] = now, seq, snapshot
        return snapshot

    def _watch(self, sid: str, job_id: int, tail: bool) -> None:
        with self.clients.lock:
            self.clients.watch(sid, job_id, tail)
            if not self._running:
                self._running = True
                self._server.start_background_task(self._publish)

    # --- signals: only mark what changed ----------------------------------------------------

    def _on_changed(self, _sender, job_id: int) -> None:
        self._changed.add(job_id)

    def _on_listed(self, _sender, job_id: int) -> None:
        self._listed.add(job_id)

    def _on_status(self, _sender, job_id: int, from_status, to_status, reason) -> None:
        self._changed.add(job_id)
        self._ended |= to_status in FINAL_STATUSES
        payload = {"from": from_status, "to": to_status, "reason": reason}
        self._emit("job.status", job_id, payload)

    def _on_finished(self, _sender, job_id: int, items: list[dict]) -> None:
        tail = self._tails[job_id]
        tail.extend(items)
        if len(tail) > TAIL_ITEMS:
            self._dropped[job_id] += len(tail) - TAIL_ITEMS
            del tail[:-TAIL_ITEMS]

    # --- publishing -------------------------------------------------------------------------

    def _publish(self) -> None:
        """Runs while a client watches something."""
        tick = 0
        while True:
            self._server.sleep(self._pace_s())
            tick += 1
            with self.clients.lock:
                if not len(self.clients):
                    self._running = False
                    self._forget()
                    return
                watched = self.clients.watched()
            try:
                with connected():
                    self.clients.disconnect_revoked()
                    if tick % SLOW_TICKS == 0:
                        self.clients.disconnect_from_hidden()
                    self._send(watched, slow=tick % SLOW_TICKS == 0)
            except Exception:
                log_failure(log, "the live feed could not be sent")

    def _pace_s(self) -> float:
        """From one tick to the next."""
        return max(TICK_S, len(self.clients) * EVENTS * MESSAGE_S / SHARE)

    def _forget(self) -> None:
        self._snapshots.clear()
        self._changed.clear()
        self._listed.clear()
        self._ended = False
        self._newest.clear()
        self._tails.clear()
        self._dropped.clear()

    def _send(self, watched: set[int], slow: bool) -> None:
        changed, self._changed = self._changed, (self._changed if not slow else set())
        for job_id in changed & watched:
            try:
                self._emit("job.progress", job_id, insight.progress(job_id))
                if slow:
                    self._emit("job.buckets", job_id, _recent_buckets(job_id))
                    self._emit("job.errors", job_id, _error_groups(job_id))
            except SimpleBatchError:
                continue  # deleted meanwhile
        for job_id in list(self._tails):
            items = self._tails.pop(job_id)
            payload = {"items": items, "dropped": self._dropped.pop(job_id, 0)}
            self._emit("request.finished", job_id, payload, tail=True)
        if slow and self._listed:
            listed, self._listed = self._listed, set()
            if JOB_LIST in watched:
                self._send_lists(listed)

        if slow and self._ended:
            self._ended = False
            if FINISHED in watched:
                self._send_finished()

    def _send_finished(self) -> None:
        with self.clients.lock:
            callers = self.clients.callers_of_finished()
        for caller in callers:
            payload = {"unseen": finished_jobs.unseen(caller)}
            self._emit("jobs.finished", None, payload, room=_finished_room(caller))

    def _send_lists(self, changed: set[int]) -> None:
        """Send what changed to each group of clients that see the same jobs."""
        with self.clients.lock:
            scopes = self.clients.scopes_of_list()
        for scope in scopes:
            items = self._list_items(scope, changed)
            if items:
                self._emit("jobs.changed", None, {"items": items}, room=_list_room(scope))

    def _list_items(self, scope: Scope | None, only: set[int] | None = None) -> Sequence[Mapping]:
        """The newest jobs as the list shows them; a removed one is just its id with status null, and is
        sent only to those that could see it."""
        rows: Sequence[Mapping] = insight.jobs_page(per_page=50, viewer=scope).rows
        ids = {row["id"] for row in rows}
        room = _list_room(scope)
        shown = self._newest.get(room, set())
        if only is None:
            self._newest[room] = ids | shown
            return rows
        self._newest[room] = ids
        # not only of those that changed: a job may be hidden before its signal comes
        away = (shown if scope is not None else shown | only) - ids
        gone = away - visibility.listed_of(scope, away) if away else away
        found = [row for row in rows if row["id"] in only]
        return [*found, *({"id": job_id, "status": None} for job_id in gone)]

    def _emit(
        self, event: str, job_id: int | None, payload: Mapping, room: str = "", tail: bool = False
    ) -> None:
        """Send to ``room`` (else the job's), or to those that also watch its finished requests."""
        room = room or f"job-{job_id}"
        if not tail:  # a side channel: it does not count in the room's sequence
            self._seq[room] += 1
        envelope = {"v": VERSION, "job_id": job_id, "seq": self._seq[room], "ts": time.time()}
        self._server.emit(
            event,
            {**envelope, **payload},
            namespace=NAMESPACE,
            to=f"{room}-tail" if tail else room,
            ignore_queue=True,
        )


def _recent_buckets(job_id: int) -> dict:
    """The payload of job.buckets."""
    buckets = insight.buckets(job_id, from_s=time.time() - RECENT_BUCKETS_S, width=1)
    return {"bucket_s": 1, "buckets": [_only(_BUCKET, bucket) for bucket in buckets]}


def _error_groups(job_id: int) -> dict:
    """The payload of job.errors."""
    groups = insight.error_groups(job_id)[:_MAX_ERROR_GROUPS]
    return {"groups": [_only(_ERROR_GROUP, group) for group in groups]}


def _only(names: tuple[str, ...], row: Mapping) -> dict:
    return {name: row[name] for name in names}


def _is_id(given) -> bool:
    return type(given) is int and 0 < given <= LARGEST_ID  # True is an int, too


def _list_room(scope: Scope | None) -> str:
    """One room for all clients that see the same jobs."""
    if scope is None:
        return LIST_ROOM
    return f"{LIST_ROOM}-{scope.user or 0}-{scope.token or 0}"


def _finished_room(caller: Actor) -> str:
    """One room for all pages of a user."""
    return f"finished-{caller.user or 0}-{caller.role}"


def _check_visible(job_id: int, caller: Actor) -> None:
    """Raises NotFound or Forbidden for a job that the caller may not see."""
    if caller.sees is None:
        return
    with connected():
        job_rights.need(job_id, Right.SEE, caller)
