"""Which encoding a text file is in, detected from its bytes.

UTF-8 and UTF-16 show themselves. Between the others a detector (chardet) and the look of the text under
each encoding have to agree, on enough of the file; else the encoding is uncertain and has to be chosen.
"""

import codecs
import math
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import msgspec

from ..core.errors import UploadRejected
from ..core.lazy_pattern import lazy_pattern
from ..core.messages import translatable
from ..core.settings import Settings
from . import latin_alphabets
from .encoding_sample import Sample, sampled
from .encodings import UTF8, WIDE
from .language_shapes import CANDIDATES, Shape, shape
from .source import NO_TEXT, Source

_BOMS = (
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LEAST_NULS = 0.05  # of UTF-16: Chinese text has them in its digits, commas and line ends alone
_MOST_FAULTS = 0.1  # of the characters of a damaged UTF-8 file
_DETECTED = 16_000  # bytes of the sample that the detector sees: it looks no further
_LEAST_LETTERS, _USUAL_LETTERS = {"cp1251": 10}, 7
_SURE_LETTERS = 24  # where only one encoding fits
_SOLE_CONFIDENCE, _USUAL_CONFIDENCE = {"cp1251": 0.2}, 0.05
_SOLE_COMMON = 3
_LEAST_RATIO = 2.0  # of the detector's confidence in one encoding to that in the next that fits
_LEAST_CONFIDENCE = 0.08
_LEAST_COMMON, _USUAL_COMMON = {"cp1251": 0.6}, 0.25
_CHANCE = {"cp949": 0.07}  # share of common characters among those of level 1
_USUAL_CHANCE = 0.12
# what the detector calls them; the others are not chosen here, but may fit better than one that is
_DETECTOR_NAMES = {
    "cp949": ("cp949", "euc_kr"),
    "euc_jp": ("euc_jis_2004",),
    "cp932": ("cp932", "shift_jis_2004"),
    "gb18030": ("gb18030",),
    "big5hkscs": ("big5hkscs",),
    "cp1251": ("cp1251",),
    "cp1252": ("cp1252",),
}
_RIVALRY = 1.3  # of the detector's confidence in a rival to that in a candidate
_FOREIGN = ("koi8-r", "koi8-u", "cp866", "cp1253", "cp1255", "cp1256", "johab")
_RIVALS = ("cp1250", "cp1254", "cp1257", "iso8859-2", *_FOREIGN)
_ALIKE = {"cp950": "big5hkscs", "euc_jis_2004": "euc_jp"}  # one to the detector
# symbols of Big5 that CP950 and HKSCS map to different characters that look alike
_SAME = str.maketrans("‧﹑¯～⊕⊙∕﹨￥￠￡", "•､‾∼♁☉／＼¥¢£")
_PICTURE = re.compile(rb"[\x94\x95][0-9][\x81-\xfe][0-9]")  # an emoji, in GB18030 alone
# characters of two bytes that stand where a UTF-8 text has them
_SIGN = lazy_pattern(r"\d[°²³½¼¾%µ£€]|[°][CF]\b|[£¥¢§±~×]\d|[a-zA-Z][²³®©]|©\d")
_SELDOM = "ĉĈĝĜĥĤĵĴŝŜŭŬŵŴŷŶĸŋŊŧŦħĦŀĿŉĭĬŏŎĩĨũŨŗŖĕĔĺĹŕŔſĳĲ"
_ACCENTED = lazy_pattern(
    f"[a-z](?![{_SELDOM}])[\u00df-\u017f]|(?![{_SELDOM}])[\u00c0-\u017f][a-z]|[A-Z][\u00c0-\u00de]"
)
# scripts of two bytes a letter, and of their letters those that every text has
_SCRIPTS = (
    (lazy_pattern("[\u0386-\u03ce]{3,}"), lazy_pattern("[αεηιουωάέήίόύώΑΕΗΙΟΥΩ]")),
    (
        lazy_pattern("[\u0410-\u0451\u0454-\u0457ЁЄІЇҐґўЎ]{3,}"),
        lazy_pattern("[аеёиоуыэюяієїАЕИОУЫЯ]"),
    ),
    (lazy_pattern("[\u05d0-\u05ea]{6,}"), lazy_pattern("[\u05d0\u05d4\u05d5\u05d9\u05de]")),
    (lazy_pattern("[\u0621-\u06d2]{3,}"), lazy_pattern("[\u0627\u0648\u064a\u06cc\u0644\u0646]")),
)
_MARK_OF_LETTER = lazy_pattern("[\u030d-\u036f]")  # that no usual language has
_NOT_HEBREW = lazy_pattern("[А-Яыьэюяіїє]")  # the letters beyond those of CP1255 at the same bytes
_NOT_THAI = lazy_pattern(
    "[^\x00-\x7f\xa0\u0e01\u0e02\u0e04\u0e06-\u0e3a\u0e40-\u0e4e\u2018-\u2026]|"
    "(?<![\u0e01-\u0e2e\u0e31\u0e34-\u0e3a\u0e47-\u0e4e])[\u0e30-\u0e3a\u0e47-\u0e4e]|"
    "[\u0e40-\u0e44](?![\u0e01-\u0e2e])"
)
_EAST_ASIAN = {"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "FULLWIDTH", "HALFWIDTH", "LATIN"}
_FEW = 30  # characters that may be UTF-8 by accident
_LEAST_VOWELS = 0.2


class Detected(msgspec.Struct, frozen=True):
    """``encoding``, or None where it is uncertain. ``candidates`` are the encodings that fit, the most
    likely first; ``sample`` is what they can be compared by."""

    encoding: str | None
    candidates: list[str] = []
    sample: bytes = b""

    def shown(self, encoding: str, longest: int = 300) -> str:
        """The sample as a text in one encoding."""
        return self.sample.decode(encoding, "replace")[:longest]


def begins_wide(head: bytes) -> str | None:
    """The encoding of a file that begins with a byte-order mark, or is UTF-16 without one: the NULs of
    its ASCII characters stand on one side, those of its line ends among them."""
    for bom, name in _BOMS:
        if head.startswith(bom):
            return name
    nuls = head[0::2].count(0), head[1::2].count(0)
    if sum(nuls) < max(1, _LEAST_NULS * len(head)) or min(nuls) > 0.1 * max(nuls):
        return None
    name, newline = (WIDE[0], b"\n\0") if nuls[1] > nuls[0] else (WIDE[1], b"\0\n")
    return name if newline in head else None


class EncodingUncertain(UploadRejected):
    """The encoding of a file has to be chosen; ``detected`` has those that fit, and a sample."""

    def __init__(self, found: Detected):
        shown = [f"{name}: {found.shown(name, 60)}" for name in found.candidates[:3]]
        super().__init__(
            translatable(
                "The encoding of the file is uncertain: %(candidates)s. Choose it on the page, or with "
                "--encoding NAME (%(names)s), or save the file as UTF-8.",
                candidates="; ".join(f"“{text}”" for text in shown) or "?",
                names=", ".join(found.candidates[:3] or CANDIDATES),
            )
        )
        self.detected = found


def detect(path: Path, settings: Settings) -> str:
    """The encoding of a file, empty where it is no text. Raises EncodingUncertain."""
    found = detected_in(path, settings)
    if found.encoding is None:
        raise EncodingUncertain(found)
    return found.encoding


def detected_in(path: Path, settings: Settings) -> Detected:
    """The encoding of a file, read through once, unpacked where it is gzip."""
    source = Source(path, settings)
    try:
        head = source.peek()
        if head.startswith(NO_TEXT):
            return Detected("")
        if source.has_bom:
            return Detected(UTF8)
        return detected(head, source.blocks())
    finally:
        source.close()


def detected(head: bytes, blocks: Iterable[bytes]) -> Detected:
    """The encoding of a text that begins with ``head`` and has these bytes, read through once."""
    wide = begins_wide(head)
    if wide is not None:
        return Detected(wide)
    return detected_of(sampled(blocks), head.lstrip()[:1] in (b"[", b"{"))


def detected_of(sample: Sample, is_json: bool = False) -> Detected:
    """The encoding of a text that has this sample and is not UTF-16. JSON that is UTF-8 is no
    accident: it has to be (RFC 8259, 8.1)."""
    joined = b" ".join(sample.words)
    if not joined or (is_json and not sample.faults) or _is_surely_utf8(sample, joined):
        return Detected(UTF8)
    fitting = _fitting(joined)
    if not sample.faults and not fitting and _is_of_one_script(joined.decode()):
        return Detected(UTF8)
    confidence = _confidence(joined)
    ranked = _ranked(fitting, confidence)
    latin = (
        latin_alphabets.code_page(joined)
        if sample.faults and not set(fitting) - {"cp1252"}
        else None
    )
    if latin is not None and not _has_rival(joined, latin, confidence, _FOREIGN):
        return Detected(latin, [latin], joined)
    if not sample.faults:
        return Detected(None, [UTF8, *(ranked or _readable(joined, confidence)[:3])], joined)
    if ranked and ranked[0] != "cp1252" and _is_convincing(joined, ranked, fitting, confidence):
        best = ranked[0]
        if not _has_rival(joined, best, confidence, _RIVALS):
            return Detected(best, ranked, joined)
    others = [*latin_alphabets.possible(joined), *_readable(joined, confidence)]
    return Detected(None, _distinct([*ranked, *others], joined), joined)


def _is_surely_utf8(sample: Sample, joined: bytes) -> bool:
    """Whether what is UTF-8 in it is so by no accident (its faulty rows are named then). A few
    characters of two bytes can be words of another encoding."""
    if sample.faults:
        return sample.longer >= 4 and sample.faults <= _MOST_FAULTS * sample.characters
    text = joined.decode()
    if sample.longer > 1:
        return sample.characters > _FEW or len(_scripts(text) - _EAST_ASIAN) < 3
    if _SIGN.search(text) or _ACCENTED.search(text):
        return True
    letters = "".join(char for char in text if char > "\x7f")
    return any(
        script.fullmatch(letters) and len(vowels.findall(letters)) >= _LEAST_VOWELS * len(letters)
        for script, vowels in _SCRIPTS
    )


def _is_of_one_script(text: str) -> bool:
    """Whether the letters of a few characters go together."""
    names = (unicodedata.name(char, "?") for char in text if char > "\x7f")
    long = (char for char in text if "\u3400" <= char <= "\ud7a3")
    if _MARK_OF_LETTER.search(text) or not set(_SELDOM).isdisjoint(text):
        return False
    return len({name.split()[0] for name in names}) < 2 and all(map(_is_usual, long))


def _scripts(text: str) -> set[str]:
    names = (unicodedata.name(char, "?") for char in text if char > "\x7f" and char.isalpha())
    return {name.split()[0] for name in names}


def _is_usual(char: str) -> bool:
    """Whether a standard of some 7,000 characters has it."""
    return any(char.encode(name, "ignore") for name in ("gb2312", "big5", "euc_jp", "euc_kr"))


def _readable(joined: bytes, confidence: dict[str, float]) -> list[str]:
    """The encodings that have all its bytes, the most likely first."""
    names = [name for name in CANDIDATES if _read(joined, name) is not None]
    return _distinct(sorted(names, key=lambda name: -confidence[name]), joined)


def _read(joined: bytes, encoding: str) -> str | None:
    try:
        return joined.decode(encoding)
    except UnicodeDecodeError:
        return None


def _fitting(joined: bytes) -> dict[str, Shape]:
    """The encodings under which the text can be one of their languages; of several that give the same
    text, the first."""
    found: dict[str, Shape] = {}
    texts = set()
    for name in CANDIDATES:
        text = _read(joined, name)
        if text is None or text.translate(_SAME) in texts:
            continue
        looks = shape(name, text)
        if looks.fits:
            found[name] = looks
            texts.add(text.translate(_SAME))
    return found


def _confidence(joined: bytes) -> dict[str, float]:
    """The detector's confidence in each encoding, rivals included."""
    import chardet  # takes 30 ms, which only what is not UTF-8 needs

    asked = [*_RIVALS, *(name for names in _DETECTOR_NAMES.values() for name in names)]
    answers = chardet.detect_all(
        joined[:_DETECTED], ignore_threshold=True, include_encodings=asked, compat_names=False
    )
    given = {answer["encoding"]: answer["confidence"] for answer in answers}
    found = {
        name: max(given.get(called, 0.0) for called in names)
        for name, names in _DETECTOR_NAMES.items()
    }
    found.update({name: found[other] for name, other in _ALIKE.items()})
    found.update({name: given.get(name, 0.0) for name in _RIVALS})
    return found


def _ranked(fitting: dict[str, Shape], confidence: dict[str, float]) -> list[str]:
    return sorted(fitting, key=lambda name: -confidence[name])


def _has_rival(
    joined: bytes, best: str, confidence: dict[str, float], rivals: tuple[str, ...]
) -> bool:
    """Whether the detector prefers an encoding that is none of the candidates and gives another text."""
    text = _read(joined, best)
    return any(
        confidence[rival] > _RIVALRY * confidence[best] and _read(joined, rival) not in (None, text)
        for rival in rivals
    )


def _is_convincing(
    joined: bytes, ranked: list[str], fitting: dict[str, Shape], confidence: dict[str, float]
) -> bool:
    """Whether detector and looks agree on the first, and on none of the others."""
    best, *others = ranked
    looks = fitting[best]
    if best == "gb18030" and not others and _PICTURE.search(joined):
        return True
    if best == "cp1251" and not _NOT_HEBREW.search(joined.decode(best)):
        return False
    if best == "gb18030" and _is_thai(joined):
        return False
    sure, common = confidence[best], looks.common * looks.letters
    if sure < max(confidence[name] for name in CANDIDATES):
        return False
    if looks.letters < _LEAST_LETTERS.get(best, _USUAL_LETTERS):
        return False
    least = _LEAST_COMMON.get(best, _USUAL_COMMON)
    if not others:  # what it is has to fit, too: only rare characters would not
        return (looks.letters >= _SURE_LETTERS and best != "cp1251") or (
            sure >= _SOLE_CONFIDENCE.get(best, _USUAL_CONFIDENCE)
            and looks.common >= least
            and common >= _SOLE_COMMON
        )
    return (
        sure >= _LEAST_CONFIDENCE
        and looks.common >= least
        and common >= _by_chance(best, looks.letters)
        and all(
            fitting[other].common <= looks.common / 2 and confidence[other] <= sure / _LEAST_RATIO
            for other in others
        )
    )


def _is_thai(joined: bytes) -> bool:
    """Whether all of it can be Thai: its marks stand above and below consonants."""
    text = _read(joined, "cp874")
    return text is not None and not _NOT_THAI.search(text)


def _by_chance(encoding: str, letters: int) -> float:
    """More common characters than letters at random have: four standard deviations."""
    share = _CHANCE.get(encoding, _USUAL_CHANCE)
    return share * letters + 4 * math.sqrt(share * (1 - share) * letters)


def _distinct(names: list[str], joined: bytes) -> list[str]:
    """Those that give different texts."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(joined.decode(name).translate(_SAME), name)
    return list(found.values())
