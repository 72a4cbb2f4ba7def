"""A request as a user can send it from a terminal: curl and Python. Secrets are environment variables."""

import re
import shlex

from ..services.shown_call import ShownCall, pieces


def curl(call: ShownCall, body: str) -> str:
    """A command line for a shell."""
    headers = [
        f"  -H {_shell(f'{name}: {value}')} \\\n"
        for name, value in sorted(call.headers.items(), key=lambda pair: pair[0] == "Content-Type")
    ]
    return f"curl {_shell(call.url)} \\\n{''.join(headers)}  -d {shlex.quote(body)}"


def python(call: ShownCall, body: str, timeout_s: float) -> str:
    """A program for the package requests."""
    headers = "".join(
        f"        {name!r}: {_expression(value)},\n"
        for name, value in call.headers.items()
        if name != "Content-Type"  # requests sets it
    )
    return (
        "import json, os, requests\n\n"
        f"body = json.loads({body!r})\n"
        f"answer = requests.post(\n    {_expression(call.url)},\n"
        f"    headers={{\n{headers}    }},\n"
        f"    json=body,\n    timeout={timeout_s:g},\n)\nprint(answer.json())"
    )


def _shell(text: str) -> str:
    parts = pieces(text)
    if not any(is_variable for _part, is_variable in parts):
        return shlex.quote(text)
    quoted = (
        f"${part}" if is_variable else re.sub(r'([\\"$`])', r"\\\1", part)
        for part, is_variable in parts
    )
    return f'"{"".join(quoted)}"'


def _expression(text: str) -> str:
    return " + ".join(
        f"os.environ[{part!r}]" if is_variable else repr(part) for part, is_variable in pieces(text)
    )
