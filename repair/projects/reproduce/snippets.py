"""Code that stands in a report: fenced and indented blocks, `>>>` sessions, `python -c`, code words. Pure.

That a report's own code is the best start of a reproduction: Kang et al., "Large Language Models are Few-shot
Testers" (LIBRO), ICSE 2023, who let a model write it; here it is taken as it stands.
"""

from __future__ import annotations

import ast
import re
import shlex
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from repair.projects.reproduce.index import Function, parsed
from repair.projects.reproduce.writing import Draft

_FENCE = re.compile(r"^[ \t]*(```+|~~~+)[ \t]*([\w+-]*)[^\n]*\n(.*?)^[ \t]*\1[ \t]*$", re.DOTALL | re.MULTILINE)
_PROMPT = re.compile(r"^\s*(>>>|\.\.\.|In \[\d+\]:)(?: (.*))?$")
_INLINE = re.compile(r"(?<!`)`([^`\n]{3,200})`(?!`)")
_COMMAND = re.compile(r"^\s*(?:\$ |> )?(python[\d.]*(?: -\w)* -c\s.+)$", re.MULTILINE)
_EXPECTED = re.compile(
    r"(?:expect(?:ed|ing)?(?: result| output| value| behaviou?r)?|should (?:be|return|give|print|have been))"
    r"\s*(?:is|was|:|to be|to return|to get|=)?\s*`*([^\n`]+?)`*(?:,? (?:but )?(?:got|gets?|was|is|not)\b[^\n]*)?\s*$",
    re.IGNORECASE | re.MULTILINE,
)
_GOT = re.compile(r"(?:but )?(?:got|gets?|returns|returned|instead|actual(?: result| output)?|gives?|prints?)"
                  r"\s*(?:is|was|:|=)?\s*`*([^\n`,]+)`*", re.IGNORECASE)  # fmt: skip
