"""The catalogue: which operators there are, in which direction, with which weight. Data only.

Injection (`FAULTS`) mostly deletes and exchanges; the search (`REPAIRS`) exchanges and adds. Its weights began as
the frequency of the inverse change among real one-line fixes (TSSB-3M, PyPIBugs), divided by how many changes the
operator makes, and were moved towards what `benchmarks/ordering.py` fits on executable faults.
"""

from __future__ import annotations

from repair.languages import Language
from repair.mutate import breaking, calls, conditions, expressions, literals, names, statements
from repair.mutate.mutation import Operator

Kinds = frozenset[str]


def _identifiers(t: Language) -> Kinds:
    return t.identifiers


def _names(t: Language) -> Kinds:
    return t.identifiers | t.member_names


def _types(t: Language) -> Kinds:
    return t.identifiers | {"type_identifier"}


def _keywords(t: Language) -> Kinds:
    return t.keyword_arguments


def _calls(t: Language) -> Kinds:
    return t.calls


def _members(t: Language) -> Kinds:
    return t.members


def _subscripts(t: Language) -> Kinds:
    return t.subscripts


def _slices(t: Language) -> Kinds:
    return t.slices


def _arguments(t: Language) -> Kinds:
    return t.arguments


def _patterns(t: Language) -> Kinds:
    return t.patterns


def _filters(t: Language) -> Kinds:
    return t.condition_owners | {"if_clause"}


def _parameters(t: Language) -> Kinds:
    return t.parameters


def _collections(t: Language) -> Kinds:
    return t.collections


def _binaries(t: Language) -> Kinds:
    return t.binaries


def _negations(t: Language) -> Kinds:
    return t.negations


def _conditions(t: Language) -> Kinds:
    return t.condition_owners


def _ternaries(t: Language) -> Kinds:
    return t.ternaries


def _augmented(t: Language) -> Kinds:
    return t.augmented


def _assignments(t: Language) -> Kinds:
    return t.assignments - {"variable_declarator"}


def _integers(t: Language) -> Kinds:
    return t.integers


def _numbers(t: Language) -> Kinds:
    return t.integers | t.floats


def _booleans(t: Language) -> Kinds:
    return t.trues | t.falses


def _nulls(t: Language) -> Kinds:
    return t.nulls


def _strings(t: Language) -> Kinds:
    return t.strings


def _places(t: Language) -> Kinds:
    return t.identifiers | t.members | t.subscripts


def _values(t: Language) -> Kinds:
    literal = t.integers | t.floats | t.strings | t.trues | t.falses | t.nulls | t.collections
    compound = t.calls | t.members | t.subscripts | t.binaries | t.negations | t.ternaries | t.parentheses
    return t.identifiers | literal | compound | t.comprehensions


def _operands(t: Language) -> Kinds:
    return t.identifiers | t.members | t.subscripts | t.calls | t.binaries | t.parentheses


def _returns(t: Language) -> Kinds:
    return t.returns


def _statements(t: Language) -> Kinds:
    return t.statements


def _conditionals(t: Language) -> Kinds:
    return t.conditionals | t.loops


def _else(t: Language) -> Kinds:
    return t.else_clauses


def _headed(t: Language) -> Kinds:
    return (t.statements | t.else_clauses) - t.blocks


def _idle(t: Language) -> Kinds:
    return t.jumps | {"pass_statement"}


