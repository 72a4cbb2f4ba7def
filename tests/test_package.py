"""The package: what the wheel holds, and the program in a separate environment, outside the repository.

No package index is needed: the environment sees the libraries of the test run (a .pth file), but none of
those of the extras, as after ``pip install simple_batch-….whl``.
"""

import os
import re
import site
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from contextlib import contextmanager
from email import message_from_string
from pathlib import Path

import peewee
import pytest
import requests
from playhouse.migrations import Runner

import hatch_build
from simple_batch.core import extras, home, settings, terminal
from simple_batch.core.errors import MissingPackage, UploadRejected
from simple_batch.core.version import __version__
from simple_batch.intake.parquet import Parquet
from simple_batch.store import backends
from simple_batch.store.database import MIGRATIONS, PRAGMAS
from simple_batch.store.secrets import open_vault
from tools.local_servers import free_port

from . import endpoint as e
from .conftest import wait_until
from .endpoint import MisbehavingEndpoint
from .store.test_migrations import STEPS, fill

ROOT = Path(__file__).parent.parent
MAX_BYTES = 6_000_000
EXTRAS = {"cluster": {"celery", "psycopg", "redis"}, "tables": {"pyarrow", "xlsxwriter"}}
OF_UNIX = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}
OF_WINDOWS = {"msvcrt", "winreg"}
CALLS_OF_UNIX = re.compile(
    r"\bos\.(fork|getuid|getgid|geteuid|getegid|chown|fchmod|fchown|setsid|killpg|statvfs|mkfifo|"
    r"O_CLOEXEC|O_NOFOLLOW|O_DIRECTORY|O_NONBLOCK|sched_\w+)\b|\bsignal\.SIG(KILL|HUP|USR1|USR2|ALRM)\b"
)
# in any case: what stands under “if” or “try” is indented
IMPORTED = re.compile(r"^(?:import|from) (\w+)", re.M)
HIDE = """
import sys
class Hidden:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden)
"""
STYLESHEET = re.compile(r'<link[^>]+href="(/static/css/[^"]+)"')


def build(folder: Path, *targets: str) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1780000000"}
    for target in targets:
        command += ["--target", target]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder of a wheel and a source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    build(folder, "sdist", "wheel")
    return folder


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def program(wheel, tmp_path_factory) -> Path:
    """The console program, in an environment outside the repository."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=os.name != "nt")
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    python = next(scripts.glob("python*"))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run(
        [*pip, "--no-index", "--no-deps", "--no-compile", str(wheel)],
        check=True,
        env={**os.environ, "PIP_FIND_LINKS": "", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    (packages,) = (path.parent for path in folder.rglob("simple_batch") if path.is_dir())
    libraries = [path for path in site.getsitepackages() if Path(path).is_dir()]
    hidden = set().union(*EXTRAS.values())
    (packages / "hide_extras.py").write_text(HIDE.format(names=hidden))
    (packages / "libraries.pth").write_text("\n".join([*libraries, "import hide_extras"]) + "\n")
    return scripts / "simple-batch"


class User:
    """Someone with a home folder who runs the program in ``folder``."""

    def __init__(self, program: Path, folder: Path):
        # as an argument: temporary folders may hold no programs
        self.program = [str(next(program.parent.glob("python*"))), str(program)]
        self.folder = folder
        self.data = folder / "share" / home.PROGRAM
        self.data.mkdir(parents=True, mode=0o700)

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "LANG") if name in os.environ}
        where = {"HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder / "share")}
        return {**kept, **where, **more}

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*self.program, *arguments],
            cwd=self.folder,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=180,
        )

    @contextmanager
    def serving(self):
        port = free_port()
        log = self.folder / "output"
        with log.open("w") as output:
            command = [*self.program, "serve", "--port", str(port)]
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment(), stdout=output, stderr=output
            )
        try:
            wait_until(lambda: "Running on" in log.read_text() or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(60)


@pytest.fixture
def user(program, tmp_path) -> User:
    return User(program, tmp_path)


def tracked(*folders: str) -> set[str]:
    command = ["git", "ls-files", "-z", "--", *folders]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return {name for name in listed.split("\0") if name and (ROOT / name).is_file()}


def test_the_wheel_holds_what_the_program_needs(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
        metadata = message_from_string(
            archive.read(f"simple_batch-{__version__}.dist-info/METADATA").decode()
        )
        for name in tracked(*hatch_build.COPIED):
            assert archive.read(f"simple_batch/{name}") == (ROOT / name).read_bytes()
    of_package = {name for name in tracked("simple_batch") if not name.endswith((".po", ".pot"))}
    assert of_package <= inside
    expected = of_package | {f"simple_batch/{name}" for name in tracked(*hatch_build.COPIED)}
    extra = {name for name in inside if ".dist-info/" not in name} - expected
    assert extra <= new_files(), extra
    assert wheel.stat().st_size <= MAX_BYTES
    required = metadata.get_all("Requires-Dist")
    pinned = hatch_build.read(ROOT / "requirements.txt")
    assert len(required) == sum(map(len, pinned.values()))
    assert set(metadata.get_all("Provides-Extra")) == set(EXTRAS) == set(pinned) - {""}
    assert all("==" in line for line in required)


def new_files() -> set[str]:
    """Of the package, not committed yet: of who runs the tests while he works."""
    command = [
        "git",
        "ls-files",
        "-z",
        "--others",
        "--exclude-standard",
        "--",
        "simple_batch",
        *hatch_build.COPIED,
    ]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    names = {name for name in listed.split("\0") if name}
    return {name if name.startswith("simple_batch/") else f"simple_batch/{name}" for name in names}


def test_the_same_source_gives_the_same_bytes(built, wheel, tmp_path):
    """From the source distribution too, which therefore holds all that the build needs."""
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as sources:
        sources.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(tmp_path / "again")]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1780000000"}
    subprocess.run(
        [*command, "--target", "wheel"],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
    )
    (again,) = (tmp_path / "again").glob("*.whl")
    assert again.read_bytes() == wheel.read_bytes()


def test_the_version_stands_in_one_place():
    """CITATION.cff is read by programs that know no other place: it says the same."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert "version" in project["dynamic"]
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert re.findall(r"^version: (.+)$", citation, re.M) == [__version__]


