"""What bash is given to complete. Loaded before a verb is: it needs nothing of the package."""

import re

from click.shell_completion import BashComplete, CompletionItem, add_completion_class

_UNSAFE = re.compile(r"[^\w@%+=:,./-]")  # in a word of bash


class _Bash(BashComplete):
    """Bash puts a name into the line as it is: spaces and signs that mean something there are escaped,
    once for the line and once for ``read`` in the script. The other shells do it."""

    name = "bash"

    def format_completion(self, item: CompletionItem) -> str:
        value = _UNSAFE.sub(lambda found: f"\\\\{found[0]}", item.value)
        return f"{item.type},{value}"


add_completion_class(_Bash)
