"""Reports of Python's test runners: pytest (long, short, native, line, summary), unittest, doctest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from repair.defects import Evidence, FailingTest, Frame, Traceback
from repair.traces.python import is_header, read_traceback
from repair.traces.text import MAX_MESSAGE_LINES, indent_of, split_error, without_repeats

_SECTION = re.compile(r"_{2,} (.{1,500}) _{2,}$")
_RULER = re.compile(r"(?:={3,}|!{3,})(?: .{1,500} [=!]{3,})?$")
_CAPTURED = re.compile(r"-{3,} Captured .{1,200} -{3,}$")
_PLACE = re.compile(r"([^\s:>][^:]{0,500}|[A-Za-z]:[\\/][^:]{1,500}):(\d{1,9}):(?: (?:in )?(.{1,200}))?$")
_DEF = re.compile(r"\s+(?:async )?def (\w+)")
_SUMMARY = re.compile(r"(?:FAILED|ERROR|(?:SUB|SUBTEST )?FAIL(?:ED)?\(.{0,200}\)|SUBFAIL) (\S.*)$")
_VERBOSE = re.compile(r" (?:FAILED|ERROR)(?: {1,80}\[ {0,2}\d{1,3}%\])?$")
_CASE = re.compile(r"(\S{1,200}) \(([\w.<>]{1,300})\)(.{0,200})$")
_DASHES = re.compile(r"-{20,}$")
_RULED = re.compile(r"[=-]{20,}$")
_STARS = re.compile(r"\*{20,}$")
_DOCTEST = re.compile(r'File "([^"]{1,900})", line (\d{1,9}), in (\S{1,300})$')
_CHAINED = ("During handling of the above exception", "The above exception was the direct cause")

Found = tuple[tuple[Evidence, ...], int] | None


def _test_name(title: str) -> str:
    """The test that a section's title names."""
    for prefix in ("ERROR collecting ", "ERROR at setup of ", "ERROR at teardown of ", "[doctest] "):
        title = title.removeprefix(prefix)
    return title


def _section_end(lines: Sequence[str], at: int) -> int:
    """The index of the line that ends the section whose title is line `at`."""
    end = at + 1
    while end < len(lines) and not _SECTION.match(lines[end]) and not _RULER.match(lines[end]):
        end += 1
    return end


def _blocks(lines: Sequence[str]) -> Iterator[list[str]]:
    """A section's body cut where one exception follows from another; captured output is left out."""
    block: list[str] = []
    for line in lines:
        if _CAPTURED.match(line):
            break
        if line.startswith(_CHAINED):
            yield block
            block = []
        else:
            block.append(line)
    yield block


def _frames(block: Sequence[str]) -> tuple[tuple[Frame, ...], str]:
    """Frames of a block in pytest's long or short style, and the error type that its last line names."""
    frames: list[Frame] = []
    code = function = error_type = ""
    for number, line in enumerate(block):
        place = _PLACE.match(line)
        if line.startswith(">"):
            code = line[1:].strip()
        elif defined := _DEF.match(line):
            function = defined[1]
        elif place and f":{place[2]}: in " in line:
            below = block[number + 1] if number + 1 < len(block) else ""
            frames.append(Frame(place[1], int(place[2]), place[3] or "", below.strip() if below[:1] == " " else ""))
        elif place:
            frames.append(Frame(place[1], int(place[2]), function, code))
            code, function, error_type = "", "", place[3] or ""
    return without_repeats(frames), error_type


def _error_lines(block: Sequence[str]) -> list[str]:
    """What stands behind `E`, without the indentation of its first line."""
    marked = [line[1:] for line in block if line == "E" or line.startswith("E  ")]
    indent = min((indent_of(x) for x in marked if x.strip()), default=0)
    return [x[indent:] for x in marked]


def _error(said: Sequence[str], error_type: str) -> tuple[str, str]:
    """Type and message of the `E` lines; pytest leaves `AssertionError:` away where it rewrote the assert."""
    first = said[0] if said else ""
    error = split_error(first, strict=not (error_type and first.partition(":")[0].endswith(error_type)))
    if error is None:
        kind = error_type if error_type and " " not in error_type else "AssertionError" if said else ""
        error = kind, first
    return error[0], "\n".join([error[1], *said[1:MAX_MESSAGE_LINES]]).strip()


