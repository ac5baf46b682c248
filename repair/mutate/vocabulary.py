"""Vocabulary: the words that edits in a language are made of: confusable names, wrappers, operators, templates.

Data only, one row per language. What the grammar calls things is in `repair.languages`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from repair.languages import Language, language


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words of one language, in each tuple the likelier first."""

    confusable: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    wrappers: tuple[str, ...] = ()  # f of f(x)
    pair_wrappers: tuple[str, ...] = ()  # f of f(x, y)
    suffixes: tuple[str, ...] = ()  # what may be put behind an expression
    exceptions: tuple[str, ...] = ()
    comparisons: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    arithmetic: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    augmented: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    conditions: tuple[str, ...] = ()  # templates over {0} (and {1}) for a guard or a conjunct
    inserts: tuple[str, ...] = ()  # templates of statements over {0}, in functions
    loop_inserts: tuple[str, ...] = ()  # only in loops
    results: tuple[str, ...] = ()  # values that a function may return
    guard: str = ""  # template over {condition}, {indent}, {body}
    otherwise: str = ""  # template of an else arm over {indent}, {body}
    empty: str = ""  # a statement that does nothing
    counted: frozenset[str] = frozenset()  # functions whose arguments are bounds
    keywords: tuple[str, ...] = ()  # keyword arguments that are often forgotten
    filters: frozenset[str] = frozenset()  # kinds whose only child is a condition
    collections: tuple[str, ...] = ()  # empty collection literals
    expressions: frozenset[str] = frozenset()  # kinds
    no_values: frozenset[str] = frozenset()  # kinds of parents whose children are no free values
    tight: frozenset[str] = frozenset()  # further kinds that bind tighter than binary operators
    blocks: frozenset[str] = frozenset()  # kinds
    openers: tuple[str, ...] = ()  # keywords after which a block must follow


def _groups(text: str) -> dict[str, tuple[str, ...]]:
    """Each word of a group (groups end at a comma) to the others of it, those nearest in the group first."""
    result: dict[str, dict[str, None]] = {}
    for group in text.split(","):
        words = group.split()
        for at, word in enumerate(words):
            others = sorted((o for o in range(len(words)) if o != at), key=lambda o: (abs(o - at), o))
            result.setdefault(word, {}).update(dict.fromkeys(words[o] for o in others))
    return {word: tuple(others) for word, others in result.items()}


_COMPARE = {
    "<": ("<=", ">", ">=", "!=", "=="), "<=": ("<", ">=", ">", "==", "!="), ">": (">=", "<", "<=", "!=", "=="),
    ">=": (">", "<=", "<", "==", "!="), "==": ("!=", "is", "<=", ">=", "in", "<", ">", "is not", "not in"),
    "!=": ("==", "is not", "<", ">", "<=", ">=", "is", "not in"), "is": ("is not", "==", "!=", "in"),
    "is not": ("is", "!=", "==", "not in"), "in": ("not in", "==", "is", "!="), "not in": ("in", "!=", "is not"),
    "===": ("!==", "==", "<=", ">=", "<", ">"), "!==": ("===", "!=", "<", ">", "<=", ">="),
}  # fmt: skip
_ARITHMETIC = {
    "+": ("-", "*", "/", "%", "|"), "-": ("+", "*", "/", "%"), "*": ("+", "**", "/", "-", "//", "%"),
    "/": ("//", "*", "%", "-", "+"), "//": ("/", "%", "*", "-", "+"), "%": ("//", "/", "*", "-", "+"),
    "**": ("*", "+", "//", "^"), "&": ("|", "^", "and", "&&"), "|": ("&", "^", "+"), "^": ("&", "|", "**"),
    "<<": (">>", "*"), ">>": ("<<", "//", ">>>"), ">>>": (">>", "<<"), "@": ("*",),
}  # fmt: skip
_AUGMENTED = {
    "+=": ("-=", "=", "*=", "|=", "/="), "-=": ("+=", "=", "*=", "//="), "*=": ("+=", "=", "/=", "//=", "**="),
    "/=": ("//=", "*=", "="), "//=": ("/=", "%=", "*=", "="), "%=": ("//=", "/=", "="), "&=": ("|=", "^=", "="),
    "|=": ("&=", "^=", "=", "+="), "^=": ("&=", "|=", "="), "<<=": (">>=", "="), ">>=": ("<<=", "="),
    "**=": ("*=", "="), "=": ("+=", "-=", "*=", "|="),
}  # fmt: skip


