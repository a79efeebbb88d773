"""What other teams did with the photos of the demo: shards, a table, a Lance dataset, a bucket, an index, each by its own tool.

Nothing here uses unsee: the files are what a store of unsee finds in the world.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

Photos = list[tuple[str, bytes]]
"""Name and bytes of each."""


def every(folder: Path, step: int) -> Photos:
    """Each `step`-th photo below a folder."""
    paths = sorted(folder.rglob("*.jpg"))[::step]
    return [(f"{folder.name}-{number:06d}", path.read_bytes()) for number, path in enumerate(paths)]


def shuffled(photos: Photos, seed: int) -> Photos:
    """As a training pipeline mixes its sources."""
    order = np.random.default_rng(seed).permutation(len(photos))
    return [photos[int(i)] for i in order]


def shards(photos: Photos, place: Path) -> None:
    """WebDataset shards, a picture and its label a sample."""
    import webdataset

    place.mkdir(parents=True)
    with webdataset.ShardWriter(str(place / "train-%04d.tar"), maxcount=400, verbose=0) as writer:
        for name, data in photos:
            writer.write({"__key__": name, "jpg": data, "json": {"caption": f"a face, {name}"}})


def parquet(photos: Photos, place: Path) -> None:
    """A table that Polars wrote, 64 rows a row group."""
    import polars

    place.mkdir(parents=True)
    names, images = [name for name, _data in photos], [data for _name, data in photos]
    table = polars.DataFrame({"id": names, "image": images, "caption": [f"a face, {n}" for n in names]})
    table.write_parquet(place / "faces.parquet", row_group_size=64)


def lance(photos: Photos, place: Path) -> None:
    """A Lance dataset of two versions, the first of them tagged."""
    import lance as library
    import pyarrow as pa

    place.mkdir(parents=True)
    half = len(photos) // 2
    for part, mode in ((photos[:half], "create"), (photos[half:], "append")):
        table = pa.table({"id": [n for n, _d in part], "image": pa.array([d for _n, d in part], pa.large_binary())})
        written = library.write_dataset(table, str(place / "faces.lance"), mode=mode, max_rows_per_file=200)
        if mode == "create":
            written.tags.create("v1", 1)


def vectors(photos: Photos, place: Path, made_from: Path) -> None:
    """An HNSW index of 64 numbers a photo, and the list that says which vector was made from which photo."""
    import hashlib

    import faiss

    place.mkdir(parents=True)
    rows = [
        cv2.resize(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE), (8, 8)).ravel()
        for _name, data in photos
    ]
    matrix = np.ascontiguousarray(
        np.array(rows, np.float32) + np.random.default_rng(1).normal(size=(len(rows), 64)), "<f4"
    )
    index = faiss.IndexIDMap2(faiss.IndexHNSWFlat(64, 16))
    index.add_with_ids(matrix, np.arange(1_000, 1_000 + len(photos)))
    faiss.write_index(index, str(place / "faces.faiss"))
    lines = [f"{1_000 + i},{hashlib.sha256(data).hexdigest()}" for i, (_name, data) in enumerate(photos)]
    made_from.write_text("selector,sha256\n" + "\n".join(lines) + "\n")


@contextmanager
def s3_endpoint() -> Iterator[str]:
    """A real S3 endpoint process on this machine, that of the tests; its URL."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    import s3_endpoint as endpoints

    with endpoints.running() as started:
        yield started.url


def bucket(photos: Photos, url: str, name: str) -> None:
    """A bucket with versions; each fourth photo was uploaded twice, and one was deleted, as people think."""
    import boto3

    client = boto3.client("s3", endpoint_url=url)
    client.create_bucket(Bucket=name)
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    for number, (photo, data) in enumerate(photos):
        for _version in range(2 if number % 4 == 0 else 1):
            client.put_object(Bucket=name, Key=f"train/{photo}.jpg", Body=data)
    deleted = next(photo for photo, _data in photos if photo.startswith("okcupid"))
    client.delete_object(Bucket=name, Key=f"train/{deleted}.jpg")
