"""Own small cases that the tests of robustness share."""

from eval.suites.rows import Case

TOTAL = '''def total_of(prices, limit):
    """Sum of the prices up to a limit."""
    result = 0
    count = 0
    for price in prices:
        # dear ones do not count
        if price < limit:
            result += price
        count = count + 1
    return result
'''
TOTAL_ERROR = """Traceback (most recent call last):
  File "solution.py", line 13, in <module>
    assert total_of([1, 5, 9], 5) == 6
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^
AssertionError
"""
PYTHON = Case(
    "total", "python", TOTAL, "assert total_of([1, 5, 9], 5) == 6\n",
    fixed_code=TOTAL.replace("price < limit", "price <= limit"),
    held_out_tests="assert total_of([2, 2], limit=2) == 4\n", error=TOTAL_ERROR, entry_point="total_of",
)  # fmt: skip

FIRST = """import math


def first_long(texts, least):
    found = None
    for text in texts:
        if len(text) >= least:
            found = text[least]
            break
    return found
"""
FIRST_ERROR = """Traceback (most recent call last):
  File "/srv/job/solution.py", line 13, in <module>
    assert first_long(["a", "bcd"], 3) == "b"
           ~~~~~~~~~~^^^^^^^^^^^^^^^^^
  File "/srv/job/solution.py", line 8, in first_long
    found = text[least]
            ~~~~^^^^^^^
IndexError: string index out of range
"""
RAISING = Case(
    "first", "python", FIRST, 'assert first_long(["a", "bcd"], 3) == "b"\n',
    fixed_code=FIRST.replace("text[least]", "text[0]"), error=FIRST_ERROR, entry_point="first_long",
)  # fmt: skip

NAMED = """def longest_of(words):
    best = ""
    for word in words:
        if len(word) > len(best):
            best = wrod
    return best
"""
UNDEFINED = Case(
    "longest", "python", NAMED, "assert longest_of(['a', 'bc']) == 'bc'\n", fixed_code=NAMED.replace("wrod", "word"),
    error='  File "solution.py", line 5, in longest_of\n    best = wrod\n           ^^^^\n'
    "NameError: name 'wrod' is not defined. Did you mean: 'word'?",
)  # fmt: skip

SCRIPT = """'use strict';
function largest(numbers) {
  let top = numbers[0];
  for (const number of numbers) {
    if (number < top) {
      top = number;
    }
  }
  return top;
}
"""
NODE = Case(
    "largest", "javascript", SCRIPT, "if (largest([1, 3, 2]) !== 3) { throw new Error('no'); }\n",
    fixed_code=SCRIPT.replace("number < top", "number > top"),
    error="/tmp/x/solution.js:12\nif (largest([1, 3, 2]) !== 3) { throw new Error('no'); }\n"
    "                                ^\n\nError: no\n    at largest (/tmp/x/solution.js:5:7)\n"
    "    at Object.<anonymous> (/tmp/x/solution.js:12:39)\n    at node:internal/main/run_main_module:28:49\n",
)  # fmt: skip

CASES = (PYTHON, RAISING, UNDEFINED, NODE)
