"""Where the programs of a cluster are missing its tests are left out, in one line each."""

import pytest

from .processes import MISSING, Cluster


def pytest_collection_modifyitems(items):
    if MISSING:
        for item in items:
            if "cluster" in item.path.parts:
                item.add_marker(pytest.mark.skip(reason=f"needs {' and '.join(MISSING)}"))


@pytest.fixture
def cluster(tmp_path):
    """One without workers yet."""
    with Cluster(tmp_path / "instance") as made:
        yield made


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """One with two workers, for tests that leave them as they are."""
    with Cluster(tmp_path_factory.mktemp("pair") / "instance") as made:
        made.start("a", "b")
        yield made
