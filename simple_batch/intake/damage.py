"""What is wrong with a packed or binary file that a library cannot read, not in the library's words."""

import zipfile

from ..core.messages import Message, translatable


def of_packed(error: Exception) -> Message:
    """Why gzip, zlib or zipfile gives up."""
    text = str(error)
    if isinstance(error, EOFError) or "end-of-stream" in text or "incomplete" in text:
        return translatable("it ends too early")
    if "CRC" in text or "length check" in text or "Incorrect length" in text:
        return translatable("its checksum does not fit: a part of it was changed or is missing")
    if "password" in text or "encrypted" in text:
        return translatable("it is encrypted")
    if isinstance(error, NotImplementedError):
        return translatable("it is packed by a method that cannot be read here")
    if isinstance(error, zipfile.BadZipFile):
        return translatable("it is no whole ZIP archive")
    return translatable("a part of it was changed or is missing")


def of_parquet(error: Exception) -> Message:
    """Why pyarrow gives up."""
    text = str(error).lower()
    if "magic bytes" in text or "too small" in text or "footer" in text or "metadata" in text:
        return translatable("it is cut off, or its list of columns at the end was changed")
    if isinstance(error, NotImplementedError) or "not implemented" in text:
        return translatable("it uses a part of Parquet that cannot be read here")
    if "encrypt" in text or "decrypt" in text:
        return translatable("it is encrypted")
    if isinstance(error, MemoryError) or "alloc" in text:
        return translatable("a value in it is too large")
    return translatable("a part of it was changed or is missing")
