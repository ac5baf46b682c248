"""Every shell line of the README and of docs/ is executed: here, in a small project, or by the test that is named.

Two pages set up machines and editors (containers, systemd, VS Code): tests/serve/test_deploy.py and
tests/serve/lsp/test_editor_files.py read what they name; their lines are not run.

A line that neither runs here nor is named in ELSEWHERE fails, so no command can be documented untried.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.serve.served import serving_over

ROOT = Path(__file__).resolve().parents[1]
MACHINES = {"deployment.md", "editors.md"}
PAGES = [ROOT / "README.md", *sorted(p for p in (ROOT / "docs").glob("*.md") if p.name not in MACHINES)]
# Beginnings of lines whose command takes minutes, the test that executes the same with small settings, and its call.
ELSEWHERE = {
    "emend data build team.toml": ("tests/serve/test_data.py", 'emend("build", recipe'),
    "emend data build corpus.toml": ("tests/data/test_build.py", "build_corpus(wheels, out"),
    "emend data build training/recipes/corpus-gpu.toml": ("tests/data/test_build.py", "build_corpus(wheels, tmp_path"),
    "emend train adapter": ("tests/serve/test_train.py", 'emend("train", "adapter", recipe'),
    "emend train base": ("tests/serve/test_train.py", '"train", "base"'),
    "emend train tune": ("tests/serve/test_train.py", 'emend("train", "tune", recipe'),
    "emend train pairs": ("tests/serve/test_train.py", 'emend("train", "pairs", suite'),
    "emend train export": ("tests/serve/test_train.py", 'emend("train", "export", "embedded"'),
    "emend batch": ("tests/serve/batch/test_bad_repositories.py", "run(given)"),
    "emend model attack": ("tests/serve/test_model_attack_command.py", 'attack(records, "-o", out'),
    "emend improve": ("tests/serve/test_improve.py", '"improve"'),
    # `make demo` is `emend fix` on examples/parcels in a fresh environment; .ci/run makes one, the faults are repaired
    "make demo": ("tests/e2e/test_faults.py", "fix"),
}
UNTRIED = ("accelerate launch --multi_gpu",)  # several GPUs
SHOP = """def total(prices, discount=0.0):
    amount = sum(prices)
    return amount - amount + discount


def cheapest(prices):
    return min(prices) if prices else None
"""
TEST = """from src.shop import cheapest, total


def test_total():
    assert total([2, 4], 0.5) == 3


def test_cheapest():
    assert cheapest([3, 1]) == 1
"""
TRACEBACK = """Traceback (most recent call last):
  File "src/shop.py", line 3, in total
    return amount - amount + discount
AssertionError: total([2, 4], 0.5) is 0.5, not 3
"""
DIFF = """--- a/src/shop.py
+++ b/src/shop.py
@@ -1,3 +1,3 @@
 def total(prices, discount=0.0):
     amount = sum(prices)
-    return amount - amount + discount
+    return amount - amount * discount
"""


PLAIN = "[pytest]\naddopts = -p no:schemathesis -p no:hypothesispytest -p no:pytest-lsp -p no:anyio\n"  # slow to import
CALC = "def half(x):\n    return x / 3\n"
CALC_TEST = "from calc import half\n\n\ndef test_half():\n    assert half(4) == 2\n"
FAILURE = 'Traceback (most recent call last):\n  File "calc.py", line 2, in half\nAssertionError: half(4) is 1.33\n'
PLACES = [
    {"physicalLocation": {"artifactLocation": {"uri": path}, "region": {"startLine": 2}}}
    for path in ("calc.py", "src/calc.py")
]
LINT = {
    "version": "2.1.0",
    "runs": [
        {
            "tool": {"driver": {"name": "lint"}},
            "results": [{"message": {"text": "wrong divisor"}, "locations": [place]} for place in PLACES],
        }
    ],
}


def lines():
    """Each line of a shell block once, with those that it continues on."""
    found = {}
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.S):
            for line in re.split(r"\n(?! )", block.replace("\\\n", " ").strip()):
                if line.strip() and not line.startswith("#"):
                    found.setdefault(line, page.name)
    return found


LINES = lines()
HERE = [line for line in LINES if not line.startswith((*ELSEWHERE, *UNTRIED))]
SERVED = ("curl", "pipx", "pip ", "python -c", "emend serve", "emend worker", "emend keys", "emend journal")


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith(tuple(ELSEWHERE))])
def test_slow_lines_are_executed_by_the_test_that_is_named(line):
    test, call = next(named for begin, named in ELSEWHERE.items() if line.startswith(begin))
    assert call in (ROOT / test).read_text()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with everything that the lines speak of."""
    root = tmp_path_factory.mktemp("project")
    for name, text in {
        "src/__init__.py": "", "src/shop.py": SHOP, "tests/test_shop.py": TEST, "traceback.txt": TRACEBACK,
        "change.diff": DIFF, "../ci/calc.py": CALC, "../ci/src/calc.py": CALC, "../ci/test_calc.py": CALC_TEST,
        "../ci/failure.txt": FAILURE, "pytest.ini": PLAIN, "../ci/pytest.ini": PLAIN,
        "../ci/lint.sarif": json.dumps(LINT),
    }.items():  # fmt: skip
        (root / name).parent.mkdir(exist_ok=True, parents=True)
        (root / name).write_text(text)
    rows = (ROOT / "eval/suites/emend_python.jsonl").read_text().split("\n")
    (root / "suite.jsonl").write_text("\n".join(rows[:1]) + "\n")
    shutil.copytree(ROOT / "repair/embedded/adapter", root / "out/adapter/adapter")
    (recipe,) = re.findall(r"```toml\n# faults.toml\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    (root / "faults.toml").write_text(recipe)
    wheel(root / "wheels" / "attrs-1.0-py3-none-any.whl")
    commands(root / "bin")
    return root


def wheel(path):
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("attrs/views.py", (ROOT / "repair" / "views.py").read_text())
        archive.writestr("attrs-1.0.dist-info/METADATA", "Name: attrs\nVersion: 1.0\nLicense-Expression: MIT\n")
        archive.writestr("attrs-1.0.dist-info/licenses/LICENSE", (ROOT / "LICENSE").read_text())


def commands(folder):
    """`emend` and `python` as an installation puts them on the PATH."""
    folder.mkdir()
    for name, arguments in (("emend", "-m serve"), ("python", "")):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments} "$@"\n')
        script.chmod(0o755)


