"""XML as it streams by: without a DTD, so that there are no entities to expand, and bounded in depth
and in the length of what stands between two tags."""

from collections.abc import Callable
from xml.parsers import expat

from ..core.errors import UploadRejected
from ..core.messages import translatable
from .source import ByteStream

BLOCK = 1 << 16
_DEEPEST = 100

StartHandler = Callable[[str, dict[str, str]], None]  # name, attributes
EndHandler = Callable[[str], None]


class XmlReader:
    """Calls ``start(name, attributes)`` and ``end(name)``, names without their namespace, as
    ``step`` reads on. What ``collect`` is given gets the texts that follow, until it is given None.

    Raises UploadRejected where the XML is broken or not such as a spreadsheet program writes.
    """

    def __init__(
        self, stream: ByteStream, what: str, longest: int, start: StartHandler, end: EndHandler
    ):
        self._stream = stream
        self._what = what
        self._longest = longest
        self._fed = 0
        self._parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._on_doctype
        local, depth = _LocalNames(), 0

        def on_start(
            name: str, attributes: dict[str, str]
        ) -> None:  # closures: they are called most of all
            nonlocal depth
            depth += 1
            if depth > _DEEPEST:
                raise UploadRejected(
                    translatable(
                        "The XLSX file cannot be read: %(what)s is nested too deep.", what=what
                    )
                )
            start(local[name], attributes)

        def on_end(name: str) -> None:
            nonlocal depth
            depth -= 1
            end(local[name])

        parser.StartElementHandler, parser.EndElementHandler = on_start, on_end

    def step(self) -> bool:
        """Parse one block more; False at the end."""
        try:
            block = self._stream.read(BLOCK)
            self._fed += len(block)
            self._parser.Parse(block, not block)
        except expat.ExpatError as error:
            raise UploadRejected(
                translatable(
                    "The XLSX file is damaged: %(what)s is broken in line %(line)s. Save it again.",
                    what=self._what,
                    line=error.lineno,
                )
            ) from None
        if self._fed - self._parser.CurrentByteIndex > self._longest:
            raise UploadRejected(
                translatable(
                    "The XLSX file cannot be read: a tag in %(what)s has no end.", what=self._what
                )
            )
        return bool(block)

    def collect(self, into: Callable[[str], None] | None) -> None:
        """Pass the texts that follow to ``into``; None: to nothing."""
        self._parser.CharacterDataHandler = into

    def _on_doctype(self, *_declared: object) -> None:
        raise UploadRejected(
            translatable(
                "The XLSX file cannot be read: %(what)s declares a document type, which no "
                "spreadsheet program writes.",
                what=self._what,
            )
        )


class _LocalNames(dict[str, str]):
    """Names without the prefix that some programs write before each."""

    def __missing__(self, name: str) -> str:
        local = name.rpartition(":")[2]
        if len(self) < 1_000:
            self[name] = local
        return local
