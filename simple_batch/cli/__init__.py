"""The flask commands and the program simple-batch (docs/commands.md). stdout carries data only, words go
to stderr."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the help of the program needs no Flask
    from flask import Flask

_WITH_COMMANDS = (
    "configs",
    "gallery",
    "templates",
    "jobs",
    "job_figures",
    "deletion",
    "run",
    "export",
    "demo",
    "access",
    "maintenance",
    "copy_db",
    "users",
)


def register(app: "Flask") -> None:
    for name in _WITH_COMMANDS:
        for command in import_module(f".{name}", __name__).COMMANDS:
            app.cli.add_command(command)