def test_the_demo_runs_without_extras(user):
    """Nor do files in the folder in which it is called change anything, or a console without UTF-8."""
    for name in (".env", ".flaskenv"):
        (user.folder / name).write_text(f"SIMPLE_BATCH_HOME={user.folder}/wrong\nFLASK_APP=wrong\n")
    key = {"OPENAI_API_KEY": "sk-planted-0123456789", "PYTHONIOENCODING": "cp437"}
    done = user.run("demo", "--requests", "20", "--fail", "0", **key)
    assert done.returncode == 0, done.stderr
    assert "\\u201cenv\\u201d" in done.stderr
    assert (user.data / "simple_batch.db").is_file()
    assert (user.data / "exports" / "demo-1.jsonl").read_text("utf-8").count("\n") == 20
    assert (user.data / "logs").is_dir()
    assert not (user.folder / "wrong").exists()
    refused = user.run("export", "1", "-o", "answers.xlsx")
    assert refused.returncode == 4
    assert '-m pip install "simple-batch[tables]"' in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_table_is_run_and_a_home_is_chosen(user):
    (user.folder / "reviews.csv").write_text("review\ngood\nbad, 不好\n", "utf-8")
    (user.folder / "prompt.txt").write_text("Classify: {{review}}")
    elsewhere = ["--home", str(user.folder / "my data")]
    with MisbehavingEndpoint(e.ok()) as endpoint:
        new = ["--base-url", endpoint.base_url, "--model", "m", "--key-env", "KEY"]
        added = user.run(*elsewhere, "api", "add", "good", *new, KEY="sk-planted-0123456789")
        assert added.returncode == 0, added.stderr
        job = ["run", "reviews.csv", "--template", "prompt.txt", "--config", "good"]
        done = user.run(*elsewhere, *job, "-o", "answers.csv")
    assert done.returncode == 0, done.stderr
    assert endpoint.calls == 2
    assert "不好" in (user.folder / "answers.csv").read_text("utf-8-sig")
    assert (user.folder / "my data" / "simple_batch.db").is_file()
    assert list(user.data.iterdir()) == []


def test_an_old_data_folder_is_served(user):
    """With the files of the package: templates, styles, scripts, texts in Chinese."""
    old = peewee.SqliteDatabase(str(user.data / "simple_batch.db"), pragmas=PRAGMAS)
    Runner(old, str(MIGRATIONS)).up(STEPS[0])  # no users yet
    with old.atomic():
        fill(old.connection(), open_vault(user.data))
    old.close()
    with user.serving() as url:
        jobs = requests.get(f"{url}/jobs", timeout=60)
        job = requests.get(f"{url}/jobs/1?lang=zh", timeout=60)
        charts = requests.get(f"{url}/jobs/1/charts", timeout=60)
        example = requests.get(f"{url}/jobs/new", timeout=60)
        styles = [requests.get(url + path, timeout=60) for path in STYLESHEET.findall(jobs.text)]
    assert [page.status_code for page in (jobs, job, charts, example)] == [200] * 4
    assert "a job that is completed" in jobs.text
    assert 'lang="zh' in job.text
    assert "任务" in job.text
    assert styles and all(style.ok and "{" in style.text for style in styles)


