// Small programs with one fault each, to try the page with.

import type { Request } from "./wire";

export const EXAMPLES: readonly { name: string; request: Request }[] = [
  {
    name: "Python: a name that does not exist (traceback)",
    request: {
      files: [
        {
          path: "mean.py",
          text: 'def mean(xs):\n    """The arithmetic mean."""\n    if not xs:\n        raise ValueError("no numbers")\n    return sum(xs) / len(x)\n',
        },
      ],
      error:
        "Traceback (most recent call last):\n  File \"mean.py\", line 5, in mean\n    return sum(xs) / len(x)\nNameError: name 'x' is not defined",
    },
  },
  {
    name: "Python: a wrong bound (test)",
    request: {
      files: [
        {
          path: "search.py",
          text:
            "def find(xs, wanted):\n    low, high = 0, len(xs) - 1\n    while low < high:\n        middle = (low + high) // 2\n" +
            "        if xs[middle] == wanted:\n            return middle\n        if xs[middle] < wanted:\n            low = middle + 1\n" +
            "        else:\n            high = middle - 1\n    return -1\n",
        },
      ],
      test: {
        files: [
          {
            path: "test_search.py",
            text: "from search import find\n\n\ndef test_last():\n    assert find([1, 3, 5], 5) == 2\n\n\ndef test_missing():\n    assert find([1, 3], 2) == -1\n",
          },
        ],
      },
    },
  },
  {
    name: "JavaScript: a wrong operator (error)",
    request: {
      files: [
        {
          path: "total.js",
          text: "function total(items) {\n  let sum = 0;\n  for (let i = 0; i <= items.length; i++) {\n    sum += items[i].price;\n  }\n  return sum;\n}\n\nmodule.exports = { total };\n",
        },
      ],
      error:
        "TypeError: Cannot read properties of undefined (reading 'price')\n    at total (total.js:4:21)\n    at Object.<anonymous> (test.js:3:8)",
    },
  },
];
