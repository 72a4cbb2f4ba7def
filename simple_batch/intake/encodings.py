"""The encodings that text files may have: their names, and how a user calls them.

Names are those of Python's codecs. Where a code page holds a standard, it is read instead of it, as
browsers do (WHATWG Encoding, 4.2): CP949 for EUC-KR, GB18030 for GBK and GB2312, CP1252 for Latin-1.
"""

import codecs

from ..core.errors import InvalidInput
from ..core.messages import translatable

UTF8 = "utf-8"
WIDE = ("utf-16-le", "utf-16-be")
LABELS = {
    UTF8: translatable("UTF-8"),
    "utf-16-le": translatable("UTF-16 (little endian)"),
    "utf-16-be": translatable("UTF-16 (big endian)"),
    "cp949": translatable("CP949, EUC-KR (Korean)"),
    "euc_jp": translatable("EUC-JP (Japanese)"),
    "euc_jis_2004": translatable("EUC-JIS-2004 (Japanese)"),
    "cp932": translatable("CP932, Shift-JIS (Japanese)"),
    "gb18030": translatable("GB18030, GBK (Chinese)"),
    "cp950": translatable("CP950, Big5 (Traditional Chinese)"),
    "big5hkscs": translatable("Big5-HKSCS (Hong Kong)"),
    "cp1251": translatable("CP1251 (Cyrillic)"),
    "cp1252": translatable("CP1252, Latin-1 (Western European)"),
    "cp1250": translatable("CP1250 (Central European)"),
    "iso8859-2": translatable("ISO 8859-2 (Central European)"),
    "cp1253": translatable("CP1253 (Greek)"),
    "cp1254": translatable("CP1254 (Turkish)"),
    "cp1255": translatable("CP1255 (Hebrew)"),
    "cp1256": translatable("CP1256 (Arabic)"),
    "cp1257": translatable("CP1257 (Baltic)"),
    "cp1258": translatable("CP1258 (Vietnamese)"),
    "cp874": translatable("CP874 (Thai)"),
    "iso8859-15": translatable("ISO 8859-15 (Western European)"),
    "koi8-r": translatable("KOI8-R (Russian)"),
    "koi8-u": translatable("KOI8-U (Ukrainian)"),
    "cp866": translatable("CP866 (Cyrillic, DOS)"),
    "cp437": translatable("CP437 (DOS)"),
    "cp850": translatable("CP850 (Western European, DOS)"),
    "mac-roman": translatable("Mac Roman"),
    "johab": translatable("Johab (Korean)"),
}
_HOLDERS = {
    "ascii": UTF8,
    "utf-8-sig": UTF8,
    "utf-16": "utf-16-le",
    "euc_kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "big5": "cp950",
    "iso8859-1": "cp1252",
}
_BY_CODEC = {codecs.lookup(name).name: name for name in LABELS}
_SPELLINGS = {"euc-kr": "euc_kr", "windows-31j": "cp932", "windows-949": "cp949", "x-sjis": "cp932"}


def named(text: str) -> str:
    """The name of an encoding as a user calls it (``EUC-KR``, ``shift_jis``, ``windows-1251``). Raises
    InvalidInput for one that is not read."""
    wanted = text.strip().lower()
    try:
        codec = codecs.lookup(_SPELLINGS.get(wanted, wanted)).name
    except (LookupError, ValueError):
        codec = ""
    name = _HOLDERS.get(codec) or _BY_CODEC.get(codec)
    if name is None:
        raise InvalidInput(
            translatable(
                "Encoding: %(name)r is not one that is read. Choose one of %(names)s.",
                name=text[:40],
                names=", ".join(LABELS),
            ),
            "encoding",
        )
    return name


def label(name: str) -> str:
    """How an encoding is shown."""
    return LABELS.get(name, name.upper())
