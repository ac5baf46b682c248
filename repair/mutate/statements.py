"""Operators on statements: delete, insert, move, change their level, guard them."""

from __future__ import annotations

from collections.abc import Iterator

from repair.languages import Node
from repair.mutate.conditions import donors
from repair.mutate.context import Context, split_lines
from repair.mutate.mutation import Change

_DEFINITIONS = ("function_definition", "class_definition", "decorated_definition", "import_statement",
                "import_from_statement", "future_import_statement", "function_declaration", "class_declaration",
                "export_statement", "global_statement", "nonlocal_statement")  # fmt: skip


def _lines(context: Context, node: Node) -> tuple[int, int]:
    """The whole lines of a node."""
    return context.line_start(node.start), context.line_end(node.end)


def _docstring(context: Context, node: Node) -> bool:
    inner = node.named_children
    return len(inner) == 1 and inner[0].kind in context.table.strings and node.kind == "expression_statement"


def _movable(context: Context, node: Node) -> bool:
    return (
        context.in_block(node)
        and context.owns_lines(node)
        and node.kind not in _DEFINITIONS
        and not _docstring(context, node)
    )


def _may_reflow(context: Context, node: Node) -> bool:
    """Whether the lines of a movable statement may be indented anew: no string goes over several of them."""
    if not _movable(context, node):
        return False
    strings = (n for n in node.walk() if n.kind in context.table.strings)
    return not any("\n" in context.text(s) for s in strings)


def delete_statement(context: Context, node: Node) -> Iterator[Change]:
    """The statement is gone; a block that would be empty gets an empty statement."""
    if not _movable(context, node) or node.parent is None or context.text(node) == context.words.empty:
        return
    if context.words.empty and len(context.statements(node.parent)) == 1:
        yield node.start, node.end, context.words.empty
    else:
        start, end = _lines(context, node)
        yield start, end, ""


def delete_arm(context: Context, node: Node) -> Iterator[Change]:
    """An else, elif or finally arm is gone."""
    if node.parent is None or node.kind not in context.table.else_clauses:
        return
    arms = [c for c in node.parent.children if c.kind in context.table.else_clauses or c.kind == "except_clause"]
    if node.kind == "finally_clause" and len(arms) == 1:
        return
    if context.owns_lines(node):
        start, end = _lines(context, node)
        yield start, end, ""
    elif not context.table.layout:
        yield node.start, node.end, ""


def _dedented(text: str, unit: str) -> str:
    return "".join(line.removeprefix(unit) for line in split_lines(text))


def _indented(text: str, unit: str) -> str:
    return "".join(unit + line if line.strip() else line for line in split_lines(text))


def _full_lines(context: Context, start: int, end: int) -> str:
    text = context.between(start, end)
    return text if text.endswith("\n") else text + context.tree.source.newline


def unguard(context: Context, node: Node) -> Iterator[Change]:
    """`if c: body` becomes `body`."""
    body = node.child("consequence") or node.child("body")
    if body is None or not _may_reflow(context, node) or node.child("alternative") is not None:
        return
    if any(c.kind in context.table.else_clauses for c in node.children):
        return
    inner = context.statements(body)
    if inner and context.owns_lines(inner[0]) and context.owns_lines(inner[-1]):
        start, end = _lines(context, node)
        text = context.between(context.line_start(inner[0].start), context.line_end(inner[-1].end))
        yield start, end, _dedented(text, context.unit())


def add_else(context: Context, node: Node) -> Iterator[Change]:
    """`if c: a` and the statement behind become `if c: a` `else: statement`."""
    following = _sibling(context, node, 1)
    if following is None or not context.words.otherwise or not _movable(context, node):
        return
    if (
        node.child("alternative") is not None
        or not context.owns_lines(following)
        or not _may_reflow(context, following)
    ):
        return
    indent, unit, newline = context.indentation(node), context.unit(), context.tree.source.newline
    start, end = _lines(context, following)
    if context.table.layout:
        yield start, end, f"{indent}else:{newline}" + _indented(_full_lines(context, start, end), unit)


def _sibling(context: Context, node: Node, step: int) -> Node | None:
    if node.parent is None or not context.in_block(node):
        return None
    items = context.statements(node.parent)
    at = next((n for n, item in enumerate(items) if item is node), -1)
    return items[at + step] if at >= 0 and 0 <= at + step < len(items) else None


def swap_statements(context: Context, node: Node) -> Iterator[Change]:
    """A statement and the next one change places."""
    following = _sibling(context, node, 1)
    if following is None or not _movable(context, node) or not _movable(context, following):
        return
    one, two = _lines(context, node), _lines(context, following)
    if one[1] > two[0]:
        return
    second = _full_lines(context, *two)
    first = _full_lines(context, *one)
    yield one[0], two[1], second + context.between(one[1], two[0]) + first


