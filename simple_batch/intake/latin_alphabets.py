"""Which code page a text of Latin letters is in: the one under which its letters are those of a language,
where they are of none under the others.

A code page has letters of many languages; a text has those of one. ``é`` and ``ü`` are the same in all of
these code pages; ``è`` in one is ``č`` in the next, and what is read as Polish, ``¹`` and ``³``, is marks
within words.
"""

from functools import cache

import msgspec

from ..core.lazy_pattern import lazy_pattern

_MARKS = "‘’“”„‚–—…•€£©®™°§«»‹›\u00a0¿¡ºª²³¹½¼¾·±×÷µ¢¥†‡´¨"
_PARTING = "‘’“”„‚–—…•€£©®™°§«»‹›\u00a0½¼¾·±×÷µ¢¥†‡"  # beside words
_TONES = "\u0300\u0301\u0303\u0309\u0323"
_USUAL_MARKS = "‘’“”–—…•€£©®™°§«»²³½¼¾\u00a0"
_WESTERN = (
    ("àâçéèêëîïôœùû", "æÿüñö"),  # French
    ("äöüß", "éàè"),  # German
    ("áéíñóúü", "çà"),  # Spanish
    ("àèéíïòóúüç", ""),  # Catalan
    ("áâãàçéêíóôõú", "ü"),  # Portuguese
    ("àèéìòù", "íîó"),  # Italian
    ("åäö", "éüš"),  # Swedish, Finnish
    ("æøå", "éèêòóôâü"),  # Danish, Norwegian
    ("éëïóöü", "èêçáíñâîôûà"),  # Dutch
    ("áðéíóúýþæö", ""),  # Icelandic
    ("äõöüšž", ""),  # Estonian
)
_CENTRAL = (
    ("ąćęłńóśźż", "é"),  # Polish
    ("áčďéěíňóřšťúůýž", "ö"),  # Czech
    ("áäčďéíľňóôšťúýž", "ĺŕ"),  # Slovak
    ("áéíóöőúüű", ""),  # Hungarian
    ("ăâîşţ", ""),  # Romanian
    ("čćđšž", ""),  # Croatian, Slovenian
    ("äöüß", "é"),
)
_TURKISH = (("çğıöşüİ", "âîûé"), ("äöüß", ""))
_BALTIC = (
    ("ąčęėįšųūž", ""),  # Lithuanian
    ("āčēģīķļņšūž", ""),  # Latvian
    ("äõöüšž", ""),  # Estonian
)
_VIETNAMESE = (("àáâăèéêđíóôơùúưý" + _TONES, ""),)
_LANGUAGES = {
    "cp1252": _WESTERN,
    "cp1250": _CENTRAL,
    "iso8859-2": _CENTRAL,
    "cp1254": _TURKISH,
    "cp1257": _BALTIC,
    "cp1258": _VIETNAMESE,
}
# frequent words with letters that differ between the code pages: one of them is as good as three errors
# of the others
_KNOWN = {
    "cp1252": "à très après même être où déjà là voilà père mère problème più però così già può città "
    "sarà año años niño niños niña mañana señor español española españa pequeño não são então você mãe "
    "pão até três på så från få går når også være år får små første å före við það þetta því þú",
    "cp1250": "się są też już może będzie więc być był była było także który która które jeśli proszę zł "
    "když také může něco ještě před není které při čo prečo şi să că aţi fără după către ő ből ről től "
    "nő idő elő što će već još također če še več",
    "cp1254": "şu şey iş değil olduğu olduğunu başka şimdi dış kişi mı nasıl kadın aynı artık",
    "cp1257": "į už jų šį mūsų būti ļoti šī kā būt vēl tā kāpēc",
}
_KNOWN["iso8859-2"] = _KNOWN["cp1250"]
CHOSEN = (
    "cp1252",
    "cp1250",
    "iso8859-2",
    "cp1254",
    "cp1257",
)  # the last only speaks against others
_MOST_RARE = 0.05  # share of letters that a language has in foreign words alone
_LEAST_TONES = 0.1  # of Vietnamese, which writes tones as marks after the letter
_LEAST = 0.97  # share of letters of one language
_POSSIBLE = 0.75
_MOST_ERRORS, _LEAST_ERRORS = 0.03, 3  # a few are foreign names
_MOST_KNOWN = 3  # for each letter: a word has one at least
_LEAST_LETTERS = 3  # of a code page that is not the usual one
_MANY = 40  # letters, which may be of several languages then
_LEAST_LEAD, _LEAST_LEAD_SHARE = 8, 0.1  # errors more

_WORD = lazy_pattern('[^\\s,.;:!?()"/\\-\\d' + _PARTING + "]+")
# an accent without its letter; a letter before a figure; a small one before a capital
_IMPOSSIBLE = lazy_pattern(
    "[\u02c7\u02d8\u02d9\u02db\u02dd¸¤¦¨´¯]|(?<![^\\W\\d_])[\u0100-\u017f](?=\\d)|(?<=\\d)[\u0100-\u017f]|[×÷][\u00a1-\u00ff]|"
    "[\u00c0-\u00ff][\u00b1-\u00b9\u00bc-\u00bf]|"
    "[¢£](?=[@-~])|¡[A-Z](?![a-z])|[a-zA-Z0-9][¡¿]|[\u00a1-\u00a9][\u00a1-\u00ff]|[\x80-\x9f]"
)
_CAPITALIZED = lazy_pattern("(?<!\\w)([\u00df-\u017f])[A-Z\u00c0-\u00de]")


