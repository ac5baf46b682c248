"""The choice fails closed: what is installed counts for nothing, what the canaries show counts."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from repair.errors import SandboxError
from repair.sandbox import Command, Tier
from repair.sandboxes import select
from repair.sandboxes.bubblewrap import BubblewrapSandbox
from repair.sandboxes.canaries import failures
from repair.sandboxes.limits import LimitsSandbox
from repair.sandboxes.recorded import RecordedSandbox
from repair.sandboxes.running import execute
from repair.sandboxes.select import find_sandbox, probe
from repair.sandboxes.supervised import SupervisedJail

from .conftest import trial_of

ROOT = Path(__file__).parents[3]


@dataclass
class Pretender:
    """Calls itself tier B and isolates nothing."""

    tier: Tier = Tier.B
    jail: SupervisedJail = field(default_factory=SupervisedJail)

    def run(self, command):
        return execute(self.jail, command)


@pytest.fixture
def fresh():
    """The answer is remembered for the life of a process; a test that changes the question forgets it."""
    select._outcome.cache_clear()
    yield
    select._outcome.cache_clear()


def test_every_tier_that_runs_here_withstands_its_canaries(trial):
    assert failures(trial.sandbox) == ()


def test_the_canaries_see_through_a_sandbox_that_isolates_nothing():
    trial_of(Tier.E)
    found = " ".join(failures(Pretender()))
    for crime in (
        "read a file of the host",
        "write outside",
        "connect to a port of the host",
        "connect to an abstract socket",
        "connect to a socket file",
        "run unfiltered",
        "kill a host process",
    ):
        assert crime in found, found


def test_a_sandbox_in_which_nothing_runs_is_no_sandbox():
    silent = RecordedSandbox(())
    with pytest.raises(SandboxError):
        failures(silent)


def test_the_strongest_comes_first_and_the_report_lists_all(fresh):
    reports = probe()
    assert [report.tier for report in reports] == list(Tier)
    assert all(report.holds != bool(report.detail) for report in reports)
    holding = [report.tier for report in reports if report.holds and report.tier is not Tier.E]
    if not holding:
        pytest.skip(f"no isolating tier here: {reports}")
    assert find_sandbox(Tier.C).tier is holding[0]
    assert find_sandbox(Tier.C) is find_sandbox(Tier.C)


def test_it_fails_closed_with_advice(fresh, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SandboxError, match=r"bwrap.*apt install bubblewrap.*--unsafe-no-sandbox"):
        find_sandbox(Tier.B)
    assert find_sandbox(Tier.A, unsafe=True).tier is Tier.E


def test_tier_e_is_never_given_without_being_asked_for(fresh, monkeypatch):
    monkeypatch.setattr(select, "_MAKERS", {**dict.fromkeys(Tier, _refuse), Tier.E: LimitsSandbox})
    with pytest.raises(SandboxError):
        find_sandbox(Tier.E)


def _refuse():
    raise SandboxError("not here")


def test_a_broken_bubblewrap_is_an_error_and_no_verdict(tmp_path, monkeypatch):
    trial_of(Tier.B)
    false = tmp_path / "bwrap"
    false.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n", "utf-8")
    false.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(SandboxError, match="No permissions to create new namespace"):
        BubblewrapSandbox().run(Command(("true",)))


def test_an_ordinary_user_gets_tier_b_too():
    """As root the whole set of tests runs as root; this one shows the other half of the command line."""
    python, setpriv = Path("/usr/bin/python3"), shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None or not _modern(python):
        pytest.skip("only root can become nobody, with a system Python of 3.11 or later")
    code = (
        "from repair.sandbox import Command, Limits\nfrom repair.sandboxes.select import find_sandbox\n"
        "sandbox = find_sandbox()\nprint(sandbox.tier)\n"
        "done = sandbox.run(Command(('id', '-u')))\nprint(done.stdout)\n"
        "with sandbox.zygote(Command(('/usr/bin/python3',)), preload=('json',)) as zygote:\n"
        "    print(zygote.run({}, ('-c', 'while True: pass'), Limits(9, 0.3)).stopped)\n"
        "    print(zygote.run({}, ('-c', 'import os; os.kill(os.getppid(), 9)'), Limits()).code)\n"
        "    print(zygote.run({}, ('-c', 'print(1)'), Limits()).stdout)\n"
    )
    words = [setpriv, "--reuid", "65534", "--regid", "65534", "--clear-groups", str(python), "-B", "-c", code]
    done = subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]}
    )
    assert done.stdout == "B\nb'65534\\n'\ncpu\n-9\nb'1\\n'\n", done.stderr


def _modern(python):
    if not python.exists():
        return False
    words = [str(python), "-c", "import sys; print(sys.version_info >= (3, 11))"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout == "True\n"


def test_our_own_interpreter_is_usable_wherever_it_lives():
    trial = trial_of(Tier.B)
    assert trial.run("import sys; print(sys.prefix)").stdout.decode().strip() == sys.prefix
