"""The catalogue: which operators there are, in which direction, with which weight. Data only.

Injection (`FAULTS`) mostly deletes and exchanges; the search (`REPAIRS`) exchanges and adds, in tiers: a tier is
worth trying before the next one. Weights follow the frequency of the inverse change among real one-line fixes
(TSSB-3M, PyPIBugs), divided by how many changes the operator makes.
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
    Operator("comparison", "comparison", _binaries, expressions.comparison, 10),
    Operator("integer", "integer", _integers, literals.integer, 8),
    Operator("variable", "variable", _identifiers, names.local_variable, 8),
    Operator("and-or", "condition", _binaries, conditions.and_or, 7),
    Operator("arithmetic", "arithmetic", _binaries, expressions.arithmetic, 6),
    Operator("augmented", "arithmetic", _augmented, expressions.augmented, 6),
    Operator("boolean", "literal", _booleans, literals.boolean, 8),
    Operator("swap-arguments", "argument", _arguments, calls.swap_arguments, 6),
    Operator("confusable-name", "name", _names, names.confusable_name, 8),
    Operator("drop-not", "condition", _negations, conditions.drop_not, 7),
    Operator("negate-condition", "condition", _conditions, conditions.negate_condition, 7),
    Operator("shift-bound", "integer", _values, literals.shift_bound, 6),
    Operator("dedent", "layout", _statements, statements.dedent_statement, 5),
    Operator("indent", "layout", _statements, statements.indent_statement, 4),
    Operator("function", "name", _identifiers, names.callee, 3),
    Operator("member", "name", _names, names.member, 3),
    Operator("drop-conjunct", "condition", _binaries, conditions.drop_conjunct, 4),
    Operator("drop-operand", "operand", _binaries, expressions.drop_operand, 4),
    Operator("swap-operands", "operand", _binaries, expressions.swap_operands, 3),
    Operator("negate-operand", "condition", _binaries, conditions.negate_operand, 3),
    Operator("negate-value", "condition", _values, conditions.negate_value, 3),
    Operator("drop-sign", "integer", _negations, expressions.drop_sign, 3),
    Operator("wrap", "unwrap", _values, calls.wrap_call, 3),
    Operator("unwrap-call", "unwrap", _calls, calls.unwrap_call, 3),
    Operator("drop-method", "unwrap", _calls, calls.drop_method, 3),
    Operator("drop-attribute", "unwrap", _members, calls.drop_member, 2),
    Operator("drop-subscript", "unwrap", _subscripts, calls.drop_subscript, 2),
    Operator("self", "unwrap", _identifiers, calls.add_self, 4),
    Operator("uncall", "unwrap", _calls, calls.uncall, 2),
    Operator("call", "unwrap", _members, calls.call_value, 2),
    Operator("returned", "element", _returns, literals.returned, 3),
    Operator("shift-value", "integer", _operands, literals.shift_value, 3),
    Operator("slice-bound", "integer", _slices, literals.slice_bound, 3),
    Operator("null", "literal", _nulls, literals.null, 2),
    Operator("empty", "literal", _values, literals.empty_collection, 2),
    Operator("drop-argument", "argument", _arguments, calls.drop_argument, 3),
    Operator("delete-statement", "statement", _statements, statements.delete_statement, 3),
    Operator("swap-statements", "layout", _statements, statements.swap_statements, 3),
    Operator("arm", "condition", _ternaries, conditions.ternary, 3),
    Operator("insert-jump", "statement", _statements, statements.insert_jump, 2),
    Operator("idle", "statement", _idle, statements.empty_to_jump, 3),
    Operator("chain", "statement", _conditionals, statements.chain_conditional, 3),
    Operator("exception", "literal", _types, names.exception, 2),
    Operator("add-argument", "argument", _arguments, calls.add_argument, 2),
    Operator("suffix", "unwrap", _values, calls.add_suffix, 2),
    Operator("add-member", "unwrap", _values, calls.add_member, 1.5),
    Operator("add-index", "unwrap", _values, calls.add_index, 1.5),
    Operator("add-conjunct", "condition", _filters, conditions.add_conjunct, 2),
    Operator("add-operand", "operand", _operands, expressions.add_operand, 1.5),
    Operator("replace-operand", "operand", _binaries, expressions.replace_operand, 1.5),
    Operator("wrap-known", "unwrap", _values, calls.wrap_known, 1.5),
    Operator("wrap-pair", "unwrap", _values, calls.wrap_pair, 1.5),
    Operator("number-by-name", "variable", _numbers, literals.number_by_name, 2),
    Operator("name-by-number", "integer", _places, literals.name_by_number, 1.5),
    Operator("nearby-number", "integer", _numbers, literals.nearby_number, 1.5),
    Operator("string", "literal", _strings, literals.string, 1.5),
    Operator("keyword", "argument", _keywords, names.keyword_name, 1.5),
    Operator("assignment", "arithmetic", _assignments, expressions.assign_augmented, 2),
    Operator("insert-copy", "statement", _statements, statements.insert_copy, 1.5),
    Operator("insert-simple", "statement", _statements, statements.insert_simple, 1.5),
    Operator("unguard", "statement", _conditionals, statements.unguard, 1.5),
    Operator("else", "statement", _conditionals, statements.add_else, 2),
    Operator("delete-arm", "statement", _else, statements.delete_arm, 1),
    Operator("add-element", "element", _collections, calls.add_element, 1),
    Operator("drop-element", "element", _collections, calls.drop_element, 1),
    Operator("bare-return", "element", _returns, literals.bare_return, 1),
    Operator("constant-condition", "condition", _conditions, conditions.constant_condition, 1),
    Operator("add-comparison", "condition", _values, conditions.add_comparison, 1.5),
    Operator("add-sign", "integer", _values, expressions.add_sign, 1.5),
    Operator("swap-booleans", "literal", _booleans, literals.swap_booleans, 2),
    Operator("and-or-chain", "condition", _binaries, conditions.and_or_chain, 2),
    Operator("decimal", "integer", _numbers, literals.decimal, 2),
    Operator("swap-elements", "element", _collections, calls.swap_arguments, 2),
    Operator("swap-targets", "element", _patterns, calls.swap_arguments, 1.5),
    Operator("swap-parameters", "argument", _parameters, calls.swap_arguments, 1),
    Operator("wrap-both", "unwrap", _binaries, expressions.wrap_both, 1),
    Operator("exchange", "variable", _statements, expressions.exchange_variables, 1.5),
    Operator("swap-literals", "literal", _statements, literals.swap_literals, 1.5),
    Operator("move", "layout", _statements, statements.move_statement, 1),
    Operator("swap-conjuncts", "condition", _binaries, conditions.swap_conjuncts, 2),
    Operator("drop-comparison", "condition", _binaries, conditions.drop_comparison, 1),
    Operator("donor", "element", _values, calls.donor, 0.7),
    Operator("module-variable", "variable", _identifiers, names.module_variable, 0.5),
    Operator("insert-variant", "statement", _statements, statements.insert_variant, 0.5),
    Operator("insert-assignment", "statement", _statements, statements.insert_assignment, 0.5),
    Operator("guard-statement", "statement", _statements, statements.guard_statement, 0.5),
    Operator("insert-guard", "statement", _statements, statements.insert_guard, 0.4),
)
