"""What a checkpoint is like on clean data: its own quantiles, its location probe and calibration, measured methods.

Stored beside the checkpoint (or its adapter) as `explain_reference.json`; figures only, no code and no text.
`reference_file.py` has the format.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from safetensors.torch import load_file

from repair.errors import InputError, ModelError
from repair.explain.values import Array, MethodQuality

if TYPE_CHECKING:
    from repair.explain.cases import Case
    from repair.explain.glass import Glass
    from repair.explain.probe import Location
    from repair.explain.vitals import Vitals

FILE = "explain_reference.json"
QUANTILES = (0.001, 0.01, 0.05, 0.5, 0.95, 0.99, 0.999)
LEAST = 30  # cases; the quantiles of fewer say nothing
ENOUGH = 400  # cases whose inside is measured; the probe takes all
_AGAIN = "make one with `emend model reference`"


@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """A statistic's quantiles over the reference examples; the last axis of `values` is QUANTILES."""

    name: str
    values: Array  # (layers, heads, QUANTILES) for attention, (layers, QUANTILES) for the others


@dataclass(frozen=True, slots=True, eq=False)
class LineProbe:
    """A logistic probe on the state of a line's last token after `layer`: softmax over lines of states @ weight."""

    layer: int
    weight: Array  # (width,)
    no_fault: float  # logit of "no fault"


@dataclass(frozen=True, slots=True)
class LocationCalibration:
    """P = softmax(log pointer * sharpness + probe logit * mix) over lines and "no fault" (shifted by `bias`)."""

    sharpness: float = 1.0
    mix: float = 0.0
    bias: float = 0.0


@dataclass(frozen=True, slots=True)
class LocationQuality:
    """How well one source tells lines, on cases that nothing was fitted to.

    `hits`: share of faulty cases whose fault's first line is among the first 1, 3, 5 lines. `ece`: expected
    calibration error of the likeliest answer, "no fault" included (Guo et al. 2017, ten bins). `nll`: nats.
    """

    source: str  # "pointer", "probe", "calibrated"
    examples: int
    faulty: int
    hits: tuple[float, float, float]
    ece: float
    nll: float


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Everything measured once for a checkpoint."""

    digest: str  # SHA-256 of weights and adapter: a reference of other weights is refused
    examples: int
    attention: tuple[Bands, ...] = ()  # entropy, first-token mass, same-line mass, focus
    activation: tuple[Bands, ...] = ()  # root mean square, dead share, largest deviation
    mean: Array | None = None  # (layers, inner): of each neuron
    deviation: Array | None = None  # (layers, inner)
    representation: tuple[Bands, ...] = ()  # distance of mean line states from the reference's, what blocks add
    centre: Array | None = None  # (layers + 1, width)
    probe: LineProbe | None = None
    calibration: LocationCalibration | None = None
    quality: tuple[MethodQuality, ...] = ()
    pointer: LocationCalibration | None = None  # for the pointer alone, where states cannot be seen
    location: tuple[LocationQuality, ...] = ()  # on held-out cases


_DIGESTS: WeakKeyDictionary[Glass, str] = WeakKeyDictionary()


def weights_digest(glass: Glass) -> str:
    """SHA-256 over all parameters and those of the adapter, by name and as fp32: the same on every device.

    The adapter's come from its file, so that it does not matter who put them beside the weights. Computed once for an
    opened model: billions of parameters take minutes.
    """
    if glass not in _DIGESTS:
        _DIGESTS[glass] = _digest(glass)
    return _DIGESTS[glass]


def _digest(glass: Glass) -> str:
    total = hashlib.sha256()
    own = ((name.replace(".base_layer", ""), p.detach()) for name, p in glass.model.named_parameters())
    parts = sorted((name, p) for name, p in own if ".lora_" not in name)
    file = None if glass.adapter is None else glass.adapter / "adapter_model.safetensors"
    if file is not None and file.is_file():
        parts += sorted(load_file(file).items())
    for name, parameter in parts:
        total.update(f"{name} {tuple(parameter.shape)} ".encode())
        total.update(parameter.float().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


def measure_reference(
    glass: Glass, cases: Iterable[Case], *, enough: int = ENOUGH, report: Callable[[int], None] | None = None
) -> Reference:
    """Read every case once, watched. Deterministic; `report` is told the number of cases after each.

    The inside is measured on the first `enough` cases, the probe is fitted and judged on all (see `probe.fitted`).
    Cases that the model cannot read (too long a window) are left out. Raises InputError for fewer than LEAST
    readable cases, ModelError when the model itself fails.
    """
    from repair.explain.glass import Watch
    from repair.explain.passages import passage
    from repair.explain.probe import Examined, examined, fitted
    from repair.explain.vitals import vitals_of, watching

    model = glass.local()
    found: list[Vitals] = []
    looked: list[Examined] = []
    for number, case in enumerate(cases, 1):
        try:
            read = passage(model.answers, case.view, None)
        except ModelError:
            continue  # over the model's limit
        inside = len(found) < enough
        seen = glass.run(read.ids, watching(read) if inside else Watch(hidden=True))
        if inside:
            found.append(vitals_of(glass, read, seen))
        looked.append(examined(case, read, seen, model.locate(case.view)))
        if report is not None:
            report(number)
    if len(found) < LEAST:
        raise InputError(f"{len(found)} readable cases; quantiles need {LEAST} or more", field="cases")
    return _composed(weights_digest(glass), found, fitted(looked))


def _composed(digest: str, found: Sequence[Vitals], location: Location | None) -> Reference:
    from repair.explain.vitals import ACTIVATION, ATTENTION, REPRESENTATION, deviations, distance

    mean = np.mean([one.mean for one in found], axis=0)
    deviation = np.sqrt(np.maximum(np.mean([one.square for one in found], axis=0) - mean**2, 0))
    centre = np.mean([one.line for one in found], axis=0)
    attention = np.stack([one.attention for one in found], axis=-1)
    largest = [deviations(one, mean, deviation).max(axis=1) for one in found]
    activation = ([one.rms for one in found], [one.dead for one in found], largest)
    apart = [distance(one, centre) for one in found]
    added = ([one.updates[0] for one in found], [one.updates[1] for one in found])
    return Reference(
        digest,
        len(found),
        tuple(Bands(name, _quantiles(attention[n])) for n, name in enumerate(ATTENTION)),
        tuple(Bands(name, _quantiles(np.stack(own, -1))) for name, own in zip(ACTIVATION, activation, strict=True)),
        mean,
        deviation,
        tuple(
            Bands(name, _quantiles(np.stack(own, -1)))
            for name, own in zip(REPRESENTATION, (apart, *added), strict=True)
        ),
        centre,
        location.probe if location else None,
        location.calibration if location else None,
        pointer=location.pointer if location else None,
        location=location.quality if location else (),
    )


def _quantiles(samples: Array) -> Array:
    """Over the last axis, which becomes QUANTILES."""
    return np.moveaxis(np.quantile(samples, QUANTILES, axis=-1), 0, -1).astype(np.float32)


def _beside(glass: Glass) -> tuple[Path, ...]:
    """Where the reference may lie beside the weights or the adapter."""
    from repair.embedded.expander import HERE

    own = [glass.adapter] if glass.adapter else [glass.source] if isinstance(glass.source, Path) else []
    return tuple((HERE if place.resolve() == (HERE / "adapter").resolve() else place) / FILE for place in own)


def _cache() -> Path:
    """The folder of the user's cache for references, each under the digest of its weights."""
    base = os.environ.get("EMEND_CACHE") or os.environ.get("XDG_CACHE_HOME")
    home = Path(base) if base else Path(os.environ.get("HOME", "/nonexistent")) / ".cache"
    return home / "emend" / "references"


