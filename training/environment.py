"""What a run was made with: hardware and versions, for cards and logs. Reads the machine, changes nothing."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("emend", "torch", "transformers", "peft", "accelerate", "tokenizers", "safetensors", "numpy")


def versions() -> dict[str, str]:
    """Of the interpreter and of the libraries that the weights depend on."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def hardware() -> str:
    """One line: the GPUs that are there, else the processor."""
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return f"{len(names)} x {names[0]}"
    return f"{os.cpu_count()} cores of {_processor()}, no GPU"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n")
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
