import base64
import io
import struct
import sys
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repair.errors import InputError
from repair.pipeline import Finished
from serve.archives import ArchiveLimits, unpack, write_under
from serve.oracles import Judging, events_of, sent_oracle
from serve.wire import RepairIn, check_path

FILES = {"a.py": b"x = 1\n", "lib/b.py": b"", "lib/data.bin": bytes(range(256)), "tests/test_a.py": b"assert 1\n"}
FORMS = ["zip", "zip stored", "tar", "tar.gz", "tar.xz"]
SMALL = ArchiveLimits(packed_bytes=200_000, members=20, file_bytes=5_000, total_bytes=12_000)


def packed(files, form="zip"):
    """An archive of (name, content) pairs, or of a mapping."""
    pairs = list(files.items() if isinstance(files, dict) else files)
    buffer = io.BytesIO()
    if form.startswith("zip"):
        method = zipfile.ZIP_STORED if "stored" in form else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for name, content in pairs:
                info = zipfile.ZipInfo("x")
                info.filename, info.compress_type = name, method
                archive.writestr(info, content)
        return buffer.getvalue()
    mode = {"tar": "w", "tar.gz": "w:gz", "tar.xz": "w:xz"}[form]
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in pairs:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def tar_of(*headers):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for header in headers:
            archive.addfile(header)
    return buffer.getvalue()


def special(name, kind, link=""):
    header = tarfile.TarInfo(name)
    header.type, header.linkname = kind, link
    return header


def refusal(content, limits=SMALL):
    with pytest.raises(InputError) as caught:
        unpack(content, limits=limits)
    assert caught.value.field == "archive"
    return str(caught.value)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_files(form):
    assert unpack(packed(FILES, form)) == FILES


@pytest.mark.parametrize("form", ["zip", "tar.gz"])
def test_one_top_folder_is_taken_off(form):
    below = {f"project-1.0/{name}": content for name, content in FILES.items()}
    assert unpack(packed({"project-1.0/.git/config": b"[secret]", "__MACOSX/._a": b"", **below}, form)) == FILES


def test_a_package_alone_keeps_its_name():
    files = {"pkg/__init__.py": b"", "pkg/a.py": b""}
    assert unpack(packed(files)) == files


@pytest.mark.parametrize("form", ["zip", "tar"])
@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd", "../x.py", "a/../../x", "a//b", "./a", "a\\b", "C:/x", "c:x", "a\nb", "a\x1b[2Jb", "con",
        "lib/NUL.py", "COM1.txt", "a./b", "a ", "exe\u202etxt.py", "x\u200b.py", "d/" * 40 + "x", "n" * 300,
        "p/" + "n" * 600,
    ],
)  # fmt: skip
def test_names_that_are_no_plain_path_are_refused(form, name):
    assert "refused" in refusal(packed({"ok.py": b"", name: b""}, form))


def test_a_nul_in_a_zip_name_is_refused():
    content = packed({"aaaa.py": b"", "bbbb.py": b""}).replace(b"bbbb.py", b"b\0bb.py")
    assert "control" in refusal(content) or "also called" in refusal(content)


@pytest.mark.parametrize("form", ["zip", "tar"])
@pytest.mark.parametrize(
    ("one", "other"),
    [("a.py", "A.py"), ("Lib/a", "lib/b"), ("\u00e9.py", "e\u0301.py"), ("a", "a/b"), ("a/b", "a"), ("\u00df", "SS")],
)
def test_names_that_collide_are_refused(form, one, other):
    assert "collides" in refusal(packed([(one, b"1"), (other, b"2")], form))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("form", ["zip", "tar"])
def test_duplicates_are_refused(form):
    assert "'a.py' collides with 'a.py'" in refusal(packed([("a.py", b"1"), ("a.py", b"2")], form))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"9"]
)
def test_what_is_no_regular_file_is_refused(kind):
    assert "'evil' is no regular file" in refusal(tar_of(special("evil", kind, "/etc/passwd")))


def test_a_symbolic_link_in_a_zip_is_refused():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("evil")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    assert "'evil' is no regular file" in refusal(buffer.getvalue())


def test_an_encrypted_zip_is_refused():
    content = bytearray(packed({"a.py": b"x"}))
    at = content.index(b"PK\x01\x02")
    content[at + 8] |= 1
    assert "'a.py' is encrypted" in refusal(bytes(content))


@pytest.mark.parametrize("form", FORMS)
def test_too_large_a_member_is_refused(form):
    assert "'big.py' unpacks to more than 5000 bytes" in refusal(packed({"big.py": bytes(5_001)}, form))


