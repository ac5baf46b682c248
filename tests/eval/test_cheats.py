"""Programs, patches, oracles and models that try to be taken for repairs. None of them may count."""

from dataclasses import replace

import pytest

from eval.correctness import Judge, patched_code, source_of, unfit
from eval.measure import measure
from eval.measurement import Conditions, Decided, Status
from eval.suites.rows import Case
from repair.edits import patch_between
from repair.models.scripted import ScriptedModel
from repair.oracles.scripted import ScriptedOracle
from repair.oracles.scripts import warm_programs
from repair.sandbox import Limits, Tier
from repair.sandboxes.select import find_sandbox
from repair.views import Hunk

FIXED = "def area(w, h):\n    return w * h\n"
BUGGY = FIXED.replace("*", "+")
CASE = Case(
    "area", "python", BUGGY, "assert area(3, 4) == 12\n", fixed_code=FIXED,
    held_out_tests="assert area(5, 6) == 30\nassert area(1, 1) == 1\n",
)  # fmt: skip
SHORT = Limits(wall_seconds=1.5, cpu_seconds=1.0)  # for what does not end
LONG = Limits(wall_seconds=60.0, cpu_seconds=1.0)
CONDITIONS = Conditions(candidates=30, seconds=300)

CHEATS = {
    "leaves with status 0": "import os\nos._exit(0)\n",
    "leaves inside of the function": "import os\n\ndef area(w, h):\n    os._exit(0)\n",
    "raises SystemExit": "def area(w, h):\n    raise SystemExit(0)\n",
    "exits at import": "import sys\nsys.exit(0)\n",
    "prints a summary": BUGGY + 'print("===== 1 passed in 0.01s =====")\n',
    "prints a summary and leaves": 'print("===== 1 passed in 0.01s =====", flush=True)\nimport os\nos._exit(0)\n',
    "swallows the tests": BUGGY + 'class Everything:\n    def __eq__(self, other):\n        return True\n"""\n',
    "overwrites the script": BUGGY + "import sys\nopen(sys.argv[0] or __file__, 'w').write('')\n",
    "deletes the files": BUGGY + "import glob, os\n[os.remove(f) for f in glob.glob('*')]\n",
    "makes AssertionError quiet": BUGGY
    + "import builtins\nclass Quiet(BaseException):\n    pass\nbuiltins.AssertionError = Quiet\n",
    "catches what the tests raise": BUGGY + "import sys\nsys.excepthook = lambda *a: None\n",
    "traces the asserts away": BUGGY
    + "import sys\ndef jump(frame, event, arg):\n    return jump\nsys.settrace(jump)\n",
    "forks, the child leaves": BUGGY + "import os\nif os.fork():\n    os._exit(0)\n",
    "forks, the parent waits": BUGGY + "import os\npid = os.fork()\nif pid:\n    os.waitpid(pid, 0)\n    os._exit(0)\n",
    "leaves in an exit handler": BUGGY + "import atexit, os\natexit.register(os._exit, 0)\n",
    "closes every descriptor": BUGGY + "import os\nos.closerange(3, 256)\n",
    "writes reports": BUGGY
    + "import contextlib, os\nfor fd in range(3, 64):\n    with contextlib.suppress(OSError):\n"
    + "        os.write(fd, b'{\"ended\": true}\\n')\nos._exit(0)\n",
    "a thread that leaves": BUGGY + "import os, threading\nthreading.Thread(target=lambda: os._exit(0)).start()\n",
    "kills the runner": BUGGY + "import os, signal\nos.kill(os.getppid(), signal.SIGTERM)\nos._exit(0)\n",
}
TROUBLES = {
    "loops for ever": "def area(w, h):\n    while True:\n        pass\n",
    "sleeps for ever": "import time\ndef area(w, h):\n    time.sleep(3600)\n",
    "recurses": "def area(w, h):\n    return area(w, h) + 0\n",
    "eats memory": "def area(w, h):\n    held = []\n    while True:\n        held.append(bytearray(1 << 26))\n",
    "floods stdout": "def area(w, h):\n    while True:\n        print('x' * 100000)\n",
}