def execute(project, line, **environment):
    path = f"{project / 'bin'}:{os.environ['PATH']}"
    known = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path, "XDG_STATE_HOME": str(project / "state")}
    return subprocess.run(
        ["bash", "-c", line], cwd=project, capture_output=True, text=True, check=False, timeout=300,
        env={**known, **environment},
    )  # fmt: skip


def alone():
    """Lines that need no service, in the order of the pages: later ones read what earlier ones wrote."""
    return [line for line in HERE if not line.startswith(SERVED)]


@pytest.mark.parametrize("line", alone())
def test_a_line(project, line):
    shown = line
    if line.startswith("emend eval run"):
        line += " --candidates 2 --seconds 60"
    if line.startswith("emend eval robustness"):
        line = line.replace("--queries 30", "--queries 2") + " --locate-only --limit 1"
    if line.startswith(("emend fix", "emend locate", "emend judge", "emend eval")) and ">" not in line:
        line += "" if "compare" in line or "report" in line else " --sandbox-minimum C"
    if LINES[shown] == "README.md" and line.startswith("emend fix"):
        line += " --candidates 12"
    if LINES[shown] == "ci.md":
        line = f"cd ../ci; {line.replace('emend fix', 'emend fix --candidates 5 --seconds 100')}"
    done = execute(project, line)
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout + done.stderr or ">" in line
    assert "Traceback (most recent call last)" not in done.stderr
    if line.startswith(("emend fix", "emend judge")) and "--test" in line:
        assert "plausible" in done.stdout


@pytest.fixture(scope="module")
def service(project):
    """`emend serve` as documented, but on a free port, and its first key."""
    environment = {"XDG_STATE_HOME": str(project / "state"), "EMEND_JOURNAL": "true"}
    with serving_over("--model", "none", "--sandbox-minimum", "C", auth="keys", **environment) as (url, told, _):
        yield url, re.search(r"emend_\w+_[\w-]+", told)[0]


def test_lines_of_the_service(project, service):
    url, key = service
    for line in [line for line in HERE if line.startswith(("curl", "emend keys", "emend journal"))]:
        done = execute(project, completed(project, line, url, key), KEY=key)
        assert done.returncode == 0, (line, done.stderr)
        if line.startswith("curl"):
            assert json.loads(done.stdout)["patches"], line


def completed(project, line, url, key):
    """A line with the address, the key and the ids of this service."""
    line = line.replace("http://127.0.0.1:8451", url)
    if line.startswith("curl") and "Authorization" not in line:
        line += f" -H 'Authorization: Bearer {key}'"
    if " ID" in line:
        kind = line.split()[1]
        rows = json.loads(execute(project, f"emend {kind} list --json").stdout)
        line = line.replace(" ID", " " + (rows["keys"] if kind == "keys" else rows["entries"])[-1]["id"])
    return line


def test_lines_that_start_a_service(project):
    for line in [line for line in HERE if line.startswith(("emend serve", "emend worker"))]:
        arguments = [*shlex.split(line)[1:], "--model", "none"]
        if arguments[0] == "serve":
            arguments += ["--port", "0"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(project / "state")}
        process = subprocess.Popen(
            [sys.executable, "-m", "serve", *arguments], cwd=project, stderr=subprocess.PIPE, text=True, env=environment
        )
        said = ""
        while not re.search(r"listens on|works on jobs", said):
            read = process.stderr.readline()
            assert read, (line, said)
            said += read
        process.terminate()
        process.communicate(timeout=60)


def test_a_typed_client_is_generated_as_told(service, tmp_path):
    """Its tool cannot live in our environment (it pins an older Typer): as pipx does, it gets one of its own."""
    url, _ = service
    tool = tmp_path / "tool"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tool)], check=True, timeout=300)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(tool / "bin/python"),
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--retries",
        "0",
    ]
    got = subprocess.run([*pip, "openapi-python-client"], capture_output=True, text=True, check=False, timeout=300)
    if got.returncode:
        pytest.skip(f"no registry can be reached: {got.stderr.strip().splitlines()[-1]}")
    (line,) = [line for line in HERE if line.startswith("pipx run")]
    arguments = shlex.split(line.replace("http://127.0.0.1:8451", url))[2:]
    arguments[0] = str(tool / "bin" / arguments[0])
    environment = {**os.environ, "PATH": f"{tool / 'bin'}:{os.environ['PATH']}"}
    made = subprocess.run(
        arguments, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300, env=environment
    )
    assert made.returncode == 0, made.stderr
    (use,) = {line for line in HERE if line.startswith("python -c")}
    done = subprocess.run(
        [str(tool / "bin/python"), *shlex.split(use)[1:]], cwd=tmp_path / "emend-client", capture_output=True,
        text=True, check=False, timeout=300,
    )  # fmt: skip
    assert "Client" in done.stdout, done.stderr
