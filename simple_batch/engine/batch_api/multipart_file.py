"""A file as a form that uploads it (multipart/form-data, RFC 7578), read from disk while it is sent."""

import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from .streamed_body import FileBody, StreamedBody


class MultipartFile(StreamedBody):
    """``fields`` come before the file; neither they nor ``name`` may hold quotes or line breaks."""

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
        self._file = FileBody(path)

    def __len__(self) -> int:
        return len(self._head) + len(self._file) + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        yield from self._file
        yield self._tail
