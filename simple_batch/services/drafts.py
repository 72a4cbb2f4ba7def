"""Drafts of new jobs: what a user has typed and chosen over an upload that is not launched yet.

A draft is stored with its upload (column ``draft``, JSON) and has parts, one for each form: the names of
its fields with the texts as they were typed, valid or not. The pages decide what a part is called and
which fields it has, so that a key, which no such form asks for, is in none.

Two tabs may work on one draft. Every part counts its versions, and remembers which page wrote the last
one. A page that saves over a version that it has neither seen nor written is refused, so that no text
replaces another unseen.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from peewee import fn

from .. import intake
from ..core import context, identity
from ..core.clock import now_ms
from ..core.errors import Conflict, InvalidInput, NotFound
from ..core.messages import translatable
from ..store.models import ApiFile, Job, Upload, database, lock_upload
from . import uploads
from .job_option_fields import JobOptions

MAX_CHARACTERS = 1 << 20  # of the texts of a part
MAX_LISTED = 200
HOUR_MS = 3_600_000
_NO_PREVIEW = ("", "{}")
# the beginning of a preview, whose members are in the order of intake.Preview: its first requests may
# be megabytes, and a list of drafts needs two numbers of each
_COUNTS = re.compile(r'"good":(\d+),"fault_count":(\d+)')
_COUNTS_WITHIN = 400

Values = dict[str, list[str]]  # the texts of a form by field; several of a field that repeats


class Part(msgspec.Struct, omit_defaults=True):
    """What one form says. ``page`` identifies the loaded page that saved it last."""

    values: Values = {}
    version: int = 0
    page: str = ""


class Draft(msgspec.Struct, omit_defaults=True):
    """``step`` is the one to continue with, as the pages call it; ``begun`` are the options that it
    began with (of a cloned job, or a settings file), ``clone`` the id of that job; ``rebuilt``: the data
    was made of its stored requests."""

    step: str = ""
    parts: dict[str, Part] = {}
    begun: JobOptions | None = None
    clone: int | None = None
    rebuilt: bool = False

    def part(self, name: str) -> Part | None:
        """A part that was saved, else None."""
        return self.parts.get(name)

    def version(self, name: str) -> int:
        """Of a part; 0 where none was saved."""
        return self.parts[name].version if name in self.parts else 0

    def version_of(self, names: Iterable[str]) -> int:
        """Of several parts together: it changes whenever one of them does."""
        return sum(map(self.version, names))

    def values(self, name: str) -> Values | None:
        """What a part says; None where none was saved."""
        return self.parts[name].values if name in self.parts else None


class Listed(msgspec.Struct, frozen=True):
    """A draft in a list. ``rows`` counts valid and invalid ones; times are epoch ms."""

    id: int
    filename: str
    rows: int
    step: str
    changed_at: int
    removed_at: int


class DraftConflict(Conflict):
    """The part was changed by another page meanwhile. ``version`` is the present one."""

    def __init__(self, version: int):
        super().__init__(
            translatable("This draft was changed in another tab. Your text here is not saved yet.")
        )
        self.version = version


class Launched(Conflict):
    """A job was made of the upload: it is no draft any more."""


def load(upload: Upload) -> Draft:
    """The draft of an upload; an empty one where there is none, or where another version of the
    program has written it."""
    try:
        return msgspec.json.decode(upload.draft or "{}", type=Draft)
    except msgspec.DecodeError:
        return Draft()


def begin(
    upload_id: int,
    step: str,
    begun: JobOptions | None = None,
    clone: int | None = None,
    rebuilt: bool = False,
) -> None:
    """Start the draft of an upload over, with these options. Raises NotFound."""
    with database.atomic():
        draft = Draft(step=step, begun=begun, clone=clone, rebuilt=rebuilt)
        _write(_locked(upload_id), draft)


def save(
    upload_id: int,
    name: str,
    values: Mapping[str, list[str]],
    *,
    step: str = "",
    based_on: int | None = None,
    page: str = "",
) -> int:
    """Save a part; returns its version, which stays the same where nothing has changed. ``step`` is
    the one to continue with (default: ``name``). ``based_on`` is the version that ``page`` began
    with; None replaces any. Raises NotFound, InvalidInput for too much text, DraftConflict,
    Launched."""
    return save_parts(upload_id, {name: values}, step or name, based_on=based_on, page=page)


def save_parts(
    upload_id: int,
    parts: Mapping[str, Mapping[str, list[str]]],
    step: str,
    *,
    based_on: int | None = None,
    page: str = "",
) -> int:
    """``save`` for a page that has several parts: the version is the sum of theirs."""
    for values in parts.values():
        if sum(len(text) for texts in values.values() for text in texts) > MAX_CHARACTERS:
            raise InvalidInput(translatable("This is too much text for a draft."))
    with database.atomic():
        upload = _locked(upload_id)
        if is_launched(upload_id):
            raise Launched(translatable("This upload was launched already."))
        draft = load(upload)
        version = draft.version_of(parts)
        changed = {name for name, values in parts.items() if draft.values(name) != values}
        others = any(name in draft.parts and draft.parts[name].page != page for name in changed)
        if others and based_on not in (None, version):
            raise DraftConflict(version)
        for name in changed:
            draft.parts[name] = Part(dict(parts[name]), draft.version(name) + 1, page)
        if changed or draft.step != step:
            draft.step = step
            _write(upload, draft)
    return version + len(changed)


def reached(upload_id: int, step: str) -> None:
    """Note the step to continue with. Raises NotFound."""
    with database.atomic():
        upload = _locked(upload_id)
        draft = load(upload)
        draft.step = step
        _write(upload, draft)


def listed() -> list[Listed]:
    """The drafts of the current user, the one changed last first, at most MAX_LISTED; those of
    others are not listed for admins either."""
    head = fn.SUBSTR(Upload.preview, 1, _COUNTS_WITHIN).alias("head")
    shown = Upload.select(Upload.id, Upload.filename, Upload.draft, Upload.changed_at, head)
    found = shown.where(_mine() & Upload.discarded_at.is_null())
    return [
        Listed(
            upload.id,
            upload.filename,
            _rows(upload.head),
            load(upload).step,
            upload.changed_at,
            removed_at(upload),
        )
        for upload in found.order_by(Upload.changed_at.desc(), Upload.id.desc()).limit(MAX_LISTED)
    ]


def removed_at(upload: Upload) -> int:
    """When the cleanup removes a draft that is not changed until then, epoch ms."""
    return upload.changed_at + int(context.settings().UPLOAD_KEEP_HOURS * HOUR_MS)


def discard(upload_id: int) -> None:
    """Hide the draft with its upload, which the cleanup removes later; one that a job was made of
    stays as it is. Raises NotFound."""
    with database.atomic():
        upload = _locked(upload_id)
        if upload.discarded_at is None and not is_launched(upload_id):
            upload.discarded_at = upload.changed_at = now_ms()
            upload.save()


def restore(upload_id: int) -> None:
    """Undo ``discard``. Raises NotFound once the cleanup has removed the upload."""
    with database.atomic():
        upload = _locked(upload_id)
        if upload.discarded_at is not None:
            upload.discarded_at, upload.changed_at = None, now_ms()
            upload.save()


def is_launched(upload_id: int) -> bool:
    """Whether a job was made of the upload, deleted or not."""
    return Job.select().where(Job.upload == upload_id).exists()


def job_of(upload_id: int) -> Job | None:
    """The newest job that was made of an upload and is not deleted."""
    made = (Job.upload == upload_id) & Job.deleted_at.is_null()
    return Job.select().where(made).order_by(Job.id.desc()).first()


def copy(upload: Upload, step: str, begun: JobOptions | None, clone: int | None = None) -> Upload:
    """A new draft over the same data, with these options: of a clone of job ``clone``, or of an upload
    that was launched. One that is the same and was not touched yet is returned again."""
    draft = Draft(step=step, begun=begun, clone=clone)
    text = _encoded(draft)
    same = (Upload.draft == text) & Upload.discarded_at.is_null()
    for found in Upload.select().where(_mine() & same & (Upload.filename == upload.filename)):
        if Path(found.path).exists():
            return found
    made = uploads.copy(upload)
    template = begun.template if begun is not None else None
    if template is None or intake.template_text(template) != upload.template:
        made.template = made.template_version = None  # read as the template step says
    made.draft = text
    made.save()
    return made


def written_by(page: str) -> Upload | None:
    """The draft of the current user of which a loaded page has saved a part."""
    mark = msgspec.json.encode(page).decode()
    found = Upload.select().where(_mine() & Upload.draft.contains(f'"page":{mark}'))
    return found.order_by(Upload.id.desc()).first() if page else None


def _mine():
    """The condition on uploads that are drafts of the current user."""
    user = identity.current().user
    owned = Upload.user.is_null() if user is None else Upload.user == user
    used = Job.select(Job.upload).where(Job.upload.is_null(False))
    filed = ApiFile.select(ApiFile.upload).where(ApiFile.upload.is_null(False))
    return (
        owned
        & (Upload.preview.not_in(_NO_PREVIEW) | Upload.draft.is_null(False))
        & Upload.id.not_in(used)
        & Upload.id.not_in(filed)
    )


def _rows(head: str) -> int:
    counts = _COUNTS.search(head)
    return sum(map(int, counts.groups())) if counts else 0


def _locked(upload_id: int) -> Upload:
    """An upload that no other transaction changes until this one ends. Raises NotFound."""
    lock_upload(upload_id)
    upload = Upload.get_or_none(Upload.id == upload_id)
    if upload is None:
        raise NotFound(translatable("This upload was deleted. Upload the file again."))
    return upload


def _write(upload: Upload, draft: Draft) -> None:
    upload.draft, upload.changed_at = _encoded(draft), now_ms()
    upload.save()


def _encoded(draft: Draft) -> str:
    return msgspec.json.encode(draft).decode()
