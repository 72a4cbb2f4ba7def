"""Images beside a table on the command line; a killed job continues with them."""

# ruff: noqa: F811 - fixtures that are imported

import json
import signal
import subprocess
import sys

from .. import endpoint as e
from ..conftest import wait_until
from ..process import ROOT, environment, flask
from ..sample_images import GIF, png, sent, zipped
from .test_commands import good  # noqa: F401 (fixtures)

TEMPLATE = json.dumps({"user": "{{q}}", "images": ["{{photo}}"]})


def test_a_killed_job_continues_with_its_images_without_the_folder(instance, good, tmp_path):
    (tmp_path / "t.json").write_text(TEMPLATE)
    folder = tmp_path / "mine"
    folder.mkdir()
    names = ["a.png", "b.gif"] * 20
    rows = "".join(f"{n},{name}\n" for n, name in enumerate(names))
    (folder / "t.csv").write_text("q,photo\n" + rows)
    (folder / "a.png").write_bytes(png(7, 7))
    (folder / "b.gif").write_bytes(GIF)
    made = flask(
        instance,
        "create-job",
        str(folder / "t.csv"),
        "--config",
        "good",
        "--no-start",
        "--template",
        str(tmp_path / "t.json"),
        "--concurrency",
        "2",
    )
    assert (made.returncode, made.stdout.strip()) == (0, "1"), made.stderr
    for name in ("t.csv", "a.png", "b.gif"):
        (folder / name).unlink()
    good.script = [e.slow(0.1)]
    run = [sys.executable, "-m", "flask", "run-job", "1"]
    running = subprocess.Popen(
        run, cwd=ROOT, env=environment(instance), stderr=subprocess.DEVNULL, start_new_session=True
    )
    wait_until(lambda: good.calls >= 6, 60)
    running.send_signal(signal.SIGKILL)
    running.wait()
    done = flask(instance, "run-job", "1")
    assert done.returncode == 0, done.stderr
    arrived = {body["messages"][0]["content"][0]["text"]: sent(body) for body in good.bodies}
    pictures = {"a.png": png(7, 7), "b.gif": GIF}
    assert arrived == {str(n): [pictures[name]] for n, name in enumerate(names)}
    assert good.calls > len(names)  # those in flight at the kill were sent again
    shown = flask(instance, "export-job", "1", "-o", "-", "--format", "jsonl").stdout.splitlines()
    assert json.loads(shown[0])["row"] == {"q": "0", "photo": "a.png"}


def test_images_are_elsewhere_or_come_in_an_archive(instance, good, tmp_path):
    (tmp_path / "t.json").write_text(TEMPLATE)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/a.png").write_bytes(png(8, 8))
    (tmp_path / "t.csv").write_text("q,photo\n1,a.png\n")
    (tmp_path / "all.zip").write_bytes(zipped({"t.csv": b"q,photo\n2,a.png\n", "a.png": png(9, 9)}))
    more = ("--config", "good", "--template", str(tmp_path / "t.json"))
    refused = flask(instance, "create-job", str(tmp_path / "t.csv"), *more)
    assert refused.returncode == 1
    assert "column “photo”: there is no image “a.png” beside the table" in refused.stderr
    elsewhere = ("--images", str(tmp_path / "pictures"))
    ran = flask(instance, "run-job", str(tmp_path / "t.csv"), *more, *elsewhere)
    assert ran.returncode == 0, ran.stderr
    assert sent(good.bodies[-1]) == [png(8, 8)]
    ran = flask(instance, "run-job", str(tmp_path / "all.zip"), *more)
    assert ran.returncode == 0, ran.stderr
    assert sent(good.bodies[-1]) == [png(9, 9)]
    piped = flask(instance, "run-job", "-", *more, *elsewhere, stdin="q,photo\n3,./A.PNG\n")
    assert piped.returncode == 0, piped.stderr
    assert sent(good.bodies[-1]) == [png(8, 8)]
    wrong = flask(instance, "create-job", str(tmp_path / "t.csv"), *more, "--images", "nowhere")
    assert (wrong.returncode, "There is no folder nowhere" in wrong.stderr) == (2, True)
    wrong = flask(instance, "run-job", "1", *elsewhere)
    assert "keeps its connection and settings" in wrong.stderr