@pytest.mark.parametrize("form", FORMS)
def test_too_much_in_all_is_refused(form):
    assert "unpacks to more than" in refusal(packed({f"{n}.py": bytes(4_900) for n in range(3)}, form))


@pytest.mark.parametrize("form", FORMS)
def test_too_many_members_are_refused(form):
    assert "members" in refusal(packed({f"{n}.py": b"" for n in range(21)}, form))


@pytest.mark.parametrize("form", ["tar.gz", "tar.xz"])
def test_a_bomb_is_not_unpacked_whole(form):
    buffer = io.BytesIO()
    bomb = bytes(40_000_000)
    with tarfile.open(fileobj=buffer, mode=f"w:{form[4:]}") as archive:
        info = tarfile.TarInfo("bomb")
        info.size = len(bomb)
        archive.addfile(info, io.BytesIO(bomb))
    assert "unpacks to more than" in refusal(buffer.getvalue())


def test_a_zip_that_lies_about_a_size_is_refused():
    deflated = zlib.compress(bytes(50_000), wbits=-15)
    honest = packed({"a.py": bytes(50_000)})
    assert deflated in honest
    lying = honest.replace(struct.pack("<L", 50_000), struct.pack("<L", 10))
    assert lying != honest
    assert "a.py" in refusal(lying)


def test_a_tar_with_a_negative_size_is_refused():
    header = bytearray(tar_of(special("a.py", tarfile.REGTYPE)))
    header[124:136] = b"\xff" * 10 + b"\xfe\x00"  # base 256: -512
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    assert "states a size of -512" in refusal(bytes(header))


def test_a_damaged_tar_is_refused():
    content = bytearray(packed({"a.py": b"1", "b.py": b"2"}, "tar"))
    content[1024 + 3] ^= 0xFF  # the second header
    assert "damaged" in refusal(bytes(content))


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"hello", b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"Rar!\x1a\x07", bytes(2000)]
)
def test_what_is_no_archive_is_refused(content):
    assert refusal(content)


NAMES = st.one_of(
    st.text(max_size=30),
    st.lists(
        st.sampled_from(["..", ".", "a", "b.py", "", "/", "\\", "C:", "\0", "é", "CON", "/tmp/x"]), max_size=6
    ).map("/".join),
)


def sentinel(root):
    return sorted((str(p.relative_to(root)), p.read_bytes() if p.is_file() else None) for p in root.rglob("*"))


@settings(max_examples=150, deadline=None)
@given(names=st.lists(NAMES, min_size=1, max_size=5), form=st.sampled_from(["zip", "tar"]))
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_no_name_leads_out(names, form):
    try:
        content = packed([(name, b"evil") for name in names], form)
    except (ValueError, UnicodeError):
        return
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        (top / "root").mkdir()
        (top / "secret").write_text("kept")
        (top / "root" / "out").symlink_to(top)
        before = sentinel(top)
        inside = {name for name, _ in before if name.startswith("root/")}
        try:
            files = unpack(content, limits=SMALL)
            for name in files:
                check_path(name, "path")
            write_under(top / "root", files)
        except InputError as error:
            assert error.field == "archive"
        after = [one for one in sentinel(top) if not one[0].startswith("root/") or one[0] in inside]
        assert after == before


@settings(max_examples=300, deadline=None)
@given(
    base=st.sampled_from([packed(FILES, form) for form in FORMS]),
    at=st.integers(0, 10**6),
    what=st.binary(min_size=1, max_size=12),
    cut=st.one_of(st.none(), st.integers(0, 10**6)),
)
def test_damaged_archives_raise_nothing_else(base, at, what, cut):
    at %= len(base)
    content = base[:at] + what + base[at + len(what) :]
    content = content if cut is None else content[: cut % len(content)]
    try:
        files = unpack(content, limits=SMALL)
    except InputError as error:
        assert error.field == "archive"
    else:
        assert all(check_path(name, "path") is None for name in files)


@settings(max_examples=100, deadline=None)
@given(paths=st.lists(NAMES, min_size=1, max_size=3))
def test_paths_written_stay_inside(paths):
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        (top / "root").mkdir()
        (top / "root" / "a").symlink_to(top)
        for path in paths:
            try:
                write_under(top / "root", {path: b"evil"})
            except InputError as error:
                assert error.field == "archive"
        assert [name for name, _ in sentinel(top) if not name.startswith("root")] == []


