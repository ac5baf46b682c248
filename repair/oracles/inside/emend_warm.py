"""Imports what test runs need, for a warm interpreter; what is not installed is left to the run to complain of.

Plugins of pytest import lazily (hypothesis alone takes a second), so a session over one trivial test runs in
a child first, and the modules it ended with are imported here: imported only, no plugin's state is kept.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile

_ROOTS = tuple(os.path.realpath(p) for p in sys.path if p and os.path.isdir(p))  # noqa: PTH112


def _session(descriptor: int) -> None:
    """In the child: run the session, write the names of all modules."""
    quiet = os.open(os.devnull, os.O_RDWR)
    for known in (0, 1, 2):
        os.dup2(quiet, known)
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        with open("test_warm.py", "w") as file:  # noqa: PTH123
            file.write("import pytest\n\n@pytest.mark.parametrize('n', [1, 2])\ndef test_warm(n):\n    assert n == 1\n")
        pytest = importlib.import_module("emend_pytest").pytest
        pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:randomly", "test_warm.py"])
        os.chdir("/")
    os.write(descriptor, "\n".join(_lasting()).encode())


def _lasting() -> list[str]:
    """Modules that lie on the interpreter's own path."""
    names = [n for n, m in list(sys.modules.items()) if getattr(m, "__file__", None) and n.isascii()]
    return [n for n in names if os.path.realpath(str(sys.modules[n].__file__)).startswith(_ROOTS)]


def _learn() -> list[str]:
    """Names of the modules that a session needs; empty when it could not be run."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _session(writer)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as names:
        found = names.read().split()
    os.waitpid(child, 0)
    return found


def _warm() -> None:
    try:
        importlib.import_module("emend_pytest")
    except ImportError:
        return
    for name in _learn():
        try:
            importlib.import_module(name)
        except Exception:  # noqa: BLE001  (a plugin's module that cannot be imported alone)
            continue


_warm()
