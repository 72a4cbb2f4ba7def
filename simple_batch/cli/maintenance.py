"""Maintenance: backup-db, restore-db, clean, rotate-key."""

from pathlib import Path

import click

from ..auth import audit_log
from ..core import context
from ..core.errors import SettingsError
from ..core.messages import Message, translatable
from ..insight.summary import iso
from ..services import backups, job_bin, jobs, lifecycle, retention, retention_rules
from ..store import secrets
from ..store.database import connected, open_database, redacted_url
from .base import ExitStatus, command, confirm, counted, put, put_json, put_table, say

_KINDS = ("jobs", "uploads", "results", "exports")


@command("backup-db")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--with-key", is_flag=True, help="Also copy the encryption key next to it.")
def backup_db(target, with_key):
    """Back the database up to TARGET, a new file or a folder. A server may be running."""
    made = backups.make(target, with_key)
    audit_log.note(
        "care.backup", str(made.path), translatable("with its encryption key") if with_key else ""
    )
    put(str(made.path))
    say(f"{made.bytes:,} bytes, checked.")
    if made.key is not None:
        say(f"{made.key} opens its API keys: keep the two apart.")
    else:
        say(
            "Its API keys are encrypted: without the encryption key (instance/encryption.key, or "
            "SIMPLE_BATCH_ENCRYPTION_KEYS) they must be entered again. Keep that too, elsewhere."
        )


@command("restore-db", on_database=False)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--with-key", type=click.Path(path_type=Path), help="The encryption key of the backup."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def restore_db(file, with_key, yes):
    """Replace the database with a backup. The current one stays next to it."""
    url = redacted_url(context.settings().database_url)
    confirm(yes, f"Replace {url} with {file}? The current database is kept under another name.")
    done = backups.restore(file, with_key)
    open_database(context.settings().database_url)
    with connected():
        audit_log.note("care.restore", str(file))
    say(f"Restored {file}.")
    if done.kept is not None:
        say(f"The former database: {done.kept}")
    if done.migrations:
        say(f"Brought up to date: {', '.join(done.migrations)}.")
    if done.unreadable:
        say(
            f"API keys and secrets that the current encryption key cannot decrypt: {done.unreadable}. "
            "Restore their key too (--with-key), or enter them again."
        )
    if done.going_on:
        say(
            f"Unfinished jobs: {len(done.going_on)}. They continue when a server starts and send again "
            "what was answered since the backup. To avoid that, pause them first."
        )


@command("clean", on_database=False)
@click.option("--dry-run", is_flag=True, help="Only list what would be deleted.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True)
@click.option("--bin", "empty_bin", is_flag=True, help="Also delete all jobs in the bin for good.")
@click.option("--vacuum", is_flag=True, help="Shrink the database file; stop the server first.")
def clean(dry_run, yes, as_json, empty_bin, vacuum):
    """Delete data by the retention rules (RETENTION_…)."""
    with connected():
        on = retention.rules(retention_rules.in_force())
        going = retention.plan()
        _show(on, going, as_json)
        if empty_bin:
            _empty_bin(dry_run, yes)
        if not on:
            say("No retention rule is on: see RETENTION_… in docs/configuration.md.")
        elif not going:
            say("Nothing to remove.")
        elif not dry_run:
            confirm(yes, "Remove all this for good?")
            jobs.clean(going)
            say(_done(going))
    if vacuum and not dry_run:
        say(f"The database file shrank by {backups.compact():,} bytes.")


def _empty_bin(dry_run: bool, yes: bool) -> None:
    count = job_bin.count()
    if dry_run or not count:
        say(f"In the bin: {counted(count, 'job')}.")
        return
    confirm(yes, f"Delete {counted(count, 'job')} in the bin for good?")
    say(f"Deleted from the bin: {counted(job_bin.remove_all(), 'job')}.")


def _show(on: dict, going: retention.Plan, as_json: bool) -> None:
    found = [(kind, item) for kind in _KINDS for item in getattr(going, kind)]
    if as_json:
        rows = [
            {
                "kind": kind,
                "id": item.id,
                "name": item.name,
                "at": iso(item.at),
                "bytes": item.bytes,
            }
            for kind, item in found
        ]
        put_json({"rules": on, "bytes": going.bytes, "items": rows})
    elif found:
        put_table(
            ["KIND", "ID", "NAME", "SINCE", "BYTES"],
            [[kind, item.id, item.name, iso(item.at), item.bytes] for kind, item in found],
        )


def _done(going: retention.Plan) -> str:
    found = {kind: len(getattr(going, kind)) for kind in _KINDS}
    counts = ", ".join(counted(n, kind.removesuffix("s")) for kind, n in found.items() if n)
    if lifecycle.runner_state() == "elsewhere":
        return f"Deleted: {counts}. The server removes their rows now."
    return f"Deleted: {counts}."


_BY_YOU = (
    "The encryption keys are given by SIMPLE_BATCH_ENCRYPTION_KEYS (or settings.toml): only you can "
    "change them.\n"
    "  1. Make a new key: python -c "
    '"from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"\n'
    "  2. Put it before the old one, with a comma between, and restart the server.\n"
    "  3. Run flask rotate-key --seal-again with the same setting.\n"
    "  4. Take the old key out, and restart the server again."
)


def _sealed(count: int) -> Message:
    if count == 1:
        return translatable("1 secret sealed again")
    return translatable("%(count)s secrets sealed again", count=count)


@command("rotate-key")
@click.option("--keep-old", is_flag=True, help="Keep the former keys, which older backups need.")
@click.option("--seal-again", is_flag=True, help="Do not create a key: use the first existing one.")
def rotate_key(keep_old, seal_again):
    """Encrypt the stored API keys and webhook secrets with a new key. A server may be running."""
    settings = context.settings()
    if keep_old and seal_again:
        raise click.UsageError("Give --keep-old or --seal-again, not both.")
    if seal_again:
        count, unopened = secrets.reencrypt(context.vault())
    elif settings.ENCRYPTION_KEYS:
        raise SettingsError(_BY_YOU)
    else:
        count, unopened = secrets.rotate(settings.instance, keep_old)
    audit_log.note("care.key", detail=_sealed(count))
    say(f"{count} {'secret is' if count == 1 else 'secrets are'} encrypted with the newest key.")
    if unopened:
        say(f"No key decrypts these. Enter them again: {', '.join(unopened)}.")
        return ExitStatus.ERROR
    if not seal_again:
        former = "The old keys are kept too" if keep_old else "The old keys were deleted"
        say(f"{former}. A running server uses the new one automatically.")
    return ExitStatus.DONE


COMMANDS = (backup_db, restore_db, clean, rotate_key)