def _only(swaps: Mapping[str, tuple[str, ...]], tokens: frozenset[str]) -> dict[str, tuple[str, ...]]:
    return {token: tuple(o for o in others if o in tokens) for token, others in swaps.items() if token in tokens}


def _augmented(table: Language) -> frozenset[str]:
    return frozenset({f"{token}=" for token in table.arithmetic} | {"="})


def _python(table: Language) -> Vocabulary:
    return Vocabulary(
        confusable=_groups(
            """
            lower upper title capitalize casefold swapcase, append extend add insert, min max sum, any all, keys
            values items, startswith endswith, floor ceil trunc round, lstrip rstrip strip, find index rfind rindex
            count, pop popleft remove discard, append appendleft, extend extendleft, push pop, split rsplit
            splitlines partition rpartition, isdigit isnumeric isdecimal isalpha isalnum, islower isupper istitle
            isspace, get setdefault pop, update clear copy, sort reverse sorted reversed, list tuple set frozenset
            dict sorted, int float str bool complex, len sum max, range enumerate zip, abs round, sqrt pow exp log,
            sin cos tan, log log2 log10 log1p, isinstance issubclass, getattr hasattr setattr delattr, read readline
            readlines, write writelines, encode decode, dumps loads dump load, join split, union intersection
            difference symmetric_difference, heappush heappop heapify heappushpop heapreplace, bisect bisect_left
            bisect_right, match search fullmatch findall, debug info warning error, start stop end, first last, left
            right, left_child right_child, row col, height width, x y z, key value, head tail, next prev, low high,
            lo hi, src dst, before after, begin end, open close, ljust rjust center, replace translate, filter map,
            ord chr, bin hex oct, divmod pow, repr str, iter next, is_integer isinteger, issubset issuperset, year
            month day, hours minutes seconds, gt ge lt le
            """
        ),
        wrappers=(
            "len", "abs", "int", "str", "list", "sorted", "set", "sum", "max", "min", "float", "tuple", "bool",
            "reversed", "dict", "any", "all", "range", "round", "iter", "next", "enumerate", "repr", "ord", "chr",
            '"".join', '" ".join',
        ),
        pair_wrappers=("max", "min"),
        suffixes=(
            ".strip()", ".lower()", ".copy()", ".items()", ".keys()", ".values()", ".upper()", "[0]", "[-1]", "[1]",
            "[1:]", "[:-1]", "[::-1]", "[:]", ".rstrip()", ".split()", ".lstrip()", ".pop()", ".encode()", ".decode()",
            ".get()", ".sort()", ".reverse()", ".title()",
        ),
        exceptions=(
            "ValueError", "TypeError", "KeyError", "IndexError", "AttributeError", "RuntimeError", "StopIteration",
            "NotImplementedError", "ZeroDivisionError", "OSError", "FileNotFoundError", "ImportError", "OverflowError",
            "AssertionError", "LookupError", "Exception",
        ),
        comparisons=_only(_COMPARE, table.comparisons),
        arithmetic=_only(_ARITHMETIC, table.arithmetic),
        augmented=_only(_AUGMENTED, _augmented(table)),
        conditions=("not {0}", "{0}", "{0} is None", "{0} == 0", "{0} is not None", "len({0}) == 0", "{0} < 0",
                    "{0} > 0", "{0} <= 0", "{0} == 1", "len({0}) > 0", "{0} <= 1",
                    "{0} % 2 == 0", "{0} % 2 != 0"),
        keywords=("reverse=True", "key=len", "key=str", "default=None", "default=0", "key=abs", "strict=True"),
        filters=frozenset({"if_clause"}),
        inserts=("return {0}", "{0} += 1", "{0} -= 1", "{0} = None", "{0} = 0", "{0} = []", "{0} = {{}}", "{0} = 1",
                 "{0}.sort()", "self.{0} = {0}"),
        loop_inserts=("break", "continue"),
        results=("None", "False", "True", "0", "[]", "1", "-1", '""', "{}", "()"),
        guard="if {condition}:{newline}{indent}{unit}{body}",
        otherwise="else:{newline}{indent}{unit}{body}",
        empty="pass",
        counted=frozenset({"range", "islice", "randint", "randrange", "xrange"}),
        collections=("[]", "{}", "set()", "()"),
        expressions=frozenset(
            {
                "identifier", "call", "attribute", "subscript", "binary_operator", "boolean_operator",
                "comparison_operator", "not_operator", "unary_operator", "integer", "float", "string", "true", "false",
                "none", "list", "tuple", "dictionary", "set", "list_comprehension", "set_comprehension",
                "dictionary_comprehension", "generator_expression", "parenthesized_expression",
                "conditional_expression", "concatenated_string", "await",
            }
        ),
        no_values=frozenset(
            {
                "concatenated_string", "dotted_name", "decorator", "delete_statement", "global_statement",
                "nonlocal_statement", "type", "case_pattern", "keyword_pattern", "dict_pattern", "import_statement",
                "import_from_statement", "aliased_import", "expression_statement", "await", "format_specifier",
            }
        ),
        tight=frozenset({"await"}),
        blocks=table.blocks,
        openers=("if", "elif", "else", "for", "while", "def", "class", "with", "try", "except", "finally", "async",
                 "match", "case"),
    )  # fmt: skip


