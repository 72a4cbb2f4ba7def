"""Whether a text can be one of the language that its encoding is for: which characters it has, how
many of them are common, how its words are made.

The sets of common characters are those of the standards that list characters by use: level 1 of
GB 2312, JIS X 0208 and Big5, the syllables of KS X 1001.
"""

import re
from collections.abc import Callable
from functools import lru_cache

import msgspec

from ..core.lazy_pattern import lazy_pattern

# characters that make about half of a text
_KOREAN = (
    "이다는의에을를가하고은지한로기사어해서나자리시그들도대아으인있일보면스적정장수제부과여주만라전원우상와"
    "것성구거조동계마학연공개발국경문신유소비안관실분치생회미내선무오진물간용식방교세바니까요습려했었없"
)
_CHINESE = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行"
    "所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力"
    "它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应向文体政美相见被利什二等产或新"
    "己制身加月话合回特代内信表化老给世位次度门任常先海通教儿东提立及比员解水名真论处走义各入几口平系气题请品价"
    "这這個們來為國說時會對過發後裡還進無與長機經麼學現當沒動從實間問應體見產話請點關開門東條題業樣種價質給員論"
)
_KANJI = "日一人年大国会中本上出分生時前後間今行見事気言思学先語者手自何的新用方定品質問題要文作成力理考高長入合"
_CYRILLIC = "оеаинтсрвлкміОЕАИНТСРВЛКМІ"
_MARKS = lazy_pattern(
    "[\u00a0-\u00bf\u00d7\u00f7\u2000-\u206f\u20a0-\u214f\u2190-\u24ff\u2500-\u27bf\u3000-\u303f\u30fb"
    "\uff01-\uff5e\uffe0-\uffe6\U0001f000-\U0001faff]"
)
_HANGUL = lazy_pattern("[\uac00-\ud7a3]")
_JAMO = lazy_pattern("[\u3131-\u318e]")
_KANA = lazy_pattern("[\u3041-\u3096\u309b-\u309e\u30a1-\u30fa\u30fc-\u30fe]")
_HAN = lazy_pattern("[\u4e00-\u9fff]")
_ONE_WITHIN = lazy_pattern("(?=.*[A-Za-z].*[A-Za-z])[\x00-\x7f]*[^\x00-\x7f][\x00-\x7f]*")


class Shape(msgspec.Struct, frozen=True):
    """``fits`` where the text can be one of the language; ``letters`` counts its characters that are
    not ASCII and no marks, ``common`` is the share of those that are common in it."""

    fits: bool
    letters: int
    common: float


def shape(encoding: str, text: str) -> Shape:
    """How a text that was read in this encoding looks."""
    return _SHAPES[encoding](text)


def _letters(text: str) -> str:
    return _MARKS.sub("", "".join(char for char in text if char > "\x7f"))


def _may_be_asian(text: str, letters: str) -> bool:
    """Whether marks are few, and its letters seldom stand alone within words of Latin letters."""
    wide = sum(char > "\x7f" for char in text)
    words = text.split()
    within = sum(_ONE_WITHIN.fullmatch(word) is not None for word in words)
    return bool(letters) and len(letters) >= 0.6 * wide and within < 0.5 * len(words)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


@lru_cache(4096)
def _lead(char: str, encoding: str) -> int:
    """The first byte of a character of two bytes; 0 where the standard does not have it."""
    raw = char.encode(encoding, "ignore")
    return raw[0] if len(raw) == 2 else 0


def _within(letters: str, encoding: str, first: int, last: int) -> int:
    return sum(first <= _lead(char, encoding) <= last for char in letters)


def _korean(text: str) -> Shape:
    letters = _letters(text)
    syllables = "".join(_HANGUL.findall(letters))
    usual = _within(syllables, "euc_kr", 0xB0, 0xC8)
    jamo = len(_JAMO.findall(letters))
    fits = usual >= 0.5 * len(letters) and usual + jamo >= 0.95 * len(letters)
    # syllables that were written as a filler and their parts (KS X 1001, annex 3) stay in parts
    fits = fits and "\u3164" not in letters
    common = sum(char in _KOREAN for char in syllables)
    return Shape(fits and _may_be_asian(text, letters), len(letters), _share(common, len(letters)))


def _han(text: str, encoding: str, level_1: tuple[int, int]) -> Shape:
    letters = _letters(text)
    han = "".join(_HAN.findall(letters))
    usual = _within(han, encoding, *level_1)
    fits = usual >= 0.85 * len(letters) and len(letters) - len(han) <= 0.05 * len(letters)
    common = sum(char in _CHINESE for char in han)
    return Shape(fits and _may_be_asian(text, letters), len(letters), _share(common, len(letters)))


