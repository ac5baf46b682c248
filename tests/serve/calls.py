"""Calls of `emend` in shell scripts, held against the real option table."""

import re
import shlex
from pathlib import PurePath

import typer

from serve.cli import app


def option_table():
    """Options of every command by its words."""

    def walk(command, words):
        if hasattr(command, "commands"):
            for name, inner in command.commands.items():
                yield from walk(inner, (*words, name))
        else:
            yield words, {option for p in command.params for option in (*p.opts, *p.secondary_opts)}

    return dict(walk(typer.main.get_command(app), ()))


def check_call(words):
    """Whether a command and its options exist. `words` begin with emend."""
    table = option_table()
    name = next((n for k in (3, 2, 1) if (n := tuple(words[1 : 1 + k])) in table), None)
    assert name, f"no such command: {shlex.join(words)}"
    unknown = {w.partition("=")[0] for w in words if w.startswith("--")} - table[name]
    assert not unknown, f"{shlex.join(words)}: {unknown}"


def calls_in(script):
    """Every call of emend in a shell script, as words up to the next operator."""
    joined = script.replace("\\\n", " ")
    for line in joined.split("\n"):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|<>")
        lexer.whitespace_split = True
        words = [word for word in lexer if not word.startswith("#")]
        for at, word in enumerate(words):
            if (
                PurePath(word).name == "emend"
                and words[at + 1 : at + 2]
                and not words[at + 1].startswith(("@", "=", "-"))
            ):
                end = next((n for n in range(at, len(words)) if re.fullmatch("[;&|<>]+", words[n])), len(words))
                yield words[at:end]
