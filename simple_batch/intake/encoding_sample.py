"""The non-ASCII parts of a file, from all over it: what its encoding is detected from.

A byte below 0x30 is a character by itself in every encoding that is detected, so that words can be cut
out of the bytes there without knowing the encoding.
"""

import re
from collections.abc import Iterable

import msgspec

from ..core.clock import give_way
from .transcoding import MARK

MOST = 48_000  # bytes of a sample
_WINDOWS = 8  # of a block, each of:
_WINDOW = 2_000  # bytes
_WHOLE = _WINDOWS * _WINDOW  # bytes of a block of which all words are taken
_SURE = 100  # characters of three bytes; no more are counted
_HOPELESS = 1_000  # faults: with more of them than characters no further ones are counted
_LONGEST = 64_000  # bytes of a word that a block may end within
_HIGH = re.compile(rb"[\x80-\xff]")
_PARTED = re.compile(rb"[\x00-\x2f]+")
_PARTING = tuple(bytes([code]) for code in b"\n\r\t ,\"';.-")


class Sample(msgspec.Struct):
    """``words`` are byte strings with at least one byte that is not ASCII. As far as the file is UTF-8,
    ``characters`` counts those of two bytes or more, ``longer`` their bytes beyond the second;
    ``faults`` are places that are not UTF-8. They are exact while they are small."""

    words: list[bytes]
    characters: int = 0
    longer: int = 0
    faults: int = 0


def sampled(blocks: Iterable[bytes]) -> Sample:
    """Read through a file. Others have their turn between blocks."""
    sample, words, held = Sample([]), _Words(), b""
    for block in blocks:
        words.take(block)
        data = held + block
        held = b"" if data.isascii() else _counted(sample, data, False)
        give_way()
    _counted(sample, held, True)
    words.end()
    sample.words = words.found
    return sample


def _counted(sample: Sample, data: bytes, whole: bool) -> bytes:
    """Count what is in it; returns the bytes of a character that it ends within."""
    if sample.faults > max(_HOPELESS, sample.characters):
        return b""
    used = len(data) if whole else len(data) - _begun(data)
    text = data[:used].decode("utf-8", "simple_batch.mark")
    faults = text.count(MARK)
    if sample.longer < _SURE or faults or sample.faults:
        good = text.replace(MARK, "")
        wide = len(good) - len(good.encode("ascii", "ignore"))
        sample.characters += wide
        sample.longer += len(good.encode()) - len(good) - wide
        sample.faults += faults
    return data[used:]


def _begun(data: bytes) -> int:
    """How many bytes at the end may begin a character that goes on."""
    for back in range(1, min(3, len(data)) + 1):
        code = data[-back]
        if code >= 0xC0:
            length = 2 if code < 0xE0 else 3 if code < 0xF0 else 4
            return back if back < length else 0
        if code < 0x80:
            return 0
    return 0


class _Words:
    """Takes words out of blocks, up to MOST bytes, as many from every part of the file."""

    def __init__(self) -> None:
        self._blocks: list[list[bytes]] = []
        self._size = 0
        self._every = 1  # of how many blocks one is kept
        self._number = 0
        self._held = b""

    @property
    def found(self) -> list[bytes]:
        """All words, in the order of the file."""
        return [word for words in self._blocks for word in words]

    def take(self, block: bytes) -> None:
        if block.isascii() and self._held.isascii():
            self._held = b""
            return
        data = self._held + block
        end = 1 + max(map(data.rfind, _PARTING))
        self._held = data[end:]
        if len(self._held) > _LONGEST:
            self._held = b""
        self._keep(data[:end])

    def end(self) -> None:
        """The file ends with the last block."""
        self._keep(self._held)

    def _keep(self, data: bytes) -> None:
        if data.isascii():
            return
        self._number += 1
        if self._number % self._every:
            return
        words = _words(data) if len(data) <= _WHOLE else _from_windows(data)
        self._blocks.append(words)
        self._size += sum(map(len, words))
        while self._size > MOST and len(self._blocks) > 1:
            self._blocks = self._blocks[1::2]
            self._every *= 2
            self._size = sum(len(word) for words in self._blocks for word in words)


def _words(data: bytes) -> list[bytes]:
    return [word for word in _PARTED.split(data) if not word.isascii()]


def _from_windows(data: bytes) -> list[bytes]:
    """Words from places all over the data, each window beginning near one that is not ASCII."""
    found: list[bytes] = []
    end = 0
    for number in range(_WINDOWS):
        high = _HIGH.search(data, max(end, number * len(data) // _WINDOWS))
        if high is None:
            break
        start = max(end, high.start() - _WINDOW // 8)
        end = high.start() + _WINDOW
        window = _PARTED.split(data[start:end])
        # the first and the last may be cut
        found += [word for word in window[1 if start else 0 : -1] if not word.isascii()]
    return found
