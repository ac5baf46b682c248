"""The system call filter: a deny list assembled to classic BPF, without libseccomp.

Owns which system calls a program that nobody vouches for may not make, and the byte code that says so
for x86-64 and aarch64. It knows nothing of how a filter is loaded: bubblewrap takes the bytes from a
file descriptor, `supervisor.py` hands them to prctl(2).

Source of the layout: linux/filter.h, linux/seccomp.h and Documentation/userspace-api/seccomp_filter.rst.
A foreign architecture, and the x32 numbers of x86-64, end the process: their numbers mean other calls.
"""

from __future__ import annotations

import errno
import platform
import struct
from dataclasses import dataclass

from repair.errors import SandboxError

_LOAD, _JEQ, _JGE, _JSET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_X32_BIT = 0x40000000

# CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET (NEWTIME cannot be given to clone)
NAMESPACE_FLAGS = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
TERMINAL_INJECTIONS = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: type into the terminal of whoever started us
AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10


@dataclass(frozen=True, slots=True)
class _Machine:
    audit: int
    numbers: dict[str, int]
    x32: bool = False


# Calls that are numbered alike on every architecture since 2019 (424 and up).
_UNIFIED = {
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "clone3": 435,
    "pidfd_getfd": 438,
    "process_madvise": 440,
    "mount_setattr": 442,
    "quotactl_fd": 443,
    "memfd_secret": 447,
    "fchmodat2": 452,
}
_X86_64 = _UNIFIED | {
    "ioctl": 16,
    "shmget": 29,
    "socket": 41,
    "socketpair": 53,
    "clone": 56,
    "ptrace": 101,
    "syslog": 103,
    "personality": 135,
    "vhangup": 153,
    "modify_ldt": 154,
    "pivot_root": 155,
    "adjtimex": 159,
    "chmod": 90,
    "chown": 92,
    "lchown": 94,
    "setxattr": 188,
    "lsetxattr": 189,
    "fchownat": 260,
    "fchmodat": 268,
    "chroot": 161,
    "acct": 163,
    "settimeofday": 164,
    "mount": 165,
    "umount2": 166,
    "swapon": 167,
    "swapoff": 168,
    "reboot": 169,
    "sethostname": 170,
    "setdomainname": 171,
    "iopl": 172,
    "ioperm": 173,
    "init_module": 175,
    "delete_module": 176,
    "quotactl": 179,
    "lookup_dcookie": 212,
    "clock_settime": 227,
    "kexec_load": 246,
    "add_key": 248,
    "request_key": 249,
    "keyctl": 250,
    "migrate_pages": 256,
    "unshare": 272,
    "move_pages": 279,
    "perf_event_open": 298,
    "fanotify_init": 300,
    "name_to_handle_at": 303,
    "open_by_handle_at": 304,
    "clock_adjtime": 305,
    "setns": 308,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "kcmp": 312,
    "finit_module": 313,
    "memfd_create": 319,
    "kexec_file_load": 320,
    "bpf": 321,
    "userfaultfd": 323,
}
_AARCH64 = _UNIFIED | {
    "setxattr": 5,
    "lsetxattr": 6,
    "fchmodat": 53,
    "fchownat": 54,
    "lookup_dcookie": 18,
    "ioctl": 29,
    "umount2": 39,
    "mount": 40,
    "pivot_root": 41,
    "chroot": 51,
    "vhangup": 58,
    "quotactl": 60,
    "acct": 89,
    "personality": 92,
    "unshare": 97,
    "kexec_load": 104,
    "init_module": 105,
    "delete_module": 106,
    "clock_settime": 112,
    "syslog": 116,
    "ptrace": 117,
    "reboot": 142,
    "sethostname": 161,
    "setdomainname": 162,
    "settimeofday": 170,
    "adjtimex": 171,
    "shmget": 194,
    "socket": 198,
    "socketpair": 199,
    "add_key": 217,
    "request_key": 218,
    "keyctl": 219,
    "clone": 220,
    "swapon": 224,
    "swapoff": 225,
    "migrate_pages": 238,
    "move_pages": 239,
    "perf_event_open": 241,
    "fanotify_init": 262,
    "name_to_handle_at": 264,
    "open_by_handle_at": 265,
    "clock_adjtime": 266,
    "setns": 268,
    "process_vm_readv": 270,
    "process_vm_writev": 271,
    "kcmp": 272,
    "finit_module": 273,
    "memfd_create": 279,
    "bpf": 280,
    "userfaultfd": 282,
    "kexec_file_load": 294,
}
MACHINES = {
    "x86_64": _Machine(0xC000003E, _X86_64, x32=True),
    "aarch64": _Machine(0xC00000B7, _AARCH64),
}
# Answered with ENOSYS, so that a library falls back to the older way. The flags of clone3 lie behind a
# pointer that a filter cannot follow; the other two hold memory that no process's resident size shows.
_ABSENT = frozenset({"clone3", "memfd_create", "shmget"})
# Landlock does not judge changes of mode, owner and attributes by path. Where the program has our own uid they
# answer "done" and do nothing, since copying a file with its mode is common and harmless.
_METADATA = frozenset({"chmod", "chown", "lchown", "fchmodat", "fchmodat2", "fchownat", "setxattr", "lsetxattr"})


