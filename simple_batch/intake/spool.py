"""Keeping an upload on disk."""

import errno
from pathlib import Path
from typing import BinaryIO

from ..errors import UploadRejected, UploadTooLarge
from ..settings import Settings

BLOCK = 1 << 20


def spool(stream: BinaryIO, destination: Path, settings: Settings) -> int:
    """Copy a stream to ``destination`` in blocks; returns the bytes written.

    Raises UploadTooLarge over MAX_UPLOAD_BYTES and UploadRejected where the disk cannot take it;
    no partial file is left behind.
    """
    size, limit = 0, settings.MAX_UPLOAD_BYTES
    try:
        with destination.open("wb") as file:
            while block := stream.read(BLOCK):
                size += len(block)
                if size > limit:
                    raise UploadTooLarge(
                        f"The upload is larger than {limit:,} bytes: split it, or raise "
                        "SIMPLE_BATCH_MAX_UPLOAD_BYTES."
                    )
                file.write(block)
    except BaseException as error:
        destination.unlink(missing_ok=True)
        if isinstance(error, OSError):
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            why = "no space is left on the disk" if full else (error.strerror or str(error))
            raise UploadRejected(f"The upload cannot be kept: {why}.") from error
        raise
    return size
