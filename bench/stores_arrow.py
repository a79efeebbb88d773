"""Arrow IPC: erase rows of pictures, against whole-file rewrites by pyarrow.

The samples of `stores_parquet` in four files as pyarrow writes them, not compressed, in record batches of 256 rows (fewer at
smaller scales). The peer maps a file, filters it and writes a new one beside it; everything else is as for Parquet.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from functools import partial
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from bench import Table, main, scratch, timed
from bench._jpegs import SAMPLES, marker_of, name_of, samples
from bench.stores_parquet import CASES, FILES, ROWS_IN_GROUP, SEARCHED, cool, erase, flush, going, stamps_of
from unsee.core.ids import StoreId
from unsee.stores.arrow import open_arrow

SCHEMA = pa.schema([("id", pa.string()), ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))])


def plant(root: Path, count: int) -> None:
    """The files, flushed."""
    root.mkdir()
    made = samples(count)
    each = -(-count // FILES)
    group = max(4, min(ROWS_IN_GROUP, count // 20))
    for n in range(FILES):
        with pa.ipc.new_file(str(root / f"data-{n:05}-of-{FILES:05}.arrow"), SCHEMA) as writer:
            for start in range(0, min(each, count - n * each), group):
                size = min(group, each - start, count - n * each - start)
                rows = [{"id": name, "image": {"bytes": data, "path": name}} for name, data in islice(made, size)]
                writer.write_batch(pa.RecordBatch.from_pylist(rows, SCHEMA))
    flush(root)


def by_pyarrow(root: Path, to: Path, names: Collection[str]) -> None:
    gone = pa.array(sorted(names))
    for path in sorted(root.iterdir()):
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as rows:
            table = rows.read_all()
            kept = table.filter(pc.invert(pc.is_in(table["id"], gone)))
        with pa.ipc.new_file(str(to / path.name), SCHEMA) as writer:
            writer.write_table(kept, ROWS_IN_GROUP)
    flush(to)


def case(root: Path, count: int, gone: list[int], goal: float, title: str) -> Table:
    spare = root.with_name("spare")
    names = {name_of(index) for index in gone}
    spare.mkdir()
    cool(root)
    peer = timed("pyarrow, whole files", partial(by_pyarrow, root, spare, names), amount=count)
    shutil.rmtree(spare)
    shutil.copytree(root, spare)
    store = open_arrow(StoreId("bench"), str(spare), {"key": "id"})
    listed = stamps_of(store)
    cool(spare)
    ours = timed("unsee", partial(erase, store, listed, names), amount=count, at_most_ratio=goal)
    asked = gone[:: max(1, len(gone) // SEARCHED)]
    left = sum(marker_of(index) in path.read_bytes() for path in sorted(spare.iterdir()) for index in asked)
    shutil.rmtree(spare)
    notes = [f"left of the erased after unsee: {left} in the bytes; the peer leaves the old files"]
    return Table(f"Arrow, {title}: {count:,} samples, {len(gone):,} go", "samples", [peer, ours], notes=notes)


def run(scale: float) -> list[Table]:
    count = max(400, int(SAMPLES * scale))
    with scratch() as directory:
        root = directory / "corpus"
        plant(root, count)
        return [
            case(root, count, going(count, share, clustered=clustered), goal, title)
            for title, share, clustered, goal in CASES
        ]


if __name__ == "__main__":
    main(run)
