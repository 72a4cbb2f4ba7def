"""Images named by rows: which files are images, which names are accepted, malicious archives."""

import io
import struct
import zipfile

import pytest

from simple_batch import intake
from simple_batch.core.errors import UploadRejected, UploadTooLarge
from simple_batch.core.settings import load
from simple_batch.intake.images import kind_of, name_of
from simple_batch.intake.request_checks import Bad

from ..sample_images import GIF, SVG, png, zipped


@pytest.fixture
def settings(tmp_path):
    return load(environ={}, INSTANCE_PATH=str(tmp_path))


def test_an_image_is_kept_once_under_what_it_holds(tmp_path):
    folder = tmp_path / "kept"
    first = intake.keep(io.BytesIO(png(30, 20)), folder, 10_000)
    again = intake.keep(io.BytesIO(png(30, 20)), folder, 10_000)
    other = intake.keep(io.BytesIO(GIF), folder, 10_000)
    assert first == again
    assert first.file.endswith("-30x20.png")
    assert other.file.endswith("-5x4.gif")
    assert (folder / first.file).read_bytes() == png(30, 20)
    assert sorted(path.name for path in folder.iterdir()) == sorted([first.file, other.file])
    cut = intake.keep(io.BytesIO(b"\xff\xd8\xff" + b"\0" * 50), folder, 10_000)
    assert cut.file.endswith("-0x0.jpeg")  # whether it is whole is the provider's to say


@pytest.mark.parametrize(
    "data", [SVG, b"", b"<html>", b"%PDF-1.7", b"BM" + b"\0" * 60, b"RIFF1234WAVE"]
)
def test_what_is_no_image_is_found_by_its_content(tmp_path, data):
    with pytest.raises(Bad, match="no PNG, JPEG, GIF or WebP"):
        intake.keep(io.BytesIO(data), tmp_path / "kept", 10_000)
    assert not (tmp_path / "kept").exists()
    assert kind_of(b"RIFF\n234WEBPVP8 ") == "webp"


def test_one_that_is_too_large_leaves_nothing(tmp_path):
    with pytest.raises(Bad, match="MAX_IMAGE_BYTES"):
        intake.keep(io.BytesIO(png() + b"\0" * 5_000), tmp_path / "kept", 5_000)
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "../a.png",
        "b/../../a.png",
        "..\\a.png",
        "b\\..\\a.png",
        "/etc/a.png",
        "\\\\host\\a.png",
        "C:\\a.png",
        "c:a.png",
        "file:///a.png",
        "ftp://x/a.png",
        "a\0.png",
        ".",
        "./",
        "a" * 2_000,
    ],
)
def test_no_name_leads_out_of_the_folder(name):
    with pytest.raises(Bad, match="names no image"):
        name_of(name)


def test_names_as_windows_writes_them_are_paths_too():
    assert name_of("b\\c\\a.png") == name_of("./b//c/a.png") == "b/c/a.png"
    assert name_of("a..b.png") == "a..b.png"


def opened(data: bytes, settings) -> intake.Archive:
    return intake.Archive(io.BytesIO(data), settings)


def test_an_archive_is_read_by_name_and_never_unpacked_by_it(settings):
    files = {
        "../../evil.png": png(),
        "photos/a.png": png(1, 1),
        "photos/": b"",
        "__MACOSX/photos/._a.png": b"junk",
        ".DS_Store": b"junk",
        "photos/Thumbs.db": b"junk",
        "data.CSV": b"q\n1\n",
    }
    with opened(zipped(files), settings) as archive:
        assert archive.table() == "data.CSV"
        found = {name: stream.read(10**6) for name, _size, stream in archive.others("data.CSV")}
    assert found == {"photos/a.png": png(1, 1)}


def test_names_of_an_archive_made_in_china_are_read(settings):
    packed = zipped({"猫咪.png": png()})
    old = packed.replace("猫咪.png".encode(), "猫咪XX.png".encode("gb18030"))  # as long
    for at in (old.index(b"PK\x03\x04") + 6, old.index(b"PK\x01\x02") + 8):
        flags = struct.unpack_from("<H", old, at)[0] & ~0x800
        old = old[:at] + struct.pack("<H", flags) + old[at + 2 :]
    with opened(old, settings) as archive:
        assert [name for name, _size, _stream in archive.others()] == ["猫咪XX.png"]


def test_archives_that_are_bombs_or_broken_are_refused(settings, tmp_path):
    with pytest.raises(UploadTooLarge, match="taken for a bomb"):
        opened(zipped({"a.png": b"\0" * (80 << 20)}), settings)
    few = load(environ={}, INSTANCE_PATH=str(tmp_path), MAX_IMAGES=2)
    with pytest.raises(UploadTooLarge, match="MAX_IMAGES"):
        opened(zipped({f"{n}.png": b"" for n in range(3)}), few)
    packed = bytearray(zipped({"a.png": png()}))
    end = packed.rindex(b"PK\x05\x06")
    packed[end + 12 : end + 16] = struct.pack("<I", 0x7FFFFFFF)  # a list of parts of 2 GiB
    with pytest.raises(UploadTooLarge, match="too many files"):
        opened(bytes(packed), settings)
    good = zipped({"a.png": png(40, 40)})
    with pytest.raises(UploadRejected, match="cannot be unpacked"):
        opened(good[:-30], settings)
    torn = bytearray(good)
    torn[45] ^= 0xFF
    with (
        opened(bytes(torn), settings) as archive,
        pytest.raises(UploadRejected, match="cannot be unpacked"),
    ):
        for _name, _size, stream in archive.others():
            while stream.read(1 << 20):
                pass


@pytest.mark.parametrize(
    ("files", "expected"),
    [({"a.png": png()}, "holds no table"), ({"a.csv": b"q", "b/b.xlsx": b""}, "a.csv, b/b.xlsx")],
)
def test_an_archive_that_is_to_be_the_data_holds_one_table(settings, files, expected):
    with opened(zipped(files), settings) as archive, pytest.raises(UploadRejected, match=expected):
        archive.table()


def test_a_document_in_an_archive_is_none(tmp_path):
    for name, files in (
        ("x.xlsx", {"[Content_Types].xml": b""}),
        ("x.ods", {"mimetype": b"application/vnd.oasis"}),
    ):
        (tmp_path / name).write_bytes(zipped(files))
        assert not intake.is_archive(tmp_path / name)
    (tmp_path / "x.zip").write_bytes(zipped({"a.csv": b"q"}))
    assert intake.is_archive(tmp_path / "x.zip")
    assert zipfile.is_zipfile(tmp_path / "x.zip")
