"""What Flask compiles for each app, templates and URL rules, is compiled once in a test run: it makes
thousands of apps, which all have the same."""

import atexit
import contextlib
import os
import shutil
import tempfile

FOLDER = "SIMPLE_BATCH_TEST_TEMPLATES"


def make_folder() -> str:
    """The folder of compiled templates of this process, and of those that it starts and forks."""
    if FOLDER not in os.environ:
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="templates-")
        atexit.register(shutil.rmtree, os.environ[FOLDER], ignore_errors=True)
    return os.environ[FOLDER]


def share() -> None:
    """Let all apps of this process use what one of them has compiled. Jinja compiles a template again
    when its text is another one."""
    from flask import Flask  # not above: __main__.py needs none of it
    from jinja2 import FileSystemBytecodeCache
    from werkzeug.routing import Rule

    class Folder(FileSystemBytecodeCache):
        def dump_bytecode(self, bucket):
            with contextlib.suppress(OSError):  # of a process that may not write
                super().dump_bytecode(bucket)

    Flask.jinja_options = {"bytecode_cache": Folder(make_folder())}
    Rule._compile_builder = _remembered(Rule._compile_builder)


def _remembered(compiled):
    """Werkzeug's functions that build addresses, by all that the code depends on: the parts of the rule
    and the defaults of its arguments."""
    known = {}

    def builder(rule, append_unknown=True):
        converters = tuple((name, type(one)) for name, one in rule._converters.items())
        defaults = tuple((rule.defaults or {}).items())
        key = (rule.rule, tuple(rule._trace), converters, defaults, append_unknown)
        if key not in known:
            known[key] = compiled(rule, append_unknown)
        return known[key]

    return builder
