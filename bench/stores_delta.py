"""Delta Lake: erase 1 %, 10 % and 90 % of the rows, against delta-rs' documented purge (delete, then vacuum without retention)."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from deltalake import DeltaTable, write_deltalake

from bench import Table, main, peak_rss_bytes, scratch
from bench._jpegs import name_of
from bench._lakes import batches, flush, going, report, tables
from unsee.core.ids import StoreId
from unsee.stores.contract import Target
from unsee.stores.delta.store import open_store

NOTES = (
    "the peer loses every past version, and keeps smallest and largest values of erased rows in its log; ours keeps past versions "
    "readable without the rows, and takes the values out of the log",
)


def run(scale: float) -> list[Table]:
    acts = {"peer": "delta-rs delete + vacuum(0 h)", "ours": "unsee"}
    with scratch() as place:
        return tables("bench.stores_delta", place=place, scale=scale, kind="Delta Lake", acts=acts, notes=NOTES)


def plant(live: Path, count: int) -> None:
    for batch in batches(count):
        write_deltalake(str(live / "faces"), batch, mode="append")


def peer(live: Path, count: int, share: float, spread: str) -> None:
    gone = going(count, share, spread)
    table = DeltaTable(str(live / "faces"))
    if spread == "clustered":
        table.delete(f"index >= {gone[0]} and index <= {gone[-1]}")
    else:
        table.delete(f"name in ({', '.join(repr(name_of(index)) for index in gone)})")
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    flush(live)


def ours(live: Path, count: int, share: float, spread: str) -> None:
    store = open_store(StoreId("bench"), str(live), {"data": "image", "key": "name"})
    gone = going(count, share, spread)
    outcome = store.erase("faces", [Target(name_of(index)) for index in gone])
    assert len(outcome.erased) == len(gone), outcome.kept[:3]


if __name__ == "__main__":
    if len(sys.argv) > 3:
        if sys.argv[1] == "plant":
            plant(Path(sys.argv[2]), int(sys.argv[3]))
        else:
            start = time.perf_counter()
            {"peer": peer, "ours": ours}[sys.argv[1]](Path(sys.argv[2]), *json.loads(sys.argv[3]))
            report(time.perf_counter() - start, peak_rss_bytes())
    else:
        main(run)
