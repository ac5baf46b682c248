"""Compiled parts, built in a real sandbox with a real compiler."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from repair.projects.builds import add_compiled, compiles
from repair.projects.listing import tree_of
from repair.projects.requirements import declared

C = """
#include <Python.h>
static PyObject *answer(PyObject *self, PyObject *none) { return PyLong_FromLong(42); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, ""}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_fast", NULL, -1, methods};
PyMODINIT_FUNC PyInit__fast(void) { return PyModule_Create(&module); }
"""
SETUP = """
from setuptools import Extension, setup
setup(name="own", version="1", packages=["own"], ext_modules=[Extension("own._fast", ["own/fast.c"])])
"""


def project(root: Path, text: str) -> Path:
    (root / "own").mkdir(parents=True)
    (root / "own" / "__init__.py").write_text("")
    (root / "own" / "fast.c").write_text(text)
    (root / "setup.py").write_text(SETUP)
    return root


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_compiled_parts_lie_beside_the_code_and_a_build_that_fails_is_told(tmp_path: Path, sandbox) -> None:
    tree = tree_of(project(tmp_path / "good", C))
    assert compiles(tree) == "setup.py"
    python, needs = Path(sys.executable), declared(tree, pytest=True)
    note = add_compiled(tree, needs, python, "1" * 40, tmp_path / "cache", sandbox)
    if "cannot be installed" in note:
        pytest.skip(f"no index: {note}")
    assert note.startswith("compiled from setup.py: own/_fast.")
    call = [sys.executable, "-c", "import own._fast; print(own._fast.answer())"]
    assert subprocess.run(call, cwd=tree.root, capture_output=True, check=True).stdout == b"42\n"
    assert add_compiled(tree_of(tree.root), needs, python, "1" * 40, tmp_path / "cache", sandbox) == ""
    bad = tree_of(project(tmp_path / "bad", "no C at all"))
    note = add_compiled(bad, needs, python, "2" * 40, tmp_path / "cache", sandbox)
    assert note.startswith("its compiled parts (setup.py) do not build: ")


def test_plain_projects_have_nothing_to_compile(tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text("setup(name='own')")
    assert compiles(tree_of(tmp_path)) == ""
    (tmp_path / "pyproject.toml").write_text("[build-system]\nbuild-backend = 'maturin'\n")
    assert compiles(tree_of(tmp_path)) == "pyproject.toml"
