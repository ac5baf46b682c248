"""What the groups are right about, on programs written for this test and on what `rename-foreign` makes."""

# ruff: noqa: E501 - the written programs stand on one line each

import ast
import inspect
import json
import random
import textwrap

import pytest

from data import wording
from data.augment import TRANSFORMATIONS
from eval.identifiers import groups_of, kind_of, language_of_names, length_of, words_of
from repair.sources import Source

ENGLISH = {
    "python": [
        "def find_max(values):\n    best = values[0]\n    for v in values:\n        if v > best:\n            best = v\n    return best",
        "def is_leap(year):\n    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)",
        "def two_sum(nums, target):\n    seen = {}\n    for i, n in enumerate(nums):\n        if target - n in seen:\n            return seen[target - n], i\n        seen[n] = i",
        "class Account:\n    def __init__(self, owner, balance):\n        self.owner = owner\n        self.balance = balance\n    def withdraw(self, amount):\n        self.balance -= amount",
        "def wordcount(text):\n    counts = {}\n    for word in text.split():\n        counts[word] = counts.get(word, 0) + 1\n    return counts",
        "def shipping(weight, express):\n    fee = 5 if weight < 2 else 9\n    return fee * 2 if express else fee",
    ],
    "javascript": [
        "function totalPrice(items, taxRate) {\n  let sum = 0;\n  for (const item of items) sum += item.price;\n  return sum * (1 + taxRate);\n}",
        "const isEven = (num) => num % 2 === 0;",
    ],
    "java": [
        "class Main { static int countVowels(String text) { int count = 0; for (char c : text.toCharArray()) { if (isVowel(c)) count++; } return count; } }",
    ],
}  # fmt: skip
PINYIN = {
    "python": [
        "def jisuan_pingjun(chengji):\n    zonghe = 0\n    for fenshu in chengji:\n        zonghe += fenshu\n    return zonghe / len(chengji)",
        "def zhao_zuida(shuzu):\n    zuida = shuzu[0]\n    for zhi in shuzu:\n        if zhi > zuida:\n            zuida = zhi\n    return zuida",
        "def panduan_zhishu(shu):\n    for i in range(2, shu):\n        if shu % i == 0:\n            return False\n    return True",
        "class Xuesheng:\n    def __init__(self, xingming, nianling):\n        self.xingming = xingming\n        self.nianling = nianling",
        "def paixu(liebiao):\n    for i in range(len(liebiao)):\n        for j in range(i):\n            if liebiao[j] > liebiao[i]:\n                linshi = liebiao[i]\n                liebiao[i] = liebiao[j]\n                liebiao[j] = linshi\n    return liebiao",
        "def get_jiage(shangpin, shuliang):\n    danjia = shangpin['price']\n    zongjia = danjia * shuliang\n    return zongjia",
    ],
    "javascript": ["function jiaHuan(kaishi, jieshu) {\n  const changdu = jieshu - kaishi;\n  return changdu;\n}"],
    "java": [
        "class Main { static int qiuHe(int[] shuju) { int jieguo = 0; for (int yuansu : shuju) { jieguo += yuansu; } return jieguo; } }",
    ],
}  # fmt: skip
CYRILLIC = {
    "python": [
        "def naiti_maksimum(chisla):\n    maks = chisla[0]\n    for chislo in chisla:\n        if chislo > maks:\n            maks = chislo\n    return maks",
        "def zarplata(stavka, chasy, premiya):\n    oklad = stavka * chasy\n    itogo = oklad + premiya\n    return itogo",
        "def podschet_glasnykh(stroka):\n    kolichestvo = 0\n    for bukva in stroka:\n        if bukva in glasnye:\n            kolichestvo += 1\n    return kolichestvo",
        "class Polzovatel:\n    def __init__(self, imya, vozrast):\n        self.imya = imya\n        self.vozrast = vozrast",
        "def raspisanie_poezdov(otpravlenie, pribytie):\n    prodolzhitelnost = pribytie - otpravlenie\n    return prodolzhitelnost",
        "def proverka_prostoe(n):\n    delitel = 2\n    while delitel * delitel <= n:\n        if n % delitel == 0:\n            return False\n        delitel += 1\n    return True",
    ],
    "javascript": ["function ploshchad(shirina, vysota) {\n  const znachenie = shirina * vysota;\n  return znachenie;\n}"],
    "java": [
        "class Main { static int summaElementov(int[] massiv) { int itog = 0; for (int znachenie : massiv) { itog += znachenie; } return itog; } }",
    ],
}  # fmt: skip
OTHER = {
    "python": [
        "def berechne_summe(zahlen):\n    ergebnis = 0\n    for zahl in zahlen:\n        ergebnis += zahl\n    return ergebnis",
        "def calcular_promedio(valores):\n    suma = 0\n    for valor in valores:\n        suma += valor\n    return suma / len(valores)",
        "def 合計(値):\n    結果 = 0\n    for 数 in 値:\n        結果 += 数\n    return 結果",
        "def сумма(список):\n    итог = 0\n    for x in список:\n        итог += x\n    return итог",
        "def longueur_chaine(mots):\n    resultat = 0\n    for mot in mots:\n        resultat += len(mot)\n    return resultat",
        "def ank_ka_yog(sankhya):\n    yog = 0\n    while sankhya:\n        yog += sankhya % 10\n        sankhya //= 10\n    return yog",
    ],
}  # fmt: skip
WRITTEN = {"english": ENGLISH, "pinyin": PINYIN, "cyrillic": CYRILLIC, "other": OTHER}
FRAME = """def {0}({1}):
    {2} = 0
    for {3} in {1}:
        if {3} > {2}:
            {2} = {3}
    {4} = {2} + len({1})
    return {4}
"""