def test_where_data_lives(monkeypatch, tmp_path):
    checkout = ROOT / "instance"
    both = {"SIMPLE_BATCH_HOME": "/home-of/it", "SIMPLE_BATCH_INSTANCE_PATH": "/instance"}
    instance = {"SIMPLE_BATCH_INSTANCE_PATH": "/instance"}
    assert home.chosen(None, {}) == checkout
    assert home.chosen(None, instance) == Path("/instance").absolute()
    assert home.chosen(None, both) == Path("/home-of/it").absolute()
    assert home.chosen("/chosen", both) == Path("/chosen").absolute()
    assert home.chosen("~/x", {}) == Path("~/x").expanduser()
    loaded = settings.load({"SIMPLE_BATCH_HOME": str(tmp_path)})
    assert (loaded.instance, Path(loaded.LOG_DIR)) == (tmp_path, tmp_path / "logs")
    assert Path(settings.load(instance).LOG_DIR) == ROOT / "logs"
    monkeypatch.setattr(home, "INSTALLED", True)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setenv("HOME", str(tmp_path))
    found = settings.load({})
    assert found.instance.is_relative_to(tmp_path)
    assert found.instance.name == "simple-batch"
    assert found.exports == found.instance / "exports"
    assert settings.misspelt(both) == []


@pytest.mark.parametrize(
    ("module", "extra", "use"),
    [
        ("psycopg", "cluster", backends.server_backend),
        ("redis", "cluster", lambda: extras.load("redis.backoff")),
        ("xlsxwriter", "tables", lambda: extras.load("xlsxwriter")),
    ],
)
def test_a_missing_package_is_named_with_its_remedy(monkeypatch, module, extra, use):
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(extras, "INSTALLED", True)
    with pytest.raises(MissingPackage) as missing:
        use()
    assert f'-m pip install "simple-batch[{extra}]"' in str(missing.value)
    assert module in str(missing.value)
    monkeypatch.setattr(extras, "find_spec", lambda _name: None)
    assert extras.command(extra).startswith("uv pip install --python ")
    monkeypatch.setattr(extras, "INSTALLED", False)
    assert extras.command(extra) == "pip install -r requirements.txt"


def test_parquet_without_its_package_is_no_damage(monkeypatch, tmp_path):
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    path = tmp_path / "table.parquet"
    path.write_bytes(b"PAR1 PAR1")
    with path.open("rb") as file, pytest.raises(UploadRejected, match="save the table as CSV"):
        Parquet(file, settings.load({}, INSTANCE_PATH=str(tmp_path)))


def test_nothing_is_imported_that_windows_or_an_extra_would_lack():
    """Checked by reading: there is no Windows here."""
    optional = OF_UNIX | OF_WINDOWS | set().union(*EXTRAS.values()) | {"kombu"}
    for path in (ROOT / "simple_batch").rglob("*.py"):
        found = set(IMPORTED.findall(path.read_text("utf-8"))) & optional
        if path.parent.name == "cluster" and path.parent.parent.name == "simple_batch":
            found -= EXTRAS["cluster"] | {"kombu"}  # loaded by workers, and where Redis is set
        if path.name == "postgres_backend.py":
            found -= {"psycopg"}
        assert not found, f"{path}: {found}"


def test_calls_that_windows_lacks_are_guarded():
    guarded = {"file_permissions.py": {"os.geteuid"}}  # which begins with os.name
    for path in (ROOT / "simple_batch").rglob("*.py"):
        found = {match[0] for match in CALLS_OF_UNIX.finditer(path.read_text("utf-8"))}
        assert found <= guarded.get(path.name, set()), path


def test_a_console_that_lacks_characters_shows_them_escaped(monkeypatch, tmp_path):
    with (tmp_path / "out").open("w", encoding="cp1252") as file:
        monkeypatch.setattr(sys, "stdout", file)
        monkeypatch.setenv("PYTHONIOENCODING", "cp1252")
        terminal.tolerate_encodings()
        print("answers → 好")
    assert (tmp_path / "out").read_text("cp1252") == "answers \\u2192 \\u597d\n"