def read_reference(glass: Glass) -> Reference | None:
    """The reference of an opened model, None where none was made.

    Raises InputError for one that is damaged, or that stands beside the weights and was made for others.
    """
    places, cache = list(_beside(glass)), _cache()
    if cache.is_dir() and any(cache.iterdir()):
        places.append(cache / f"{weights_digest(glass)}.json")
    stranger: InputError | None = None
    for place in places:
        if place.is_file():
            try:
                return checked_reference(place, glass)
            except InputError as error:
                stranger = stranger or error
    if stranger is not None:
        raise stranger
    return None


def checked_reference(path: Path, glass: Glass) -> Reference:
    """The reference in a file, which must be of these weights. Raises InputError saying what to do."""
    from repair.explain.reference_file import load_reference

    found = load_reference(path)
    if found.digest != weights_digest(glass):
        raise InputError(
            f"{path} was made for other weights than {glass.name}: {_AGAIN}, or compare against it on purpose with "
            "`emend model check --reference`",
            field="reference",
        )
    return found


def write_reference(path: Path, reference: Reference) -> None:
    """Write a file that `read_reference` reads. Raises InputError where it cannot be written."""
    from repair.explain.reference_file import reference_text

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(reference_text(reference), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): give another place with -o") from error


def store_reference(glass: Glass, reference: Reference) -> Path:
    """Write it beside the weights, or to the user's cache where that place is read-only. Raises InputError."""
    for place in _beside(glass):
        try:
            write_reference(place, reference)
        except InputError:
            continue
        return place
    place = _cache() / f"{weights_digest(glass)}.json"
    write_reference(place, reference)
    return place
