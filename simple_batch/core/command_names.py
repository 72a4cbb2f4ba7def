"""The commands that texts name, in the words of the program that runs.

Texts name the flask commands, which work in a checkout. Where the program simple-batch runs or is
installed, its verbs are named instead: there is no ``flask`` to call.
"""

import re

from .home import INSTALLED

VERBS = {  # flask command: verb (cli/verb_table.py)
    "add-config": "api add",
    "audit-log": "user log",
    "backup-db": "backup make",
    "cancel-job": "cancel",
    "clean": "db clean",
    "completion": "completion",
    "copy-db": "db copy",
    "create-job": "create",
    "create-token": "token add",
    "create-user": "user add",
    "create-webhook": "webhook add",
    "delete-job": "rm",
    "demo": "demo",
    "disable-user": "user disable",
    "doctor": "doctor",
    "edit-config": "api edit",
    "enable-user": "user enable",
    "export-job": "export",
    "list-configs": "api ls",
    "list-jobs": "ls",
    "list-providers": "api providers",
    "list-templates": "template ls",
    "list-tokens": "token ls",
    "list-users": "user ls",
    "list-webhooks": "webhook ls",
    "logs": "logs",
    "pause-job": "pause",
    "remove-config": "api rm",
    "remove-template": "template rm",
    "remove-user": "user rm",
    "remove-webhook": "webhook rm",
    "reset-job": "reset",
    "restore-db": "backup restore",
    "restore-job": "restore",
    "resume-job": "resume",
    "retry-job": "retry",
    "revoke-token": "token revoke",
    "rotate-key": "db rotate-key",
    "run-job": "run",
    "save-template": "template save",
    "send-rest-now": "send-rest",
    "serve": "serve",
    "set-password": "user password",
    "set-role": "user role",
    "share-job": "share",
    "show-job": "show",
    "show-template": "template show",
    "tag-job": "tag",
    "test-config": "api test",
    "watch-job": "watch",
}
_NAMES = "|".join(sorted(VERBS, key=len, reverse=True))
NAMED = re.compile(rf"(?<![\w-])flask ({_NAMES})(?![\w-])", re.ASCII)  # Chinese has no spaces
_ALONE = re.compile(rf"(?<![-\w])({'|'.join(name for name in VERBS if '-' in name)})\b")

as_program = INSTALLED  # set by the program simple-batch


def speak_as_program() -> None:
    """Name verbs of simple-batch from now on."""
    global as_program
    as_program = True


def in_words_of_program(text: str) -> str:
    """A text with the commands that it names, as the program that runs has them."""
    if not as_program or ("flask " not in text and "python run.py" not in text):
        return text
    named = NAMED.sub(lambda found: f"simple-batch {VERBS[found[1]]}", text)
    return named.replace("python run.py", "simple-batch serve")


def help_of_program(text: str) -> str:
    """The same of a help text, which names commands without flask too."""
    if not as_program:
        return text
    text = in_words_of_program(text).replace("--config", "--api")
    return _ALONE.sub(lambda found: f"simple-batch {VERBS[found[1]]}", text)
