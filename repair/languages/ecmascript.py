"""The tables of JavaScript, TypeScript and TSX: one grammar family."""

from __future__ import annotations

from dataclasses import replace

from repair.languages.table import Language


def _javascript() -> object:
    import tree_sitter_javascript

    return tree_sitter_javascript.language()


def _typescript() -> object:
    import tree_sitter_typescript

    return tree_sitter_typescript.language_typescript()


def _tsx() -> object:
    import tree_sitter_typescript

    return tree_sitter_typescript.language_tsx()


_KEYWORDS = (
    "async await break case catch class const continue debugger default delete do else export extends finally for "
    "function if import in instanceof let new of return static super switch this throw try typeof var void while "
    "with yield null true false undefined"
)
_TYPE_KEYWORDS = "abstract any as boolean enum implements interface is keyof namespace number private protected "
_BUILTINS = (
    "Array Boolean Date Error Infinity JSON Map Math NaN Number Object Promise RangeError RegExp Set String Symbol "
    "TypeError WeakMap console isFinite isNaN module parseFloat parseInt process require undefined"
)


def _base() -> Language:
    return Language(
        name="javascript",
        grammar=_javascript,
        comment="//",
        functions=frozenset(
            {
                "function_declaration", "function_expression", "arrow_function", "method_definition",
                "generator_function", "generator_function_declaration",
            }
        ),
        classes=frozenset({"class_declaration", "class"}),
        wrappers=frozenset({"export_statement"}),
        blocks=frozenset({"statement_block", "program", "switch_case", "switch_default"}),
        statements=frozenset(
            {
                "expression_statement", "if_statement", "for_statement", "for_in_statement", "while_statement",
                "do_statement", "return_statement", "throw_statement", "break_statement", "continue_statement",
                "try_statement", "switch_statement", "lexical_declaration", "variable_declaration",
                "function_declaration", "class_declaration", "import_statement", "export_statement",
                "labeled_statement", "statement_block", "generator_function_declaration",
            }
        ),
        comments=frozenset({"comment", "html_comment", "hash_bang_line"}),
        strings=frozenset({"string", "template_string"}),
        interpolations=frozenset({"template_substitution"}),
        identifiers=frozenset({"identifier", "shorthand_property_identifier", "shorthand_property_identifier_pattern"}),
        member_names=frozenset({"property_identifier", "private_property_identifier"}),
        imports=frozenset({"import_statement"}),
        name_roles=frozenset(
            {
                ("function_declaration", "name"), ("function_expression", "name"), ("class_declaration", "name"),
                ("import_specifier", "name"), ("import_specifier", "alias"), ("import_clause", ""),
                ("namespace_import", ""), ("generator_function_declaration", "name"),
                ("required_parameter", "pattern"), ("optional_parameter", "pattern"), ("formal_parameters", ""),
            }
        ),
        bindings={
            "variable_declarator": ("name",), "formal_parameters": ("",), "for_in_statement": ("left",),
            "assignment_expression": ("left",), "augmented_assignment_expression": ("left",),
            "function_declaration": ("name",), "generator_function_declaration": ("name",),
            "class_declaration": ("name",), "import_clause": ("",), "catch_clause": ("parameter",),
            "arrow_function": ("parameter",),
        },
        opaque=frozenset({"member_expression", "subscript_expression", "call_expression", "type_annotation"}),
        unbound=frozenset(
            {("assignment_pattern", "right"), ("required_parameter", "value"), ("optional_parameter", "value")}
        ),
        patterns=frozenset({"object_pattern", "array_pattern", "rest_pattern", "pair_pattern"}),
        calls=frozenset({"call_expression", "new_expression"}),
        arguments=frozenset({"arguments"}),
        spreads=frozenset({"spread_element"}),
        members=frozenset({"member_expression"}),
        subscripts=frozenset({"subscript_expression"}),
        binaries=frozenset({"binary_expression"}),
        negations=frozenset({"unary_expression"}),
        parentheses=frozenset({"parenthesized_expression"}),
        conditionals=frozenset({"if_statement"}),
        loops=frozenset({"for_statement", "for_in_statement", "while_statement", "do_statement"}),
        else_clauses=frozenset({"else_clause", "finally_clause"}),
        condition_owners=frozenset({"if_statement", "while_statement", "do_statement", "for_statement"}),
        ternaries=frozenset({"ternary_expression"}),
        returns=frozenset({"return_statement"}),
        raises=frozenset({"throw_statement"}),
        jumps=frozenset({"break_statement", "continue_statement"}),
        assignments=frozenset({"assignment_expression", "variable_declarator"}),
        augmented=frozenset({"augmented_assignment_expression"}),
        collections=frozenset({"array", "object"}),
        integers=frozenset({"number"}),
        trues=frozenset({"true"}),
        falses=frozenset({"false"}),
        nulls=frozenset({"null", "undefined"}),
        parameters=frozenset({"formal_parameters"}),
        arithmetic=frozenset({"+", "-", "*", "/", "%", "**", "&", "|", "^", "<<", ">>", ">>>"}),
        comparisons=frozenset({"<", "<=", ">", ">=", "==", "!=", "===", "!==", "in", "instanceof"}),
        conjunctions=("&&", "||"),
        negation="!",
        true="true",
        false="false",
        null="null",
        self_name="this",
        terminator=";",
        keywords=frozenset(_KEYWORDS.split()),
        builtins=frozenset(_BUILTINS.split()),
    )  # fmt: skip


def tables() -> tuple[Language, ...]:
    """The rows of JavaScript, TypeScript and TSX."""
    base = _base()
    typed = replace(
        base,
        classes=base.classes | {"abstract_class_declaration"},
        statements=base.statements | {"interface_declaration", "type_alias_declaration", "enum_declaration"},
        keywords=base.keywords | frozenset(_TYPE_KEYWORDS.split()),
    )
    return (
        base,
        replace(typed, name="typescript", grammar=_typescript),
        replace(typed, name="tsx", grammar=_tsx),
    )
