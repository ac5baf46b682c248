"""Records as Parquet: one schema, fixed options of the writer, so that equal rows give equal bytes.

Owns the columns' types and the options. Must not know splits, shards or folders.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import parquet

from data.records import Record, from_row
from repair.errors import InputError

if TYPE_CHECKING:
    from typing import Any

ROW_GROUP = 1000  # rows that a reader takes at once
_TYPES = {
    "str": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "Origin": pa.string(),
    "ErrorOrigin": pa.string(),
    "tuple[str, ...]": pa.list_(pa.string()),
    "tuple[int, ...]": pa.list_(pa.int64()),
}


def schema() -> Any:  # noqa: ANN401 - pyarrow ships no types
    """The columns of `records.to_row`: identity, the record's fields, the fault's span."""
    first = [pa.field("schema", pa.int64()), pa.field("id", pa.string())]
    own = [pa.field(one.name, _TYPES[str(one.type)]) for one in fields(Record)]
    span = [pa.field(name, pa.int64()) for name in ("fault_first", "fault_last", "hunks")]
    return pa.schema([*first, *own, *span])


def parquet_bytes(rows: Sequence[Mapping[str, object]]) -> bytes:
    """A whole Parquet file of rows as `records.to_row` gives them. The same rows, the same bytes."""
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema())
    sink = pa.BufferOutputStream()
    parquet.write_table(
        table,
        sink,
        row_group_size=ROW_GROUP,
        version="2.6",
        data_page_version="1.0",
        compression="zstd",
        compression_level=9,
        use_dictionary=True,
        write_statistics=True,
        store_schema=True,
    )
    return sink.getvalue().to_pybytes()


def read_parquet(path: Path) -> Iterator[Record]:
    """The records of one Parquet shard. Raises InputError when it is none of ours."""
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=ROW_GROUP):
                yield from (from_row(row) for row in batch.to_pylist())
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read as Parquet ({error})", field=str(path)) from error
