"""The licence that a whole licence text is, as an SPDX expression, by words that only that licence has.

Owns the words. Whether a licence may be used is decided by `data.licences`. What is not recognised is "".
"""

from __future__ import annotations

import re

# In order: the first whose words all occur is it.
_WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("AGPL-3.0-only", ("gnu affero general public license",)),
    ("LGPL-3.0-only", ("gnu lesser general public license", "version 3")),
    ("LGPL-2.1-only", ("gnu lesser general public license",)),
    ("GPL-3.0-only", ("gnu general public license", "version 3")),
    ("GPL-2.0-only", ("gnu general public license",)),
    ("MPL-2.0", ("mozilla public license",)),
    ("EPL-2.0", ("eclipse public license",)),
    ("Apache-2.0", ("apache license", "version 2.0")),
    ("PSF-2.0", ("python software foundation license",)),
    ("BSD-3-Clause", ("redistribution and use in source and binary forms", "endorse or promote")),
    ("BSD-2-Clause", ("redistribution and use in source and binary forms",)),
    ("CC0-1.0", ("cc0 1.0 universal",)),
    ("Unlicense", ("this is free and unencumbered software released into the public domain",)),
    ("MIT-0", ("permission is hereby granted, free of charge",
     "to permit persons to whom the software is furnished to do so.")),
    ("MIT", ("permission is hereby granted, free of charge", "the above copyright notice and this permission notice")),

    ("ISC", ("permission to use, copy, modify, and", "distribute this software for any purpose with or without fee")),
    ("Zlib", ("this software is provided 'as-is', without any express or implied warranty", "altered source versions")),
)  # fmt: skip


def licence_of(text: str) -> str:
    """The SPDX name, "" where the text is none that we know."""
    plain = re.sub(r"[\s\"“”‘’`]+", " ", text.lower())
    for name, words in _WORDS:
        if all(word in plain for word in words):
            if name == "ISC" and "provided that the above copyright notice" not in plain:
                continue
            return name
    return ""