def move_statement(context: Context, node: Node) -> Iterator[Change]:
    """A statement moves over two to four of the following ones, or of those in front of it."""
    if not _movable(context, node) or node.parent is None:
        return
    items = context.statements(node.parent)
    at = next((n for n, item in enumerate(items) if item is node), 0)
    own = _lines(context, node)
    text = _full_lines(context, *own)
    for other in (at + 2, at - 2, at + 3, at - 3, at + 4, at - 4):
        if 0 <= other < len(items) and _movable(context, items[other]):
            start, end = _lines(context, items[other])
            if other > at and own[1] < end:
                yield own[0], end, _full_lines(context, own[1], end) + text
            elif other < at and start < own[0]:
                yield start, own[1], text + context.between(start, own[0])


def may_dedent(context: Context, node: Node) -> bool:
    """Whether a statement is the last of several in a block of a compound statement."""
    block = node.parent
    if block is None or block.parent is None or block.kind not in context.words.blocks:
        return False
    if block.parent.kind in context.table.functions | context.table.classes:
        return False
    items = context.statements(block)
    return len(items) > 1 and items[-1] is node


def may_indent(context: Context, node: Node) -> bool:
    """Whether the statement in front has a block."""
    before = _sibling(context, node, -1)
    return before is not None and any(c.kind in context.words.blocks for c in before.children)


def dedent_statement(context: Context, node: Node) -> Iterator[Change]:
    """The last statement of a block moves behind it, one level out."""
    block = node.parent
    if block is None or block.parent is None or not context.table.layout:
        return
    if not may_dedent(context, node) or not _may_reflow(context, node):
        return
    owner = block.parent
    outer = context.indentation(owner)
    own = context.indentation(node)
    if len(outer) < len(own) and _ends_compound(context, block):
        start, end = _lines(context, node)
        lines = split_lines(context.between(start, end))
        yield start, end, "".join(outer + line.removeprefix(own) if line.startswith(own) else line for line in lines)


def _ends_compound(context: Context, block: Node) -> bool:
    """Whether no else, except or the like follows the block."""
    at = block
    while at.parent is not None and at.parent.kind not in context.words.blocks:
        later = [c for c in at.parent.children if c.start >= at.end and c.named]
        if any(c.kind not in context.table.comments for c in later):
            return False
        at = at.parent
    return True


def indent_statement(context: Context, node: Node) -> Iterator[Change]:
    """A statement moves into the block that ends in front of it (and one deeper, if that ends with a block)."""
    before = _sibling(context, node, -1)
    if before is None or not context.table.layout or not _may_reflow(context, node):
        return
    own = context.indentation(node)
    start, end = _lines(context, node)
    lines = split_lines(context.between(start, end))
    for deeper in _open_levels(context, before):
        if len(deeper) > len(own):
            moved = "".join(deeper + line.removeprefix(own) if line.startswith(own) else line for line in lines)
            yield start, end, moved


def _open_levels(context: Context, node: Node) -> Iterator[str]:
    """Indentations of the blocks that end where a compound statement ends."""
    at: Node | None = node
    while at is not None:
        at = next((c for c in reversed(at.children) if c.named and c.kind not in context.table.comments), None)
        if at is not None and at.kind in context.words.blocks:
            items = context.statements(at)
            if not items or not context.owns_lines(items[-1]):
                return
            yield context.indentation(items[-1])
            at = items[-1]
        elif at is not None and at.kind not in context.table.else_clauses | {"except_clause"}:
            return


def _insertion(context: Context, node: Node, text: str, *, after: bool = False) -> Change:
    indent, newline = context.indentation(node), context.tree.source.newline
    if not after:
        at = context.line_start(node.start)
        return at, at, f"{indent}{text}{newline}"
    at = context.line_end(node.end)
    lead = "" if context.between(at - 1, at) == "\n" else newline
    return at, at, f"{lead}{indent}{text}{newline}"


def _places(context: Context, node: Node) -> Iterator[bool]:
    """In front of each statement, and behind the last one of a block."""
    yield False
    if node.parent is not None and context.statements(node.parent)[-1] is node:
        yield True


def insert_jump(context: Context, node: Node) -> Iterator[Change]:
    """break, continue, return in front of or behind a statement."""
    if not _movable(context, node):
        return
    end = context.table.terminator
    jumps = [*(context.words.loop_inserts if context.in_loop(node) else ())]
    if context.function(node) is not None:
        jumps += [f"return{end}", *(f"return {r}{end}" for r in context.words.results[:6])]
    for after in _places(context, node):
        for text in jumps:
            yield _insertion(context, node, text, after=after)


def insert_simple(context: Context, node: Node) -> Iterator[Change]:
    """A short statement over one variable in front of or behind a statement."""
    if not _movable(context, node) or context.function(node) is None:
        return
    for after in _places(context, node):
        for template in context.words.inserts:
            for name in context.locals(node)[:10]:
                if name != context.table.self_name:
                    yield _insertion(context, node, template.format(name), after=after)


