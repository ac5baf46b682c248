"""Whole licence texts are recognised."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.licence_texts import licence_of
from data.licences import expression_allowed

ROOT = Path(__file__).resolve().parents[2]
BSD = "Redistribution and use in source and binary\nforms, with or without modification, are permitted ..."


@pytest.mark.parametrize(
    ("text", "name", "allowed"),
    [
        (BSD, "BSD-2-Clause", True),
        (f"{BSD} Neither the name ... may be used to endorse or\n  promote products ...", "BSD-3-Clause", True),
        ("GNU GENERAL PUBLIC LICENSE\n  Version 3, 29 June 2007", "GPL-3.0-only", False),
        ("Mozilla Public License Version 2.0", "MPL-2.0", False),
        ("Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is "
         "hereby granted, provided that the above copyright notice and", "ISC", True),
        ("All rights reserved.", "", False),
        ("", "", False),
    ],
)  # fmt: skip
def test_texts_have_a_name(text: str, name: str, allowed: bool) -> None:
    assert licence_of(text) == name
    assert expression_allowed(name) is allowed


def test_our_own_licence_is_recognised() -> None:
    assert licence_of((ROOT / "LICENSE").read_text(encoding="utf-8")) == "Apache-2.0"
