"""`emend locate`: rank the places that may hold the fault."""

from __future__ import annotations

import sys
import uuid

from serve.commands.given import Given, foreign_note, read_request
from serve.commands.reports import OutputFormat, write_report
from serve.oracles import Judging, locate, project_oracle
from serve.printing import print_suspects, progress, stderr, stdout


def run(given: Given, *, as_json: bool = False, output: OutputFormat = "text") -> int:
    """Exit code 0 when there is a suspect, 1 when there is none."""
    from repair.models.select import load_model

    root, request = read_request(given)
    if note := foreign_note(request):
        stderr().print(note, soft_wrap=True)
    judging = Judging(given.sandbox_minimum, given.unsafe_no_sandbox, given.python)
    oracle = project_oracle(root, request, judging, given.test)
    with progress("reading the code"):
        model = load_model(given.model, adapter=str(given.adapter) if given.adapter else None)
        found = locate(request, model, oracle)
    sources = {source.path: source for source in request.sources}
    if as_json or output == "json":
        from serve.wire import localization_out

        name = model.name if model else "none"
        out = localization_out(
            found.suspects, sources, identity=f"loc_{uuid.uuid4().hex}", model=name, no_fault=found.no_fault
        )
        sys.stdout.write(out.model_dump_json(indent=2) + "\n")
    elif output != "text":
        write_report(output, found.suspects, (), sources)
    else:
        print_suspects(stdout(), found.suspects, sources)
        if found.no_fault is not None:
            stderr().print(f"The model's probability that there is no fault: {100 * found.no_fault:.0f} %.")
    return 0 if found.suspects else 1
