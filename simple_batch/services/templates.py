"""Saved templates: each has a name, and versions that never change.

A job keeps a copy of the template it was made with: nothing that happens here changes a job.
"""

import re
from collections.abc import Sequence

import msgspec
from peewee import JOIN, fn

from .. import intake
from ..auth import audit_log
from ..core import context, identity
from ..core.clock import now_ms
from ..core.errors import InvalidInput, NotFound
from ..core.messages import translatable
from ..core.nearest_name import nearest
from ..store import visibility
from ..store.models import Job, SavedTemplate, TemplateVersion, database

MAX_NAME = 100
MAX_NOTE = 200
_NUMBERED = re.compile(r"(.+)@([1-9]\d{0,8})", re.DOTALL | re.ASCII)


class Kept(msgspec.Struct, frozen=True):
    """A saved template with its versions, the newest first, without their texts; ``jobs`` counts
    those that were made with each, by the id of the version."""

    saved: SavedTemplate
    versions: list[TemplateVersion]
    jobs: dict[int, int]

    @property
    def newest(self) -> TemplateVersion:
        return self.versions[0]

    @property
    def used(self) -> int:
        """Jobs of any version."""
        return sum(self.jobs.values())


def save(
    name: str,
    template: intake.Template,
    note: str = "",
    columns: Sequence[str] = (),
) -> tuple[TemplateVersion, bool]:
    """The template as a new version of that name, and True; where it is the newest version already,
    that one, and False. ``columns`` are those of a table at hand. Raises InvalidInput naming the
    field (``name``, ``note``, or the template's) that is not valid."""
    name, note = _name(name), _line(note)
    if len(note) > MAX_NOTE or not note.isprintable():
        raise InvalidInput(
            translatable("Note: up to %(most)s printable characters.", most=MAX_NOTE), "note"
        )
    intake.check_template(template, context.settings(), columns)
    with database.atomic():
        saved = SavedTemplate.get_or_none(SavedTemplate.name == name)
        if saved is None:
            saved = SavedTemplate.create(name=name, created_at=now_ms())
        return _add(saved, intake.template_text(template), note=note)


def restore(template_id: int, number: int) -> tuple[TemplateVersion, bool]:
    """An older version once more, as the newest; what it returns is as of ``save``. Raises
    NotFound."""
    with database.atomic():
        old = version(get(template_id), number)
        return _add(old.saved, old.text, restored_from=number)


def _add(saved: SavedTemplate, text: str, **said_of_it) -> tuple[TemplateVersion, bool]:
    newest = _newest(saved)
    if newest is not None and newest.text == text:
        return newest, False
    number = 1 if newest is None else newest.number + 1
    made = TemplateVersion.create(
        saved=saved,
        number=number,
        text=text,
        actor=identity.current().name,
        created_at=now_ms(),
        **said_of_it,
    )
    audit_log.note(
        "template.save", f"template {saved.name}", translatable("version %(n)s", n=number)
    )
    return made, True


def rename(template_id: int, name: str) -> SavedTemplate:
    """Raises NotFound, and InvalidInput where another one has that name."""
    name = _name(name)
    with database.atomic():
        saved = get(template_id)
        other = SavedTemplate.get_or_none(SavedTemplate.name == name)
        if other is not None and other.id != saved.id:
            raise InvalidInput(
                translatable("Another saved template is already named “%(name)s”.", name=name),
                "name",
            )
        audit_log.note("template.rename", f"template {saved.name}", name)
        saved.name = name
        saved.save()
    return saved


def remove(template_id: int) -> None:
    """Forget it with all its versions. Raises NotFound."""
    saved = get(template_id)
    saved.delete_instance()
    audit_log.note("template.remove", f"template {saved.name}")


def warnings(template: intake.Template, columns: Sequence[str]) -> list[intake.Finding]:
    """What looks like a mistake over a table with these columns."""
    return intake.findings(template, columns)


def corrected(template: intake.Template, columns: Sequence[str]) -> intake.Template:
    """The template with {{ column }} in place of the syntax of other tools."""
    return intake.corrected(template, columns)


# --- finding ----------------------------------------------------------------------------------


def get(template_id: int) -> SavedTemplate:
    """Raises NotFound."""
    saved = SavedTemplate.get_or_none(SavedTemplate.id == template_id)
    if saved is None:
        raise _unknown(template_id)
    return saved


def named(name: str) -> SavedTemplate:
    """Raises NotFound with the nearest name."""
    saved = SavedTemplate.get_or_none(SavedTemplate.name == _line(name))
    if saved is not None:
        return saved
    names = [found for (found,) in SavedTemplate.select(SavedTemplate.name).tuples()]
    if not names:
        raise NotFound(
            translatable(
                "There is no saved template “%(name)s”: none is saved yet.", name=name[:MAX_NAME]
            ),
            "template",
        )
    raise NotFound(
        translatable(
            "There is no saved template “%(name)s”; the nearest is “%(nearest)s”.",
            name=name[:MAX_NAME],
            nearest=nearest(name, names),
        ),
        "template",
    )


