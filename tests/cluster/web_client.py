"""What a browser does for login and forms, with requests."""

import re

import requests

from ..conftest import PASSWORDS


def token_of(session: requests.Session, url: str) -> str:
    page = session.get(url).text
    found = re.search(r'name="csrf-token" content="([^"]+)"', page) or re.search(
        r'name="csrf_token"[^>]*value="([^"]+)"', page
    )
    return found[1]


def post(session: requests.Session, url: str, path: str, **fields) -> requests.Response:
    """Submit a form as a page of this web process could."""
    fields["csrf_token"] = token_of(session, f"{url}/login" if path == "/login" else url)
    return session.post(f"{url}{path}", data=fields, allow_redirects=False)


def log_in(url: str, name: str, password: str | None = None) -> requests.Session:
    session = requests.Session()
    answer = post(session, url, "/login", name=name, password=password or PASSWORDS[name])
    assert answer.status_code == 303, answer.text
    return session