def test_nothing_is_replaced_or_written_through_a_link(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "target")
    (tmp_path / "root" / "there").write_text("kept")
    for path in ("link", "link/x", "there", "there/x"):
        with pytest.raises(InputError, match=path):
            write_under(tmp_path / "root", {path: b"evil"})
    write_under(tmp_path / "root", {"new/deep/x.py": b"1"})
    assert (tmp_path / "root/new/deep/x.py").read_bytes() == b"1"
    assert not (tmp_path / "target").exists()
    assert (tmp_path / "root" / "there").read_text() == "kept"


PROJECT = {
    "src/calc.py": b"def add(a, b):\n    return a - b\n",
    "src/other.py": b"def twice(x):\n    return 2 * x\n",
    "tests/test_calc.py": b"from src.calc import add\n\n\ndef test_add():\n    assert add(2, 3) == 5\n",
    "tests/conftest.py": b"",
    "logo.png": b"\x89PNG\0\xff",
}


def body(**fields):
    return RepairIn.model_validate({"archive": base64.b64encode(packed(PROJECT)).decode(), **fields})


def paths_of(sent):
    return [source.path for source in sent.to_sources()]


def test_sources_of_an_archive_are_all_but_tests():
    sent = body(test={"command": "pytest"})
    assert paths_of(sent) == ["src/calc.py", "src/other.py"]
    assert sorted(sent.test_files()) == ["logo.png", "tests/conftest.py", "tests/test_calc.py"]
    assert sent.test_files()["logo.png"] == PROJECT["logo.png"]


def test_the_error_names_the_sources():
    error = 'Traceback (most recent call last):\n  File "/w/src/other.py", line 2, in twice\nTypeError: no'
    sent = body(error=error, test={})
    assert paths_of(sent) == ["src/other.py"]
    assert "src/calc.py" in sent.test_files()


def test_paths_and_location_name_the_sources():
    assert paths_of(body(paths=["src/calc.py"])) == ["src/calc.py"]
    span = {"start_line": 1, "end_line": 2}
    assert paths_of(body(location={"path": "src/other.py", "span": span})) == ["src/other.py"]


def test_files_replace_members():
    sent = body(files=[{"path": "src/calc.py", "text": "new = 1\n"}], test={"command": "pytest"})
    assert [(s.path, s.text) for s in sent.to_sources()] == [("src/calc.py", "new = 1\n")]
    assert sorted(sent.test_files()) == ["logo.png", "src/other.py", "tests/conftest.py", "tests/test_calc.py"]


def test_test_files_replace_members():
    sent = body(test={"files": [{"path": "tests/test_calc.py", "text": "pass\n"}]})
    assert sent.test_files()["tests/test_calc.py"] == b"pass\n"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"paths": ["none.py"]}, "paths.0"),
        ({"paths": ["src/calc.py", "logo.png"]}, "paths.1"),
        ({"archive": "%%%"}, "archive"),
        ({"archive": "aGVsbG8="}, "archive"),
        ({"archive": base64.b64encode(packed({"test_x.py": b""})).decode()}, "archive"),
        ({"archive": base64.b64encode(packed({f"m{n}.py": b"" for n in range(65)})).decode()}, "paths"),
        ({"files": [{"path": "src", "text": ""}]}, "files.0.path"),
        ({"test": {"files": [{"path": "src/calc.py", "text": ""}]}, "paths": ["src/calc.py"]}, "test.files.0.path"),
        ({"test": {"files": [{"path": "logo.png/x", "text": ""}]}}, "test.files.0.path"),
        ({"test": {}, "archive": base64.b64encode(packed({"a.py": b""})).decode()}, "test"),
    ],
)
def test_unusable_archives_are_refused(fields, field):
    with pytest.raises(InputError) as caught:
        sent = body(**fields)
        sent.to_sources()
        sent.test_files()
    assert caught.value.field == field


def test_paths_without_an_archive_are_refused():
    sent = RepairIn.model_validate({"files": [{"path": "a.py", "text": ""}], "paths": ["b.py"]})
    with pytest.raises(InputError, match="there is none"):
        sent.to_sources()


def test_an_archive_is_not_dumped_unpacked():
    sent = body()
    sent.to_sources()
    assert RepairIn.model_validate_json(sent.model_dump_json()) == sent


def test_a_project_in_an_archive_is_repaired():
    sent = body(test={})
    request = sent.to_request(max_candidates=30, max_seconds=60)
    judging = Judging("C", python=Path(sys.executable))
    with sent_oracle(request, judging, sent.test.command, sent.test_files()) as oracle:
        *_, last = events_of(request, None, oracle)
    assert isinstance(last, Finished)
    assert last.result.chosen.candidate.patch.paths == ("src/calc.py",)