def _simplified(text: str) -> Shape:
    return _han(text, "gb2312", (0xB0, 0xD7))


def _traditional(text: str) -> Shape:
    return _han(text, "cp950", (0xA4, 0xC6))


def _japanese(text: str) -> Shape:
    letters = _letters(text)
    kana = len(_KANA.findall(letters))
    usual = _within("".join(_HAN.findall(letters)), "euc_jp", 0xB0, 0xCF)
    han = len(_HAN.findall(letters))
    fits = kana + usual >= 0.85 * len(letters) and kana + han >= 0.95 * len(letters)
    common = kana + sum(char in _KANJI for char in letters)
    return Shape(fits and _may_be_asian(text, letters), len(letters), _share(common, len(letters)))


def _with_kana(text: str) -> Shape:
    """Of the larger standard only texts that have its characters are read: kana tell them."""
    looks = _japanese(text)
    kana = len(_KANA.findall(text))
    return Shape(looks.fits and kana >= 0.2 * looks.letters, looks.letters, looks.common)


# --- words of letters -------------------------------------------------------------------------

_WORD = lazy_pattern(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_INSIDE = lazy_pattern(
    r"[^\W\d_][\u00a1-\u00bf\u00d7\u00f7\u0192\u02c6\u02dc\u2020-\u2030\u20ac\u2122\ufffd][^\W\d_]"
)
_ALPHABETS = tuple(
    frozenset(alphabet + alphabet.upper())
    for alphabet in (
        "àâæçéèêëîïôœùûüÿ",  # French
        "äöüß",  # German
        "áéíñóúüàèòïç",  # Spanish, Catalan
        "áâãàçéêíóôõúü",  # Portuguese
        "àèéìíîòóùú",  # Italian
        "åäöæøéèêóòâôü",  # Nordic languages
        "éëïóöüèêçáíñ",  # Dutch
        "áðéíóúýþæö",  # Icelandic
    )
)


def _is_cased(word: str) -> bool:
    """Whether it is in capitals, in small letters, or begins with a capital."""
    return word.isupper() or word[1:].islower() or len(word) == 1


def _cyrillic(text: str) -> Shape:
    letters = _letters(text)
    words = [word for word in _WORD.findall(text) if not word.isascii()]
    good = [word for word in words if _is_cased(word) and not re.search("[A-Za-z]", word)]
    russian = sum(
        "\u0410" <= char <= "\u0451" or char in "ЁІЇЄҐЎіїєґўЈЉЊЋЏЂјљњћџђ" for char in letters
    )
    fits = len(good) >= 0.9 * len(words) and russian >= 0.95 * len(letters)
    fits = fits and len(letters) > 0 and len(_INSIDE.findall(text)) <= 0.02 * len(words)
    common = sum(char in _CYRILLIC for char in letters)
    return Shape(fits, len(letters), _share(common, len(letters)))


def _is_western(word: str) -> bool:
    """Letters with accents among letters without, or one of the few words of such letters alone."""
    accented = sum(char > "\x7f" for char in word if char not in "’")
    return _is_cased(word.replace("’", "")) and (
        accented * 2 <= len(word) + 1
        or word.lower() in ("à", "é", "è", "ó", "ô", "été", "où", "çà", "øl", "å")
    )


def _western(text: str) -> Shape:
    """``common`` is the share of the letters with accents that the language has that has most."""
    letters = _letters(text)
    words = [word for word in _WORD.findall(text) if not word.isascii()]
    good = sum(map(_is_western, words))
    fits = good >= 0.9 * len(words) and len(_INSIDE.findall(text)) <= 0.02 * len(words)
    fits = fits and (_LATIN.search("".join(words)) is not None or _is_quoted(text))
    most = max(sum(char in alphabet for char in letters) for alphabet in _ALPHABETS)
    return Shape(fits, len(letters), _share(most, len(letters)) if letters else 1.0)


_LATIN = lazy_pattern("[A-Za-z]")
_QUOTES = lazy_pattern("[‘’“”–—…•€£©®™°§«»\u00a0]+")


def _is_quoted(text: str) -> bool:
    """Whether the marks are those of a text in English."""
    return all(map(_QUOTES.fullmatch, re.findall("[^\x00-\x7f]+", text)))


_SHAPES: dict[str, Callable[[str], Shape]] = {
    "cp949": _korean,
    "euc_jp": _japanese,
    "euc_jis_2004": _with_kana,
    "cp932": _japanese,
    "gb18030": _simplified,
    "cp950": _traditional,
    "big5hkscs": _traditional,
    "cp1251": _cyrillic,
    "cp1252": _western,
}
CANDIDATES = tuple(_SHAPES)
