"""Signals → Socket.IO (docs/live-feed.md): who watches hears of it, at a pace they can take.

The runner's signals only mark what changed; one background task looks a few
times a second at what is marked and watched, and sends that.

Where several processes serve, each watches the database and tells its own clients, who stay with it:
``seq`` is counted by the process that a client is connected to, and no event of a room goes through the
queue, where it would come once from each process. cluster/message_queue.py says what does.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from flask import Flask
from flask_socketio import SocketIO
from gevent import monkey
from socketio.pubsub_manager import PubSubManager

from .. import insight
from ..auth.guard import credentials_digest
from ..core import events
from ..core.errors import NotFound, SimpleBatchError
from ..core.identity import Actor, Scope
from ..core.messages import translatable
from ..core.request_input import LARGEST_ID
from ..runner import signals
from ..store import visibility
from ..store.database import connected, log_failure
from . import socket_packets
from .socket_packets import EventPacket

log = logging.getLogger(__name__)

NAMESPACE = "/jobs"
VERSION = 1
TICK_S = 0.5  # job.progress and request.finished: twice a second
SLOW_TICKS = 2  # job.buckets, job.errors, jobs.changed: once a second
SHARE = 0.05  # of the time may go into sending: with very many clients the ticks are further apart
MESSAGE_S = 0.0001  # what one event to one client takes, about
EVENTS = 3  # a tick, to a client that hears all there is
TAIL_ITEMS = 20
STILL_S = 5.0  # interval of the access check for connected clients
RUN_OUT_S = 60.0  # the same if no user or token changed: sessions expire
LIST_ROOM = "list"
RECENT_BUCKETS_S = 10


def create(app: Flask, message_queue: PubSubManager | None = None) -> SocketIO:
    """The live feed of an app; ``message_queue`` joins several web processes."""
    socketio = SocketIO(
        app,
        client_manager=message_queue,
        async_mode="gevent" if monkey.is_module_patched("socket") else "threading",
        cors_allowed_origins=None,  # the same origin only
        path="socket.io",
        serializer=EventPacket,
    )
    socket_packets.guard(app, socketio.server)
    _without_compression(app)
    Feed(app, socketio)
    return socketio


def _without_compression(app: Flask) -> None:
    """Events are short; compressing them would keep a quarter of a megabyte for each client."""
    served = app.wsgi_app

    def serve(environ, start_response):
        environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)  # what the browser offers
        return served(environ, start_response)

    app.wsgi_app = serve


class Feed:
    """Who watches what, and what they are still to be told."""

    def __init__(self, app: Flask, socketio: SocketIO):
        self._app = app
        self._door = app.extensions["simple_batch_door"]
        self._socketio = socketio
        self._server = socketio.server
        self._seq: dict[str, int] = defaultdict(int)
        self._watching: dict[str, set[tuple[int, bool]]] = {}  # sid → (job or 0 for the list, tail)
        self._callers: dict[str, _Visitor] = {}  # by sid
        self._ended: set[str] = set()  # those of them whose session was logged out
        self._doors_moved = False
        self._snapshots: dict[str, tuple[float, int, Mapping]] = {}  # room → when, after which seq
        self._changed: set[int] = set()
        self._moved: set[int] = set()
        self._newest: dict[str, set[int]] = {}  # list's room → the jobs that it last showed
        self._tails: dict[int, list[dict]] = defaultdict(list)
        self._dropped: dict[int, int] = defaultdict(int)
        self._lock = threading.Lock()
        self._running = False
        self._standing: tuple = ()  # of users and tokens, when it was last looked
        self._looked = self._looked_closely = 0.0
        # Flask-SocketIO would make a request of every event
        self._server.on("connect", self._connect, namespace=NAMESPACE)
        self._server.on("subscribe", self._subscribe, namespace=NAMESPACE)
        self._server.on("disconnect", self._disconnect, namespace=NAMESPACE)
        signals.job_changed.connect(self._on_changed)
        signals.job_status.connect(self._on_status)
        signals.jobs_changed.connect(self._on_listed)
        signals.requests_finished.connect(self._on_finished)
        events.received.connect(self._on_news)
        app.extensions["simple_batch_feed"] = self  # signals hold their receivers weakly

    @property
    def clients(self) -> int:
        """How many watch something now."""
        return len(self._watching)

    # --- clients ----------------------------------------------------------------------------

    def _connect(self, sid: str, environ: dict, _auth=None) -> bool:
        """Accept clients that the guard authenticates; False refuses."""
        came = credentials_digest(environ)
        caller = self._door.known(environ, came)
        if caller is None:
            with connected():
                caller = self._who(environ)
        if caller is None:
            return False
        self._callers[sid] = _Visitor(caller, environ, self._door.session_of(came))
        return True

    def _who(self, environ: dict) -> Actor | None:
        """Who it is now that came so."""
        try:
            with self._app.request_context(environ):
                return self._door.caller(refresh=True)
        except SimpleBatchError:
            return None

    def _subscribe(self, sid: str, data=None, *_more) -> dict:
        """``{"job_id": n, "tail": bool}``, or ``{}`` for the list of jobs."""
        data = {} if data is None else data
        if not isinstance(data, dict):
            return {"ok": False, "error": "send an object"}
        job_id, tail = data.get("job_id"), data.get("tail", False) is True
        if job_id is not None and not _is_id(job_id):
            return {"ok": False, "error": "job_id must be the number of a job"}
        if sid not in self._callers:
            return {"ok": False, "error": "connect first"}
        caller = self._callers[sid].caller
        room = _list_room(caller.sees) if job_id is None else f"job-{job_id}"
        try:
            if job_id is None:
                with connected():
                    snapshot: Mapping = {"jobs": self._listed(caller.sees)}
            else:
                _check_seen(job_id, caller.sees)
                snapshot = self._snapshot(room, job_id)
        except SimpleBatchError as error:
            return {"ok": False, "error": str(error)}
        self._server.enter_room(sid, room, namespace=NAMESPACE)
        self._watch(sid, job_id or 0, tail)
        if tail:
            self._server.enter_room(sid, f"{room}-tail", namespace=NAMESPACE)
        return {"ok": True, "seq": self._seq[room], "snapshot": snapshot}

    def _snapshot(self, room: str, job_id: int) -> Mapping:
        """How a job stands; clients that come within one tick get the same snapshot."""
        now, seq = time.monotonic(), self._seq[room]
        made, after, snapshot = self._snapshots.get(room, (0.0, -1, {}))
        if after != seq or now - made > self._pace_s():
            with connected():
                snapshot = insight.progress(job_id)
            if self._watching:  # else nothing would ever forget it
                self._snapshots[room] = now, seq, snapshot
        return snapshot

    def _watch(self, sid: str, job_id: int, tail: bool) -> None:
        with self._lock:
            watched = self._watching.setdefault(sid, set())
            if tail and (job_id, True) not in watched:
                signals.tail_wanted[job_id] += 1
            watched.add((job_id, tail))
            if not self._running:
                self._running = True
                self._socketio.start_background_task(self._publish)

    def _disconnect(self, sid: str, *_reason) -> None:
        self._callers.pop(sid, None)
        self._ended.discard(sid)
        with self._lock:
            for job_id, tail in self._watching.pop(sid, ()):
                if tail:
                    signals.tail_wanted[job_id] -= 1
                    if signals.tail_wanted[job_id] <= 0:
                        del signals.tail_wanted[job_id]

    # --- signals: only note what changed ----------------------------------------------------

    def _on_changed(self, _sender, job_id: int) -> None:
        self._changed.add(job_id)

    def _on_listed(self, _sender, job_id: int) -> None:
        self._moved.add(job_id)

    def _on_status(self, _sender, job_id: int, from_status, to_status, reason) -> None:
        self._changed.add(job_id)
        payload = {"from": from_status, "to": to_status, "reason": reason}
        self._emit("job.status", job_id, payload)

    def _on_finished(self, _sender, job_id: int, items: list[dict]) -> None:
        tail = self._tails[job_id]
        tail.extend(items)
        if len(tail) > TAIL_ITEMS:
            self._dropped[job_id] += len(tail) - TAIL_ITEMS
            del tail[:-TAIL_ITEMS]

    def _on_news(self, _sender, topic: str, detail: str) -> None:
        if topic == events.ACCESS_CHANGED:
            self._doors_moved = True
            callers = list(self._callers.items())
            self._ended.update(sid for sid, who in callers if detail and who.session == detail)

    # --- publishing -------------------------------------------------------------------------

    def _publish(self) -> None:
        """Runs while clients are connected."""
        tick = 0
        while True:
            self._socketio.sleep(self._pace_s())
            tick += 1
            with self._lock:
                if not self._watching:
                    self._running = False
                    self._forget()
                    return
                watched = {job_id for found in self._watching.values() for job_id, _ in found}
            try:
                with connected():
                    self._show_out()
                    self._tell(watched, slow=tick % SLOW_TICKS == 0)
            except Exception:
                log_failure(log, "the live feed could not be sent")

    def _show_out(self) -> None:
        """Disconnect clients whose access was revoked or changed."""
        now = time.monotonic()
        if now - self._looked < STILL_S and not self._doors_moved:
            return
        self._looked, self._doors_moved, before = now, False, self._standing
        for sid in list(self._ended):
            self._server.disconnect(sid, namespace=NAMESPACE, ignore_queue=True)
        self._standing = self._door.standing()
        if self._standing == before and now - self._looked_closely < RUN_OUT_S:
            return
        self._looked_closely = now
        came: dict[bytes, list[str]] = defaultdict(list)
        for sid, visitor in list(self._callers.items()):
            came[credentials_digest(visitor.environ)].append(sid)
        for sids in came.values():
            self._socketio.sleep(0)  # they may be many
            self._look_at(sids)

    def _look_at(self, sids: list[str]) -> None:
        """At clients that came the same way."""
        here = [(sid, self._callers[sid]) for sid in sids if sid in self._callers]
        if here:
            now = self._who(here[0][1].environ)
            for sid, visitor in here:
                if visitor.caller != now:
                    self._server.disconnect(sid, namespace=NAMESPACE, ignore_queue=True)

    def _pace_s(self) -> float:
        """From one tick to the next."""
        return max(TICK_S, len(self._watching) * EVENTS * MESSAGE_S / SHARE)

    def _forget(self) -> None:
        self._snapshots.clear()
        self._changed.clear()
        self._moved.clear()
        self._newest.clear()
        self._tails.clear()
        self._dropped.clear()

    def _tell(self, watched: set[int], slow: bool) -> None:
        changed, self._changed = self._changed, (self._changed if not slow else set())
        for job_id in changed & watched:
            try:
                self._emit("job.progress", job_id, insight.progress(job_id))
                if slow:
                    self._tell_slow(job_id)
            except SimpleBatchError:
                continue  # deleted meanwhile
        for job_id in list(self._tails):
            items = self._tails.pop(job_id)
            payload = {"items": items, "dropped": self._dropped.pop(job_id, 0)}
            self._emit("request.finished", job_id, payload, room=f"job-{job_id}-tail")
        if slow and self._moved:
            moved, self._moved = self._moved, set()
            if 0 in watched:
                self._tell_lists(moved)

    def _tell_lists(self, moved: set[int]) -> None:
        """What changed, to each of those who see different jobs."""
        with self._lock:
            watching = [sid for sid, found in self._watching.items() if (0, False) in found]
        viewers = {self._callers[sid].caller.sees for sid in watching if sid in self._callers}
        for viewer in viewers:
            items = self._listed(viewer, moved)
            if items:
                self._emit("jobs.changed", None, {"items": items}, place=_list_room(viewer))

    def _listed(self, viewer: Scope | None, only: set[int] | None = None) -> Sequence[Mapping]:
        """The newest jobs as the list shows them; one that is gone is just its id with status null.
        Of what is gone a viewer hears only where it was theirs."""
        rows: Sequence[Mapping] = insight.jobs_page(per_page=50, viewer=viewer).rows
        ids = {row["id"] for row in rows}
        room = _list_room(viewer)
        before, self._newest[room] = self._newest.get(room, set()), ids
        if only is None:
            return rows
        gone = only - ids if viewer is None else only & before - ids
        found = [row for row in rows if row["id"] in only]
        return [*found, *({"id": job_id, "status": None} for job_id in gone)]

    def _tell_slow(self, job_id: int) -> None:
        since = time.time() - RECENT_BUCKETS_S
        buckets: Sequence[Mapping] = insight.buckets(job_id, from_s=since, width=1)
        shown = ("t", "sent", "succeeded", "failed", "p95_ms", "cost")
        recent = [{name: bucket[name] for name in shown} for bucket in buckets]
        self._emit("job.buckets", job_id, {"bucket_s": 1, "buckets": recent})
        groups: Sequence[Mapping] = insight.error_groups(job_id)[:10]
        shown = ("cause", "http_status", "message", "count")
        found = [{name: group[name] for name in shown} for group in groups]
        self._emit("job.errors", job_id, {"groups": found})

    def _emit(
        self,
        event: str,
        job_id: int | None,
        payload: Mapping,
        room: str | None = None,
        place: str = "",
    ) -> None:
        place = place or f"job-{job_id}"
        if room is None:  # the tail is a side channel: it does not count in the room's sequence
            self._seq[place] += 1
        envelope = {"v": VERSION, "job_id": job_id, "seq": self._seq[place], "ts": time.time()}
        self._socketio.emit(
            event,
            {**envelope, **payload},
            namespace=NAMESPACE,
            to=room or place,
            ignore_queue=True,
        )


def _is_id(given) -> bool:
    return type(given) is int and 0 < given <= LARGEST_ID  # True is an int, too


class _Visitor(NamedTuple):
    """Who is connected, and how they came; ``session`` is None for who brought a token."""

    caller: Actor
    environ: dict
    session: str | None


def _list_room(viewer: Scope | None) -> str:
    """Those who see the same jobs hear the same of them."""
    if viewer is None:
        return LIST_ROOM
    return f"{LIST_ROOM}-{viewer.user or 0}-{viewer.token or 0}"


def _check_seen(job_id: int, viewer: Scope | None) -> None:
    """Raises NotFound, also for a job that the viewer does not see."""
    if viewer is None:
        return
    with connected():
        if not visibility.sees_job(viewer, job_id):
            raise NotFound(translatable("There is no job %(job_id)s.", job_id=job_id))
