"""Diffs against real git: what we render git applies byte for byte, what git renders we read."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repair.diffs import diff_paths, parse_diff, quote_path, render_diff, split_lines, unquote_path
from repair.edits import Edit, FilePatch, Patch, Span
from repair.errors import PatchError
from repair.sources import Source

# what has broken diffs before: separators that only str.splitlines knows, CRLF, astral characters
PIECES = ["a", "b\n", "\n", "c\r\n", "x\u2028y\n", "\x0c\n", "\U0001f600\n", "+z\n", "-z\n", " z\n", "@@ -1 +1 @@\n",
          "\\ No newline at end of file\n", "--- a/x\n", "\r", "\x85", "é\n", "same\n", "same\n"]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=24).map("".join)
PATHS = st.sampled_from(
    ["a.py", "a b.py", 'q"uote.py', "é/ü.py", "tab\tin.py", "b/b/x.py", "new\nline.py", "\U0001f600.js"]
)


@st.composite
def changes(draw):
    """A source and a patch of it, made of one to four edits."""
    text = draw(TEXTS)
    source = Source(draw(PATHS), text, bom=draw(st.booleans()))
    cuts = sorted(
        draw(st.lists(st.integers(0, len(text)), min_size=2, max_size=8, unique=True))
        if len(text) > 8
        else [0, len(text)]
    )
    edits = [
        Edit(Span(start, end), draw(st.lists(st.sampled_from(PIECES), max_size=3).map("".join)))
        for start, end in zip(cuts[::2], cuts[1::2], strict=False)
    ]
    return source, Patch((FilePatch(source.path, tuple(edits)),))


def _git(root: Path, *argv: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(("git", *argv), cwd=root, input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def _batch(cases: list[tuple[Source, Patch]]) -> list[tuple[Source, Patch]]:
    """Each case in a directory of its own, so that one call of git does them all."""
    placed: list[tuple[Source, Patch]] = []
    for number, (source, patch) in enumerate(cases):
        path = f"{number}/{source.path}"
        files = tuple(FilePatch(path, file.edits) for file in patch.files)
        placed.append((Source(path, source.text, bom=source.bom), Patch(files)))
    return placed


def _write(root: Path, source: Source) -> None:
    target = root / source.path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.to_bytes())


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(cases=st.lists(changes(), min_size=10, max_size=20))
def test_git_applies_what_we_render(cases, tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    placed = _batch(cases)
    for source, _ in placed:
        _write(root, source)
    diff = "".join(render_diff(patch, {source.path: source}) for source, patch in placed)
    if diff:
        _git(root, "apply", "--whitespace=nowarn", "-", stdin=diff.encode())
    for source, patch in placed:
        wanted = source.with_text(patch.apply({source.path: source.text})[source.path])
        assert (root / source.path).read_bytes() == wanted.to_bytes()


@settings(max_examples=150, deadline=None)
@given(changes())
def test_parse_reads_what_render_writes(case):
    source, patch = case
    sources = {source.path: source}
    diff = render_diff(patch, sources)
    after = patch.apply({source.path: source.text})
    if not diff:
        assert after == {source.path: source.text}
        return
    assert diff_paths(diff) == (source.path,)
    assert parse_diff(diff, sources).apply({source.path: source.text}) == after


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(cases=st.lists(changes(), min_size=5, max_size=15))
def test_we_read_what_git_renders(cases, tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    _git(root, "init", "-q")
    _git(root, "config", "core.autocrlf", "false")
    placed = _batch(cases)
    for source, _ in placed:
        _write(root, source)
    _git(root, "add", "-A")
    after: dict[str, Source] = {}
    for source, patch in placed:
        after[source.path] = source.with_text(patch.apply({source.path: source.text})[source.path])
        _write(root, after[source.path])
    diff = _git(root, "diff", "--text", "--no-color").decode()
    changed = {s.path: s for s, _ in placed if after[s.path] != s}
    if not changed:
        assert diff == ""
        return
    patch = parse_diff(diff, changed)
    assert patch.apply({p: s.text for p, s in changed.items()}) == {p: after[p].text for p in changed}


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_quoted_paths_come_back(path):
    assert unquote_path(quote_path(path)) == path


def test_rendered_diff_is_the_usual_one():
    source = Source("pkg/a.py", "".join(f"line {n}\n" for n in range(1, 12)))
    patch = Patch((FilePatch("pkg/a.py", (Edit(source.line_span(6), "LINE 6"),)),))
    assert render_diff(patch, {"pkg/a.py": source}) == (
        "diff --git a/pkg/a.py b/pkg/a.py\n--- a/pkg/a.py\n+++ b/pkg/a.py\n@@ -3,7 +3,7 @@\n"
        " line 3\n line 4\n line 5\n-line 6\n+LINE 6\n line 7\n line 8\n line 9\n"
    )


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("a b.py", "--- a/a b.py\t\n+++ b/a b.py\t\n"),
        ("é.py", '--- "a/\\303\\251.py"\n+++ "b/\\303\\251.py"\n'),
    ],
)
def test_paths_are_named_as_git_names_them(path, names):
    patch = Patch((FilePatch(path, (Edit(Span(0, 0), "x\n"),)),))
    assert names in render_diff(patch, {path: Source(path, "y\n")})


def test_missing_final_newline_is_marked():
    source = Source("a.py", "x = 1")
    diff = render_diff(Patch((FilePatch("a.py", (Edit(Span(4, 5), "2"),)),)), {"a.py": source})
    assert diff.endswith("@@ -1 +1 @@\n-x = 1\n\\ No newline at end of file\n+x = 2\n\\ No newline at end of file\n")


def test_distant_edits_make_two_hunks_and_near_ones_one():
    source = Source("a.py", "".join(f"{n}\n" for n in range(40)))
    far = Patch((FilePatch("a.py", (Edit(source.line_span(2), "x\ny"), Edit(source.line_span(30), "z"))),))
    near = Patch((FilePatch("a.py", (Edit(source.line_span(2), "x"), Edit(source.line_span(8), "z"))),))
    assert render_diff(far, {"a.py": source}).count("\n@@ ") == 2
    assert "@@ -27,7 +28,7 @@" in render_diff(far, {"a.py": source})
    assert render_diff(near, {"a.py": source}).count("\n@@ ") == 1


def test_a_large_replaced_file_is_rendered_in_time():
    old, new = "same\n" * 3000, "same\n" * 2999 + "other\n"
    source = Source("a.py", old)
    patch = Patch((FilePatch("a.py", (Edit(Span(0, len(old)), new),)),))
    assert parse_diff(render_diff(patch, {"a.py": source}), {"a.py": source}).apply({"a.py": old}) == {"a.py": new}


SOURCE = Source("a.py", "one\ntwo\nthree\n")
HEAD = "--- a/a.py\n+++ b/a.py\n"


@pytest.mark.parametrize(
    ("diff", "says"),
    [
        ("", "no unified diff"),
        ("just words\n", "no unified diff"),
        (HEAD, "no hunk follows"),
        (HEAD + "@@ -1,2 +1,2 @@\n one\n-zwei\n+TWO\n", "a.py: line 2 is 'two', the diff expects 'zwei'"),
        (HEAD + "@@ -2,2 +2,2 @@\n one\n-two\n+TWO\n", "a.py: line 2 is 'two', the diff expects 'one'"),
        (HEAD + "@@ -1,2 +1,2 @@\n one\r\n-two\n+TWO\n", "a.py: line 1 differs in how it ends"),
        (HEAD + "@@ -3 +3 @@\n-three\n\\ No newline at end of file\n+THREE\n", "line 3 differs in how it ends"),
        (HEAD + "@@ -3,2 +3,2 @@\n three\n-four\n+FOUR\n", "the file ends before line 4"),
        (HEAD + "@@ -9,0 +10 @@\n+x\n", "line 10 of the hunk of line 3 is not there"),
        (HEAD + "@@ -1,3 +1,3 @@\n one\n-two\n+TWO\n", "cut short"),
        (HEAD + "@@ -1,2 +1,2 @@\n one\n-two\n+TWO\n three\n", "more lines than the hunk's header counts"),
        (HEAD + "@@ -1,1 +1,1 @@\n-one\n-two\n+TWO\n", "more lines than the hunk's header counts"),
        (HEAD + "@@ -1 +1 @@\n-one\nthree\n", "neither context nor change"),
        (HEAD + "@@ what @@\n", "not a hunk's header"),
        (HEAD + "@@ -0,1 +1 @@\n-one\n+x\n", "counted from 1"),
        (HEAD + "@@ -2 +2 @@\n-two\n+TWO\n@@ -1 +1 @@\n-one\n+ONE\n", "overlaps"),
        (HEAD + "@@ -1 +1 @@\n-one\n+ONE\n\\ No newline at end of file\n", "without newline in the middle"),
        ("@@ -1 +1 @@\n-one\n+ONE\n", "before any file"),
        ("--- a/b.py\n+++ b/b.py\n@@ -1 +1 @@\n-one\n+ONE\n", "b.py, which is not among the sources"),
        ("--- /dev/null\n+++ b/a.py\n@@ -0,0 +1 @@\n+x\n", "creates b/a.py"),
        ("--- a/a.py\n+++ /dev/null\n@@ -1,3 +0,0 @@\n-one\n-two\n-three\n", "deletes a/a.py"),
        ("--- a/a.py\n+++ b/c.py\n@@ -1 +1 @@\n-one\n+ONE\n", "renames a.py to c.py"),
        ("diff --git a/a.py b/a.py\nold mode 100644\nnew mode 100755\n" + HEAD, "changes a mode"),
        ("diff --git a/a.py b/c.py\nsimilarity index 90%\nrename from a.py\nrename to c.py\n", "renames a file"),
        ("diff --git a/a.py b/a.py\nnew file mode 100644\n", "creates a file"),
        ("diff --git a/a.png b/a.png\nBinary files a/a.png and b/a.png differ\n", "is binary"),
        ("diff --git a/a.png b/a.png\nGIT binary patch\nliteral 3\n", "is binary"),
        ('--- "a/a.py\n+++ "b/a.py\n@@ -1 +1 @@\n-one\n+ONE\n', "no closing quote"),
        ('--- "a/\\377.py"\n+++ "b/\\377.py"\n@@ -1 +1 @@\n-one\n+ONE\n', "not utf-8"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(diff, says):
    with pytest.raises(PatchError) as caught:
        parse_diff(diff, {"a.py": SOURCE})
    assert says in str(caught.value)


def test_a_newline_missing_before_an_insertion_is_refused():
    source = Source("a.py", "one")
    with pytest.raises(PatchError, match="without newline in the middle"):
        parse_diff(HEAD + "@@ -1,0 +2 @@\n+two\n", {"a.py": source})


def test_a_moved_byte_order_mark_is_refused():
    source = Source("a.py", "one\n", bom=True)
    with pytest.raises(PatchError, match="byte order mark"):
        parse_diff(HEAD + "@@ -1 +1 @@\n-\ufeffone\n+ONE\n", {"a.py": source})
    kept = parse_diff(HEAD + "@@ -1 +1 @@\n-\ufeffone\n+\ufeffONE\n", {"a.py": source})
    assert kept.apply({"a.py": "one\n"}) == {"a.py": "ONE\n"}


@pytest.mark.parametrize(
    "head",
    [
        "From 1234 Mon Sep 17 00:00:00 2001\nSubject: rename the thing\n\nnew mode of work\n---\n a.py | 2 +-\n\n"
        "diff --git a/a.py b/a.py\nindex 123..456 100644\n--- a/a.py\n+++ b/a.py\n",
        "--- a/a.py\t2024-01-01 00:00:00\n+++ b/a.py\t2024-01-02 00:00:00\n",
        "--- a.py\n+++ a.py\n",
        "--- i/a.py\n+++ w/a.py\n",
    ],
)
def test_usual_heads_are_read(head):
    patch = parse_diff(head + "@@ -1,3 +1,3 @@ def f\n one\n-two\n+TWO\n three\n-- \n2.39.5\n\n", {"a.py": SOURCE})
    assert patch.apply({"a.py": SOURCE.text}) == {"a.py": "one\nTWO\nthree\n"}


def test_an_empty_context_line_may_lack_its_blank():
    source = Source("a.py", "one\n\ntwo\n")
    patch = parse_diff(HEAD + "@@ -1,3 +1,3 @@\n one\n\n-two\n+TWO\n", {"a.py": source})
    assert patch.apply({"a.py": source.text}) == {"a.py": "one\n\nTWO\n"}


def test_lines_are_cut_at_newlines_only():
    assert split_lines("a\u2028b\x0cc\r\nd\n\ne") == ["a\u2028b\x0cc\r\n", "d\n", "\n", "e"]


def test_an_empty_patch_has_no_diff_and_an_unknown_path_is_refused():
    assert render_diff(Patch(()), {}) == ""
    with pytest.raises(PatchError, match="not among the sources"):
        render_diff(Patch((FilePatch("b.py", (Edit(Span(0, 0), "x"),)),)), {"a.py": SOURCE})