def filter_program(*, sockets: bool = True, same_user: bool = False, machine: str = "") -> bytes:
    """The filter for `machine` (default: this one) as an array of struct sock_filter.

    Without `sockets` only socketpair(2) is left: tier C shares the host's network and file system, so a
    socket would reach the services of the host. `same_user` makes changes of mode
    and owner without effect. Raises SandboxError for an unknown architecture.
    """
    name = machine or platform.machine()
    if name not in MACHINES:
        raise SandboxError(f"no system call filter is written for the architecture {name}; use x86_64 or aarch64")
    target = MACHINES[name]
    program = [_jump(_JEQ, target.audit, 1, 0, load=_ARCH), _give(_KILL), _op(_LOAD, _NUMBER)]
    if target.x32:
        program += [_op(_JGE, _X32_BIT, 0, 1), _give(_KILL)]
    for call, number in sorted(target.numbers.items(), key=lambda item: item[1]):
        if call in _METADATA:
            program += [_rule(number, _give(_ERRNO))] if same_user else []
        else:
            program.append(_rule(number, _body(call, sockets=sockets)))
    return b"".join([*program, _give(_ALLOW)])


def _body(call: str, *, sockets: bool) -> bytes:
    """What happens on one listed call; falling off its end allows it."""
    denied = _give(_ERRNO | errno.EPERM)
    match call:
        case _ if call in _ABSENT:
            return _give(_ERRNO | errno.ENOSYS)
        case "clone":
            return _argument(0) + _op(_JSET, NAMESPACE_FLAGS, 0, 1) + denied + _give(_ALLOW)
        case "ioctl":
            first, second = TERMINAL_INJECTIONS
            return _argument(1) + _op(_JEQ, first, 1, 0) + _op(_JEQ, second, 0, 1) + denied + _give(_ALLOW)
        case "socket" | "socketpair":
            families = (AF_UNIX, AF_INET, AF_INET6) if sockets else (AF_UNIX,)
            if call == "socket" and not sockets:
                return denied
            tests = b"".join(_op(_JEQ, family, len(families) - place, 0) for place, family in enumerate(families))
            return _argument(0) + tests + _give(_ERRNO | errno.EAFNOSUPPORT) + _give(_ALLOW)
        case _:
            return denied


def _rule(number: int, body: bytes) -> bytes:
    return _op(_JEQ, number, 0, len(body) // 8) + body


def _argument(index: int) -> bytes:
    """Load the low half of an argument: these are ints to the kernel, which ignores the high half."""
    return _op(_LOAD, _ARGUMENTS + 8 * index)


def _jump(code: int, value: int, true: int, false: int, *, load: int) -> bytes:
    return _op(_LOAD, load) + _op(code, value, true, false)


def _give(action: int) -> bytes:
    return _op(_RETURN, action)


def _op(code: int, value: int, true: int = 0, false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, true, false, value)
