"""Small images and archives for tests."""

import base64
import io
import struct
import zipfile
import zlib


def png(width: int = 3, height: int = 2, shade: int = 0) -> bytes:
    """A valid PNG in one shade of grey."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes([shade]) * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


GIF = b"GIF89a\x05\x00\x04\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x05\x00\x04\x00\x00\x02\x02D\x01\x00;"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def zipped(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return packed.getvalue()


def sent(body: dict) -> list[bytes]:
    """The bytes of the images in a received request; images by address as they are written."""
    found = []
    for part in body["messages"][-1]["content"]:
        if isinstance(part, dict) and part["type"] == "image_url":
            kind, _comma, data = part["image_url"]["url"].partition(";base64,")
            found.append(base64.b64decode(data, validate=True) if data else kind.encode())
    return found
