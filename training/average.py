"""Weights between two models that began from the same ones: `python -m training.average BASE NEW OLD SHARE OUT`.

NEW and OLD are whole models, each with its adapter merged in (`emend train export ADAPTER --to merged`, in float32).
BASE is what NEW's adapter belongs to, and still does: OUT is BASE + SHARE x (OLD - NEW), so that OUT with the adapter
is (1 - SHARE) x NEW + SHARE x OLD. What one of the two has forgotten the average often keeps (model soups, Wortsman et
al. 2022; WiSE-FT, Wortsman et al. 2022); measure it like any other weights.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from repair.errors import EmendError, InputError
from training.staging import staged

WEIGHTS = "model.safetensors"


def averaged(
    base: Mapping[str, Tensor], new: Mapping[str, Tensor], old: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """Weights in fp32, by name. Raises InputError: a weight that one of the others lacks or has in another shape."""
    found: dict[str, Tensor] = {}
    for name, tensor in base.items():
        for title, others in (("NEW", new), ("OLD", old)):
            if name not in others or others[name].shape != tensor.shape:
                raise InputError(
                    f"{title} is another model: it has no {name} of shape {tuple(tensor.shape)}", field=title
                )
        found[name] = (tensor.float() + share * (old[name].float() - new[name].float())).contiguous()
    return found


def _read(directory: Path) -> dict[str, Tensor]:
    try:
        return load_file(directory / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{directory} holds no {WEIGHTS}: {error}", field=str(directory)) from error


def average(base: Path, others: tuple[Path, Path], share: float, out: Path) -> None:
    """Write the directory `out`: all of `base`, with averaged weights. Raises InputError."""
    weights = averaged(_read(base), _read(others[0]), _read(others[1]), share)
    with staged(out, force=False) as partial:
        shutil.copytree(base, partial)
        save_file(weights, partial / WEIGHTS, metadata={"format": "pt"})


def main(arguments: Sequence[str]) -> int:
    """BASE NEW OLD SHARE OUT."""
    try:
        base, new, old, share, out = arguments
        average(Path(base), (Path(new), Path(old)), float(share), Path(out))
    except ValueError:
        sys.stderr.write("error: python -m training.average BASE NEW OLD SHARE OUT\n")
        return 2
    except EmendError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
