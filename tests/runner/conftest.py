"""A runner in the test process."""

import pytest


@pytest.fixture
def start(app):
    services = app.extensions["simple_batch"]
    assert services.start() == "here"
    yield services
    services.stop(2)
