"""The file of a reference: JSON, long arrays as base64 of float16 with a scale, short ones as rounded numbers."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from repair.errors import InputError
from repair.explain.reference import Bands, LineProbe, LocationCalibration, LocationQuality, Reference
from repair.explain.values import Array, Method, MethodQuality

if TYPE_CHECKING:
    from typing import Any

FORMAT = 1


def reference_text(reference: Reference) -> str:
    """As JSON text: digest, examples and what there is."""
    r = reference
    table: dict[str, Any] = {
        "format": FORMAT,
        "digest": r.digest,
        "examples": r.examples,
        "attention": [_bands(one) for one in r.attention],
        "activation": [_bands(one) for one in r.activation],
        "representation": [_bands(one) for one in r.representation],
        "mean": _packed(r.mean),
        "deviation": _packed(r.deviation),
        "centre": _packed(r.centre),
        "probe": None
        if r.probe is None
        else {"layer": r.probe.layer, "weight": _packed(r.probe.weight), "no_fault": round(r.probe.no_fault, 6)},
        "calibration": _calibration(r.calibration),
        "pointer": _calibration(r.pointer),
        "location": [
            {
                "source": q.source, "examples": q.examples, "faulty": q.faulty,
                "hits": [round(hit, 4) for hit in q.hits], "ece": round(q.ece, 4), "nll": round(q.nll, 4),
            }
            for q in r.location
        ],
        "quality": [
            {
                "method": str(q.method), "examples": q.examples, "beats_random": q.beats_random,
                "measures": [[name, round(value, 4), round(chance, 4)] for name, value, chance in q.measures],
            }
            for q in r.quality
        ],
    }  # fmt: skip
    return json.dumps(table, separators=(",", ":"), allow_nan=False) + "\n"


def load_reference(path: Path) -> Reference:
    """The reference in a file, whatever weights it is of. Raises InputError when there is none that can be read."""
    try:
        table = cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
        if table["format"] != FORMAT:
            raise ValueError(f"format {table['format']!r}, this Emend reads {FORMAT}")
        return _reference(table)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})", field="reference") from error
    except (ValueError, KeyError, TypeError, IndexError, binascii.Error) as error:
        raise InputError(
            f"{path} is no reference that can be read ({error}): make it again with `emend model reference`",
            field="reference",
        ) from error


def _reference(table: dict[str, Any]) -> Reference:
    probe: dict[str, Any] | None = table["probe"]
    weight = None if probe is None else _unpacked(probe["weight"])
    return Reference(
        str(table["digest"]),
        int(table["examples"]),
        _read_bands(table["attention"]),
        _read_bands(table["activation"]),
        _unpacked(table["mean"]),
        _unpacked(table["deviation"]),
        _read_bands(table["representation"]),
        _unpacked(table["centre"]),
        None if probe is None or weight is None else LineProbe(int(probe["layer"]), weight, float(probe["no_fault"])),
        _read_calibration(table["calibration"]),
        tuple(
            MethodQuality(
                Method(q["method"]), int(q["examples"]),
                tuple((str(n), float(v), float(c)) for n, v, c in q["measures"]), bool(q["beats_random"]),
            )
            for q in table["quality"]
        ),
        _read_calibration(table["pointer"]),
        tuple(
            LocationQuality(
                str(q["source"]), int(q["examples"]), int(q["faulty"]), (q["hits"][0], q["hits"][1], q["hits"][2]),
                float(q["ece"]), float(q["nll"]),
            )
            for q in table["location"]
        ),
    )  # fmt: skip


def _bands(bands: Bands) -> dict[str, object]:
    rounded = [float(f"{value:.4g}") for value in bands.values.ravel().tolist()]
    return {"name": bands.name, "shape": list(bands.values.shape), "values": rounded}


def _read_bands(tables: Sequence[dict[str, Any]]) -> tuple[Bands, ...]:
    return tuple(
        Bands(str(one["name"]), np.array(one["values"], dtype=np.float32).reshape(one["shape"])) for one in tables
    )


def _packed(array: Array | None) -> dict[str, object] | None:
    """float16 of values divided by the largest one: nothing overflows, small ones keep three digits."""
    if array is None:
        return None
    scale = float(np.abs(array).max()) or 1.0
    halves = (array / scale).astype("<f2")
    return {
        "shape": list(array.shape),
        "scale": scale,
        "float16": base64.b64encode(halves.tobytes()).decode("ascii"),
    }


def _unpacked(table: dict[str, Any] | None) -> Array | None:
    if table is None:
        return None
    halves = np.frombuffer(base64.b64decode(table["float16"], validate=True), dtype="<f2")
    return (halves.astype(np.float32) * float(table["scale"])).reshape(table["shape"])


def _calibration(found: LocationCalibration | None) -> dict[str, float] | None:
    if found is None:
        return None
    return {"sharpness": round(found.sharpness, 6), "mix": round(found.mix, 6), "bias": round(found.bias, 6)}


def _read_calibration(table: dict[str, Any] | None) -> LocationCalibration | None:
    if table is None:
        return None
    return LocationCalibration(float(table["sharpness"]), float(table["mix"]), float(table["bias"]))
