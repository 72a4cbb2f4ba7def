"""Bytes of an upload → validated requests, streaming.

``spool`` keeps an upload on disk, ``scan`` looks through it for the preview,
a ``Reader`` yields its requests and faults one by one; a ``Template`` makes requests
of the rows of a table. Nothing here grows with the size of the upload.
"""

from .archive import Archive, is_archive
from .body_fault import InvalidBody, Place
from .encoding_detection import Detected, EncodingUncertain, detected_in
from .encodings import LABELS as ENCODINGS
from .encodings import label as encoding_label
from .encodings import named as encoding_named
from .id_column import unique_id
from .images import Image, keep, kind_of, last_part, too_large
from .preview import Preview, example, first_model, first_rows, scan
from .reader import Reader
from .reading import Reading, unclear
from .renderer import Finder, Renderer
from .request_checks import Bad
from .request_lines import URLS, Rules, check_body
from .shared_prefixes import SharedPrefix
from .source import ByteStream, spool
from .table import Row
from .template import (
    CHAT,
    ENDPOINTS,
    MAX_TEMPLATE_BYTES,
    Template,
    template_of,
    template_of_file,
    template_text,
)
from .template_columns import check_template, columns_needed, conversation_of
from .template_findings import Finding, corrected, findings
from .template_order import fixed_text
from .utf8 import check_utf8
from .xlsx import sheets
from .xlsx_package import ZIP

__all__ = [
    "CHAT",
    "ENCODINGS",
    "ENDPOINTS",
    "MAX_TEMPLATE_BYTES",
    "URLS",
    "ZIP",
    "Archive",
    "Bad",
    "ByteStream",
    "Detected",
    "EncodingUncertain",
    "Finder",
    "Finding",
    "Image",
    "InvalidBody",
    "Place",
    "Preview",
    "Reader",
    "Reading",
    "Renderer",
    "Row",
    "Rules",
    "SharedPrefix",
    "Template",
    "check_body",
    "check_template",
    "check_utf8",
    "columns_needed",
    "conversation_of",
    "corrected",
    "detected_in",
    "encoding_label",
    "encoding_named",
    "example",
    "findings",
    "first_model",
    "first_rows",
    "fixed_text",
    "is_archive",
    "keep",
    "kind_of",
    "last_part",
    "scan",
    "sheets",
    "spool",
    "template_of",
    "template_of_file",
    "template_text",
    "too_large",
    "unclear",
    "unique_id",
]
