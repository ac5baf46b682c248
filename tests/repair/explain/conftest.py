# ruff: noqa: F811 - fixtures of another folder
"""The tiny checkpoints of tests/repair/models, opened."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from repair.explain.glass import Glass, open_glass
from repair.explain.values import Subject
from repair.views import Hunk, View
from tests.repair.models.conftest import (
    compact_directory,  # noqa: F401 - a fixture
    plain_directory,  # noqa: F401 - a fixture
)

TEMPLATE = (
    "{% for m in messages %}<<{{ m['role'] }}>>{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<<assistant>>{% endif %}"
)


@pytest.fixture(scope="session")
def chat_directory(plain_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("chat") / "model"
    shutil.copytree(plain_directory, out)
    (out / "chat_template.jinja").write_text(TEMPLATE)
    return out


@pytest.fixture(scope="session")
def compact(compact_directory: Path) -> Glass:
    return open_glass(compact_directory, device="cpu")


@pytest.fixture(scope="session")
def plain(plain_directory: Path) -> Glass:
    return open_glass(plain_directory, device="cpu")


@pytest.fixture(scope="session")
def chat(chat_directory: Path) -> Glass:
    return open_glass(chat_directory, device="cpu")


@pytest.fixture
def subject() -> Subject:
    lines = ("def area(box):", "    if box is None:", "        return 0", "", "    return box.width + box.height")
    view = View(
        "shapes.py", "python", 7, lines, "AssertionError: 5 != 6 in height", (11, 8),
        "b = box(2, 3)\nassert area(b) == 6", ("import math", "def box(w, h):"),
    )  # fmt: skip
    return Subject(view, (Hunk(11, 11, "    return box.width * box.height"),))
