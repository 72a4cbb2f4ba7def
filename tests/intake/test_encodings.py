"""Encodings are distinguished, or the file is refused: a text is never read as another one."""

import gzip
import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from simple_batch import intake
from simple_batch.core import settings
from simple_batch.core.domain import Request
from simple_batch.core.errors import InvalidInput, UploadRejected
from simple_batch.intake.encoding_detection import detected

WORDS = Path(__file__).parent / "words"
LANGUAGES = {
    "cp949": "korean",
    "euc_kr": "korean",
    "cp932": "japanese",
    "euc_jp": "japanese",
    "gb18030": "chinese",
    "gbk": "chinese",
    "cp950": "traditional",
    "big5hkscs": "traditional",
    "cp1251": "russian",
    "cp1252": "western",
    "utf-8": "korean",
}
LATIN = ["id", "product", "review", "OK", "the", "2"]


def words(encoding: str) -> list[str]:
    found = (WORDS / f"{LANGUAGES[encoding]}.txt").read_text("utf-8").split()
    return [word for word in found if word.encode(encoding, "ignore").decode(encoding) == word]


def letters(encoding: str) -> str:
    """Every letter that its words are of, in an order that makes no words."""
    return "".join(sorted(set("".join(words(encoding)))))


def is_not_wrong(raw: bytes, encoding: str) -> bool:
    found = detected(raw, [raw]).encoding
    return found is None or raw.decode(found) == raw.decode(encoding)


@given(data=st.data(), encoding=st.sampled_from(sorted(LANGUAGES)))
@hypothesis_settings(max_examples=250)
def test_texts_of_words_and_of_random_letters_are_read_rightly_or_not_at_all(data, encoding):
    parts = data.draw(
        st.sampled_from([words(encoding), [*words(encoding), *LATIN], list(letters(encoding))])
    )
    chosen = random.Random(data.draw(st.integers(0, 10**9)))
    count = data.draw(st.sampled_from([1, 1, 2, 3, 5, 8, 13, 30, 100, 400]))
    between = data.draw(st.sampled_from([" ", "\n", ", "]))
    text = between.join(chosen.choice(parts) for _ in range(count))[:2_000]
    header = data.draw(st.sampled_from(["", "id,text\n1,"]))
    assert is_not_wrong(f"{header}{text}\n".encode(encoding), encoding)


@pytest.mark.parametrize("encoding", sorted(LANGUAGES))
def test_a_file_of_forty_words_is_read(tmp_path, encoding):
    chosen = random.Random(7)
    if encoding == "cp1252":  # words of one language, as files have them
        texts = ["Le café était très bien situé près de la forêt", "où nous avons déjeuné"] * 4
    else:
        texts = [" ".join(chosen.choices(words(encoding), k=5)) for _ in range(8)]
    table = "id,text\n" + "".join(f"{n},{text}\n" for n, text in enumerate(texts))
    lines = "".join(
        json.dumps({"messages": [{"role": "user", "content": text}]}, ensure_ascii=False) + "\n"
        for text in texts
    )
    template = intake.Template(user="{{text}}")
    prompts = "".join(f"{text}?\n" for text in texts)
    for data, how, end in ((table, template, ""), (lines, None, ""), (prompts, None, "?")):
        for raw in (data.encode(encoding), gzip.compress(data.encode(encoding))):
            found = [
                json.loads(item.body)["messages"][0]["content"] for item in read(tmp_path, raw, how)
            ]
            assert found == [text + end for text in texts]


def read(tmp_path, raw: bytes, template=None, **reading) -> list:
    path = tmp_path / "upload"
    path.write_bytes(raw)
    loaded = settings.load(environ={}, INSTANCE_PATH=str(tmp_path))
    reader = intake.Reader(path, loaded, template=template, reading=intake.Reading(**reading))
    try:
        return list(reader)
    finally:
        reader.close()


def test_two_that_fit_are_named_with_their_texts(tmp_path):
    with pytest.raises(intake.EncodingUncertain, match="--encoding NAME") as refused:
        read(tmp_path, "id,text\n1,서울\n2,부산\n".encode("cp949"))
    found = refused.value.detected
    assert found.candidates[0] == "cp949"
    assert found.shown("cp949") == "서울 부산"
    assert "gb18030" in found.candidates


