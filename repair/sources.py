r"""Source: one file's text with what is needed to write it back byte for byte; lines and offsets.

Lines end at "\n" only: `str.splitlines` also breaks at \u2028, \x0c and others, which git, editors and
interpreters do not. A "\r" before the "\n" belongs to the terminator.
"""

from __future__ import annotations

import io
import stat
import tokenize
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from repair.edits import Span
from repair.errors import InputError

MAX_SOURCE_BYTES = 4 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_LANGUAGES = {
    ".py": "python", ".pyi": "python", ".js": "javascript", ".mjs": "javascript", ".cjs": "javascript",
    ".jsx": "javascript", ".ts": "typescript", ".mts": "typescript", ".cts": "typescript", ".tsx": "tsx",
    ".java": "java",
}  # fmt: skip


def language_of(path: str) -> str:
    """The language that a file name's ending tells, "text" for one that we do not know."""
    return _LANGUAGES.get(PurePosixPath(path).suffix.lower(), "text")


def _is_text_encoding(name: str) -> bool:
    try:
        "".encode(name)
    except (LookupError, ValueError):
        return False
    return True


def _starts(text: str) -> tuple[int, ...]:
    starts = [0]
    at = text.find("\n")
    while at >= 0:
        starts.append(at + 1)
        at = text.find("\n", at + 1)
    if len(starts) > 1 and starts[-1] == len(text):
        starts.pop()  # a final newline ends the last line, it does not begin another
    return tuple(starts)


@dataclass(frozen=True, slots=True)
class Source:
    """One file: relative posix `path`, decoded `text` (newlines as they are), how to encode it again."""

    path: str
    text: str
    language: str = ""
    encoding: str = "utf-8"
    bom: bool = False
    _line_starts: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.encoding != "utf-8" and not _is_text_encoding(self.encoding):
            raise InputError(f"{self.path}: there is no text encoding {self.encoding!r}", field="encoding")
        if not self.language:
            object.__setattr__(self, "language", language_of(self.path))
        object.__setattr__(self, "_line_starts", _starts(self.text))

    @classmethod
    def from_bytes(cls, path: str, content: bytes, *, language: str = "") -> Source:
        """Decode a file. Raises InputError when it is too large, binary or not decodable."""
        if len(content) > MAX_SOURCE_BYTES:
            raise InputError(f"{path}: {len(content)} bytes; the limit is {MAX_SOURCE_BYTES}", field=path)
        if b"\0" in content:
            raise InputError(f"{path}: looks like a binary file (it has NUL bytes)", field=path)
        bom = content.startswith(_BOM)
        body = content[len(_BOM) :] if bom else content
        encoding = "utf-8"
        if not bom and (language or language_of(path)) == "python":
            try:  # PEP 263: the coding comment of the first two lines
                encoding, _ = tokenize.detect_encoding(io.BytesIO(body).readline)
            except SyntaxError:
                encoding = "utf-8"
        try:
            text = body.decode(encoding)
            if text.encode(encoding) != body:
                raise InputError(f"{path}: its {encoding} text does not survive being read and written", field=path)
        except UnicodeDecodeError as error:
            line = body.count(b"\n", 0, error.start) + 1
            raise InputError(f"{path}: line {line} is not {encoding} text ({error.reason})", field=path) from error
        except (LookupError, UnicodeError) as error:  # a coding comment may name rot13, hex, idna, ...
            raise InputError(f"{path}: cannot be read as {encoding} ({error})", field=path) from error
        return cls(path, text, language, encoding, bom)

    def to_bytes(self) -> bytes:
        """The file's content, byte for byte what `from_bytes` read."""
        try:
            return (_BOM if self.bom else b"") + self.text.encode(self.encoding)
        except UnicodeError as error:
            raise InputError(f"{self.path}: the text cannot be written as {self.encoding}", field=self.path) from error

    def with_text(self, text: str) -> Source:
        """The same file with another text."""
        return Source(self.path, text, self.language, self.encoding, self.bom)

    @property
    def newline(self) -> str:
        r"""The terminator of the first line, "\n" where there is none."""
        at = self.text.find("\n")
        return "\r\n" if at > 0 and self.text[at - 1] == "\r" else "\n"

    @property
    def line_count(self) -> int:
        """How many lines; an empty text has one (empty) line."""
        return len(self._line_starts)

    def line_span(self, first: int, last: int | None = None, *, terminator: bool = False) -> Span:
        """Offsets of lines `first`..`last` (1-based, inclusive), with the last one's terminator on demand."""
        last = first if last is None else last
        if not 1 <= first <= last <= self.line_count:
            raise InputError(f"{self.path}: has no lines {first}-{last} (it has {self.line_count})", field="line")
        end = self._line_starts[last] if last < self.line_count else len(self.text)
        if not terminator and end > self._line_starts[last - 1] and self.text[end - 1] == "\n":
            end -= 1
            if end > self._line_starts[last - 1] and self.text[end - 1] == "\r":
                end -= 1
        return Span(self._line_starts[first - 1], end)

    def line(self, number: int) -> str:
        """The text of one line (1-based) without its terminator."""
        return self.line_span(number).of(self.text)

    @property
    def lines(self) -> Sequence[str]:
        """All lines without terminators."""
        return tuple(self.line(n) for n in range(1, self.line_count + 1))

    def position(self, offset: int) -> tuple[int, int]:
        """1-based line and 1-based column (in characters) of an offset."""
        if not 0 <= offset <= len(self.text):
            raise InputError(f"{self.path}: offset {offset} lies outside of the text", field="offset")
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def offset(self, line: int, column: int = 1) -> int:
        """The offset of a 1-based line and column; a column beyond the line's end is cut to it."""
        span = self.line_span(line)
        return min(span.start + max(column, 1) - 1, span.end)

    def lines_of(self, span: Span) -> tuple[int, int]:
        """First and last line (1-based, inclusive) that a span touches."""
        last = max(span.start, span.end - 1)
        return self.position(span.start)[0], self.position(min(last, len(self.text)))[0]


def read_source(root: Path, path: str) -> Source:
    """Read `root/path`. Raises InputError: missing, a directory, too large, binary, undecodable."""
    full = root / path
    try:
        status = full.stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"{full} is a directory, a source file is needed", field=path)
        if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device may never end
            raise InputError(f"{full} is no regular file", field=path)
        if status.st_size > MAX_SOURCE_BYTES:
            raise InputError(f"{full}: {status.st_size} bytes; the limit is {MAX_SOURCE_BYTES}", field=path)
        return Source.from_bytes(path, full.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{full}: no such file", field=path) from error
    except OSError as error:
        raise InputError(f"{full}: {error.strerror or error}", field=path) from error
    except ValueError as error:  # a NUL in the path
        raise InputError(f"{path!r} cannot be a path ({error})", field=path) from error