def insert_assignment(context: Context, node: Node) -> Iterator[Change]:
    """`a = b` over two variables."""
    if not _movable(context, node) or context.function(node) is None:
        return
    names = context.locals(node)[:7]
    end = context.table.terminator
    for after in _places(context, node):
        for one in names:
            for two in names:
                if one != two:
                    yield _insertion(context, node, f"{one} = {two}{end}", after=after)


def insert_copy(context: Context, node: Node) -> Iterator[Change]:
    """A short statement of the same function once more, as it is or with one other variable."""
    function = context.function(node)
    if function is None or not _movable(context, node):
        return
    for text in _short_statements(context, function):
        for after in _places(context, node):
            yield _insertion(context, node, text, after=after)


def insert_variant(context: Context, node: Node) -> Iterator[Change]:
    """A copy of the neighbouring statements with one variable exchanged."""
    if not _movable(context, node):
        return
    for step in (-1, 0, 1):
        near = node if step == 0 else _sibling(context, node, step)
        if near is None or near.end - near.start > 60 or "\n" in context.text(near):
            continue
        for variable in near.walk():
            if variable.kind in context.table.identifiers and context.is_variable(variable):
                head = context.between(near.start, variable.start)
                tail = context.between(variable.end, near.end)
                for name in context.locals(node)[:8]:
                    if name != context.text(variable):
                        yield _insertion(context, node, head + name + tail)


def _short_statements(context: Context, function: Node) -> list[str]:
    key = ("short", function.start)
    known = context.tree.memory.get(key)
    if isinstance(known, list):
        return known
    texts: dict[str, None] = {}
    for node in function.walk():
        if node.kind in context.table.statements and node.end - node.start <= 60 and _movable(context, node):
            text = context.text(node)
            if "\n" not in text and text != context.words.empty:
                texts.setdefault(text)
    result = list(texts)[:16]
    context.tree.memory[key] = result
    return result


def _guards(context: Context, node: Node) -> Iterator[tuple[str, str]]:
    names = [n for n in context.locals(node)[:6] if n != context.table.self_name]
    end = context.table.terminator
    conditions = [*donors(context, node)[:6]]
    conditions += [template.format(name) for template in context.words.conditions for name in names]
    bodies = [*(context.words.loop_inserts if context.in_loop(node) else ())]
    bodies += [f"return {value}{end}" for value in (*names[:4], *context.words.results)]
    bodies.append(f"return{end}")
    for condition in conditions:
        for body in bodies:
            yield condition, body


def insert_guard(context: Context, node: Node) -> Iterator[Change]:
    """`if not x: return y` in front of a statement."""
    if not _movable(context, node) or context.function(node) is None:
        return
    indent, unit, newline = context.indentation(node), context.unit(), context.tree.source.newline
    for condition, body in _guards(context, node):
        text = context.words.guard.format(condition=condition, newline=newline, indent=indent, unit=unit, body=body)
        yield _insertion(context, node, text)


def guard_statement(context: Context, node: Node) -> Iterator[Change]:
    """A statement runs only under a condition."""
    if not _may_reflow(context, node) or context.function(node) is None:
        return
    names = [n for n in context.locals(node)[:8] if n != context.table.self_name]
    indent, unit, newline = context.indentation(node), context.unit(), context.tree.source.newline
    body = _indented(context.text(node), unit).removeprefix(unit)
    conditions = [*donors(context, node), *(t.format(n) for t in context.words.conditions for n in names)]
    for condition in conditions:
        text = context.words.guard.format(condition=condition, newline=newline, indent=indent, unit=unit, body=body)
        yield node.start, node.end, text


def empty_to_jump(context: Context, node: Node) -> Iterator[Change]:
    """A jump, return or copied statement in place of an empty statement or another jump."""
    if not context.in_block(node):
        return
    own, end = context.text(node), context.table.terminator
    wanted = [*(context.words.loop_inserts if context.in_loop(node) else ())]
    function = context.function(node)
    if function is not None:
        wanted += [f"return{end}", *(f"return {r}{end}" for r in context.words.results)]
        wanted += _short_statements(context, function) if own == context.words.empty else []
        wanted += [f"return {name}{end}" for name in context.locals(node)[:8]]
    wanted += [context.words.empty] if context.words.empty else []
    for text in dict.fromkeys(wanted):
        if text != own:
            yield node.start, node.end, text


def chain_conditional(context: Context, node: Node) -> Iterator[Change]:
    """`elif` becomes `if` and back, `if` becomes `while` and back."""
    word = node.children[0]
    text = context.text(word)
    others = {"elif": ("if",), "while": ("if",)}.get(text, ())
    for other in others:
        yield word.start, word.end, other
    if text == "if" and context.in_block(node):
        if node.child("alternative") is None:
            yield word.start, word.end, "while"
        before = _sibling(context, node, -1)
        if before is not None and before.kind == node.kind and context.table.layout:
            yield word.start, word.end, "elif"
