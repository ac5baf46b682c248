"""The parent of a program in tiers C and E: confines it, waits for it, and ends whatever it leaves behind.

Started by `supervised.py` as a process of its own, `python -I -S supervisor.py DESCRIPTOR`, with a marshalled order
to read from that descriptor; so it imports the standard library only, and little of it. It is the subreaper (prctl(2))
of everything the program starts: a daemon that has left its session and its parent becomes its child, and dies.
"""

# A program waits for this before it starts: pathlib, json, typing and contextlib would double the imports.
# ruff: noqa: PTH123, PTH208

from __future__ import annotations

import ctypes
import marshal
import os
import resource
import signal
import struct
import sys
import time

TYPE_CHECKING = False  # as type checkers read it; importing it from typing costs milliseconds
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

READY = b"\0emend-ready\n"
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 22, 36, 38
_SECCOMP_MODE_FILTER = 2
# The same numbers on every architecture.
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_RULE_PATH_BENEATH = 1
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_libc = ctypes.CDLL(None, use_errno=True)


class _EndNow(Exception):
    """SIGTERM: the host wants the tree gone."""


def main() -> NoReturn:
    """Carry out the order; the exit status is the program's, 128 + n for signal n, 97 when it could not start."""
    with open(int(sys.argv[1]), "rb") as file:
        order: dict[str, Any] = marshal.load(file)  # written by the same interpreter
    for number in _ENDING:
        signal.signal(number, _end_now)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != order["parent"]:
        sys.exit(97)  # it died before we could ask to be told
    status, program = 0, 0
    try:
        program = _fork(order)
        status = _wait_for(program)
    except _EndNow:
        status = signal.SIGKILL
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    end_offspring(program)
    os._exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))


def end_offspring(program: int) -> None:
    """End all descendants: the program's process group in one stroke, which no fork outruns, then who has left it.

    Those are stopped first, so that none forks away, then killed and reaped, until there are none.
    """
    _signal_group(program)
    while True:
        stopped: set[int] = set()
        while fresh := set(_offspring(os.getpid())) - stopped:
            _signal(fresh, signal.SIGSTOP)
            stopped |= fresh
        _signal(stopped, signal.SIGKILL)
        if not _reap():
            return
        time.sleep(0.001)  # the dying are being taken apart, or their children are becoming ours


def _signal_group(leader: int) -> None:
    if leader:
        try:
            os.killpg(leader, signal.SIGKILL)
        except ProcessLookupError:
            return


def _reap() -> bool:
    """Collect the dead; whether a child is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _end_now(_number: int, _frame: object) -> NoReturn:
    raise _EndNow


def _wait_for(program: int) -> int:
    while True:
        pid, status = os.wait()
        if pid == program:
            return status


def _fork(order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            for number in _ENDING:
                signal.signal(number, signal.SIG_DFL)
            _become(order)
        except OSError as error:
            os.write(2, f"{error}\n".encode("utf-8", "replace"))
        finally:
            os._exit(97)
    return pid


def _become(order: dict[str, Any]) -> None:
    os.setsid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.chdir(order["work"])
    source = os.open(order["stdin"], os.O_RDONLY)
    os.dup2(source, 0)
    for name, value in order["limits"].items():
        number = getattr(resource, f"RLIMIT_{name.upper()}")
        hard = resource.getrlimit(number)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (bound, bound))
    rules = _landlock_rules(order["landlock"]) if order["landlock"] else -1
    if order["uid"] >= 0:
        os.setgroups([])
        os.setresgid(order["uid"], order["uid"], order["uid"])
        os.setresuid(order["uid"], order["uid"], order["uid"])
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # the change of user has cleared it
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if rules >= 0:
        _call(_LANDLOCK_RESTRICT_SELF, rules, 0)
        os.close(rules)
    if order["filter"]:
        _load_filter(order["filter"])
    _close_others({0, 1, 2, *order["inherited"]})
    os.write(2, READY)
    try:
        os.execvpe(order["argv"][0], order["argv"], order["env"])
    except OSError as error:
        os.write(2, f"{order['argv'][0]}: {error.strerror}\n".encode("utf-8", "replace"))
        os._exit(126 if isinstance(error, PermissionError) else 127)


def _landlock_rules(wanted: dict[str, Any]) -> int:
    """A ruleset (landlock(7)) that allows what `paths` lists and nothing else of what it handles."""
    attributes = struct.pack("=QQQ", wanted["filesystem"], wanted["network"], wanted["scoped"])[: wanted["size"]]
    rules = _call(_LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
    for path, access in wanted["paths"]:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        _call(_LANDLOCK_ADD_RULE, rules, _RULE_PATH_BENEATH, struct.pack("=Qi", access, descriptor), 0)
        os.close(descriptor)
    return rules


def _load_filter(program: bytes) -> None:
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.c_char_p(header))


def _close_others(kept: set[int]) -> None:
    for descriptor in [int(name) for name in os.listdir("/proc/self/fd")]:
        if descriptor not in kept:
            try:
                os.close(descriptor)
            except OSError:
                continue  # the one that listed the directory


def _prctl(option: int, value: int, pointer: ctypes.c_char_p | int = 0) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), pointer, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")


def _call(number: int, *arguments: int | bytes) -> int:
    done: int = _libc.syscall(ctypes.c_long(number), *arguments)
    if done < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"landlock: {os.strerror(errno)}")
    return done


def _signal(pids: set[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _offspring(root: int) -> Sequence[int]:
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if fields[0] != b"Z":
                children.setdefault(int(fields[1]), []).append(int(name))
    found = list(children.get(root, []))
    for pid in found:  # grows while it is walked
        found.extend(children.get(pid, []))
    return found


if __name__ == "__main__":
    main()
