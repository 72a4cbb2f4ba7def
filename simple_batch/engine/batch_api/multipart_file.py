"""A file as a form that uploads it (multipart/form-data, RFC 7578), read from disk while it is sent."""

import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..adapter import BLOCK


class MultipartFile:
    """An iterable of bytes with a length, as requests takes a body. ``fields`` come before the file;
    neither they nor ``name`` may hold quotes or line breaks."""

    def __init__(self, fields: Mapping[str, str], name: str, path: Path):
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
            for field, value in fields.items()
        ]
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/jsonl\r\n\r\n"
        )
        self._head = "".join(parts).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._path = path

    def __len__(self) -> int:
        return len(self._head) + self._path.stat().st_size + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        with self._path.open("rb") as file:
            while block := file.read(BLOCK):
                yield block
        yield self._tail
