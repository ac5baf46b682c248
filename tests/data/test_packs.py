"""Text packs: nothing twice, nothing lost, no pack larger than it may be."""

import ast
import lzma
import random
import string

import pytest

from data.dedup import Seen
from data.packs import PackFile, Part, distinct, read_packs, shortened, write_packs
from data.recipe import Recipe
from data.sources.packages import CodeFile
from data.store import write_rows
from repair.errors import InputError

COUNT = '''def count_below(values, limit):
    """Count them.

    More of it.
    >>> count_below([1, 5], 3)
    1
    """
    found = 0
    for value in values:
        if value < limit:
            found += 1
    return found
'''
TEXT = """import os


def merge(left, right):
    result = dict(left)
    for key, value in right.items():
        result.setdefault(key, []).extend(value)
    return result
"""


def method_of(text, name):
    return f"class {name}:\n" + "".join(f"    {line}\n" if line else "\n" for line in text.rstrip("\n").split("\n"))


@pytest.fixture
def folder(tmp_path):
    def write(**packages):
        for name, files in packages.items():
            write_rows(tmp_path / "files" / f"{name}.jsonl", ({"path": p, "text": t} for p, t in files.items()))
        return tmp_path

    return write


def packed(out, names, **choices):
    counts = write_packs(names, out / "files", out / "packs", Recipe(pack_mib=1, **choices))
    return counts, list(read_packs(sorted((out / "packs").glob("code-*.jsonl.xz"))))


def test_what_is_packed_is_read_with_what_training_needs(folder):
    out = folder(one={"one/a.py": COUNT}, two={"two/b.py": TEXT})
    counts, files = packed(out, ["one", "two"], algorithmic=("two/",), oversample=3)
    assert [(f.code.package, f.code.path, f.weight) for f in files] == [("one", "one/a.py", 1), ("two", "two/b.py", 3)]
    assert files[0].tests == {"count_below": "assert count_below([1, 5], 3) == 1"}
    assert files[1] == PackFile(CodeFile("two", "two/b.py", TEXT), 3)
    assert "More of it" not in files[0].code.text or files[0].code.text == COUNT  # most docstrings get short
    assert (counts["files"], counts["oversampled"]) == (2, 1)


def test_a_copy_of_a_function_is_cut_out_and_the_rest_still_parses(folder):
    inside = method_of(TEXT.split("\n\n\n")[1], "Only")
    both = TEXT + "\n\n" + COUNT.replace("limit", "bound").replace("found", "number") + "\n\n" + inside
    out = folder(one={"one/a.py": TEXT}, two={"two/b.py": both, "two/copy.py": TEXT})
    counts, files = packed(out, ["one", "two"])
    assert [f.code.path for f in files] == ["one/a.py", "two/b.py"]  # the copy holds nothing else
    tree = ast.parse(files[1].code.text)
    assert [n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)] == ["count_below"]
    assert isinstance(next(n for n in tree.body if isinstance(n, ast.ClassDef)).body[0], ast.Pass)
    assert counts["exact duplicate"] == 3


def test_files_without_functions_are_compared_as_a_whole(folder):
    table = "TABLE = {\n" + "".join(f"    'k{n}': {n * n},\n" for n in range(20)) + "}\n"
    out = folder(one={"one/a.py": table, "one/b.py": table})
    assert [f.code.path for f in packed(out, ["one"])[1]] == ["one/a.py"]


def test_no_pack_exceeds_its_size_and_nothing_is_lost(folder):
    draw = random.Random(4)
    letters = string.ascii_letters + string.digits
    files = {f"one/m{n}.py": f"X{n} = '{''.join(draw.choices(letters, k=390_000))}'\n" for n in range(4)}
    out = folder(one=files)
    (out / "packs").mkdir()
    (out / "packs" / "code-7.jsonl.xz").write_bytes(b"of an earlier build")
    counts, found = packed(out, ["one"])
    sizes = [path.stat().st_size for path in sorted((out / "packs").iterdir())]
    assert len(sizes) == 2 and max(sizes) <= 1 << 20 and sizes == counts["pack_bytes"]
    assert {f.code.path: f.code.text for f in found} == files


def test_functions_in_functions_go_with_them():
    text = f"def outer():\n    {COUNT.replace(chr(10), chr(10) + '    ').rstrip()}\n    return count_below\n"
    _, parts = shortened(CodeFile("p", "a.py", text), Recipe())
    assert [type(p) for p in parts] == [Part] and parts[0].first == 1


def test_nothing_is_lost_where_nothing_is_known():
    found = [shortened(CodeFile("p", "a.py", TEXT), Recipe())]
    assert [f.code.text for f in distinct(found, Seen())] == [TEXT]


def test_a_pack_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match="no such pack"):
        list(read_packs([tmp_path / "code-0.jsonl.xz"]))
    whole = lzma.compress(b'{"package": "p", "path": "a", "text": "' + bytes(range(35, 91)) * 400 + b'"}\n')
    for content in (whole[:-40], b"text", lzma.compress(b'{"path": "a"}\n')):
        (tmp_path / "code-0.jsonl.xz").write_bytes(content)
        with pytest.raises(InputError, match="not a text pack"):
            list(read_packs([tmp_path / "code-0.jsonl.xz"]))


def test_a_negative_size_is_refused():
    with pytest.raises(InputError, match="pack_mib"):
        Recipe(pack_mib=-1)
