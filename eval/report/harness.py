"""Results in the layout of EleutherAI's lm-evaluation-harness (0.4: `results_DATE.json`, `samples_TASK_DATE.jsonl`).

For tools that gather such files. Only the layout is theirs: each suite is a task, "none" is the filter, standard errors
are those of a mean of zeros and ones, as theirs. Pure; writing is the command's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from math import sqrt
from typing import Any

from eval.measurement import Conditions
from eval.report.figures import YES_NO, correct_share, model_name, share
from eval.report.runs import Run
from eval.stats import Share
from repair.errors import InputError

VERSION = 1  # of our metrics' meaning


def harness_results(runs: Sequence[Run], date: float) -> dict[str, Any]:
    """The content of `results_DATE.json` for one model; `date` in seconds since 1970.

    Raises InputError where the runs are of different conditions: the layout has one configuration a file.
    """
    conditions = _only_conditions(runs)
    tasks = {task_name(run): run for run in runs}
    if len(tasks) != len(runs):
        raise InputError("two runs are of the same suite; write their files one at a time", field="results")
    name = model_name(conditions)
    return {
        "results": {task: _metrics(task, run) for task, run in tasks.items()},
        "group_subtasks": {task: [] for task in tasks},
        "configs": {task: _config(task, run) for task, run in tasks.items()},
        "versions": dict.fromkeys(tasks, VERSION),
        "n-shot": dict.fromkeys(tasks, 0),
        "higher_is_better": {task: dict.fromkeys(YES_NO, True) for task in tasks},
        "n-samples": {
            task: {"original": len(run.measurements), "effective": sum(m.scored for m in run.measurements)}
            for task, run in tasks.items()
        },
        "config": _model_config(conditions),
        "git_hash": None,
        "date": date,
        "task_hashes": {task: _task_hash(run) for task, run in tasks.items()},
        "model_source": "emend",
        "model_name": name,
        "model_name_sanitized": sanitized(name),
        "system_instruction": None,
        "system_instruction_sha": None,
        "fewshot_as_multiturn": False,
        "chat_template": None,
        "chat_template_sha": None,
        "total_evaluation_time_seconds": str(round(sum(m.wall_seconds for r in runs for m in r.measurements), 3)),
    }


def harness_samples(run: Run) -> Iterator[dict[str, Any]]:
    """The rows of `samples_TASK_DATE.jsonl`: the scored tasks. The prompt is not kept in results, its text is empty."""
    for number, m in enumerate(run.measurements):
        if m.scored:
            doc = {"id": m.id, "language": m.language, "bug_type": m.bug_type, "digest": m.digest}
            yield {
                "doc_id": number,
                "doc": doc,
                "target": m.reference_diff,
                "arguments": {"gen_args_0": {"arg_0": ""}},
                "resps": [[m.diff]],
                "filtered_resps": [m.diff],
                "filter": "none",
                "metrics": list(YES_NO),
                "doc_hash": _hash(json.dumps(doc, indent=2, ensure_ascii=False)),
                "prompt_hash": _hash(m.digest or m.id),
                "target_hash": _hash(m.reference_diff),
                **{name: _number(figure(m)) for name, figure in YES_NO.items()},
            }


def task_name(run: Run) -> str:
    """The suite's name as a task's and a part of a file's."""
    return sanitized(run.suite) or "suite"


def sanitized(name: str) -> str:
    """A model's or task's name as a part of a file's name."""
    return re.sub(r"[^\w.+-]+", "__", name).strip(".") or "model"


def standard_error(found: Share) -> float | str:
    """Of a mean of zeros and ones, with n - 1 as the harness has it; "N/A" below two tasks."""
    if found.total < 2 or found.value is None:
        return "N/A"
    return sqrt(found.value * (1 - found.value) / (found.total - 1))


def _shares(run: Run) -> Mapping[str, Share]:
    found = {name: share(run.measurements, figure) for name, figure in YES_NO.items()}
    return {**found, "correct": correct_share(run.measurements)}


def _metrics(task: str, run: Run) -> dict[str, Any]:
    told: dict[str, Any] = {"alias": task, "sample_len": sum(m.scored for m in run.measurements)}
    for name, found in _shares(run).items():
        if found.value is not None:
            told[f"{name},none"] = found.value
            told[f"{name}_stderr,none"] = standard_error(found)
    return told


def _config(task: str, run: Run) -> dict[str, Any]:
    intervals = {name: found.interval for name, found in _shares(run).items()}
    return {
        "task": task,
        "dataset_path": run.suite,
        "output_type": "generate_until",
        "num_fewshot": 0,
        "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in YES_NO],
        "metadata": {"version": VERSION, "sha256": run.sha256, "wilson95": intervals, **asdict(run.conditions)},
    }


def _model_config(c: Conditions) -> dict[str, Any]:
    return {
        "model": "emend",
        "model_args": {"pretrained": c.model, "peft": c.adapter or None, "weights": c.weights},
        "batch_size": 1,
        "batch_sizes": [],
        "device": None,
        "use_cache": None,
        "limit": None,
        "bootstrap_iters": 0,
        "gen_kwargs": {k: v for k, v in asdict(c).items() if k not in ("model", "adapter", "weights")},
        "random_seed": c.seed,
        "numpy_seed": c.seed,
        "torch_seed": c.seed,
        "fewshot_seed": c.seed,
    }


def _only_conditions(runs: Sequence[Run]) -> Conditions:
    if not runs:
        raise InputError("no results", field="results")
    if any(run.conditions != runs[0].conditions for run in runs):
        raise InputError(
            "a result file of this layout has one configuration: give the results of one setting", field="results"
        )
    return runs[0].conditions


def _task_hash(run: Run) -> str:
    hashes = (row["doc_hash"] + row["prompt_hash"] + row["target_hash"] for row in harness_samples(run))
    return _hash("".join(hashes))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _number(value: bool | None) -> float | None:
    return None if value is None else float(value)
