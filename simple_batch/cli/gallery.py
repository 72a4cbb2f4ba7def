"""list-providers."""

import click
import msgspec

from ..services import provider_gallery
from .base import command, put_json, put_table


@command("list-providers", on_database=False)
@click.option("--json", "as_json", is_flag=True)
def list_providers(as_json):
    """List the providers that add-config --provider knows."""
    entries = provider_gallery.all()
    if as_json:
        put_json([msgspec.to_builtins(entry) for entry in entries])
        return
    put_table(
        ["id", "name", "region", "base URL", "key", "model"],
        [row for entry in entries for row in _rows(entry)],
    )


def _rows(entry: provider_gallery.GalleryEntry) -> list[list]:
    """A row for each region; the further ones have only region and base URL."""
    key = "needed" if entry.needs_key else "optional"
    first = [entry.id, entry.name, "", "", key, entry.default_model]
    places = list(entry.regions.items()) or [("", "")]
    rows = [["", "", region, url, "", ""] for region, url in places]
    rows[0] = [*first[:2], *rows[0][2:4], *first[4:]]
    return rows


COMMANDS = (list_providers,)
