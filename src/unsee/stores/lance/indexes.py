"""Indexes of a Lance dataset: what they were made with, and making them anew over the rows that are left.

An index holds values of its own: vectors and their codes, centroids and codebooks trained on them, least and greatest values,
words of texts. The library maps the row addresses of an index when it compacts, and keeps the rest. So every index is built again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unsee.stores.lance.tables import Trouble, speaking

_SCALAR = {
    "BTree": "BTREE",
    "Bitmap": "BITMAP",
    "LabelList": "LABEL_LIST",
    "Inverted": "INVERTED",
    "NGram": "NGRAM",
    "ZoneMap": "ZONEMAP",
    "BloomFilter": "BLOOMFILTER",
    "RTree": "RTREE",
}
_OWN = "__lance"
"""Begins the names of the library's own bookkeeping, which holds row addresses and no values."""
_TEXT = frozenset(
    {
        "base_tokenizer",
        "language",
        "with_position",
        "max_token_length",
        "lower_case",
        "stem",
        "remove_stop_words",
        "custom_stop_words",
        "ascii_folding",
        "min_ngram_length",
        "max_ngram_length",
        "prefix_only",
    }
)
"""What `create_scalar_index` takes of a text index's details."""
_HNSW = {"max_connections": "m", "construction_ef": "ef_construction", "max_level": "max_level"}


@dataclass(frozen=True, slots=True)
class Described:
    """What an index was made with. `kind` is empty where the library offers no way to make such an index again."""

    name: str
    column: str
    kind: str
    vector: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)


def described(dataset: Any) -> tuple[Described, ...]:
    """Every index of this version, the library's own bookkeeping left out.

    Raises:
        Trouble: the indexes cannot be listed.
    """
    with speaking("its indexes cannot be read"):
        return tuple(_one(dataset, index) for index in dataset.describe_indices() if not index.name.startswith(_OWN))


def _one(dataset: Any, index: Any) -> Described:
    column = index.field_names[0] if len(index.field_names) == 1 else ""
    details = index.details if isinstance(index.details, dict) else {}
    if index.index_type.startswith("IVF_"):
        return Described(index.name, column, index.index_type, True, _vector(dataset, index.name, details))
    kind = _SCALAR.get(index.index_type, "")
    parameters: dict[str, Any] = {}
    if kind == "INVERTED":
        parameters = {name: value for name, value in details.items() if name in _TEXT and value is not None}
    elif kind == "ZONEMAP":
        parameters = {"rows_per_zone": dataset.stats.index_stats(index.name)["indices"][0]["rows_per_zone"]}
    elif kind == "BLOOMFILTER":
        stats = dataset.stats.index_stats(index.name)["indices"][0]
        parameters = {name: stats[name] for name in ("number_of_items", "probability")}
    return Described(index.name, column, kind, parameters=parameters)


def _vector(dataset: Any, name: str, details: Mapping[str, Any]) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "metric": str(details.get("metric_type", "l2")).lower(),
        "num_partitions": len(dataset.get_ivf_model(name).centroids),
    }
    compression = details.get("compression", {})
    if "num_sub_vectors" in compression:
        parameters["num_sub_vectors"] = compression["num_sub_vectors"]
    if "num_bits" in compression:
        parameters["num_bits"] = compression["num_bits"]
    for theirs, ours in _HNSW.items():
        if theirs in details.get("hnsw", {}):
            parameters[ours] = details["hnsw"][theirs]
    return parameters


def rebuild(dataset: Any, indexes: tuple[Described, ...]) -> list[str]:
    """Build every index again over the rows that are there; what could not be built is dropped and said in a sentence.

    Raises:
        Trouble: an index can be neither built nor dropped.
    """
    notes: list[str] = []
    some = bool(indexes) and dataset.count_rows() > 0
    for index in indexes:
        try:
            with speaking("building it failed"):
                _build(dataset, index)
                if some and not _indexed(dataset, index.name):
                    notes.append(
                        f"The index {index.name!r} on {index.column!r} holds no rows: there are too few to train it."
                    )
        except Trouble as trouble:
            with speaking(f"its index {index.name!r} cannot be dropped"):
                dataset.drop_index(index.name)
            notes.append(f"The index {index.name!r} on {index.column!r} was dropped and not built again: {trouble}.")
    return notes


def _indexed(dataset: Any, name: str) -> int:
    return sum(index.num_rows_indexed for index in dataset.describe_indices() if index.name == name)


def _build(dataset: Any, index: Described) -> None:
    if not index.kind or not index.column:
        raise Trouble("the library says too little of how it was made")
    if index.vector:
        dataset.create_index(index.column, index.kind, name=index.name, replace=True, **index.parameters)
    else:
        dataset.create_scalar_index(index.column, index.kind, name=index.name, replace=True, **index.parameters)