def _braces(table: Language, **more: object) -> Vocabulary:
    common: dict[str, object] = {
        "comparisons": _only(_COMPARE, table.comparisons), "arithmetic": _only(_ARITHMETIC, table.arithmetic),
        "augmented": _only(_AUGMENTED, _augmented(table)), "loop_inserts": ("break;", "continue;"),
        "guard": "if ({condition}) {{{newline}{indent}{unit}{body}{newline}{indent}}}",
        "otherwise": "else {{{newline}{indent}{unit}{body}{newline}{indent}}}", "empty": "", "blocks": table.blocks,
    }  # fmt: skip
    return Vocabulary(**{**common, **more})  # type: ignore[arg-type]


def _ecmascript(table: Language) -> Vocabulary:
    return _braces(
        table,
        confusable=_groups(
            """
            toLowerCase toUpperCase, push unshift concat, pop shift, min max, some every, keys values entries,
            startsWith endsWith includes, floor ceil round trunc, trim trimStart trimEnd, indexOf lastIndexOf, find
            findIndex filter map, slice splice substring substr, forEach map filter reduce, parseInt parseFloat,
            Number String Boolean, has get set add delete, length size, charAt charCodeAt codePointAt, left right,
            next prev, first last, start end, row col, key value, x y z, abs sign, sqrt pow cbrt, sort reverse,
            split join, isNaN isFinite isInteger, resolve reject, then catch finally, log warn error, height width,
            low high, head tail
            """
        ),
        wrappers=("Math.abs", "String", "Number", "Math.floor", "Math.ceil", "parseInt", "Math.round", "Boolean",
                  "Math.sqrt", "Array.from", "new Set", "Object.keys", "Object.values", "Object.entries"),
        pair_wrappers=("Math.max", "Math.min"),
        suffixes=(".length", ".toString()", "[0]", ".toLowerCase()", ".slice()", ".trim()", ".size", ".reverse()",
                  ".sort()", ".toUpperCase()", ".join('')", ".split('')", ".pop()", ".slice(1)", ".slice(0, -1)"),
        exceptions=("Error", "TypeError", "RangeError", "SyntaxError"),
        conditions=("!{0}", "{0}", "{0} === null", "{0} === 0", "{0} !== null", "{0}.length === 0", "{0} < 0",
                    "{0} > 0", "{0} === 1", "{0} <= 1", "{0} === undefined"),
        inserts=("return {0};", "{0}++;", "{0}--;", "{0} = 0;", "{0} = null;", "{0} = [];", "{0} += 1;", "{0}.sort();",
                 "this.{0} = {0};"),
        results=("null", "false", "true", "0", "[]", "1", "-1", '""', "{}", "undefined"),
        counted=frozenset({"slice", "substring", "splice", "substr"}),
        collections=("[]", "{}"),
        expressions=frozenset(
            {
                "identifier", "call_expression", "new_expression", "member_expression", "subscript_expression",
                "binary_expression", "unary_expression", "number", "string", "template_string", "true", "false", "null",
                "undefined", "array", "object", "parenthesized_expression", "ternary_expression", "this",
            }
        ),
        no_values=frozenset({"expression_statement", "import_specifier", "import_clause", "namespace_import",
                             "import_statement", "update_expression", "type_annotation", "class_heritage",
                             "if_statement", "while_statement", "do_statement", "switch_statement"}),
        tight=frozenset({"await_expression", "spread_element"}),
        openers=("if", "else", "for", "while", "function", "class", "try", "catch", "finally", "do", "switch"),
    )  # fmt: skip


