"""rotate-key."""

import click

from .. import audit, runtime
from ..errors import SettingsError
from ..store import secrets
from ..wording import said
from .base import ExitStatus, command, say

_BY_YOU = (
    "The encryption keys are given by SIMPLE_BATCH_ENCRYPTION_KEYS (or settings.toml): only you can "
    "change them.\n"
    "  1. Make a new key: python -c "
    '"from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"\n'
    "  2. Put it before the old one, with a comma between, and restart the server.\n"
    "  3. Run flask rotate-key --seal-again with the same setting.\n"
    "  4. Take the old key out, and restart the server again."
)


@command("rotate-key")
@click.option("--keep-old", is_flag=True, help="Keep the former keys too: backups need them.")
@click.option("--seal-again", is_flag=True, help="Make no new key: use the first one there is.")
def rotate_key(keep_old, seal_again):
    """Encrypt the stored API keys and webhook secrets with a new key, also while a server runs."""
    settings = runtime.settings()
    if keep_old and seal_again:
        raise click.UsageError("Give --keep-old or --seal-again, not both.")
    if seal_again:
        count, unopened = secrets.seal_again(runtime.vault())
    elif settings.ENCRYPTION_KEYS:
        raise SettingsError(_BY_YOU)
    else:
        count, unopened = secrets.rotate(settings.instance, keep_old)
    audit.note("care.key", detail=said("%(count)s secrets sealed again", count=count))
    say(f"{count} {'secret is' if count == 1 else 'secrets are'} sealed with the newest key.")
    if unopened:
        say(f"No key opens these, enter them again: {', '.join(unopened)}.")
        return ExitStatus.ERROR
    if not seal_again:
        former = "The former keys are kept too" if keep_old else "The former keys are gone"
        say(f"{former}. A server that runs takes the new one up by itself.")
    return ExitStatus.DONE


COMMANDS = (rotate_key,)