def test_a_chosen_encoding_is_used_and_names_the_place_where_it_fails(tmp_path):
    raw = "어디서\n서울\n".encode("cp949")
    asked = [
        json.loads(item.body)["messages"][0]["content"]
        for item in read(tmp_path, raw, encoding="cp949", lines=True)
    ]
    assert asked == ["어디서", "서울"]
    with pytest.raises(UploadRejected, match=r"line 2, byte 2 of the line .byte 0x80") as refused:
        read(tmp_path, b"ok\na\x80\n", encoding="gb18030", lines=True)
    assert (refused.value.faults[0].line, refused.value.faults[0].code) == (2, "invalid_encoding")


def test_names_of_encodings():
    names = {
        "EUC-KR": "cp949",
        "Shift_JIS": "cp932",
        "GBK": "gb18030",
        "Big5": "cp950",
        "latin1": "cp1252",
    }
    assert {name: intake.encoding_named(name) for name in names} == names
    for name in ("rot13", "klingon", "\0", ""):
        with pytest.raises(InvalidInput, match="Choose one of utf-8"):
            intake.encoding_named(name)


def test_a_few_bytes_that_are_utf8_by_accident_are_asked_about():
    for text, encoding in (("책", "cp949"), ("谢谢学校", "gb18030"), ("友達", "euc_jp")):
        raw = f"id,text\n1,{text}\n".encode(encoding)
        raw.decode("utf-8")
        assert detected(raw, [raw]).encoding is None
    for text in ("café", "21 °C is 70°F", "Привет", "水", "£5"):
        raw = f"id,text\n1,{text}\n".encode()
        assert detected(raw, [raw]).encoding == "utf-8"


def test_the_whole_file_is_looked_at(tmp_path):
    raw = (
        b"id,text\n"
        + b"1,plain words\n" * 60_000
        + "2,회의는 내일 오후 세시에 시작합니다\n".encode("cp949")
    )
    items = read(tmp_path, raw, intake.Template(user="{{text}}"))
    assert all(isinstance(item, Request) for item in items)
    assert "회의는 내일".encode() in items[-1].body


WESTERN = {
    "cp1252": "Il était très déçu : où est passée la crème brûlée à la française ?",
    "cp1250": "Proszę o zwrot pieniędzy, ponieważ produkt był uszkodzony. Jestem niezadowolony z jakości",
    "iso8859-2": "Je to lepší, než jsem čekal, ale těžko říct, jestli mě příště ještě něčím překvapí. "
    "Zboží přišlo poškozené a žádost o vrácení peněz stále čeká na vyřízení.",
    "cp1254": "Ürün çok güzel ama kargo geç geldi. İstanbul'da değil, başka şehirde yaşıyorum.",
    "cp1257": "Prekė atvyko laiku, tačiau kokybė nėra gera. Mūsų šeima nusivylė, nes už tokią kainą",
}


@pytest.mark.parametrize("encoding", sorted(WESTERN))
def test_code_pages_of_latin_letters_are_told_apart_or_asked_about(encoding):
    text = WESTERN[encoding]
    raw = f"id,text\n1,{text}\n2,{text}\n".encode(encoding)
    found = detected(raw, [raw])
    assert found.encoding is not None
    assert raw.decode(found.encoding) == raw.decode(encoding)
    for word in text.split():
        short = f"id,text\n1,{word}\n".encode(encoding)
        found = detected(short, [short])
        assert found.encoding is None or short.decode(found.encoding) == short.decode(encoding)
        right = [short.decode(name, "replace") for name in found.candidates or [found.encoding]]
        assert short.decode(encoding) in right


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Łaci", "cp1250"),
        ("kwartał", "cp1250"),
        ("1968–2012", "cp950"),
        ("hello，world", "gb18030"),
        ("“hello” and goodbye", "gb18030"),
        ("ft诺", "gb2312"),
        ("in坦", "gb2312"),
        ("קאדו בולו סנט נוסע", "cp1255"),
        ("เทงเจคาซัคสถาน", "cp874"),
    ],
)
def test_what_is_no_text_of_a_candidate_is_not_read_as_one(text, encoding):
    raw = f"id,text\n1,{text}\n".encode(encoding)
    assert detected(raw, [raw]).encoding is None
