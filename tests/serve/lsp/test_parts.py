"""The pure parts of the language server: positions, settings, fixes of several files; and what it holds in memory."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lsprotocol import types

from repair.candidates import Candidate
from repair.edits import Edit, FilePatch, Patch, Span
from repair.errors import InputError
from repair.verdicts import Judgement, Verdict
from serve.lsp.fixes import Fix
from serve.lsp.options import Options, with_settings
from serve.lsp.positions import BOM, Positions
from serve.lsp.project import Base, Buffer, digest_of, read_project
from serve.lsp.project import test_command as usual_command
from tests.serve.lsp.editor import capabilities, editing


@pytest.mark.parametrize(("encoding", "column"), [("utf-8", 6), ("utf-16", 4), ("utf-32", 3), ("none", 4)])
def test_columns_are_counted_in_the_agreed_unit(encoding, column):
    text = "a\r\né😀x = 1\n"
    assert Positions(text, encoding).at(text.index("x")) == types.Position(1, column - 1 + (encoding == "utf-8"))


def test_every_end_of_line_of_the_protocol_counts_and_no_other():
    text = "a\rb\r\nc\u2028d\x0ce\nf"
    places = Positions(text)
    assert [places.at(text.index(c)).line for c in "abcdef"] == [0, 1, 2, 2, 2, 3]
    assert places.at(len(text)) == types.Position(3, 1)


def test_a_byte_order_mark_shifts_positions_but_is_no_change():
    assert Positions("\ufeffab").at(1) == types.Position(0, 2)
    assert digest_of("\ufeffab") == digest_of("ab")


def test_settings_lie_over_options_and_wrong_ones_are_left_out():
    options, complaints = with_settings(Options(seconds=9), {"testOnSave": True, "seconds": True, "model": None})
    assert options == Options(seconds=9, test_on_save=True)
    assert complaints == ("emend.seconds must be a number; it is left out",)
    assert with_settings(Options(), [1])[1] == ("emend: the settings are no object; nothing of them is used",)
    with pytest.raises(InputError, match="candidates is 0"):
        Options(candidates=0)


def test_a_repair_of_two_files_is_one_edit():
    bases = {
        "a.py": Base(Path("/p/a.py"), "file:///p/a.py", 3, "x = 1\n"),
        "b.py": Base(Path("/p/b.py"), "file:///p/b.py", None, "y = 1\nz = 2\n"),
    }
    patch = Patch(
        (
            FilePatch("a.py", (Edit(Span(4, 5), "2"),)),
            FilePatch("b.py", (Edit(Span(0, 6), ""), Edit(Span(10, 11), "3"))),
        )
    )
    fix = Fix(Judgement(Candidate(patch, "given"), Verdict.PLAUSIBLE), bases, chosen=True)
    assert fix.title == "Repair with Emend (tests passed): x = 2 (and 1 more file)"
    edit = fix.edit("utf-16", versioned=True, annotated=False)
    assert [(c.text_document.uri, c.text_document.version, len(c.edits)) for c in edit.document_changes or ()] == [
        ("file:///p/a.py", 3, 1),
        ("file:///p/b.py", None, 2),
    ]


def test_a_project_holds_buffers_before_files_and_its_tests_are_no_sources(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "test_a.py").write_text("")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "b.py").write_text("")
    (tmp_path / "big.py").write_bytes(b"\0")
    buffers = {
        tmp_path / name: Buffer("file:///x", text, 1) for name, text in (("a.py", "x = 2\n"), ("test_a.py", "t"))
    }
    project = read_project(tmp_path, buffers)
    assert [(s.path, s.text) for s in project.sources] == [("a.py", "x = 2\n")]
    assert project.overlay == {"test_a.py": b"t"} and project.tests == ("test_a.py",)
    assert usual_command(project, None).startswith("python -m ")
    with pytest.raises(InputError, match="no source file that may be repaired"):
        read_project(tmp_path, {}, (tmp_path / "test_a.py",), others=False)


@pytest.mark.asyncio
async def test_suspicious_lines_of_a_document_and_no_torch_before_a_model_is_needed(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("def f(:\n    return 1\n")
    able = capabilities(encodings=("utf-8", "utf-16"))
    async with editing(tmp_path, able=able) as editor:
        assert editor.result.capabilities.position_encoding == types.PositionEncodingKind.Utf8
        editor.open(path)
        found = await editor.command("emend.locate", path.as_uri())
        assert found["suspects"][0]["line"] == 1
        (first, *_) = editor.diagnostics(path)
        assert first.code == "model" and first.severity is types.DiagnosticSeverity.Information
        assert "libtorch" not in Path(f"/proc/{editor.pid}/maps").read_text()


@pytest.mark.asyncio
async def test_each_folder_runs_its_own_tests(tmp_path):
    for name, value in (("good", 1), ("bad", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shelf.py").write_text(f"X = {value}\n")
        (tmp_path / name / "check.py").write_text("from shelf import X\nassert X == 1\n")
    async with editing(tmp_path / "good", tmp_path / "bad", configuration={"test": "python check.py"}) as editor:
        assert (await editor.command("emend.runTests"))["passed"] is False
        assert editor.diagnostics(tmp_path / "bad" / "shelf.py")
        assert not editor.diagnostics(tmp_path / "good" / "shelf.py")


def test_a_project_does_not_choose_where_code_is_sent():
    given = {"model": "http://elsewhere.example/v1#x", "adapter": "a", "python": "p", "seconds": 5}
    options, complaints = with_settings(Options(model="none"), given, from_project=True)
    assert (options, complaints) == (Options(model="none", seconds=5.0), ())
    assert with_settings(Options(), given)[0].model == "http://elsewhere.example/v1#x"


@pytest.mark.parametrize("text", ["a\r\nb\r\n", "\r\n\r\n", "\ufeffa\r\nb", "a\rb\r\n", "a\nb\r\n"])
def test_an_editor_that_keeps_ends_of_lines_whole_makes_the_same_text(text):
    code = text.removeprefix(BOM)
    lines = re.split(r"(?<=\n)|(?<=\r)(?!\n)", text)
    starts = [sum(map(len, lines[:n])) for n in range(len(lines))]

    def offset(position):
        return starts[position.line] + min(position.character, len(lines[position.line].rstrip("\r\n")))

    for start in range(len(code) + 1):
        for end in range(start, len(code) + 1):
            made = Positions(text).edit(Edit(Span(start, end), "x"))
            found = text[: offset(made.range.start)] + made.new_text + text[offset(made.range.end) :]
            assert found == text[: len(text) - len(code)] + code[:start] + "x" + code[end:], (start, end)