def told(language, code):
    return groups_of(language, code)["identifier_language"]


@pytest.mark.parametrize("expected", WRITTEN)
def test_written_programs(expected):
    wrong = [
        code for language, codes in WRITTEN[expected].items() for code in codes if told(language, code) != expected
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("pool", "expected"),
    [("PLAIN", "english"), ("GERMAN", "other"), ("SPANISH", "other"), ("PINYIN", "pinyin"), ("HINDI", "other"),
     ("NON_ASCII", "other")],
)  # fmt: skip
def test_programs_with_the_words_of_rename_foreign(pool, expected):
    """The words of one language in the locals (and function and parameter in English, in half of the programs)."""
    draw, right = random.Random(pool), 0
    for number in range(60):
        names = draw.sample(getattr(wording, pool), 5)
        if number % 2:
            names[:2] = ["largest", "values"]
        right += told("python", FRAME.format(*names)) == expected
    assert right >= 54


def test_programs_that_rename_foreign_makes():
    """Each local gets the word of another language, so what comes out is foreign, and a mixture more often than not."""
    kind = next(t for t in TRANSFORMATIONS if t.name == "rename-foreign")
    code = FRAME.format("largest", "values", "best", "value", "result")
    assert told("python", code) == "english"
    made = [kind.apply(code, "python", random.Random(n)) for n in range(40)]
    found = [told("python", text) for text in made if text is not None]
    assert len(found) >= 30
    assert found.count("english") <= len(found) // 10
    assert found.count("other") > len(found) / 2


