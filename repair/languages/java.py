"""The table of Java."""

from __future__ import annotations

from repair.languages.table import Language


def _grammar() -> object:
    import tree_sitter_java

    return tree_sitter_java.language()


_KEYWORDS = (
    "abstract assert boolean break byte case catch char class const continue default do double else enum extends "
    "final finally float for if goto implements import instanceof int interface long native new package private "
    "protected public return short static strictfp super switch synchronized this throw throws transient try void "
    "volatile while true false null var"
)
_BUILTINS = "Arrays Boolean Collections Double Integer Long Math Object String System"


def table() -> Language:
    """The row of Java."""
    return Language(
        name="java",
        grammar=_grammar,
        comment="//",
        functions=frozenset({"method_declaration", "constructor_declaration", "lambda_expression"}),
        classes=frozenset({"class_declaration", "interface_declaration", "enum_declaration", "record_declaration"}),
        blocks=frozenset({"block", "constructor_body", "switch_block_statement_group"}),
        statements=frozenset(
            {
                "expression_statement", "if_statement", "for_statement", "enhanced_for_statement", "while_statement",
                "do_statement", "return_statement", "throw_statement", "break_statement", "continue_statement",
                "try_statement", "switch_expression", "local_variable_declaration", "assert_statement",
                "synchronized_statement", "labeled_statement", "block", "yield_statement",
                "explicit_constructor_invocation", "try_with_resources_statement",
            }
        ),
        comments=frozenset({"line_comment", "block_comment"}),
        strings=frozenset({"string_literal", "character_literal"}),
        identifiers=frozenset({"identifier"}),
        imports=frozenset({"import_declaration", "package_declaration"}),
        name_roles=frozenset(
            {
                ("method_invocation", "name"), ("field_access", "field"), ("method_declaration", "name"),
                ("constructor_declaration", "name"), ("class_declaration", "name"), ("formal_parameter", "name"),
                ("scoped_identifier", "name"), ("scoped_identifier", "scope"), ("interface_declaration", "name"),
                ("enum_declaration", "name"), ("enum_constant", "name"), ("annotation", "name"),
                ("marker_annotation", "name"), ("package_declaration", ""), ("import_declaration", ""),
                ("inferred_parameters", ""), ("labeled_statement", ""), ("break_statement", ""),
                ("continue_statement", ""),
            }
        ),
        bindings={
            "variable_declarator": ("name",), "formal_parameter": ("name",), "enhanced_for_statement": ("name",),
            "catch_formal_parameter": ("name",), "inferred_parameters": ("",), "resource": ("name",),
        },
        opaque=frozenset({"field_access", "array_access", "method_invocation"}),
        calls=frozenset({"method_invocation", "object_creation_expression"}),
        arguments=frozenset({"argument_list"}),
        members=frozenset({"field_access"}),
        subscripts=frozenset({"array_access"}),
        binaries=frozenset({"binary_expression"}),
        negations=frozenset({"unary_expression"}),
        parentheses=frozenset({"parenthesized_expression"}),
        conditionals=frozenset({"if_statement"}),
        loops=frozenset({"for_statement", "enhanced_for_statement", "while_statement", "do_statement"}),
        else_clauses=frozenset({"finally_clause"}),
        condition_owners=frozenset({"if_statement", "while_statement", "do_statement", "for_statement"}),
        ternaries=frozenset({"ternary_expression"}),
        returns=frozenset({"return_statement"}),
        raises=frozenset({"throw_statement"}),
        jumps=frozenset({"break_statement", "continue_statement"}),
        assignments=frozenset({"assignment_expression", "variable_declarator"}),
        augmented=frozenset({"assignment_expression"}),
        collections=frozenset({"array_initializer"}),
        integers=frozenset({"decimal_integer_literal"}),
        floats=frozenset({"decimal_floating_point_literal"}),
        trues=frozenset({"true"}),
        falses=frozenset({"false"}),
        nulls=frozenset({"null_literal"}),
        parameters=frozenset({"formal_parameters"}),
        arithmetic=frozenset({"+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>", ">>>"}),
        comparisons=frozenset({"<", "<=", ">", ">=", "==", "!="}),
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
