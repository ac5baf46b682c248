"""Words for augmentation: identifiers of several natural languages, comments, docstring lines. Data only.

Identifiers are in the normal form that compilers compare (NFKC), so that what is written is what is meant.
"""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PLAIN = _words(
    """
    value result item index count total current entry element data_ temp left_side right_side low_end high_end first_one
    last_one size_ length_ number text_ word line_ row_ col_ key_ node_ parent_ child_ buffer_ flag_ state_ start_at
    end_at offset_ limit_ amount score_ step_ pos other part rest acc seen_ found_ candidate target_ source_ prefix_
    """
)
GERMAN = _words(
    """
    wert ergebnis zaehler laenge eintrag schluessel knoten summe anzahl grenze liste_ zeile spalte anfang ende_ rest_
    teil naechster voriger puffer zeichen wort zahl groesse_ breite hoehe stelle menge
    """
)
SPANISH = _words(
    """
    valor resultado contador longitud entrada_ clave nodo suma cantidad limite lista fila columna inicio fin resto
    parte siguiente anterior caracter palabra numero tamano ancho alto posicion conjunto
    """
)
PINYIN = _words(
    """
    zhi jieguo jishu changdu xiangmu jian jiedian zonghe shuliang jiexian liebiao hang lie kaishi jieshu shengyu bufen
    xiayige shangyige huancun zifu danci shuzi daxiao kuandu gaodu weizhi jihe
    """
)
HINDI = _words(
    """
    maan parinaam ganak lambai pravishti kunji gaanth yog sankhya seema suchi pankti stambh aarambh ant shesh bhaag
    agla pichhla akshar shabd ank aakaar chaudai unchai sthaan samuh
    """
)
NON_ASCII = _words(
    """
    größe länge schlüssel zähler überlauf rückgabe tamaño índice número último año posición 值 结果 计数 长度 列表 节点
    总和 数量 位置 मान संख्या सूची योग परिणाम значение счётчик список сумма длина ключ узел τιμή αριθμός 件数
    合計 結果_ 値_ 목록 개수
    """
)
FOREIGN = (GERMAN, SPANISH, PINYIN, HINDI, NON_ASCII)

COMMENTS = (
    "see above", "the usual case", "kept simple on purpose", "order matters below", "may be empty", "next step",
    "nothing to do with the cache", "checked by the caller", "cheap", "as described in the manual", "TODO: say why",
    "this is reached rarely", "note the bounds", "prepare", "done once", "invariant holds here", "values are read only",
    "Achtung, siehe oben", "ver la nota anterior", "zhe li bu yong gai", "yahan dhyan dein", "注意边界", "überprüft",
)  # fmt: skip
DOCSTRINGS = (
    "Do what the name says.", "Return the result for the given arguments.", "Internal; see the callers.",
    "Compute the value.", "A step of the algorithm.", "Handle one case.", "Berechnet das Ergebnis.",
    "Devuelve el resultado.", "Fan hui jie guo.", "Parinaam lautata hai.", "返回结果。",
)  # fmt: skip
