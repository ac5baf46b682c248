"""The table of Python, with the exact checks that its own compiler gives."""

from __future__ import annotations

import ast
import builtins
import keyword
import warnings

from repair.languages.table import Language, ParseError

_COMPILE_FAILURES = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)


def _grammar() -> object:
    import tree_sitter_python

    return tree_sitter_python.language()


def compile_error(text: str) -> ParseError | None:
    """What Python's compiler says of a module; None when it compiles. Never raises, never warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(text, "<source>", "exec", dont_inherit=True)
        except SyntaxError as error:
            return ParseError(error.lineno or 0, f"{type(error).__name__}: {error.msg}")
        except _COMPILE_FAILURES as error:
            return ParseError(0, f"{type(error).__name__}: {error}")
    return None


def syntax_tree(text: str) -> ast.Module | None:
    """The module's `ast`, None when it does not parse. Never raises, never warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except _COMPILE_FAILURES:
            return None


def canonical(text: str) -> str | None:
    """The dump of the `ast`: equal for programs that differ in layout, comments or parentheses only."""
    tree = syntax_tree(text)
    if tree is None:
        return None
    try:
        return ast.dump(tree)
    except (RecursionError, MemoryError):
        return None


def table() -> Language:
    """The row of Python."""
    return Language(
        name="python",
        grammar=_grammar,
        check=compile_error,
        canonical=canonical,
        functions=frozenset({"function_definition", "lambda"}),
        classes=frozenset({"class_definition"}),
        wrappers=frozenset({"decorated_definition"}),
        blocks=frozenset({"block", "module"}),
        statements=frozenset(
            {
                "expression_statement", "if_statement", "for_statement", "while_statement", "return_statement",
                "raise_statement", "assert_statement", "pass_statement", "break_statement", "continue_statement",
                "with_statement", "try_statement", "delete_statement", "global_statement", "nonlocal_statement",
                "import_statement", "import_from_statement", "future_import_statement", "match_statement",
                "function_definition", "class_definition", "decorated_definition", "type_alias_statement",
            }
        ),
        comments=frozenset({"comment"}),
        strings=frozenset({"string", "concatenated_string"}),
        interpolations=frozenset({"interpolation"}),
        identifiers=frozenset({"identifier"}),
        imports=frozenset({"import_statement", "import_from_statement", "future_import_statement"}),
        name_roles=frozenset(
            {
                ("attribute", "attribute"), ("keyword_argument", "name"), ("function_definition", "name"),
                ("class_definition", "name"), ("dotted_name", ""), ("aliased_import", "alias"),
                ("keyword_pattern", ""), ("global_statement", ""), ("nonlocal_statement", ""), ("type", ""),
                ("generic_type", ""), ("type_parameter", ""), ("union_type", ""), ("member_type", ""),
            }
        ),
        bindings={
            "assignment": ("left",), "augmented_assignment": ("left",), "for_statement": ("left",),
            "for_in_clause": ("left",), "as_pattern": ("alias",), "named_expression": ("name",),
            "parameters": ("",), "lambda_parameters": ("",), "function_definition": ("name",),
            "class_definition": ("name",), "case_pattern": ("",),
        },
        opaque=frozenset({"attribute", "subscript", "call", "type"}),
        unbound=frozenset({("default_parameter", "value"), ("typed_default_parameter", "value")}),
        patterns=frozenset(
            {
                "pattern_list", "tuple_pattern", "list_pattern", "list_splat_pattern", "as_pattern_target",
                "dictionary_splat_pattern", "typed_parameter", "case_pattern", "class_pattern", "dict_pattern",
            }
        ),
        comprehensions=frozenset(
            {"list_comprehension", "set_comprehension", "dictionary_comprehension", "generator_expression"}
        ),
        calls=frozenset({"call"}),
        arguments=frozenset({"argument_list"}),
        keyword_arguments=frozenset({"keyword_argument"}),
        spreads=frozenset({"list_splat", "dictionary_splat"}),
        members=frozenset({"attribute"}),
        subscripts=frozenset({"subscript"}),
        slices=frozenset({"slice"}),
        binaries=frozenset({"binary_operator", "boolean_operator", "comparison_operator"}),
        negations=frozenset({"not_operator", "unary_operator"}),
        parentheses=frozenset({"parenthesized_expression"}),
        conditionals=frozenset({"if_statement", "elif_clause"}),
        loops=frozenset({"for_statement", "while_statement"}),
        else_clauses=frozenset({"else_clause", "elif_clause", "finally_clause"}),
        condition_owners=frozenset({"if_statement", "elif_clause", "while_statement"}),
        ternaries=frozenset({"conditional_expression"}),
        returns=frozenset({"return_statement"}),
        raises=frozenset({"raise_statement"}),
        jumps=frozenset({"break_statement", "continue_statement"}),
        assignments=frozenset({"assignment"}),
        augmented=frozenset({"augmented_assignment"}),
        collections=frozenset({"list", "tuple", "set", "dictionary", "expression_list"}),
        integers=frozenset({"integer"}),
        floats=frozenset({"float"}),
        trues=frozenset({"true"}),
        falses=frozenset({"false"}),
        nulls=frozenset({"none"}),
        parameters=frozenset({"parameters", "lambda_parameters"}),
        arithmetic=frozenset({"+", "-", "*", "/", "//", "%", "**", "&", "|", "^", "<<", ">>", "@"}),
        comparisons=frozenset({"<", "<=", ">", ">=", "==", "!=", "is", "is not", "in", "not in"}),
        conjunctions=("and", "or"),
        negation="not ",
        true="True",
        false="False",
        null="None",
        self_name="self",
        layout=True,
        keywords=frozenset(keyword.kwlist),
        builtins=frozenset(dir(builtins)) | {"__file__", "__path__", "__builtins__", "__class__"},
    )  # fmt: skip