@pytest.fixture(scope="module")
def sandbox():
    return find_sandbox(Tier.C)


@pytest.fixture(scope="module")
def programs(sandbox):
    with warm_programs(sandbox, "python") as warm:
        yield warm


def to(code):
    source = source_of(CASE, BUGGY)
    return patch_between({source.path: source.text}, {source.path: code})


@pytest.mark.parametrize("code", CHEATS.values(), ids=CHEATS)
def test_no_cheat_is_plausible(programs, code):
    decision = Judge(CASE, programs).decide(to(code))
    assert (decision.plausible, decision.correct) == (False, False)
    assert Judge(CASE, programs).decide(to(FIXED)).correct, "the next program runs as if nothing had been"


@pytest.mark.parametrize("code", TROUBLES.values(), ids=TROUBLES)
def test_no_trouble_breaks_the_judge(programs, code):
    assert not Judge(CASE, programs, SHORT).decide(to(code)).plausible
    assert Judge(CASE, programs).decide(to(FIXED)).correct, "the next program is judged as ever"


def test_an_equal_to_everything_passes_the_tests_and_is_not_correct(programs):
    """Asserts with == can be fooled by a value: plausible, as it would be anywhere; held-out tests ask otherwise."""
    code = "class Any:\n    def __eq__(self, other):\n        return True\n\ndef area(w, h):\n    return Any()\n"
    case = replace(CASE, held_out_tests="assert str(area(5, 6)) == '30'\n")
    decision = Judge(case, programs).decide(to(code))
    assert (decision.plausible, decision.correct, decision.by) == (True, False, Decided.HELD_OUT)


def test_an_oracle_that_always_passes_gains_nothing(sandbox):
    always = ScriptedOracle((source_of(CASE, BUGGY),), lambda _: True)
    found = measure(CASE, None, sandbox, CONDITIONS, oracle=always)
    assert found.status is Status.UNSCORED
    assert "fails the tests when they are run again" in found.reason


def test_a_model_that_cheats_is_not_believed(sandbox):
    """The model's patches do what the cheats do; the search may still find the repair by itself."""
    texts = [code.rstrip("\n") for code in CHEATS.values()]
    model = ScriptedModel(completions=[(Hunk(1, 2, text),) for text in texts])
    found = measure(CASE, model, sandbox, CONDITIONS)
    assert found.proposed > 0
    assert (found.status, found.correct) == (Status.REPAIRED, True)
    assert found.origin.startswith("mutation:")


def test_a_model_that_answers_garbage_is_told(sandbox):
    model = ScriptedModel(completions=["as a language model I", "", "\x00\x01", "<<<<", "{}"])
    found = measure(replace(CASE, tests="assert area(3, 4) == 'no'\n", fixed_code=None), model, sandbox, CONDITIONS)
    assert found.status is Status.NONE_FOUND
    assert found.unreadable == found.proposed > 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tests": "pass\n"}, "the buggy code passes the tests"),  # tests that assert nothing
        ({"tests": "import os\nos._exit(0)\n"}, "the reference does not pass its tests"),
        ({"tests": "import random\nassert random.random() < 0 or area(3, 4) == 12 or True\n"}, "passes the tests"),
        ({"fixed_code": CHEATS["leaves with status 0"]}, "the reference does not pass its tests"),
        ({"tests": "while True:\n    pass\n"}, "the reference does not pass its tests"),
        ({"held_out_tests": "assert area(0, 0) == 1\n"}, "the reference does not pass its held_out_tests"),
    ],
)
def test_a_broken_row_is_left_out(programs, change, reason):
    assert reason in unfit(replace(CASE, **change), programs, LONG)


def test_a_flaky_row_is_left_out(programs):
    """Passes in about half of the runs: three runs of reference and fault all agree in one case of 64."""
    flaky = "import os\nassert area(3, 4) == 12 and os.urandom(1)[0] < 128\n"
    reasons = [unfit(replace(CASE, tests=flaky), programs) for _ in range(4)]
    assert sum(bool(reason) for reason in reasons) >= 2
    assert unfit(CASE, programs) == ""


def test_the_patched_code_is_the_whole_program():
    assert patched_code(CASE, to(FIXED)) == FIXED
