"""Completion in the shells themselves, as a user presses Tab."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from ..on_terminal import OnTerminal
from ..process import ROOT, environment, program

PROGRAMS = Path(__file__).parent / "shells"
SHELLS = {
    "bash": ("bash", "--norc", "--noprofile", "-i"),
    "zsh": ("zsh", "-f", "-i"),
}
BEGIN = {"bash": "", "zsh": "autoload -Uz compinit && compinit -u -D; "}
OF_SCREEN = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
EVIL = "my $(touch /tmp/never) 'job'"


def needs(shell: str):
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed")


@pytest.fixture
def work(instance, tmp_path):
    """A folder with a job and a connection; its data is the instance's."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "prompts.txt").write_text("one\n")
    with MisbehavingEndpoint(e.ok()) as endpoint:
        for words in (
            ("api", "add", "deepseek-test", "--base-url", endpoint.base_url, "--model", "m"),
            ("create", "prompts.txt", "--lines", "--api", "deepseek-test", "--name", "reviews"),
            ("create", "prompts.txt", "--lines", "--api", "deepseek-test", "--name", EVIL),
        ):
            done = program(instance, *words, cwd=folder)
            assert done.returncode == 0, done.stderr
    return folder


def variables(instance) -> dict[str, str]:
    found = environment(instance, PYTHONPATH=str(ROOT), TEST_PYTHON=sys.executable)
    return {**found, "PATH": f"{PROGRAMS}:{found['PATH']}"}


@pytest.mark.parametrize("shell", [pytest.param(name, marks=needs(name)) for name in SHELLS])
def test_tab_completes_verbs_options_and_names(shell, instance, work):
    more = variables(instance)
    typing = OnTerminal(instance, work, *SHELLS[shell], **{**more, "PS1": "$ ", "HISTFILE": ""})
    typing.type(f'{BEGIN[shell]}eval "$(simple-batch completion {shell})"; echo rea""dy\n')
    typing.wait_for("ready\r\n")

    def completed(words: str, to: str) -> None:
        """The line becomes this, by one Tab; then it is deleted (Ctrl-U, and a new prompt)."""
        before = len(typing.text)
        typing.type(f"{words}\t")
        wait_until(lambda: to in OF_SCREEN.sub("", typing.text[before:]))
        typing.type("\x15\n")

    completed("simple-batch templ", "simple-batch template ")
    completed("simple-batch run --dry", "simple-batch run --dry-run ")
    completed("simple-batch show rev", "simple-batch show reviews ")
    completed("simple-batch run x --api deep", "simple-batch run x --api deepseek-test ")
    completed("simple-batch run prom", "simple-batch run prompts.txt ")
    completed("simple-batch show my", r"simple-batch show my\ \$\(touch\ /tmp/never\)\ \'job\' ")
    typing.type("exit\n")
    typing.end()
    assert not Path("/tmp/never").exists()


@needs("fish")
def test_fish_completes_verbs_options_and_names(instance, work):
    script = work / "simple-batch.fish"
    script.write_text(program(instance, "completion", "fish", cwd=work).stdout)

    def completed(words: str) -> list[str]:
        done = subprocess.run(
            ["fish", "--no-config", "-c", f"source {script}; complete -C {words!r}"],
            cwd=work,
            env={**variables(instance), "HOME": str(work)},
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, done.stderr
        return [line.partition("\t")[0] for line in done.stdout.splitlines()]

    assert completed("simple-batch templ") == ["template"]
    assert completed("simple-batch api prov") == ["providers"]
    assert "--dry-run" in completed("simple-batch run --dry")
    assert completed("simple-batch show rev") == ["reviews"]
    assert completed("simple-batch run x --api deep") == ["deepseek-test"]
    assert completed("simple-batch show my") == [EVIL]
    assert "prompts.txt" in completed("simple-batch run prom")
