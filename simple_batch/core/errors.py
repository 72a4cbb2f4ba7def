"""The exception tree. Every message says what is wrong, where, and what to do;
none of them carries a key."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .command_names import in_words_of_program

if TYPE_CHECKING:  # domain imports what raises these errors
    from .domain import Fault


class SimpleBatchError(Exception):
    """Root of all errors a caller may show to the user as they are.

    ``http_status`` is what a page answers, ``exit_code`` what a command returns. Where a page may
    show it, the message is a Message (``messages.translatable``).
    """

    http_status = 400
    exit_code = 1

    def __str__(self) -> str:
        return in_words_of_program(super().__str__())

    @property
    def text(self) -> str:
        """The message as it was given: ``str(error)`` has only its English."""
        message: str = self.args[0]
        return message


class SettingsError(SimpleBatchError):
    """A setting's value cannot be used."""

    http_status = 500
    exit_code = 4


class MissingPackage(SimpleBatchError):
    """A package of an extra is not installed (core/extras.py)."""

    exit_code = 4


class NotFound(SimpleBatchError):
    """No such job, config, request or file. ``kind`` says of what, for the commands."""

    http_status = 404

    def __init__(self, message: str, kind: str = ""):
        super().__init__(message)
        self.kind = kind


class LoginNeeded(SimpleBatchError):
    """The request needs a login."""

    http_status = 401


class Forbidden(SimpleBatchError):
    """The caller's role, or the way the request arrived, does not allow the action."""

    http_status = 403


class Conflict(SimpleBatchError):
    """The current state of the object does not allow the action."""

    http_status = 409


class InvalidInput(SimpleBatchError):
    """A field, parameter or upload is not valid. ``field`` names it if one is to blame."""

    exit_code = 2

    def __init__(self, message: str, field: str | None = None):
        super().__init__(message)
        self.field = field


class UploadRejected(SimpleBatchError):
    """An upload as a whole cannot be read; ``faults`` holds the first of them."""

    def __init__(
        self,
        message: str,
        faults: "Iterable[Fault]" = (),
        fault_count: int = 0,
        good_count: int = 0,
    ):
        super().__init__(message)
        self.faults = list(faults)
        self.fault_count = fault_count
        self.good_count = good_count


class UploadTooLarge(UploadRejected):
    """The upload, or what it unpacks to, is over the limit."""

    http_status = 413


class ConfigurationError(SimpleBatchError):
    """An API config cannot be used: bad URL, unreadable key, inactive."""

    exit_code = 4


class DatabaseError(SimpleBatchError):
    """The database cannot be opened, read or written."""

    http_status = 503
    exit_code = 4


class DatabaseMoved(SimpleBatchError):
    """The database file is not at its place any more: moved, removed, replaced or written to by
    another program while it is open. (No DatabaseError: Peewee takes that name for its own.)"""

    http_status = 503
    exit_code = 4