def find(wanted: str) -> TemplateVersion:
    """A version by ``name@number``, or the newest one by the name alone. Raises NotFound."""
    numbered = _NUMBERED.fullmatch(wanted)
    if numbered is None:
        return version(named(wanted))
    return version(named(numbered[1]), int(numbered[2]))


def version(saved: SavedTemplate, number: int | None = None) -> TemplateVersion:
    """One version, the newest where no number says which. Raises NotFound."""
    newest = _newest(saved)
    assert newest is not None  # it was saved with its first version
    if number is None or number == newest.number:
        return newest
    found = None
    if 0 < number < newest.number:
        found = TemplateVersion.get_or_none(
            (TemplateVersion.saved == saved.id) & (TemplateVersion.number == number)
        )
    if found is None:
        raise NotFound(
            translatable(
                "“%(name)s” has no version %(number)s: its newest is %(newest)s.",
                name=saved.name,
                number=number,
                newest=newest.number,
            )
        )
    return found


def version_by_id(version_id: int | None) -> TemplateVersion | None:
    """The version while it is kept."""
    if version_id is None:
        return None
    return TemplateVersion.get_or_none(TemplateVersion.id == version_id)


def latest_job(saved: SavedTemplate) -> Job | None:
    """The newest job that was made with any version and that the caller sees."""
    made = Job.select().join(TemplateVersion).where(TemplateVersion.saved == saved.id)
    seen = made.where(Job.deleted_at.is_null() & visibility.jobs(identity.current().sees))
    return seen.order_by(Job.id.desc()).first()


def listed() -> list[Kept]:
    """All of them, by name."""
    return _kept(SavedTemplate.select().order_by(fn.LOWER(SavedTemplate.name), SavedTemplate.id))


def kept(template_id: int) -> Kept:
    """One of them. Raises NotFound."""
    return _kept([get(template_id)])[0]


def _kept(templates) -> list[Kept]:
    templates = list(templates)
    facts = [field for name, field in TemplateVersion._meta.fields.items() if name != "text"]
    used = fn.COUNT(Job.id)
    query = (
        TemplateVersion.select(*facts, used.alias("jobs"))
        .join(
            Job,
            JOIN.LEFT_OUTER,
            on=(Job.template_version == TemplateVersion.id) & Job.deleted_at.is_null(),
        )
        .group_by(TemplateVersion.id)
        .order_by(TemplateVersion.number.desc())
    )
    if len(templates) == 1:
        query = query.where(TemplateVersion.saved == templates[0].id)
    found = {saved.id: Kept(saved, [], {}) for saved in templates}
    for made in query.objects():
        if made.saved_id in found:
            found[made.saved_id].versions.append(made)
            found[made.saved_id].jobs[made.id] = made.jobs
    return [each for each in found.values() if each.versions]


def template_of(made: TemplateVersion) -> intake.Template:
    return intake.template_of(made.text)


def label(made: TemplateVersion | None) -> str:
    """``name@number``: what ``find`` takes; empty for none."""
    return "" if made is None else f"{made.saved.name}@{made.number}"


def origin(version_id: int | None, template: intake.Template, columns: Sequence[str]) -> int | None:
    """``version_id`` where the template, over these columns, still asks what that version does;
    None where it was changed since, or that version is gone."""
    made = version_by_id(version_id)
    if made is None or _asks(template, columns) != _asks(template_of(made), columns):
        return None
    return made.id


def _asks(template: intake.Template, columns: Sequence[str]) -> intake.Template:
    """The template in a normal form for comparison: a form has its own line ends and default, and the
    sheet is that of the workbook."""
    named = template.custom_id
    if named is None:
        named = "custom_id" if "custom_id" in columns else ""
    return msgspec.structs.replace(
        template,
        user=re.sub("\r\n?", "\n", template.user),
        system=re.sub("\r\n?", "\n", template.system),
        custom_id=named,
        sheet="",
    )


def _newest(saved: SavedTemplate) -> TemplateVersion | None:
    found = TemplateVersion.select().where(TemplateVersion.saved == saved.id)
    return found.order_by(TemplateVersion.number.desc()).first()


def _unknown(template_id: int) -> NotFound:
    return NotFound(translatable("There is no saved template %(number)s.", number=template_id))


def _name(name: str) -> str:
    name = _line(name)
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise InvalidInput(
            translatable("Template name: 1 to %(most)s printable characters.", most=MAX_NAME),
            "name",
        )
    if _NUMBERED.fullmatch(name):
        raise InvalidInput(
            translatable("Template name: text after @ would be read as a version number."),
            "name",
        )
    return name


def _line(text: str | None) -> str:
    return " ".join((text or "").split())
