"""`emend judge`: run the tests before and after a patch, and say what follows."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from repair.candidates import Candidate
from repair.defects import RepairRequest
from repair.diffs import diff_paths, parse_diff
from repair.errors import InputError
from repair.sources import read_source
from repair.verdicts import Judgement, Verdict
from serve.commands.given import MAX_ERROR_BYTES
from serve.oracles import Judging, project_oracle
from serve.printing import progress, shown, stdout


def run(patch: Path, test: str, *, judging: Judging, as_json: bool) -> int:
    """Exit code 0 when the patch is plausible, 1 when it is not."""
    root = Path.cwd()
    text = read_patch(patch)
    sources = tuple(read_source(root, path) for path in diff_paths(text))
    parsed = parse_diff(text, {source.path: source for source in sources})
    oracle = project_oracle(root, RepairRequest(sources), judging, test)
    with progress("running the tests"), oracle.open() as bench:
        bench.baseline()
        judgement = bench.judge(Candidate(parsed, origin="given"), thorough=True)
    _tell(judgement, as_json=as_json)
    return 0 if judgement.verdict is Verdict.PLAUSIBLE else 1


def read_patch(patch: Path) -> str:
    """The text of a diff, - for stdin. Raises InputError: missing, too long, no utf-8."""
    try:
        content = sys.stdin.buffer.read() if str(patch) == "-" else patch.read_bytes()
    except OSError as error:
        raise InputError(f"{patch}: {error.strerror or error}", field="patch") from error
    if len(content) > MAX_ERROR_BYTES:
        raise InputError(f"{patch}: the patch is longer than {MAX_ERROR_BYTES} bytes", field="patch")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{patch}: not utf-8 text", field="patch") from error


def _tell(judgement: Judgement, *, as_json: bool) -> None:
    if as_json:
        from serve.wire import outcome_out

        tests = outcome_out(judgement.observations, judgement.reason).model_dump(mode="json")
        sys.stdout.write(json.dumps({"verdict": judgement.verdict.value, "tests": tests}, indent=2) + "\n")
    else:
        stdout().print(
            shown(f"{judgement.verdict.value}: {judgement.reason or 'the tests pass'}"), soft_wrap=True, markup=False
        )
