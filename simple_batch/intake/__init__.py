"""Bytes of an upload → validated requests, streaming.

``spool`` keeps an upload on disk, ``scan`` looks through it for the preview,
``read`` yields its requests and faults one by one. Nothing here grows with the
size of the upload.
"""

from .items import Rules, check_body
from .preview import Preview, first_model, scan
from .reader import Reader, read
from .spool import spool

__all__ = ["Preview", "Reader", "Rules", "check_body", "first_model", "read", "scan", "spool"]
