"""`python -m serve.lsp`: the language server on stdin and stdout, with the options of `emend lsp`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from serve.lsp.options import Options


def _read(argv: list[str]) -> Options:
    parser = argparse.ArgumentParser(prog="emend lsp", description=__doc__)
    own = Options()
    parser.add_argument("--model")
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--python", type=Path)
    parser.add_argument("--test")
    parser.add_argument("--seconds", type=float, default=own.seconds)
    parser.add_argument("--candidates", type=int, default=own.candidates)
    parser.add_argument("--sandbox-minimum", choices=("A", "B", "C"), default=own.sandbox_minimum)
    parser.add_argument("--unsafe-no-sandbox", action="store_true")
    return Options(**vars(parser.parse_args(argv)))


if __name__ == "__main__":
    from serve.lsp.server import serve

    raise SystemExit(serve(_read(sys.argv[1:])))