_LANGUAGES = frozenset({"", "py", "python", "python3", "pycon", "console", "ipython", "text", "sh", "bash", "shell"})
_MOST = 8
_MOST_BYTES = 20_000
_ERROR = re.compile(r"Traceback \(most|^\s*File \"|^\w*(?:Error|Exception)\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Wrong:
    """A report of a wrong result: `expression` after `before` gives `got` ("" unknown), and should give `wanted`."""

    before: Draft
    expression: str
    wanted: str
    got: str


def snippets(report: str) -> tuple[Draft, ...]:
    """Programs in the report, in the order of how plainly they are meant to be run."""
    texts = dict.fromkeys(text.strip("\n") for text in _texts(report[:200_000]) if len(text) <= _MOST_BYTES)
    drafts = (draft_of(text) for text in texts)
    return tuple(draft for draft in drafts if draft is not None)[:_MOST]


def _texts(report: str) -> Iterator[str]:
    fences = [(found[2].lower(), textwrap.dedent(found[3])) for found in _FENCE.finditer(report)]
    outside = _FENCE.sub("\n", report)
    sessions = [s for text in (*(t for _, t in fences), outside) if (s := "\n".join(c for c, _ in session(text)))]
    plain = [t for language, t in fences if language in _LANGUAGES and ">>>" not in t and not _ERROR.search(t)]
    if len(plain) > 1:  # often a file and then its use
        yield "\n".join(plain)
    yield from plain
    yield from sessions
    yield from (code for text in (report,) for code in _commands(text))
    yield from _indented(outside)
    yield from (code for code in _INLINE.findall(outside) if _is_call(code))


def session(text: str) -> list[tuple[str, str]]:
    """The inputs of an interactive session with what each printed."""
    parts: list[tuple[list[str], list[str]]] = []
    for line in text.split("\n"):
        found = _PROMPT.match(line)
        if found and found[1] != "...":
            parts.append(([found[2] or ""], []))
        elif found and parts and not parts[-1][1]:
            parts[-1][0].append(found[2] or "")
        elif parts:
            parts[-1][1].append(line)
    return [("\n".join(code).rstrip(), "\n".join(out).strip()) for code, out in parts if any(code)]


def _commands(report: str) -> Iterator[str]:
    for found in _COMMAND.finditer(report):
        try:
            words = shlex.split(found[1])
        except ValueError:
            continue
        yield words[words.index("-c") + 1] if "-c" in words[:-1] else ""


def _indented(text: str) -> Iterator[str]:
    """Blocks indented by four blanks (Markdown's code) that hold a call."""
    for block in re.findall(r"(?:^(?: {4}|\t)[^\n]*\n(?:[ \t]*\n)*)+", text + "\n", re.MULTILINE):
        if ">>>" not in block and not _ERROR.search(block) and "(" in block:
            yield textwrap.dedent(block)


def _is_call(code: str) -> bool:
    tree = parsed(code)
    nodes = list(ast.walk(tree)) if tree else []
    return any(isinstance(n, ast.Call) and (n.args or n.keywords) for n in nodes)


def draft_of(text: str, origin: str = "the report's code", about: str = "") -> Draft | None:
    """A program as a test: its imports above, its statements as the body; None for what is no Python."""
    tree = parsed(text) or parsed(_without_tail(text))
    if tree is None or not tree.body:
        return None
    imports: list[str] = []
    body: list[str] = []
    for node in _statements(tree.body):
        code = ast.get_source_segment(text, node, padded=True) or ast.unparse(node)
        if isinstance(node, Function | ast.ClassDef) and node.decorator_list:
            first = node.decorator_list[0].lineno
            code = "\n".join(text.split("\n")[first - 1 : node.end_lineno])
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports += _single(node)
        else:
            body.append(textwrap.dedent(code))
    return Draft(tuple(imports), tuple(body), about or _subject(tree), origin) if body or imports else None


def _statements(nodes: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements, those under `if __name__ == "__main__":` as if they stood at the top."""
    for node in nodes:
        if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            yield from node.body
        else:
            yield node


def _single(node: ast.Import | ast.ImportFrom) -> list[str]:
    """`import a, b` as two; a `from` import stays whole."""
    if isinstance(node, ast.ImportFrom):
        return [ast.unparse(node)]
    return [ast.unparse(ast.Import([alias])) for alias in node.names]


def _without_tail(text: str) -> str:
    """The longest beginning, cut at a line that begins at the margin, that is Python: what follows is output."""
    lines = text.split("\n")
    cuts = [n for n, line in enumerate(lines) if line[:1].strip()][-60:]
    return next((t for n in reversed(cuts) if parsed(t := "\n".join(lines[:n])) is not None), "")


def _subject(tree: ast.Module) -> str:
    """The name of the last call."""
    names = [n.func.attr if isinstance(n.func, ast.Attribute) else n.func.id
             for n in ast.walk(tree.body[-1])
             if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute | ast.Name)]  # fmt: skip
    return next((name for name in names if name != "print"), "report")


def wrong_results(report: str) -> tuple[Wrong, ...]:
    """Results that the report calls wrong, with the right ones: sessions, and code with "expected ..." beside it."""
    found: list[Wrong] = []
    wanted = [value for m in _EXPECTED.finditer(report) if (value := literal(m[1]))]
    if not wanted:
        return ()
    said = next((value for m in _GOT.finditer(report) if (value := literal(m[1]))), "")
    parts = session(report)
    for number, (_, out) in enumerate(parts):
        got = literal(out.split("\n")[0]) or said
        _add(found, "\n".join(c for c, _ in parts[: number + 1]), wanted[-1], got)
    for text in () if found else _texts(report):
        _add(found, text, wanted[-1], said)
    return tuple(found[-4:])


def _add(found: list[Wrong], program: str, wanted: str, got: str) -> None:
    draft, tree = draft_of(program, "the report's code"), parsed(program)
    last = tree.body[-1] if tree and tree.body else None
    if draft is None or not isinstance(last, ast.Expr) or got == wanted:
        return
    call = last.value
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "print" and call.args:
        call = call.args[0]
    before = Draft(draft.imports, draft.body[:-1], draft.about, draft.origin)
    found.append(Wrong(before, ast.unparse(call), wanted, got))


def literal(text: str) -> str:
    """The literal that a text is, or begins with, as source; "" when it is none."""
    for candidate in (text.strip(), text.strip().rstrip("."), text.strip().split(" ")[0].rstrip(".,;")):
        try:
            return ast.unparse(ast.Constant(v)) if not isinstance(v := ast.literal_eval(candidate), list | dict | set |
                                                                  tuple) else repr(v)  # fmt: skip
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return ""
