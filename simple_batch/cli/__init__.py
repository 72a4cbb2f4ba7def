"""The flask commands (docs/commands.md). stdout carries data only, words go to stderr."""

from flask import Flask

from . import (
    access,
    configs,
    copy_db,
    deletion,
    demo,
    export,
    gallery,
    jobs,
    maintenance,
    run,
    templates,
    users,
)


def register(app: Flask) -> None:
    for module in (
        configs,
        gallery,
        templates,
        jobs,
        deletion,
        run,
        export,
        demo,
        access,
        maintenance,
        copy_db,
        users,
    ):
        for command in module.COMMANDS:
            app.cli.add_command(command)
