"""Run by a Python that has `tombstone-erase`, not by ours: makes a lineage graph, or traces one person through it.

`make PATH N`: N nodes, half sources and half derived from one each; the first half of both belongs to person 0.
`trace PATH N`: prints seconds, artifacts found and peak memory as JSON.
"""

import json
import resource
import sys
import time

from tombstone.lineage.store import LineageStore
from tombstone.lineage.trace import trace
from tombstone.model.artifacts import ArtifactKind, Scope, SubjectRef
from tombstone.model.lineage import Edge, Node

act, path, half = sys.argv[1], sys.argv[2], int(sys.argv[3]) // 2
store, scope = LineageStore.open_sqlite(path), Scope("books")


def person(i):
    return f"{0 if i < half // 2 else 1:064x}"


def node(number, kind, i):
    return Node(f"{number:026d}", kind, "store", str(number), scope, f"{number:064x}", None, person(i), number)


if act == "make":
    for low in range(0, half, 50_000):
        ids = range(low, min(half, low + 50_000))
        store.add_nodes(node(i, ArtifactKind.SOURCE, i) for i in ids)
        store.add_nodes(node(half + i, ArtifactKind.CHUNK, i) for i in ids)
        store.add_edges(Edge(f"{i:026d}", f"{half + i:026d}", "chunk") for i in ids)
    store.close()
else:
    start = time.perf_counter()
    found = trace(SubjectRef(person(0)), scope, store.snapshot(scope))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "amount": len(found.artifacts), "peak_bytes": peak}))
