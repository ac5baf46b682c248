"""Attacks that a sandbox of a tier must withstand, run for real before anything is trusted to it.

Owns the attacks, harmless to the host even where they succeed, and what counts as having held. It does not know
how a sandbox is made. That a program is installed, or a kernel option set, proves nothing: these runs do.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from repair.errors import SandboxError
from repair.sandbox import MIB, Command, Execution, Limits, Sandbox, Stop, Tier
from repair.sandboxes.readable import interpreter_paths, readable_by_others

_PROCESSES = 24
_MEMORY = 96 * MIB
_DISK = 8 * MIB

# Every probe answers True when the attack SUCCEEDED.
_REACH = """
import ctypes, json, os, resource, socket, sys
bait = json.loads(sys.argv[1])
def succeeds(attack):
    try:
        return attack() is not False
    except Exception:
        return False
def connect(family, address):
    with socket.socket(family) as peer:
        peer.settimeout(1)
        peer.connect(address)
def write(path):
    with open(path, "w") as file:
        file.write("x")
def raise_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    resource.setrlimit(resource.RLIMIT_NPROC, (hard + 1, hard + 1))
libc = ctypes.CDLL(None, use_errno=True)
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
attacks = {
    "read a file of the host": lambda: open(bait["place"] + "/secret").read(),
    "write outside": lambda: write(bait["place"] + "/planted"),
    "link a file of the host": lambda: (os.link(bait["place"] + "/secret", "stolen"), open("stolen").read()),
    "read the environment of a host process": lambda: bait["name"] in open("/proc/%d/environ" % bait["pid"]).read(),
    "connect to a port of the host": lambda: connect(socket.AF_INET, ("127.0.0.1", bait["port"])),
    "connect to an abstract socket": lambda: connect(socket.AF_UNIX, "\\0" + bait["name"]),
    "connect to a socket file": lambda: connect(socket.AF_UNIX, bait["place"] + "/socket"),
    "open a netlink socket": lambda: socket.socket(16, socket.SOCK_RAW).close(),
    "make a user namespace": lambda: libc.unshare(0x10000000) == 0,
    "trace itself": lambda: libc.ptrace(0, 0, 0, 0) == 0,
    "raise a limit": raise_limit,
    "keep capabilities": lambda: any(int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")),
    "gain privileges": lambda: status["NoNewPrivs"].strip() != "1",
    "run unfiltered": lambda: status["Seccomp"].strip() != "2",
}
found = {name: succeeds(attack) for name, attack in attacks.items()}
succeeds(lambda: os.kill(bait["pid"], 15))  # the host looks whether it hit
write("mine"); write(os.path.join(os.environ["TMPDIR"], "mine"))
print(json.dumps(found))
"""

_SWARM = """
import os, time
born = 0
while born < 200:
    try:
        if os.fork() == 0:
            os.setsid()
            time.sleep(60)
            os._exit(0)
    except OSError:
        break
    born += 1
os.write(1, b"%d\\n" % born)
time.sleep(0.2)
"""

_DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(60)
"""

_GREED = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        hoard = bytearray(48 << 20)
        for place in range(0, len(hoard), 4096):
            hoard[place] = 1
        time.sleep(10)
        os._exit(0)
time.sleep(10)
"""

_FILL = """
import os
for number in range(8):
    with open("big%d" % number, "wb") as file:
        file.write(b"x" * (4 << 20))
print("filled", flush=True)
import time; time.sleep(5)
"""


@dataclass(frozen=True, slots=True)
class _Attack:
    code: str
    limits: Limits
    complaint: Callable[[Execution], str]  # what did not hold, or empty


def failures(sandbox: Sandbox) -> tuple[str, ...]:
    """The attacks that `sandbox` does not withstand; empty when it holds. Raises SandboxError where it breaks."""
    attacks = [*_limit_attacks(), *(() if sandbox.tier is Tier.E else (_reach_attack(),))]
    with _lay_bait() as bait:
        # Each spends most of its time waiting.
        with ThreadPoolExecutor(len(attacks)) as pool:
            tries = [pool.submit(_complaint, sandbox, attack, bait) for attack in attacks]
            found = [attempt.result() for attempt in tries]
        found.append("" if bait.victim.poll() is None else "kill a host process")
        found.append("leave a process behind" if _alive(bait.token) else "")
    return tuple(complaint for complaint in found if complaint)


def _complaint(sandbox: Sandbox, attack: _Attack, bait: _Bait) -> str:
    python = _interpreter(sandbox.tier)
    argv = (str(python), "-I", "-S", "-c", attack.code, bait.told, bait.token)
    return attack.complaint(sandbox.run(Command(argv, readable=interpreter_paths(python), limits=attack.limits)))


def _interpreter(tier: Tier) -> Path:
    """Ours, or the system's where tier C has to run it as a user who may not read ours (in root's home, say)."""
    own, system = Path(sys.executable), Path("/usr/bin/python3")
    return system if tier is Tier.C and not readable_by_others(own) and system.exists() else own


def _limit_attacks() -> tuple[_Attack, ...]:
    slow = 20.0
    return (
        _Attack(_DEAF, Limits(0.2, slow), lambda done: "" if done.stopped is Stop.WALL else "outlive the wall clock"),
        _Attack(_SWARM, Limits(slow, slow, 512 * MIB, _PROCESSES), _swarm_complaint),
        _Attack(_GREED, Limits(slow, slow, _MEMORY, _PROCESSES), _greed_complaint),
        _Attack(_FILL, Limits(slow, slow, 512 * MIB, _PROCESSES, _DISK), _fill_complaint),
    )


def _reach_attack() -> _Attack:
    return _Attack(_REACH, Limits(20.0, 20.0, 512 * MIB, _PROCESSES), _reach_complaint)


def _swarm_complaint(done: Execution) -> str:
    if done.stopped is Stop.PROCESSES:
        return ""
    born = int(done.stdout or b"-1")
    return "" if 0 <= born <= _PROCESSES + 4 else f"fork without bound ({born} processes)"


def _greed_complaint(done: Execution) -> str:
    return "" if done.stopped is Stop.MEMORY else "share out memory among processes"


def _fill_complaint(done: Execution) -> str:
    return "fill the disk" if done.stopped is None and b"filled" in done.stdout else ""


def _reach_complaint(done: Execution) -> str:
    try:
        found = json.loads(done.stdout)
    except ValueError:
        detail = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise SandboxError(f"a plain program does not run in it: {' '.join(detail) or done.stopped}") from None
    return ", ".join(name for name, succeeded in found.items() if succeeded)


@dataclass(frozen=True, slots=True)
class _Bait:
    """Things on the host that an attack may try to reach; `told` names them to the attacker, as JSON."""

    token: str
    victim: subprocess.Popen[bytes]
    told: str


@contextlib.contextmanager
def _lay_bait() -> Generator[_Bait, None, None]:
    token = f"emend-canary-{secrets.token_hex(8)}"
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="emend-bait-")))
        place.chmod(0o777)  # so that the sandbox keeps it out, not the permissions
        (place / "secret").write_text(token, "ascii")
        port = stack.enter_context(_listen(socket.AF_INET, ("127.0.0.1", 0))).getsockname()[1]
        stack.enter_context(_listen(socket.AF_UNIX, f"\0{token}"))
        stack.enter_context(_listen(socket.AF_UNIX, str(place / "socket")))
        (place / "socket").chmod(0o777)
        victim = stack.enter_context(
            subprocess.Popen(["sleep", "60"], env={"EMEND_BAIT": token, "PATH": "/usr/bin:/bin"})
        )
        stack.callback(victim.kill)
        yield _Bait(token, victim, json.dumps({"place": str(place), "pid": victim.pid, "port": port, "name": token}))


def _listen(family: int, address: tuple[str, int] | str) -> socket.socket:
    listener = socket.socket(family)
    listener.bind(address)
    listener.listen(4)
    return listener


def _alive(token: str) -> bool:
    """Whether any process on this machine carries the token in its command line."""
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if token.encode() in (process / "cmdline").read_bytes():
                return True
    return False
