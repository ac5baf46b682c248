"""`emend lsp`: the language server on stdin and stdout (see `serve/lsp` and docs/editors.md)."""

from __future__ import annotations

from serve.lsp.options import Options


def run(options: Options) -> int:
    """Exit code 0 when the editor has left."""
    from serve.lsp.server import serve

    return serve(options)
