"""The declarations of job options and config fields: each surface that they name is there."""

import re
from pathlib import Path

import pytest

from simple_batch.services.config_fields import FIELDS
from simple_batch.services.job_option_fields import OPTIONS
from simple_batch.store.models import ApiConfig, Job

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("field", OPTIONS.values(), ids=lambda field: field.name)
def test_a_job_option_is_a_column_and_documented(field):
    assert not field.column or field.name in Job._meta.fields
    assert not field.flag or field.flag in (ROOT / "docs/commands.md").read_text("utf-8")
    for names in (("jobs/preview",), ("workbench/screen", "workbench/options")):
        files = [ROOT / f"templates/{name}.html" for name in (*names, "jobs/_options")]
        page = "".join(file.read_text("utf-8") for file in files)
        shown = rf'option_fields\((form|options), "{field.group}"|\b(form|options)\.{field.name}\b'
        assert not field.group or re.search(shown, page), names
    assert not field.recipe_if or field.recipe_if in OPTIONS


@pytest.mark.parametrize("field", FIELDS.values(), ids=lambda field: field.name)
def test_a_config_field_is_a_column_on_the_page_and_documented(field):
    assert field.name in ApiConfig._meta.fields
    pages = [ROOT / "templates/configs" / name for name in ("form.html", "advanced.html")]
    assert any(f"form.{field.name}" in page.read_text("utf-8") for page in pages)
    assert not field.flag or field.flag in (ROOT / "docs/commands.md").read_text("utf-8")