class Look(msgspec.Struct, frozen=True):
    """``share``: of the letters with accents those of the language that has most; ``union``: of any;
    ``letters`` counts them; ``errors``: letters that are not of that language, and words that are none."""

    share: float
    union: float
    letters: int
    errors: int
    known: int = 0  # frequent words
    is_usual: bool = True  # whether its marks are those of a text in English

    @property
    def is_possible(self) -> bool:
        return self.errors <= max(1, (1 - _POSSIBLE) * self.letters)


def code_page(sample: bytes) -> str | None:
    """The only code page that the words of a sample can be in; None where they can be in several that
    give different texts, or in none."""
    looks: dict[str, Look] = {}
    texts: dict[str, str] = {}
    for name in _LANGUAGES:
        text = _read(sample, name)
        if text is not None and text not in texts.values():
            texts[name], looks[name] = text, look(name, text)
    return next((name for name in CHOSEN if name in looks and _is_chosen(name, looks)), None)


def possible(sample: bytes) -> list[str]:
    """The code pages that the words of a sample may be in."""
    texts = {name: _read(sample, name) for name in CHOSEN}
    return [
        name for name, text in texts.items() if text is not None and look(name, text).is_possible
    ]


def _read(sample: bytes, name: str) -> str | None:
    try:
        return sample.decode(name)
    except UnicodeDecodeError:
        return None


def _is_chosen(name: str, looks: dict[str, Look]) -> bool:
    mine = looks[name]
    others = [other for key, other in looks.items() if key != name]
    if name != "cp1252" and mine.letters < _LEAST_LETTERS:
        return False
    if not mine.letters and not mine.is_usual:
        return False
    if mine.share >= _LEAST and mine.errors <= _MOST_ERRORS * mine.letters:
        least = mine.errors + max(_LEAST_ERRORS, _MOST_ERRORS * mine.letters)
        most = mine.letters * _MOST_KNOWN
        return all(
            other.errors + min(_LEAST_ERRORS * max(mine.known - other.known, 0), most) >= least
            for other in others
        )
    least = mine.errors + max(_LEAST_LEAD, _LEAST_LEAD_SHARE * mine.letters)
    return (
        mine.letters >= _MANY
        and mine.union >= _LEAST
        and mine.errors <= (1 - mine.share + _MOST_ERRORS) * mine.letters
        and all(other.errors >= least for other in others)
    )


def look(name: str, text: str) -> Look:
    """How a text looks that was read in a code page."""
    letters = [char for char in text if char > "\x7f" and char not in _MARKS]
    words = [word for word in _WORD.findall(text) if not word.isascii()]
    shares = [_share(letters, common, rare) for common, rare in _alphabets(name)]
    share = max(shares) if letters else 1.0
    if name == "cp1258" and sum(map(_TONES.__contains__, text)) < int(_LEAST_TONES * len(letters)):
        share = 0.0
    known = _known(name)
    every = frozenset[str]().union(*(common | rare for common, rare in _alphabets(name)))
    return Look(
        share,
        sum(char in every for char in letters) / len(letters) if letters else 1.0,
        len(letters),
        round((1 - share) * len(letters))
        + sum(not _is_word(word) for word in words)
        + _LEAST_ERRORS * len(_IMPOSSIBLE.findall(text))
        + _LEAST_ERRORS * sum(map(str.islower, _CAPITALIZED.findall(text))),
        sum(word.lower() in known for word in words),
        all(char in _USUAL_MARKS for char in text if char > "\x7f"),
    )


def _share(letters: list[str], common: frozenset[str], rare: frozenset[str]) -> float:
    seldom = sum(char in rare for char in letters)
    return (
        sum(char in common for char in letters) + min(seldom, int(_MOST_RARE * len(letters)))
    ) / (len(letters) or 1)


@cache
def _known(name: str) -> frozenset[str]:
    return frozenset(word for word in _KNOWN.get(name, "").split() if not word.isascii())


@cache
def _alphabets(name: str) -> list[tuple[frozenset[str], frozenset[str]]]:
    return [(_cased(common), _cased(rare)) for common, rare in _LANGUAGES[name]]


def _cased(letters: str) -> frozenset[str]:
    return frozenset(letters) | {char.upper() for char in letters if len(char.upper()) == 1}


def _is_word(word: str) -> bool:
    """Whether it has letters alone, few of them with accents, in the usual case."""
    bare = word.strip("'*´_[]<>{}=+&%#@|~^`$¿¡ºª²³")
    if bare.isascii():
        return word[-1:] not in "¿¡" or not bare
    accented = sum(char > "\x7f" for char in bare)
    return (
        not any(char in _MARKS for char in bare)
        and accented * 2 <= len(bare) + 1
        and (bare.isupper() or bare[1:] == bare[1:].lower())
    )
