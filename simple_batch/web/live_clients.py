"""The clients of the live feed: who they are, what they watch, and whether they still may."""

import threading
import time
from collections import defaultdict
from dataclasses import replace
from typing import NamedTuple

from flask import Flask
from socketio import Server

from ..auth.credentials import credentials_digest
from ..auth.sessions import Authenticator
from ..core import events
from ..core.errors import SimpleBatchError
from ..core.identity import Actor, Scope
from ..runner import signals
from ..store import visibility
from ..store.database import connected

NAMESPACE = "/jobs"
RECHECK_S = (
    5.0  # interval of the access check where users or tokens may have changed in other processes
)
EXPIRY_CHECK_S = 60.0  # interval where none has changed: sessions expire
JOB_LIST = 0  # in place of a job's id
FINISHED = -1  # likewise, for the finished jobs of a user


class Client(NamedTuple):
    caller: Actor
    environ: dict
    session: str  # its id; empty for a token


class Clients:
    """Clients by their Socket.IO session id (``sid``). Hold ``lock`` to read or change what they watch."""

    def __init__(self, app: Flask, server: Server):
        self._app, self._server = app, server
        self._authenticator: Authenticator = app.extensions["simple_batch_auth"]
        self.lock = threading.Lock()
        self._connected: dict[str, Client] = {}
        self._watching: dict[str, set[tuple[int, bool]]] = {}  # sid → (job or JOB_LIST, tail)
        self._logged_out: set[str] = set()  # sids whose session has ended
        self._access_changed = False
        self._access_state: tuple = ()  # at the last check
        self._checked_at = self._checked_all_at = 0.0
        events.received.connect(self._on_event)

    def __len__(self) -> int:
        """How many watch something."""
        return len(self._watching)

    def connect(self, sid: str, environ: dict, _auth=None) -> bool:
        """Authenticate a new client; False refuses it."""
        digest = credentials_digest(environ)
        caller = self._authenticator.cached_caller(environ, digest)
        if caller is None:
            with connected():
                caller = self._authenticate(environ)
        if caller is None:
            return False
        session = self._authenticator.cached_session(digest)
        self._connected[sid] = Client(caller, environ, session)
        return True

    def disconnect(self, sid: str, *_reason) -> None:
        """Forget a client that has disconnected."""
        self._connected.pop(sid, None)
        self._logged_out.discard(sid)
        with self.lock:
            for job_id, tail in self._watching.pop(sid, ()):
                if tail:
                    signals.tail_wanted[job_id] -= 1
                    if signals.tail_wanted[job_id] <= 0:
                        del signals.tail_wanted[job_id]

    def caller(self, sid: str) -> Actor | None:
        """None for a client that is not connected."""
        client = self._connected.get(sid)
        return None if client is None else client.caller

    def watch(self, sid: str, job_id: int, tail: bool) -> None:
        watched = self._watching.setdefault(sid, set())
        if tail and (job_id, True) not in watched:
            signals.tail_wanted[job_id] += 1
        watched.add((job_id, tail))

    def watched(self) -> set[int]:
        """The ids of all watched jobs, with JOB_LIST if the list is watched."""
        return {job_id for found in self._watching.values() for job_id, _ in found}

    def scopes_of_list(self) -> set[Scope | None]:
        """The scopes of those that watch the list."""
        watching = [sid for sid, found in self._watching.items() if (JOB_LIST, False) in found]
        return {self._connected[sid].caller.sees for sid in watching if sid in self._connected}

    def callers_of_finished(self) -> set[Actor]:
        """Those that watch the finished jobs, one for all clients of a user."""
        watching = [sid for sid, found in self._watching.items() if (FINISHED, False) in found]
        found = (self._connected[sid].caller for sid in watching if sid in self._connected)
        return {replace(caller, address="") for caller in found}

    def disconnect_revoked(self) -> None:
        """Disconnect clients whose access was revoked or changed. Does nothing until the next check is
        due; needs a connection to the database."""
        now = time.monotonic()
        if now - self._checked_at < RECHECK_S and not self._access_changed:
            return
        self._checked_at, self._access_changed, before = now, False, self._access_state
        for sid in list(self._logged_out):
            self._disconnect(sid)
        self._access_state = self._authenticator.access_state()
        if self._access_state == before and now - self._checked_all_at < EXPIRY_CHECK_S:
            return
        self._checked_all_at = now
        by_credentials: dict[bytes, list[str]] = defaultdict(list)
        for sid, client in list(self._connected.items()):
            by_credentials[credentials_digest(client.environ)].append(sid)
        for sids in by_credentials.values():
            self._server.sleep(0)  # there may be many
            self._check(sids)

    def disconnect_from_hidden(self) -> None:
        """Disconnect clients that watch a job which is no longer shared with them. Needs a connection to the
        database."""
        watching: dict[Scope, dict[str, set[int]]] = defaultdict(dict)
        with self.lock:
            for sid, found in self._watching.items():
                jobs = {job_id for job_id, _tail in found} - {JOB_LIST, FINISHED}
                client = self._connected.get(sid)
                if jobs and client is not None and client.caller.sees is not None:
                    watching[client.caller.sees][sid] = jobs
        for scope, clients in watching.items():
            seen = visibility.visible_of(scope, set().union(*clients.values()))
            for sid, jobs in clients.items():
                if jobs - seen:
                    self._disconnect(sid)

    def _check(self, sids: list[str]) -> None:
        """Disconnect those of these clients, which sent the same credentials, that are not who they were."""
        clients = [(sid, self._connected[sid]) for sid in sids if sid in self._connected]
        if clients:
            caller = self._authenticate(clients[0][1].environ)
            for sid, client in clients:
                if client.caller != caller:
                    self._disconnect(sid)

    def _authenticate(self, environ: dict) -> Actor | None:
        """The caller of this request as the database says now."""
        try:
            with self._app.request_context(environ):
                return self._authenticator.caller(refresh=True)
        except SimpleBatchError:
            return None

    def _disconnect(self, sid: str) -> None:
        self._server.disconnect(sid, namespace=NAMESPACE, ignore_queue=True)

    def _on_event(self, _sender, topic: str, detail: str) -> None:
        if topic == events.ACCESS_CHANGED:
            self._access_changed = True
            clients = list(self._connected.items())
            ended = (sid for sid, client in clients if detail and client.session == detail)
            self._logged_out.update(ended)
