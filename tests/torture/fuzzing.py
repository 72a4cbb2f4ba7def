"""Readers of uploads under atheris: python -m tests.torture.fuzzing RUNS SEED

Anything that a reader raises and does not say in words is a crash. Ends with 3 where atheris is not
installed: it has wheels for some versions of Python only (requirements-dev.txt).
"""

import sys
import tempfile
from pathlib import Path

try:
    import atheris
except ImportError:
    sys.exit(3)

with atheris.instrument_imports(include=["simple_batch.intake"]):
    from simple_batch import intake
    from simple_batch.core import settings
    from simple_batch.core.errors import SimpleBatchError

SETTINGS = settings.load(environ={}, INSTANCE_PATH="unused", MAX_UNPACKED_BYTES=64 * 1024 * 1024)


def main(runs: str, seed: str) -> None:
    from tests.torture.mutated import FILES

    folder = Path(tempfile.mkdtemp())
    corpus = folder / "corpus"
    corpus.mkdir()
    for name, data in FILES.items():
        (corpus / name).write_bytes(data)
    path = folder / "upload"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        try:
            found = intake.scan(path, SETTINGS)
            if found.columns:
                template = intake.Template(user="{{" + found.columns[0] + "}}")
                intake.scan(path, SETTINGS, template=template)
        except SimpleBatchError:
            return

    options = [
        f"-runs={runs}",
        f"-seed={seed}",
        "-max_len=20000",
        "-rss_limit_mb=1500",
        "-timeout=20",
    ]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={folder}/", str(corpus)], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
