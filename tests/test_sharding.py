"""``make test`` itself: its processes, and the output at its end."""

import pytest

from .__main__ import Round
from .__main__ import run as run_rounds

APART = ("-c", "/dev/null", "--disable-plugin-autoload", "-p", "no:cacheprovider")

PASSES = "def test_passes():\n    pass\n"
MIXED = f"""
import pytest

@pytest.fixture
def broken():
    raise ValueError("no")

@pytest.fixture
def bad_end():
    yield
    raise ValueError("no")

{PASSES}
def test_fails():
    assert False

@pytest.mark.skip(reason="so")
def test_is_skipped():
    pass

def test_has_no_fixture(broken):
    pass

def test_ends_badly(bad_end):
    pass
"""
KILLED = f"{PASSES}\ndef test_is_killed():\n    import os\n    os.kill(os.getpid(), 9)\n"
LEAVES = "def test_leaves():\n    import os\n    os._exit(0)\n"
UNREADABLE = "import no_such_module\n"


@pytest.fixture
def run(tmp_path, capfd):
    """Runs files as ``make test`` does; returns the exit code and the lines at the end."""

    def runs(*names: str, **files: str) -> tuple[int, list[str]]:
        for name, text in files.items():
            (tmp_path / f"test_{name}.py").write_text(text)
        rounds = [Round(name, [str(tmp_path), *APART]) for name in names]
        code = run_rounds(rounds, 2)
        return code, capfd.readouterr().out.rpartition("a share ends\n")[2].splitlines()

    return runs


def test_a_good_run_ends_with_one_line_of_totals(run):
    assert run("one", good=PASSES) == (0, ["1 passed, 0 failed, 0 skipped"])


def test_each_failed_test_is_named_at_the_end(run):
    code, output = run("one", "two", mixed=MIXED, good=PASSES)
    names = ("test_ends_badly", "test_fails", "test_has_no_fixture")
    assert code == 1
    assert output == [
        *(f"FAILED test_mixed.py::{name} ({one})" for one in ("one", "two") for name in names),
        "4 passed, 6 failed, 2 skipped",
    ]


def test_a_process_that_is_killed_or_leaves_counts_as_failed(run):
    code, output = run("one", killed=KILLED, leaves=LEAVES)
    assert code == 1
    assert output[-1] == "1 passed, 2 failed, 0 skipped"
    assert "exit code -9 in test_killed.py::test_is_killed (one)" in "\n".join(output)
    assert "exit code 0 in test_leaves.py::test_leaves (one)" in "\n".join(output)


def test_a_file_that_cannot_be_read_counts_as_failed_once(run):
    output = ["FAILED test_unreadable.py (one)", "0 passed, 1 failed, 0 skipped"]
    assert run("one", unreadable=UNREADABLE, good=PASSES) == (1, output)
