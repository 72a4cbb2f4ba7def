"""Applies what was learned about rejected parameters to the bodies that are sent."""

from collections.abc import Iterable, Sequence

import msgspec

from ..core.domain import Adjust, Adjustment
from .body_paths import Fields, encode, holds, put, value_at, without
from .endpoint_parameters import moved

_SAID_IN = ("messages", "input")
_messages = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode


def of_call(adjustments: Iterable[Adjustment], model: str, url: str) -> tuple[Adjustment, ...]:
    """Those that hold for a call, in the order in which they were learned."""
    return tuple(one for one in adjustments if one.concerns(model, url))


def adjust_defaults(fields: Fields, adjustments: Sequence[Adjustment]) -> None:
    """Apply them to what comes from the config or the job."""
    for one in adjustments:
        if one.action is Adjust.RENAME and one.to:
            rename(fields, one.parameter, one.to)
        elif one.action is Adjust.LEAVE_OUT:
            without(fields, one.parameter)


def adjust_body(body: Fields, adjustments: Sequence[Adjustment]) -> None:
    """Apply them to a whole body: nothing of the user's own is left out."""
    for one in adjustments:
        if one.action is Adjust.RENAME and one.to:
            rename(body, one.parameter, one.to)
        elif one.action is Adjust.DEVELOPER_ROLE and one.to:
            change_role(body, other_role(one.to), one.to)


def rename(body: Fields, path: str, to: str) -> None:
    """Send the value of a field under another name. A field that has the name already, with another
    value, stays, and so does this one."""
    if not holds(body, path):
        return
    value = moved(path, to, value_at(body, path))
    if holds(body, to) and value_at(body, to) != value:
        return
    without(body, path)
    put(body, to, value)


def other_role(role: str) -> str:
    """The role that stands for the same: “system” for “developer” and the other way round."""
    return "system" if role == "developer" else "developer"


def has_role(body: Fields, role: str) -> bool:
    """Whether a message has the role."""
    return any(role in map(_role, _said(body, name)) for name in _SAID_IN)


def change_role(body: Fields, role: str, to: str) -> None:
    """Give the messages of one role another."""
    for name in _SAID_IN:
        if name not in body or f'"{role}"'.encode() not in bytes(body[name]):
            continue
        said = _said(body, name)
        if role in map(_role, said):
            new = msgspec.Raw(encode(to))
            body[name] = msgspec.Raw(
                encode([{**one, "role": new} if _role(one) == role else one for one in said])
            )


def _said(body: Fields, name: str) -> list[Fields]:
    """The messages of a body; none where they are a text or missing."""
    try:
        return _messages(body[name]) if name in body else []
    except msgspec.ValidationError:
        return []


def _role(message: Fields) -> str:
    try:
        return msgspec.json.decode(message.get("role", b'""'), type=str)
    except msgspec.ValidationError:
        return ""
