"""save-template, list-templates, show-template, remove-template."""

import sys

import click
import msgspec

from .. import intake
from ..insight.summary import iso
from ..services import templates
from .base import command, put, put_json, put_json_text, put_table, say
from .options import read


@command("save-template")
@click.argument("name")
@click.argument("file")
@click.option("--note", default="", help="A note about this version.")
def save_template(name, file, note):
    """Save FILE (or - for standard input) as a template, or as the next version of one. Prints the
    value for --template."""
    data = sys.stdin.buffer.read() if file == "-" else read(file, "template")
    version, is_new = templates.save(name, intake.template_of_file(data), note, "cli")
    put(templates.label(version))
    if is_new:
        say(f"Saved “{version.saved.name}” as version {version.number}.")
    else:
        say(f"Version {version.number} of “{version.saved.name}” is the same. Nothing was saved.")


@command("list-templates")
@click.option("--json", "as_json", is_flag=True)
def list_templates(as_json):
    """List the saved templates, by name."""
    found = templates.listed()
    if as_json:
        put_json([_shown(kept) for kept in found])
        return
    if not found:
        say("No saved templates yet: save one with flask save-template NAME FILE.")
        return
    put_table(
        ["name", "version", "saved", "jobs", "note"],
        [
            [
                kept.saved.name,
                kept.newest.number,
                iso(kept.newest.created_at),
                kept.used,
                kept.newest.note,
            ]
            for kept in found
        ],
    )


def _shown(kept: templates.Kept) -> dict:
    return {
        "name": kept.saved.name,
        "version": kept.newest.number,
        "jobs": kept.used,
        "versions": [
            {
                "version": version.number,
                "created_at": iso(version.created_at),
                "by": version.actor,
                "note": version.note,
                "restored_from": version.restored_from,
                "jobs": kept.jobs[version.id],
            }
            for version in kept.versions
        ],
    }


@command("show-template")
@click.argument("name")
@click.option("--version", "number", type=int, help="Default: the newest.")
def show_template(name, number):
    """Print a saved template (NAME or NAME@N) as the file that --template reads."""
    if number is None:
        version = templates.find(name)
    else:
        version = templates.version(templates.named(name), number)
    put_json_text(msgspec.json.format(version.text, indent=2))


@command("remove-template")
@click.argument("name")
def remove_template(name):
    """Delete a saved template with all its versions. Jobs keep their copies."""
    saved = templates.named(name)
    templates.remove(saved.id)
    say(f"Removed “{saved.name}”.")


COMMANDS = (save_template, list_templates, show_template, remove_template)