def _java(table: Language) -> Vocabulary:
    return _braces(
        table,
        confusable=_groups(
            """
            toLowerCase toUpperCase, add addAll addFirst addLast offer push, pop poll peek remove removeFirst
            removeLast, min max, keySet values entrySet, startsWith endsWith contains, floor ceil round, trim strip,
            indexOf lastIndexOf, anyMatch allMatch noneMatch, length size, get getOrDefault, put putIfAbsent,
            containsKey containsValue contains, charAt codePointAt, isDigit isLetter isLetterOrDigit isUpperCase
            isLowerCase, left right, next prev, first last, start end, getKey getValue, parseInt parseDouble
            parseLong, append insert, equals equalsIgnoreCase compareTo, sqrt pow cbrt, row col, height width, head
            tail, nextInt nextLine nextDouble, print println printf, substring subSequence
            """
        ),
        wrappers=("Math.abs", "String.valueOf", "(int) ", "(long) ", "(double) ", "Math.floor", "Math.ceil",
                  "Math.sqrt"),
        pair_wrappers=("Math.max", "Math.min"),
        suffixes=(".length", ".length()", ".size()", ".toString()", ".toLowerCase()", ".trim()", ".toUpperCase()",
                  "[0]", ".isEmpty()", ".intValue()"),
        exceptions=("IllegalArgumentException", "IllegalStateException", "RuntimeException", "NullPointerException",
                    "IndexOutOfBoundsException", "UnsupportedOperationException", "Exception"),
        conditions=("{0} == null", "{0} != null", "{0} == 0", "!{0}", "{0}", "{0}.isEmpty()", "{0} < 0", "{0} > 0",
                    "{0}.length == 0", "{0} == 1", "{0} <= 1"),
        inserts=("return {0};", "{0}++;", "{0}--;", "{0} = 0;", "{0} = null;", "{0} += 1;", "this.{0} = {0};"),
        results=("null", "false", "true", "0", "1", "-1", '""'),
        counted=frozenset({"substring", "subList", "copyOfRange"}),
        expressions=frozenset(
            {
                "identifier", "method_invocation", "object_creation_expression", "field_access", "array_access",
                "binary_expression", "unary_expression", "decimal_integer_literal", "decimal_floating_point_literal",
                "string_literal", "character_literal", "true", "false", "null_literal", "parenthesized_expression",
                "ternary_expression", "cast_expression", "this",
            }
        ),
        no_values=frozenset({"expression_statement", "import_declaration", "package_declaration", "update_expression",
                             "scoped_identifier", "if_statement", "while_statement", "do_statement",
                             "switch_expression", "annotation", "marker_annotation"}),
        tight=frozenset({"cast_expression"}),
        openers=("if", "else", "for", "while", "class", "try", "catch", "finally", "do", "switch"),
    )  # fmt: skip


_ROWS = {"python": _python, "javascript": _ecmascript, "typescript": _ecmascript, "tsx": _ecmascript, "java": _java}


@lru_cache(maxsize=8)
def vocabulary(name: str) -> Vocabulary:
    """The words of a language; no words for one without a row."""
    row = _ROWS.get(name)
    return Vocabulary() if row is None else row(language(name))
