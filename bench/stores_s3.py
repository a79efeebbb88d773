"""Erasing keys with two versions each from a bucket, against a plain loop of boto3 deletes; and a shard without downloading it.

The endpoint is the one of the tests (moto's server, or what UNSEE_S3_ENDPOINT names), on this machine: its own work is most of what
is timed, so the requests are counted too; over a network they weigh more.
"""

from __future__ import annotations

import io
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench import Line, Table, main, timed
from bench._jpegs import samples
from unsee.core.ids import StoreId
from unsee.stores.contract import Member, Target
from unsee.stores.registry import open_store

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import s3_endpoint  # the endpoint process of the tests

KEYS = 20_000
IN_AN_OBJECT = 5_000
PEER_KEYS = 2_000
"""The loop of single deletes is timed over so many at most, and compared by key."""
SHARD_SAMPLES = 800


def run(scale: float) -> list[Table]:
    with s3_endpoint.running() as endpoint:
        return [_keys(endpoint, max(100, int(KEYS * scale))), _shard(endpoint, max(200, int(SHARD_SAMPLES * scale)))]


def _keys(endpoint: s3_endpoint.Endpoint, keys: int) -> Table:
    client = endpoint.client
    peer, ours = endpoint.make(), endpoint.make()
    few = min(keys, PEER_KEYS)
    for bucket, count in ((peer, few), (ours, keys)):
        _fill(client, bucket, count)
    store = open_store(StoreId("bench"), "s3", f"s3://{ours}/", {"endpoint": endpoint.url})
    units: dict[str, list[Target]] = {}
    for member in store.scan():
        assert isinstance(member, Member)
        units.setdefault(member.object, []).append(Target(member.selector, member.stamp))
    asked: list[str] = []
    _count(store, asked)
    lines = [timed("boto3, delete_object a version", lambda: _loop(client, peer), amount=few)]

    def erase() -> None:
        for name, targets in units.items():
            assert not store.erase(name, targets).kept

    done = timed("unsee", erase, amount=keys)
    lines.append(Line(done.what, done.seconds, keys, at_most_ratio=0.2))
    assert "Versions" not in client.list_object_versions(Bucket=ours)
    each = {name: asked.count(name) for name in sorted(set(asked))}
    return Table(
        f"Erase {keys:,} keys with 2 versions each",
        "keys",
        lines,
        notes=(
            f"the loop was timed over {few:,} keys",
            "the loop does not look again, and leaves unfinished uploads",
            f"requests of unsee: {len(asked):,}, {1e6 * len(asked) / keys:,.0f} a million keys ({each}); of the loop: 2,002,000",
        ),
    )


def _fill(client: Any, bucket: str, count: int) -> None:
    def put(number: int) -> None:
        for _ in range(2):
            client.put_object(Bucket=bucket, Key=f"{number // IN_AN_OBJECT:03d}/{number:08d}.jpg", Body=b"x" * 100)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(count)))


def _loop(client: Any, bucket: str) -> None:
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for version in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]:
            client.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])


def _count(store: Any, asked: list[str]) -> None:
    """Note each request, by a hook of botocore."""
    from unsee.stores.s3.asking import client_of

    client_of(store.place).meta.events.register(
        "before-send.s3.*", lambda **said: asked.append(said["event_name"].rpartition(".")[2])
    )


def _shard(endpoint: s3_endpoint.Endpoint, count: int) -> Table:
    client, bucket = endpoint.client, endpoint.make()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in samples(count):
            header = tarfile.TarInfo(name)
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
    whole = out.getvalue()
    going = {f"{n:08d}.jpg" for n in range(0, count, 100)}
    lines, notes = [], []
    for key in ("peer.tar", "ours.tar"):
        client.put_object(Bucket=bucket, Key=key, Body=whole)
    with s3_endpoint.gate(endpoint) as passing:
        plain = s3_endpoint.Endpoint(passing.url).client
        lines.append(timed("download, tarfile, upload", lambda: _rewrite(plain, bucket, going), amount=len(going)))
        notes.append(f"download, tarfile, upload: {_moved(passing)}, and leaves the old version")
    with s3_endpoint.gate(endpoint) as passing:
        store = open_store(StoreId("bench"), "s3", f"s3://{bucket}/", {"endpoint": passing.url, "tar": "true"})
        lines.append(timed("unsee", lambda: store.erase("ours.tar", [Target(n) for n in going]), amount=len(going)))
        notes.append(f"unsee: {_moved(passing)}")
    title = f"Erase 1 % of {count:,} samples from a shard of {len(whole) / 1e6:,.0f} MB in a bucket"
    return Table(title, "samples", lines, notes=notes)


def _moved(passing: s3_endpoint.Gate) -> str:
    moved = (passing.received_bytes + passing.sent_bytes) / 1e6
    return f"{moved:,.1f} MB through the client, {len(passing.asked):,} requests"


def _rewrite(client: Any, bucket: str, going: set[str]) -> None:
    old = io.BytesIO(client.get_object(Bucket=bucket, Key="peer.tar")["Body"].read())
    out = io.BytesIO()
    with tarfile.open(fileobj=old) as source, tarfile.open(fileobj=out, mode="w") as target:
        for member in source:
            if member.name not in going:
                target.addfile(member, source.extractfile(member))
    client.put_object(Bucket=bucket, Key="peer.tar", Body=out.getvalue())


if __name__ == "__main__":
    main(run)
