"""The command that helps after an error."""

import click

from ..core.errors import (
    ConfigurationError,
    DatabaseError,
    NotFound,
    SettingsError,
    SimpleBatchError,
    UploadRejected,
)

_LISTED_BY = {
    "job": "List the jobs: simple-batch ls",
    "no_job": "Make one: simple-batch run FILE --api NAME, or try: simple-batch demo",
    "connection": "List the connections: simple-batch api ls",
    "template": "List the templates: simple-batch template ls",
    "user": "List the users: simple-batch user ls",
}


def of_error(error: SimpleBatchError) -> str:
    """A line that names the command; empty where none is known, or the message names it itself."""
    if "simple-batch " in str(error) or "flask " in str(error):
        return ""
    if isinstance(error, NotFound) and error.kind:
        return _LISTED_BY.get(error.kind, "")
    if isinstance(error, ConfigurationError):
        return (
            "Look at the connections: simple-batch api ls, and test one: simple-batch api test NAME"
        )
    context = click.get_current_context(silent=True)
    if isinstance(error, SettingsError | DatabaseError):
        if context is not None and context.info_name == "doctor":
            return ""
        return "Look for the cause: simple-batch doctor"
    if isinstance(error, UploadRejected):
        return ""
    return f"Help: {context.command_path} --help" if context is not None else ""
