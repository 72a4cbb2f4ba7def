"""The help pages of simple-batch, and how little they need."""

import json
import subprocess
import sys

from tools import help_pages

from ..process import ROOT


def test_the_help_pages_are_as_written():
    code = "import json; from tools import help_pages; print(json.dumps(help_pages.pages()))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    made = json.loads(done.stdout)
    written = {path.name: path.read_text("utf-8") for path in help_pages.FOLDER.glob("*.txt")}
    remedy = "python -m tools.help_pages --write"
    assert made.keys() == written.keys(), remedy
    for name, text in made.items():
        assert written[name] == text, f"{name}: {remedy}"
        assert "flask" not in text.lower(), name


def test_every_flask_command_has_a_verb():
    code = (
        "from flask import Flask; from simple_batch import cli; app = Flask('x'); cli.register(app)\n"
        "from simple_batch.cli.verb_table import VERBS\n"
        "print(sorted(set(app.cli.commands) - {verb.flask for verb in VERBS}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_help_loads_nothing_that_a_job_needs():
    code = (
        "import sys; sys.argv[1:] = ['--help']; from simple_batch.cli.program import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([it for it in ('flask', 'gevent', 'peewee', 'msgspec') if it in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "doctor" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