def _trace(block: Sequence[str]) -> list[Traceback]:
    """The exception of one block; more than one when the block holds a native traceback with its chain."""
    header = next((n for n, line in enumerate(block) if is_header(line)), None)
    native = read_traceback(block, header) if header is not None else None
    if native:
        return [t for t in native[0] if isinstance(t, Traceback)]
    frames, error_type = _frames(block)
    said = _error_lines(block)
    place = next((n for n, line in enumerate(said) if line.lstrip().startswith('File "')), None)
    syntax = read_traceback(said, place) if place is not None else None
    if syntax and isinstance(inner := syntax[0][0], Traceback):
        return [Traceback(inner.error_type, inner.message, frames + inner.frames)]
    trace = Traceback(*_error(said, error_type), frames)
    return [trace] if said or frames else []


def read_pytest_section(lines: Sequence[str], at: int) -> Found:
    """A titled section of FAILURES or ERRORS. Its id is completed from the summary afterwards."""
    title = _SECTION.match(lines[at])
    if not title:
        return None
    end = _section_end(lines, at)
    traces = [t for block in _blocks(lines[at + 1 : end]) for t in reversed(_trace(block))][::-1]
    if not traces:
        return None
    if title[1].startswith("[doctest] ") and not traces[0].message:
        said = _expected_and_got(_doctest_parts(lines[at + 1 : end], 0)[0])
        traces[0] = Traceback("DocTestFailure", said, traces[0].frames)
    test = FailingTest(_test_name(title[1]), traces[0].message, traces[0])
    return (test, *traces[1:]), end


def read_pytest_summary(lines: Sequence[str], at: int) -> Found:
    """`FAILED path::test - message`, `ERROR path`, and `path::test FAILED [ 50%]`."""
    verbose = _VERBOSE.search(lines[at])
    if verbose and "::" in lines[at][: verbose.start()]:
        return (FailingTest(lines[at][: verbose.start()]),), at + 1
    found = _SUMMARY.match(lines[at])
    if not found or not (".py" in found[1] or "::" in found[1]):
        return None
    test_id, _, message = found[1].partition(" - ")
    error = split_error(message, strict=True)
    trace = Traceback(error[0], error[1]) if error else Traceback("AssertionError", message) if message else None
    return (FailingTest(test_id, message, trace),), at + 1


def _case_id(title: str) -> str:
    """`test_a (pkg.mod.Case.test_a) (i=1)` as `pkg.mod.Case.test_a (i=1)`, also before Python 3.11."""
    found = _CASE.match(title)
    if not found:
        return title
    whole = found[2] if found[2].endswith(f".{found[1]}") else f"{found[2]}.{found[1]}"
    return whole + found[3]


def read_unittest(lines: Sequence[str], at: int) -> Found:
    """`FAIL: test (case)` or `ERROR: ...`, a ruler, the traceback."""
    title = lines[at]
    if not title.startswith(("FAIL: ", "ERROR: ")):
        return None
    ruler = next((n for n in range(at + 1, min(at + 4, len(lines))) if _DASHES.match(lines[n])), None)
    if ruler is None or ruler + 1 >= len(lines):
        return None
    found = read_traceback(lines, ruler + 1)
    traces = [t for t in found[0] if isinstance(t, Traceback)] if found else []
    end = found[1] if found else ruler + 1
    while end < len(lines) and not _RULED.match(lines[end]):
        end += 1
    trace = traces[0] if traces else None
    test = FailingTest(_case_id(title.partition(": ")[2]), trace.message if trace else "", trace)
    return (test, *traces[1:]), end


def _doctest_parts(lines: Sequence[str], at: int) -> tuple[dict[str, list[str]], int]:
    """The indented text below each of doctest's headings, up to the next row of stars."""
    parts: dict[str, list[str]] = {}
    heading = ""
    while at < len(lines) and not _STARS.match(lines[at]):
        if lines[at][:1].strip():
            heading = lines[at].rstrip(":")
        else:
            parts.setdefault(heading, []).append(lines[at][4:])
        at += 1
    return parts, at


def _expected_and_got(parts: dict[str, list[str]]) -> str:
    wanted, got = ("\n".join(parts.get(key, [])).strip() or "nothing" for key in ("Expected", "Got"))
    return f"expected {wanted}, got {got}"


def read_doctest(lines: Sequence[str], at: int) -> Found:
    """A failed example: where it stands, what was expected, what came."""
    place = _DOCTEST.match(lines[at])
    if not place or at + 1 >= len(lines) or lines[at + 1] != "Failed example:":
        return None
    parts, end = _doctest_parts(lines, at + 1)
    example = "\n".join(parts.get("Failed example", [])).strip()
    raised = parts.get("Exception raised", [])
    found = read_traceback(raised, 0) if raised else None
    trace = found[0][0] if found else None
    if not isinstance(trace, Traceback):
        frame = Frame(place[1], int(place[2]), place[3], example)
        trace = Traceback("DocTestFailure", _expected_and_got(parts), (frame,))
    return (FailingTest(place[3], trace.message, trace, example),), end
