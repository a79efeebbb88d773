"""Apache Iceberg: erase 1 %, 10 % and 90 % of the rows, against pyiceberg's delete and expiry and a sweep of orphans.

pyiceberg's expiry removes no file, so the peer's sweep is written here: what the table's metadata does not name is removed.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions import And, GreaterThanOrEqual, In, LessThanOrEqual

from bench import Table, main, peak_rss_bytes, scratch
from bench._jpegs import name_of
from bench._lakes import SCHEMA, batches, flush, going, report, tables
from unsee.core.ids import StoreId
from unsee.stores.contract import Target
from unsee.stores.iceberg.store import open_store

NOTES = (
    "the peer loses every past snapshot, and keeps smallest and largest values of erased rows in its manifests; ours keeps past "
    "snapshots readable without the rows, and takes the values out of the manifests",
)


def run(scale: float) -> list[Table]:
    acts = {"peer": "pyiceberg delete + expire + orphan sweep", "ours": "unsee"}
    with scratch() as place:
        return tables("bench.stores_iceberg", place=place, scale=scale, kind="Iceberg", acts=acts, notes=NOTES)


def catalog(live: Path) -> SqlCatalog:
    return SqlCatalog("default", uri=f"sqlite:///{live}/catalog.db", warehouse=f"file://{live}")


def plant(live: Path, count: int) -> None:
    live.mkdir()
    opened = catalog(live)
    opened.create_namespace("photos")
    table = opened.create_table("photos.faces", SCHEMA)
    for batch in batches(count):
        table.append(batch)


def peer(live: Path, count: int, share: float, spread: str) -> None:
    gone = going(count, share, spread)
    table = catalog(live).load_table("photos.faces")
    if spread == "clustered":
        table.delete(And(GreaterThanOrEqual("index", gone[0]), LessThanOrEqual("index", gone[-1])))
    else:
        table.delete(In("name", {name_of(index) for index in gone}))
    table.maintenance.expire_snapshots().older_than(datetime.now() + timedelta(days=1)).commit()
    table.refresh()
    named = {snapshot.manifest_list for snapshot in table.metadata.snapshots}
    for snapshot in table.metadata.snapshots:
        for manifest in snapshot.manifests(table.io):
            named.add(manifest.manifest_path)
            named |= {entry.data_file.file_path for entry in manifest.fetch_manifest_entry(table.io)}
    for path in (live / "photos").rglob("*"):
        if path.suffix in {".parquet", ".avro"} and f"file://{path}" not in named:
            path.unlink()
    flush(live)


def ours(live: Path, count: int, share: float, spread: str) -> None:
    options = {"data": "image", "key": "name", "catalog": f"sqlite:///{live}/catalog.db"}
    store = open_store(StoreId("bench"), str(live), options)
    gone = going(count, share, spread)
    outcome = store.erase("photos.faces", [Target(name_of(index)) for index in gone])
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
