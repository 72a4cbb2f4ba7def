"""Apps that require a login, and logged-in clients."""

import re

import pytest

from simple_batch import create_app

from ..conftest import PASSWORDS


@pytest.fixture
def log_in(app):
    """Logs a user in; returns a client with the session."""

    def enter(name: str, password: str | None = None):
        client = app.test_client()
        answer = send(client, name, password or PASSWORDS[name])
        assert answer.status_code == 303, answer.text
        return client

    return enter


@pytest.fixture
def password_app(overrides):
    """An app with one password, and no users."""
    made = create_app(**overrides, PASSWORD="open sesame")
    yield made
    made.extensions["simple_batch"].close()


def send(client, name: str, password: str, **fields):
    """Submit the login form."""
    page = client.get("/login")
    fields = {"csrf_token": form_token(page), "name": name, "password": password, **fields}
    return client.post("/login", data=fields)


def form_token(page) -> str:
    return re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)[1]


def post(client, path: str, **fields):
    """Submit a form as any page of this client could."""
    token = re.search(r'name="csrf-token" content="([^"]+)"', client.get("/jobs").text)[1]
    return client.post(path, data={"csrf_token": token, **fields})