FAULTS: tuple[Operator, ...] = (
    Operator("variable", "variable", _identifiers, names.wrong_variable, 1, names.is_free),
    Operator("confusable-name", "name", _names, names.confusable_name, 2, names.is_named),
    Operator("member", "name", _names, names.member, 3, names.is_member),
    Operator("function", "name", _identifiers, names.callee, 2, names.is_called),
    Operator("keyword", "argument", _keywords, names.keyword_name, 0.7),
    Operator("unwrap-call", "unwrap", _calls, calls.unwrap_call, 2),
    Operator("drop-method", "unwrap", _calls, calls.drop_method, 2, calls.is_place),
    Operator("drop-attribute", "unwrap", _members, calls.drop_member, 1, calls.is_place),
    Operator("drop-subscript", "unwrap", _subscripts, calls.drop_subscript),
    Operator("uncall", "unwrap", _calls, calls.uncall, 1, calls.is_place),
    Operator("drop-argument", "argument", _arguments, calls.drop_argument, 3),
    Operator("swap-arguments", "argument", _arguments, calls.swap_arguments, 2),
    Operator("add-argument", "argument", _arguments, calls.add_one_argument, 0.7),
    Operator("drop-operand", "operand", _binaries, expressions.drop_operand, 1, expressions.is_arithmetic),
    Operator("swap-operands", "operand", _binaries, expressions.swap_operands),
    Operator("replace-operand", "operand", _binaries, expressions.replace_operand),
    Operator("drop-conjunct", "condition", _binaries, conditions.drop_conjunct, 1, expressions.is_logical),
    Operator("and-or", "condition", _binaries, conditions.and_or, 1, expressions.is_logical),
    Operator("drop-not", "condition", _negations, conditions.drop_not, 1, expressions.is_not),
    Operator("negate-condition", "condition", _conditions, conditions.negate_condition),
    Operator("negate-operand", "condition", _binaries, conditions.negate_operand, 1, expressions.is_logical),
    Operator("drop-comparison", "condition", _binaries, conditions.drop_comparison, 0.5, expressions.is_comparison),
    Operator("swap-arms", "condition", _ternaries, conditions.ternary),
    Operator("delete-statement", "statement", _statements, statements.delete_statement, 3),
    Operator("delete-arm", "statement", _else, statements.delete_arm),
    Operator("unguard", "statement", _conditionals, statements.unguard),
    Operator("integer", "integer", _integers, literals.integer, 3),
    Operator("shift-bound", "integer", _values, literals.shift_bound, 3, literals.is_bound),
    Operator("slice-bound", "integer", _slices, literals.slice_bound),
    Operator("drop-sign", "integer", _negations, expressions.drop_sign, 0.5),
    Operator("decimal", "integer", _numbers, literals.decimal, 0.5),
    Operator("swap-elements", "element", _collections, calls.swap_arguments, 0.5),
    Operator("comparison", "comparison", _binaries, expressions.comparison, 1, expressions.is_comparison),
    Operator("arithmetic", "arithmetic", _binaries, expressions.arithmetic, 1, expressions.is_arithmetic),
    Operator("augmented", "arithmetic", _augmented, expressions.augmented),
    Operator("boolean", "literal", _booleans, literals.boolean),
    Operator("null", "literal", _nulls, literals.null),
    Operator("string", "literal", _strings, literals.string),
    Operator("exception", "literal", _types, names.exception, 1, names.is_exception),
    Operator("drop-element", "element", _collections, calls.drop_element),
    Operator("returned", "element", _returns, literals.returned),
    Operator("dedent", "layout", _statements, statements.dedent_statement, 1, statements.may_dedent),
    Operator("indent", "layout", _statements, statements.indent_statement, 1, statements.may_indent),
    Operator("swap-statements", "layout", _statements, statements.swap_statements),
    Operator("break-token", "syntax", _headed, breaking.break_token, 3),
    Operator("break-operator", "syntax", _headed, breaking.break_operator),
    Operator("break-keyword", "syntax", _headed, breaking.break_keyword),
    Operator("break-indentation", "syntax", _headed, breaking.break_indentation),
)

