"""The filter's byte code, run by a small interpreter of classic BPF for both architectures."""

import errno
import struct

import pytest

from repair.errors import SandboxError
from repair.sandboxes.seccomp import MACHINES, NAMESPACE_FLAGS, filter_program

ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
EPERM, ENOSYS, EAFNOSUPPORT = ERRNO | errno.EPERM, ERRNO | errno.ENOSYS, ERRNO | errno.EAFNOSUPPORT
OTHER = {"x86_64": {"read": 0, "openat": 257, "fork": 57}, "aarch64": {"read": 63, "openat": 56, "exit": 93}}


def judge(program, audit, number, *arguments):
    """What the kernel would answer: linux/filter.h, only the operations that the filter may use."""
    data = struct.pack("<IIQ6Q", number, audit, 0, *(*arguments, *[0] * (6 - len(arguments))))
    steps = [struct.unpack_from("=HBBI", program, place) for place in range(0, len(program), 8)]
    held, at = 0, 0
    while True:
        code, true, false, value = steps[at]
        at += 1
        if code == 0x06:
            return value
        if code == 0x20:
            (held,) = struct.unpack_from("<I", data, value)
        else:
            holds = {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[code]
            at += true if holds else false


@pytest.fixture(params=sorted(MACHINES))
def machine(request):
    return request.param


def answers(machine, **options):
    program, target = filter_program(machine=machine, **options), MACHINES[machine]

    def answer(call, *arguments):
        number = call if isinstance(call, int) else {**target.numbers, **OTHER[machine]}[call]
        return judge(program, target.audit, number, *arguments)

    return answer


def test_ordinary_calls_pass(machine):
    answer = answers(machine)
    assert {answer(call) for call in OTHER[machine]} == {ALLOW}
    assert answer("chmod" if machine == "x86_64" else "fchmodat") == ALLOW


def test_the_depths_are_denied(machine):
    answer = answers(machine)
    denied = [
        "mount",
        "umount2",
        "bpf",
        "keyctl",
        "io_uring_setup",
        "perf_event_open",
        "ptrace",
        "unshare",
        "setns",
        "pivot_root",
        "open_tree",
    ]
    assert {answer(call) for call in denied} == {EPERM}
    assert {answer(call) for call in ("clone3", "memfd_create", "shmget")} == {ENOSYS}


def test_every_listed_call_is_judged(machine):
    answer = answers(machine)
    pardoned = {"clone", "ioctl", "socket", "socketpair"}
    free = {call for call in MACHINES[machine].numbers if call not in pardoned and answer(call) == ALLOW}
    assert free <= {"chmod", "chown", "lchown", "fchmodat", "fchmodat2", "fchownat", "setxattr", "lsetxattr"}


def test_threads_may_be_made_but_no_namespaces(machine):
    answer = answers(machine)
    assert answer("clone", 0x3D0F00) == ALLOW  # what pthread_create asks for
    assert answer("clone", 17) == ALLOW
    for bit in range(32):
        if NAMESPACE_FLAGS & 1 << bit:
            assert answer("clone", 1 << bit | 17) == EPERM


def test_nothing_is_typed_into_terminals(machine):
    answer = answers(machine)
    assert [answer("ioctl", 0, request) for request in (0x5412, 0x541C)] == [EPERM, EPERM]
    assert answer("ioctl", 0, 0x5412 | 1 << 32) == EPERM  # the kernel ignores the high half, so must we
    assert answer("ioctl", 0, 0x5401) == ALLOW


def test_sockets_only_of_three_families(machine):
    answer = answers(machine)
    assert {answer("socket", family) for family in (1, 2, 10)} == {ALLOW}
    assert {answer("socket", family) for family in (0, 16, 17, 38, 40, 44)} == {EAFNOSUPPORT}
    assert answer("socketpair", 1) == ALLOW


def test_without_sockets_only_pairs_are_left(machine):
    answer = answers(machine, sockets=False)
    assert {answer("socket", family) for family in range(45)} == {EPERM}
    assert (answer("socketpair", 1), answer("socketpair", 2)) == (ALLOW, EAFNOSUPPORT)


def test_changes_of_mode_do_nothing_where_the_user_is_ours(machine):
    answer = answers(machine, same_user=True)
    assert {answer(call) for call in ("fchmodat", "fchownat", "setxattr", "fchmodat2")} == {ERRNO}


def test_a_foreign_architecture_ends_the_process(machine):
    program = filter_program(machine=machine)
    assert judge(program, 0x40000003, 0) == KILL  # i386, whose numbers mean other calls


def test_x32_ends_the_process():
    answer = answers("x86_64")
    assert answer(0x40000000 | 41) == KILL


def test_jumps_stay_inside(machine):
    program = filter_program(machine=machine)
    steps = [struct.unpack_from("=HBBI", program, place) for place in range(0, len(program), 8)]
    assert len(steps) < 4096  # BPF_MAXINSNS
    for place, (code, true, false, _) in enumerate(steps):
        if code in (0x15, 0x35, 0x45):
            assert place + 1 + max(true, false) < len(steps)
    assert steps[-1][0] == 0x06


def test_an_unknown_architecture_is_refused():
    with pytest.raises(SandboxError, match="riscv64"):
        filter_program(machine="riscv64")
