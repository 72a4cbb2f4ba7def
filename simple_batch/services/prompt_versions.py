"""Versions of a prompt on the workbench: every run that sends something is one, with its texts, its answers
and its cost. They are kept as long as their upload."""

import json
from collections.abc import Mapping

import msgspec
from peewee import fn

from ..core import identity
from ..core.clock import now_ms
from ..core.errors import Conflict, NotFound
from ..core.messages import translatable
from ..store.models import PromptVersion, database, lock_upload
from .drafts import Values

MOST = 100  # of an upload; then the oldest ones go
LOST_MS = 30_000  # a run that gave no sign for so long has ended with its process
_BEAT_MS = 5_000

Texts = Mapping[str, Values]  # the parts of a draft, by name


class Column(msgspec.Struct, frozen=True):
    """A connection, as it was called then."""

    config_id: int
    alias: str
    model: str


class Row(msgspec.Struct, frozen=True):
    """A sample row by its number, with the keys of its answers by the connection's id."""

    number: int
    keys: dict[str, str]


class Table(msgspec.Struct, frozen=True):
    """The cells of a version."""

    columns: list[Column] = []
    rows: list[Row] = []

    @property
    def keys(self) -> list[str]:
        return [key for row in self.rows for key in row.keys.values()]


class Version(msgspec.Struct, frozen=True):
    """One version. ``costs`` are nano-units by currency; times are epoch ms."""

    number: int
    texts: dict[str, Values]
    table: Table
    sent: int
    costs: dict[str, int]
    actor: str
    created_at: int
    state: str  # running, stopping, stopped, lost, done

    @property
    def is_running(self) -> bool:
        """Whether its calls are not ended."""
        return self.state in ("running", "stopping")


def listed(upload_id: int) -> list[Version]:
    """All versions of an upload, the newest first, without their texts."""
    query = _without_texts().where(PromptVersion.upload == upload_id)
    return [_version(row) for row in query.order_by(PromptVersion.number.desc())]


def get(upload_id: int, number: int) -> Version:
    """Raises NotFound."""
    row = PromptVersion.get_or_none(
        (PromptVersion.upload == upload_id) & (PromptVersion.number == number)
    )
    if row is None:
        raise NotFound(translatable("There is no version %(number)s.", number=number))
    return _version(row)


def newest(upload_id: int) -> Version | None:
    """The last version of an upload, without its texts."""
    query = _without_texts().where(PromptVersion.upload == upload_id)
    row = query.order_by(PromptVersion.number.desc()).first()
    return _version(row) if row is not None else None


def running(upload_id: int) -> Version | None:
    """The run that goes on now, which can only be the newest."""
    version = newest(upload_id)
    return version if version is not None and version.is_running else None


def begin(upload_id: int, texts: Texts, table: Table, sent: int) -> int:
    """Note a new version whose calls begin now; returns its number. Raises Conflict while another run of
    the upload goes on."""
    with database.atomic():
        lock_upload(upload_id)
        if running(upload_id) is not None:
            raise Conflict(
                translatable("A run is still in progress. Wait for it, or stop it first.")
            )
        same = PromptVersion.upload == upload_id
        newest = PromptVersion.select(fn.MAX(PromptVersion.number)).where(same).scalar() or 0
        now = now_ms()
        PromptVersion.create(
            upload=upload_id,
            number=newest + 1,
            texts=json.dumps(texts),
            cells=msgspec.json.encode(table).decode(),
            sent=sent,
            costs="{}",
            actor=identity.current().name,
            created_at=now,
            beat_at=now,
        )
        PromptVersion.delete().where(same & (PromptVersion.number <= newest + 1 - MOST)).execute()
    return newest + 1


def beat(upload_id: int, number: int, costs: dict[str, int]) -> bool:
    """Give a sign that a run goes on, with what it cost so far. Returns True where a user stops it, or its
    upload is gone."""
    row = PromptVersion.get_or_none(
        (PromptVersion.upload == upload_id) & (PromptVersion.number == number)
    )
    if row is None or row.stop_at is not None:
        return True
    if row.beat_at < now_ms() - _BEAT_MS:
        _update(upload_id, number, beat_at=now_ms(), costs=json.dumps(costs))
    return False


def end(upload_id: int, number: int, costs: dict[str, int]) -> None:
    """The run has ended."""
    _update(upload_id, number, ended_at=now_ms(), costs=json.dumps(costs))


def stop(upload_id: int) -> bool:
    """Ask for the end of the run that goes on; False where there is none."""
    version = running(upload_id)
    if version is not None:
        _update(upload_id, version.number, stop_at=now_ms())
    return version is not None


def _without_texts():
    facts = [field for name, field in PromptVersion._meta.fields.items() if name != "texts"]
    return PromptVersion.select(*facts)


def _update(upload_id: int, number: int, **values) -> None:
    PromptVersion.update(**values).where(
        (PromptVersion.upload == upload_id) & (PromptVersion.number == number)
    ).execute()


def _version(row: PromptVersion) -> Version:
    return Version(
        row.number,
        json.loads(row.texts or "{}"),
        msgspec.json.decode(row.cells, type=Table),
        row.sent,
        json.loads(row.costs),
        row.actor,
        row.created_at,
        _state(row),
    )


def _state(row: PromptVersion) -> str:
    if row.ended_at is not None:
        return "done" if row.stop_at is None else "stopped"
    if row.beat_at < now_ms() - LOST_MS:
        return "lost"
    return "running" if row.stop_at is None else "stopping"
