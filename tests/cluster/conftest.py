"""Fixtures for clusters. If PostgreSQL or Redis is missing, the tests are skipped."""

import pytest

from .processes import MISSING, Cluster


def pytest_collection_modifyitems(items):
    if MISSING:
        for item in items:
            if "cluster" in item.path.parts:
                item.add_marker(pytest.mark.skip(reason=f"needs {' and '.join(MISSING)}"))


@pytest.fixture
def cluster(tmp_path):
    """A cluster without workers."""
    with Cluster(tmp_path / "instance") as made:
        yield made


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A cluster with two workers, shared by tests that do not change them."""
    with Cluster(tmp_path_factory.mktemp("pair") / "instance") as made:
        made.start("a", "b")
        yield made