def test_english_programs_that_were_not_looked_at():
    """Functions of the standard library, from which the word list was not made."""
    modules = (ast, inspect, json, random, textwrap)
    codes = [
        textwrap.dedent(inspect.getsource(value))
        for module in modules
        for value in vars(module).values()
        if inspect.isfunction(value) and value.__module__ == module.__name__
    ]
    found = [told("python", code) for code in codes]
    assert len(found) > 80
    assert found.count("english") + found.count("unclear") >= 0.97 * len(found)
    assert found.count("unclear") <= 0.05 * len(found)


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("zhuangtai", "pinyin"), ("nver", "pinyin"), ("xian", "pinyin"), ("liangge", "pinyin"), ("bvn", "unknown"),
        ("perevozchik", "cyrillic"), ("izmerenie", "cyrillic"), ("otpravitel", "cyrillic"), ("prochnost", "cyrillic"),
        ("zagruzhat", "cyrillic"), ("made", "english"), ("dates", "english"), ("planning", "english"),
        ("entries", "english"), ("firstitem", "english"), ("n", ""), ("ni", ""), ("größe", "other"),
        ("rechnung", "other"),
    ],
)  # fmt: skip
def test_words(word, kind):
    assert kind_of(word) == kind


def test_names_fall_into_words():
    assert words_of(["HTTPServer_v2", "maxLen", "max_len", "ÜberGröße", "__init__"]) == (
        "http", "server", "v", "max", "len", "über", "größe", "init",
    )  # fmt: skip


def test_unclear_and_mixed():
    assert language_of_names(["i", "j", "n"]) == "unclear"
    assert language_of_names([]) == "unclear"
    assert language_of_names(["shuzu", "znachenie", "ergebnis"]) == "other"
    assert language_of_names(["value", "total", "count", "shuzu"]) == "english"


def test_what_others_named_does_not_count():
    code = "import jieba\nfrom shuju import duqu\n\ndef count(words):\n    return jieba.fenci(duqu(words)).zongshu\n"
    assert told("python", code) == "english"


@pytest.mark.parametrize("code", ["", "def f(:\n  zhi = = shuzu changdu", "\x00", "x" * 10_000, "((" * 500])
def test_anything_can_be_read(code):
    for language in ("python", "javascript", "java", "cobol"):
        assert set(groups_of(language, code)) == {"language", "identifier_language", "style", "length"}


def test_given_labels_are_kept_and_missing_ones_left_out():
    found = groups_of("python", "x = 1\n", "wrong-operator", "owner/project")
    assert (found["bug_type"], found["project"], found["language"]) == ("wrong-operator", "owner/project", "python")
    assert "project" not in groups_of("python", "x = 1\n", "", None)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [(0, "<=10"), (10, "<=10"), (11, "11-25"), (25, "11-25"), (26, "26-60"), (60, "26-60"), (61, ">60")],
)
def test_lengths(lines, expected):
    assert length_of("x = 1\n\n" * lines) == expected


@pytest.mark.parametrize(
    ("language", "code", "expected"),
    [
        ("python", "def f(a: int):\n    return a\n", "typed"),
        ("python", "def f(a) -> int:\n    return a\n", "typed"),
        ("python", 'def f(value):\n    """Say."""\n    return value\n', "documented"),
        ("python", "def f(value):\n    # say\n    return value\n", "documented"),
        ("python", 'def f(value):\n    say = "no docstring"\n    return value + say\n', "plain"),
        ("python", "def f(a, b):\n    c = a + b\n    return c\n", "terse"),
        ("python", "def largest_element(collection_of_numbers):\n    return max(collection_of_numbers)\n", "verbose"),
        ("typescript", "function f(a: number) { return a; }", "typed"),
        ("javascript", "function add(first, other) { return first + other; }", "plain"),
        ("java", "class A { int add(int first, int other) { return first + other; } }", "plain"),
        ("java", "/** Adds.\n * Twice.\n */\nclass A { int add(int first) { return first; } }", "documented"),
    ],
)
def test_styles(language, code, expected):
    assert groups_of(language, code)["style"] == expected


def test_the_same_code_has_the_same_groups_whatever_its_line_ends():
    code = PINYIN["python"][0]
    assert groups_of("python", code) == groups_of("python", code.replace("\n", "\r\n"))
    assert Source("code", code, "python").text == code
