"""Memory given back to the system once large answers are gone.

glibc raises the size from which it asks the system for memory of a block's own (mallopt(3),
M_MMAP_THRESHOLD) each time such a block is freed, up to 32 MiB: from then on blocks of that size come
from the heap, and stay in the process. A threshold that is set stays as it is. Another C library
needs nothing of this.
"""

import ctypes
import sys
from functools import cache

OWN_BLOCK = 256 * 1024  # bytes: from this size on a block goes back as soon as it is freed
_MMAP_THRESHOLD = -3  # <malloc.h>


@cache
def return_large_blocks() -> bool:
    """Have large blocks go back when they are freed; False where the system has no such setting."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, OWN_BLOCK))
    except (OSError, AttributeError):
        return False
