"""Groups of a program for fairness: the natural language of its names, its style, its length. Pure and deterministic.

Reads the text only; must not know results. The rules are few and plain so that a group can be explained; what they
get right is measured in tests/eval/test_identifiers.py. No claim is made about any author: what is told is how the
names are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from eval.vocabulary import CYRILLIC, ENGLISH, OTHER
from repair.languages import Tree, parse
from repair.sources import Source

LENGTHS = ((10, "<=10"), (25, "11-25"), (60, "26-60"))  # lines that are not blank
LONGER = ">60"

_PART = re.compile(r"[A-Z]+(?![^\W\d_A-Z])|[A-Z]?[^\W\d_A-Z]+")  # HTTPServer_v2 -> HTTP, Server, v
_NAME = re.compile(r"[^\W\d]\w*")
_ENDINGS = ("s", "es", "d", "ed", "ing", "er", "ers", "r", "ly", "y", "able", "ion", "ions", "ment", "ness")

# Initials with the finals that they take in Hanyu Pinyin (v stands for ü); a syllable without initial may only begin
_FINALS = {
    "b": "a o ai ei ao an en ang eng i ie iao ian in ing u",
    "p": "a o ai ei ao ou an en ang eng i ie iao ian in ing u",
    "m": "a o e ai ei ao ou an en ang eng i ie iao iu ian in ing u",
    "f": "a o ei ou an en ang eng u",
    "d": "a e ai ei ao ou an en ang eng ong i ia ie iao iu ian ing u uo ui uan un",
    "t": "a e ai ao ou an ang eng ong i ie iao ian ing u uo ui uan un",
    "n": "a e ai ei ao ou an en ang eng ong i ie iao iu ian in iang ing u uo uan v ve ue",
    "l": "a e ai ei ao ou an ang eng ong i ia ie iao iu ian in iang ing u uo uan un v ve ue",
    "g": "a e ai ei ao ou an en ang eng ong u ua uo uai ui uan un uang",
    "k": "a e ai ao ou an en ang eng ong u ua uo uai ui uan un uang",
    "h": "a e ai ei ao ou an en ang eng ong u ua uo uai ui uan un uang",
    "j": "i ia ie iao iu ian in iang ing iong u ue uan un",
    "q": "i ia ie iao iu ian in iang ing iong u ue uan un",
    "x": "i ia ie iao iu ian in iang ing iong u ue uan un",
    "zh": "a e i ai ao ou an en ang eng ong u ua uo uai ui uan un uang",
    "ch": "a e i ai ao ou an en ang eng ong u ua uo uai ui uan un uang",
    "sh": "a e i ai ei ao ou an en ang eng u ua uo uai ui uan un uang",
    "r": "e i ao ou an en ang eng ong u ua uo ui uan un",
    "z": "a e i ai ei ao ou an en ang eng ong u uo ui uan un",
    "c": "a e i ai ao ou an en ang eng ong u uo ui uan un",
    "s": "a e i ai ao ou an en ang eng ong u uo ui uan un",
    "y": "a ao an ang e i in ing o ong ou u ue uan un",
    "w": "a o ai ei an ang en eng u",
}
_SYLLABLE = "|".join(f"{initial}(?:{'|'.join(finals.split())})" for initial, finals in _FINALS.items())
_PINYIN = re.compile(rf"(?:ai|an|ang|ao|ei|en|ou)?(?:{_SYLLABLE}|er)*")

# Letters that Russian words have when written in Latin ones, and English, German, Spanish and Hindi names hardly have
_RUSSIAN = re.compile(
    r"shch|zh|kh(?=[aoru]|$)|shn|chn|yu|yy|yj|iy[aeui]|ay[au]$|oye$|ts[iyo]|^v[szypt]|[ae]ni(?:e|ye|ya)$|ost(?:i|yu)?$"
    r"|[^aeiou]ov$|ova(?:t|nie|n)|[iy]rova|nyi?$|naya$|noe$|ogo$|(?:ch|sh|ts)ik$|stv[oa]|tel$|ets$|^kol|^pri[vnpk]|^pere"
)
_ELSEWHERE = re.compile(r"aa|bh|dh[aeiu]|chh|ung$|keit$|lich$|zahl|cion$|miento$|dad$|oes$|cao$|agem$|zione$|ndo$")

_ANNOTATIONS = frozenset({"typed_parameter", "typed_default_parameter", "type_annotation"})


def groups_of(language: str, code: str, bug_type: str | None = None, source: str | None = None) -> dict[str, str]:
    """Labels by attribute: language, bug_type and project where given, identifier_language, style, length.

    Never raises: code that does not parse is read as far as the grammar gets.
    """
    tree = parse(Source("code", code, language))
    given = {"language": language, "bug_type": bug_type or "", "project": source or ""}
    return {
        **{name: value for name, value in given.items() if value},
        "identifier_language": language_of_names(names_in(tree)),
        "style": style_of(tree),
        "length": length_of(code),
    }


def length_of(code: str) -> str:
    """The bucket of the number of lines that are not blank."""
    lines = sum(bool(line.strip()) for line in code.split("\n"))
    return next((name for most, name in LENGTHS if lines <= most), LONGER)


def names_in(tree: Tree) -> tuple[str, ...]:
    """Names that the program chose, each once: no keywords, builtins, imports, nor what stands behind a dot."""
    table = tree.language
    if table.grammar is None:
        return tuple(dict.fromkeys(_NAME.findall(tree.source.text)))
    foreign = table.keywords | table.builtins | {table.self_name}
    imported = {
        tree.text(n) for node in tree.nodes if node.kind in table.imports for n in node.walk() if not n.children
    }
    found: dict[str, None] = {}
    for node in tree.nodes:
        if node.kind not in table.identifiers or node.end == node.start:
            continue
        parent = node.parent
        if parent is not None and parent.kind in table.members and parent.children[0] is not node:
            continue
        name = tree.text(node)
        if name not in foreign and name not in imported and not name.startswith("__"):
            found.setdefault(name)
    return tuple(found)


def words_of(names: Iterable[str]) -> tuple[str, ...]:
    """The words of names, split at underscores, digits and capitals, in small letters, each once."""
    return tuple(dict.fromkeys(part.lower() for name in names for part in _PART.findall(name)))


def language_of_names(names: Sequence[str]) -> str:
    """One of english, pinyin, cyrillic (transliterated), other (any other, any script, or a mixture), unclear.

    Foreign when at least two words (or the only one) and 35 % of all that say something are foreign; which it is needs
    60 % of those, else it is a mixture. Mostly words that nothing is known of: other.
    """
    kinds = [kind for word in words_of(names) if (kind := kind_of(word))]
    counts = {kind: kinds.count(kind) for kind in ("english", "pinyin", "cyrillic", "other", "unknown")}
    unknown, english = counts.pop("unknown"), counts.pop("english")
    foreign = sum(counts.values())
    if foreign >= (2 if english else 1) and foreign >= 0.35 * (foreign + english):
        most = max(counts, key=lambda kind: counts[kind])
        return most if counts[most] >= 0.6 * foreign else "other"
    if unknown >= 3 and unknown > 3 * english:
        return "other"
    return "english" if english else "unclear"


@lru_cache(maxsize=65536)
def kind_of(word: str) -> str:
    """english, pinyin, cyrillic, other or unknown; "" for a word too short to say. Takes one word in small letters."""
    if not word.isascii():
        return "other"
    if len(word) < 3:
        return ""
    if _english(word):
        return "english"
    listed = "cyrillic" if word in CYRILLIC else "other" if word in OTHER else ""
    return listed or _by_letters(word)


def _by_letters(word: str) -> str:
    if len(word) <= 24 and _PINYIN.fullmatch(word):
        return "pinyin"
    if _compound(word):
        return "english"
    if _ELSEWHERE.search(word):
        return "other"
    return "cyrillic" if len(word) > 3 and _RUSSIAN.search(word) else "unknown"


def _english(word: str) -> bool:
    if word in ENGLISH:
        return True
    stems = (word[: -len(ending)] for ending in _ENDINGS if word.endswith(ending) and len(word) - len(ending) >= 3)
    return any(
        stem in ENGLISH or stem + "e" in ENGLISH or (stem[-1] == stem[-2] and stem[:-1] in ENGLISH) for stem in stems
    ) or (word.endswith("ies") and word[:-3] + "y" in ENGLISH)


def _compound(word: str) -> bool:
    """Two English words written together: wordcount, newlist."""
    return any(_english(word[:at]) and _english(word[at:]) for at in range(3, len(word) - 2))


def style_of(tree: Tree) -> str:
    """One of typed, documented, terse, verbose, plain: the first that fits.

    typed: a function annotates a parameter or its result (only where the language lets one choose). documented: at
    least a sixth of the lines that are not blank are comments or docstrings. terse, verbose: names have on average
    less than 3, more than 9 characters.
    """
    if _annotated(tree):
        return "typed"
    lines = sum(bool(line.strip()) for line in tree.source.text.split("\n"))
    if lines and _spoken_lines(tree) * 6 >= lines:
        return "documented"
    names = names_in(tree)
    average = sum(map(len, names)) / len(names) if names else 5.0
    return "terse" if average < 3 else "verbose" if average > 9 else "plain"


def _annotated(tree: Tree) -> bool:
    functions = tree.language.functions
    return any(
        node.kind in _ANNOTATIONS or (node.kind in functions and node.child("return_type") is not None)
        for node in tree.nodes
    )


def _spoken_lines(tree: Tree) -> int:
    table, text = tree.language, tree.source.text
    found: set[int] = set()
    for node in tree.nodes:
        alone = node.kind in table.strings and node.parent is not None and len(node.parent.children) == 1
        if node.kind in table.comments or (alone and node.parent is not None and node.parent.kind in table.statements):
            first = text.count("\n", 0, node.start)
            found.update(range(first, first + text.count("\n", node.start, node.end) + 1))
    return len(found)