REPAIRS: tuple[Operator, ...] = (
    Operator("swap-statements", "layout", _statements, statements.swap_statements, 15),
    Operator("drop-not", "condition", _negations, conditions.drop_not, 12),
    Operator("swap-arguments", "argument", _arguments, calls.swap_arguments, 11),
    Operator("swap-operands", "operand", _binaries, expressions.swap_operands, 11),
    Operator("dedent", "layout", _statements, statements.dedent_statement, 9.5),
    Operator("variable", "variable", _identifiers, names.local_variable, 8.1),
    Operator("and-or", "condition", _binaries, conditions.and_or, 7.8),
    Operator("member", "name", _names, names.member, 7.7),
    Operator("confusable-name", "name", _names, names.confusable_name, 7.5),
    Operator("comparison", "comparison", _binaries, expressions.comparison, 6.9),
    Operator("slice-bound", "integer", _slices, literals.slice_bound, 6.9),
    Operator("augmented", "arithmetic", _augmented, expressions.augmented, 6.8),
    Operator("idle", "statement", _idle, statements.empty_to_jump, 6.4),
    Operator("boolean", "literal", _booleans, literals.boolean, 6.1),
    Operator("arithmetic", "arithmetic", _binaries, expressions.arithmetic, 5.9),
    Operator("decimal", "integer", _numbers, literals.decimal, 5.8),
    Operator("integer", "integer", _integers, literals.integer, 5.6),
    Operator("call", "unwrap", _members, calls.call_value, 5.4),
    Operator("negate-condition", "condition", _conditions, conditions.negate_condition, 5.2),
    Operator("drop-operand", "operand", _binaries, expressions.drop_operand, 5.2),
    Operator("drop-sign", "integer", _negations, expressions.drop_sign, 4.7),
    Operator("drop-argument", "argument", _arguments, calls.drop_argument, 4.4),
    Operator("self", "unwrap", _identifiers, calls.add_self, 4),
    Operator("swap-elements", "element", _collections, calls.swap_arguments, 3.5),
    Operator("shift-bound", "integer", _values, literals.shift_bound, 3.4),
    Operator("function", "name", _identifiers, names.callee, 3.4),
    Operator("add-argument", "argument", _arguments, calls.add_argument, 3.1),
    Operator("indent", "layout", _statements, statements.indent_statement, 3),
    Operator("arm", "condition", _ternaries, conditions.ternary, 3),
    Operator("drop-conjunct", "condition", _binaries, conditions.drop_conjunct, 2.5),
    Operator("exception", "literal", _types, names.exception, 2.5),
    Operator("null", "literal", _nulls, literals.null, 2.4),
    Operator("negate-operand", "condition", _binaries, conditions.negate_operand, 2.3),
    Operator("chain", "statement", _conditionals, statements.chain_conditional, 2.2),
    Operator("drop-method", "unwrap", _calls, calls.drop_method, 2.1),
    Operator("returned", "element", _returns, literals.returned, 2.1),
    Operator("wrap-known", "unwrap", _values, calls.wrap_known, 2.1),
    Operator("add-comparison", "condition", _values, conditions.add_comparison, 2),
    Operator("swap-booleans", "literal", _booleans, literals.swap_booleans, 2),
    Operator("and-or-chain", "condition", _binaries, conditions.and_or_chain, 2),
    Operator("swap-conjuncts", "condition", _binaries, conditions.swap_conjuncts, 2),
    Operator("negate-value", "condition", _values, conditions.negate_value, 1.9),
    Operator("drop-attribute", "unwrap", _members, calls.drop_member, 1.9),
    Operator("uncall", "unwrap", _calls, calls.uncall, 1.9),
    Operator("else", "statement", _conditionals, statements.add_else, 1.9),
    Operator("wrap", "unwrap", _values, calls.wrap_call, 1.8),
    Operator("drop-subscript", "unwrap", _subscripts, calls.drop_subscript, 1.7),
    Operator("suffix", "unwrap", _values, calls.add_suffix, 1.7),
    Operator("unwrap-call", "unwrap", _calls, calls.unwrap_call, 1.6),
    Operator("add-index", "unwrap", _values, calls.add_index, 1.6),
    Operator("replace-operand", "operand", _binaries, expressions.replace_operand, 1.6),
    Operator("module-variable", "variable", _identifiers, names.module_variable, 1.6),
    Operator("keyword", "argument", _keywords, names.keyword_name, 1.5),
    Operator("swap-targets", "element", _patterns, calls.swap_arguments, 1.5),
    Operator("swap-literals", "literal", _statements, literals.swap_literals, 1.5),
    Operator("empty", "literal", _values, literals.empty_collection, 1.4),
    Operator("wrap-pair", "unwrap", _values, calls.wrap_pair, 1.4),
    Operator("number-by-name", "variable", _numbers, literals.number_by_name, 1.4),
    Operator("assignment", "arithmetic", _assignments, expressions.assign_augmented, 1.4),
    Operator("exchange", "variable", _statements, expressions.exchange_variables, 1.4),
    Operator("shift-value", "integer", _operands, literals.shift_value, 1.3),
    Operator("add-conjunct", "condition", _filters, conditions.add_conjunct, 1.3),
    Operator("unguard", "statement", _conditionals, statements.unguard, 1.3),
    Operator("add-element", "element", _collections, calls.add_element, 1.3),
    Operator("delete-statement", "statement", _statements, statements.delete_statement, 1.2),
    Operator("add-member", "unwrap", _values, calls.add_member, 1.2),
    Operator("nearby-number", "integer", _numbers, literals.nearby_number, 1.2),
    Operator("string", "literal", _strings, literals.string, 1.2),
    Operator("add-sign", "integer", _values, expressions.add_sign, 1.1),
    Operator("insert-simple", "statement", _statements, statements.insert_simple, 1),
    Operator("move", "layout", _statements, statements.move_statement, 1),
    Operator("swap-parameters", "argument", _parameters, calls.swap_arguments, 0.99),
    Operator("wrap-both", "unwrap", _binaries, expressions.wrap_both, 0.98),
    Operator("delete-arm", "statement", _else, statements.delete_arm, 0.95),
    Operator("constant-condition", "condition", _conditions, conditions.constant_condition, 0.89),
    Operator("drop-comparison", "condition", _binaries, conditions.drop_comparison, 0.88),
    Operator("insert-jump", "statement", _statements, statements.insert_jump, 0.87),
    Operator("bare-return", "element", _returns, literals.bare_return, 0.83),
    Operator("drop-element", "element", _collections, calls.drop_element, 0.8),
    Operator("name-by-number", "integer", _places, literals.name_by_number, 0.79),
    Operator("donor", "element", _values, calls.donor, 0.79),
    Operator("add-operand", "operand", _operands, expressions.add_operand, 0.78),
    Operator("insert-copy", "statement", _statements, statements.insert_copy, 0.75),
    Operator("insert-assignment", "statement", _statements, statements.insert_assignment, 0.57),
    Operator("guard-statement", "statement", _statements, statements.guard_statement, 0.44),
    Operator("insert-variant", "statement", _statements, statements.insert_variant, 0.42),
    Operator("insert-guard", "statement", _statements, statements.insert_guard, 0.34),
)
