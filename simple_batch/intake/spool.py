"""Keeping an upload on disk."""

import errno
from pathlib import Path
from typing import BinaryIO

from ..errors import UploadRejected, UploadTooLarge
from ..wording import said

BLOCK = 1 << 20


def spool(stream: BinaryIO, destination: Path, limit: int) -> int:
    """Copy a stream to ``destination`` in blocks; returns the bytes written.

    Raises UploadTooLarge over ``limit`` bytes and UploadRejected where the disk cannot take it;
    no partial file is left behind.
    """
    size = 0
    try:
        with destination.open("wb") as file:
            while block := stream.read(BLOCK):
                size += len(block)
                if size > limit:
                    raise UploadTooLarge(
                        said(
                            "The upload is larger than %(limit)s bytes: split it, or have the setting "
                            "raised (MAX_UPLOAD_BYTES, BATCH_MAX_FILE_BYTES).",
                            limit=f"{limit:,}",
                        )
                    )
                file.write(block)
    except BaseException as error:
        destination.unlink(missing_ok=True)
        if isinstance(error, OSError):
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            why = said("no space is left on the disk") if full else (error.strerror or str(error))
            raise UploadRejected(said("The upload cannot be kept: %(why)s.", why=why)) from error
        raise
    return size
