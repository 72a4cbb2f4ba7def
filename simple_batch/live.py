"""Signals → Socket.IO (docs/live-feed.md): who watches hears of it, at a pace they can take.

The runner's signals only mark what changed; one background task looks a few
times a second at what is marked and watched, and sends that.
"""

import logging
import threading
import time
from collections import defaultdict

from flask import Flask, request
from flask_socketio import SocketIO, join_room
from gevent import monkey

from . import insight
from .errors import SimpleBatchError
from .runner import progress as signals
from .store.database import connected

log = logging.getLogger(__name__)

NAMESPACE = "/jobs"
VERSION = 1
TICK_S = 0.5  # job.progress and request.finished: twice a second
SLOW_TICKS = 2  # job.buckets, job.errors, jobs.changed: once a second
TAIL_ITEMS = 20
LIST_ROOM = "list"
RECENT_BUCKETS_S = 10


def create(app: Flask) -> SocketIO:
    """The live feed of an app."""
    socketio = SocketIO(
        app,
        async_mode="gevent" if monkey.is_module_patched("socket") else "threading",
        cors_allowed_origins=None,  # the same origin only
        path="socket.io",
    )
    Feed(app, socketio)
    return socketio


class Feed:
    """Who watches what, and what they are still to be told."""

    def __init__(self, app: Flask, socketio: SocketIO):
        self._socketio = socketio
        self._seq: dict[str, int] = defaultdict(int)
        self._watching: dict[str, set[tuple[int, bool]]] = {}  # sid → (job or 0 for the list, tail)
        self._changed: set[int] = set()
        self._listed: set[int] = set()
        self._tails: dict[int, list[dict]] = defaultdict(list)
        self._dropped: dict[int, int] = defaultdict(int)
        self._lock = threading.Lock()
        self._running = False
        socketio.on_event("subscribe", self._subscribe, namespace=NAMESPACE)
        socketio.on_event("disconnect", self._disconnect, namespace=NAMESPACE)
        signals.job_changed.connect(self._on_changed)
        signals.job_status.connect(self._on_status)
        signals.jobs_changed.connect(self._on_listed)
        signals.requests_finished.connect(self._on_finished)
        app.extensions["simple_batch_feed"] = self  # signals hold their receivers weakly

    @property
    def clients(self) -> int:
        """How many watch something now."""
        return len(self._watching)

    # --- clients ----------------------------------------------------------------------------

    def _subscribe(self, data=None) -> dict:
        """``{"job_id": n, "tail": bool}``, or ``{}`` for the list of jobs."""
        data = {} if data is None else data
        if not isinstance(data, dict):
            return {"ok": False, "error": "send an object"}
        job_id, tail = data.get("job_id"), data.get("tail", False) is True
        if job_id is not None and (isinstance(job_id, bool) or not isinstance(job_id, int)):
            return {"ok": False, "error": "job_id must be a number"}
        room = LIST_ROOM if job_id is None else f"job-{job_id}"
        try:
            with connected():
                snapshot = {"jobs": _listed_rows()} if job_id is None else insight.progress(job_id)
        except SimpleBatchError as error:
            return {"ok": False, "error": str(error)}
        join_room(room)
        self._watch(request.sid, job_id or 0, tail)
        if tail:
            join_room(f"{room}-tail")
        return {"ok": True, "seq": self._seq[room], "snapshot": snapshot}

    def _watch(self, sid: str, job_id: int, tail: bool) -> None:
        with self._lock:
            watched = self._watching.setdefault(sid, set())
            if tail and (job_id, True) not in watched:
                signals.tail_wanted[job_id] += 1
            watched.add((job_id, tail))
            if not self._running:
                self._running = True
                self._socketio.start_background_task(self._publish)

    def _disconnect(self, *_reason) -> None:
        with self._lock:
            for job_id, tail in self._watching.pop(request.sid, ()):
                if tail:
                    signals.tail_wanted[job_id] -= 1
                    if signals.tail_wanted[job_id] <= 0:
                        del signals.tail_wanted[job_id]

    # --- signals: only note what changed ----------------------------------------------------

    def _on_changed(self, _sender, job_id: int) -> None:
        self._changed.add(job_id)

    def _on_listed(self, _sender, job_id: int) -> None:
        self._listed.add(job_id)

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

    # --- publishing -------------------------------------------------------------------------

    def _publish(self) -> None:
        """Runs while somebody watches."""
        tick = 0
        while True:
            self._socketio.sleep(TICK_S)
            tick += 1
            with self._lock:
                if not self._watching:
                    self._running = False
                    self._forget()
                    return
                watched = {job_id for found in self._watching.values() for job_id, _ in found}
            try:
                with connected():
                    self._tell(watched, slow=tick % SLOW_TICKS == 0)
            except Exception:
                log.exception("the live feed could not be sent")

    def _forget(self) -> None:
        self._changed.clear()
        self._listed.clear()
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
        if slow and self._listed:
            listed, self._listed = self._listed, set()
            if 0 in watched:
                self._emit("jobs.changed", None, {"items": _listed_rows(listed)})

    def _tell_slow(self, job_id: int) -> None:
        since = time.time() - RECENT_BUCKETS_S
        buckets = insight.buckets(job_id, from_s=since, width=1)
        shown = ("t", "sent", "succeeded", "failed", "p95_ms", "cost")
        recent = [{name: bucket[name] for name in shown} for bucket in buckets]
        self._emit("job.buckets", job_id, {"bucket_s": 1, "buckets": recent})
        groups = insight.error_groups(job_id)[:10]
        shown = ("cause", "http_status", "message", "count")
        found = [{name: group[name] for name in shown} for group in groups]
        self._emit("job.errors", job_id, {"groups": found})

    def _emit(self, event: str, job_id: int | None, payload: dict, room: str | None = None) -> None:
        place = LIST_ROOM if job_id is None else f"job-{job_id}"
        if room is None:  # the tail is a side channel: it does not count in the room's sequence
            self._seq[place] += 1
        envelope = {"v": VERSION, "job_id": job_id, "seq": self._seq[place], "ts": time.time()}
        self._socketio.emit(event, {**envelope, **payload}, namespace=NAMESPACE, to=room or place)


def _listed_rows(only: set[int] | None = None) -> list[dict]:
    """The newest jobs as the list shows them; one that is gone is just its id with status null."""
    rows = insight.jobs_page(per_page=50).rows
    if only is None:
        return rows
    found = [row for row in rows if row["id"] in only]
    gone = only - {row["id"] for row in rows}
    return found + [{"id": job_id, "status": None} for job_id in gone]
