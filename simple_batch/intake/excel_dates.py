"""Dates of spreadsheets: numbers that a cell's format makes into dates."""

import re
from datetime import datetime, timedelta

_BUILT_IN = {  # ECMA-376 part 1, 18.8.30, with the formats of Chinese, Japanese and Korean systems
    **dict.fromkeys((14, 15, 16, 17, 22, *range(27, 32), 34, 35, 36, *range(50, 59)), "date"),
    **dict.fromkeys((18, 19, 20, 21, 32, 33, 45, 47), "time"),
    46: "elapsed",
}
_NO_CODE = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!(?:h+|m+|s+)\])[^\]]*\]', re.IGNORECASE)
_LONGEST_CODE = 1_000  # spreadsheets take 255
_ELAPSED = re.compile(r"\[(h+|m+|s+)\]", re.IGNORECASE)
_EPOCH = datetime(1899, 12, 30)  # right from March 1900 on; before, a day too late (a bug of 1-2-3)
_EPOCH_1904 = datetime(1904, 1, 1)
_LAST = 2_958_466  # the day after 9999-12-31


def kinds_of(styles: list[tuple[str, dict[str, str]]]) -> list[str | None]:
    """By the number of a style: ``date``, ``time`` (of a day), ``elapsed``, or None for no date."""
    codes: dict[str, str] = {}
    kinds: list[str | None] = []
    within = False
    for name, attributes in styles:
        if name == "numFmt":
            codes[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")
        elif name == "cellXfs":
            within = True
        elif name == "cellStyles":
            within = False
        elif name == "xf" and within:
            number = attributes.get("numFmtId", "0")
            code = codes.get(number)
            known = _BUILT_IN.get(int(number)) if number.isdecimal() else None
            kinds.append(kind_of(code) if code is not None else known)
    return kinds


def kind_of(code: str) -> str | None:
    """What a format makes of a number."""
    if len(code) > _LONGEST_CODE:
        return None
    code = _NO_CODE.sub("", code.split(";")[0])
    if _ELAPSED.search(code):
        return "elapsed"
    code = code.lower().replace("general", "").replace("am/pm", "h")
    if re.search(r"[dyeg]", code):
        return "date"
    if re.search(r"[hs]", code):
        return "time"
    return "date" if "m" in code else None


def moment(serial: float, kind: str, epoch_1904: bool) -> tuple[str, bool]:
    """The ISO text of a serial number, and whether it is a date (and no bare time). Raises ValueError
    for a number that is none."""
    if kind == "elapsed" or (kind == "time" and 0 <= serial < 1):
        return _clock(serial), False
    if not 0 <= serial < _LAST:
        raise ValueError
    days, epoch = serial, _EPOCH_1904 if epoch_1904 else _EPOCH
    if not epoch_1904 and serial < 60:
        days += 1
    elif not epoch_1904 and serial < 61:
        raise ValueError  # 1900-02-29, which there was not
    found = epoch + timedelta(milliseconds=round(days * 86_400_000))
    if found.microsecond:
        return found.isoformat(timespec="milliseconds"), True
    whole = not (found.hour or found.minute or found.second)
    return found.date().isoformat() if whole else found.isoformat(), True


def _clock(serial: float) -> str:
    ms = round(abs(serial) * 86_400_000)
    minutes, ms = divmod(ms, 60_000)
    seconds, ms = divmod(ms, 1000)
    text = f"{'-' if serial < 0 else ''}{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"
    return f"{text}.{ms:03}" if ms else text
