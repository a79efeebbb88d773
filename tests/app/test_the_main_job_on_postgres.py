"""The main job on a PostgreSQL server: one order over real photos, from its receipt to the certificate, and what that admits."""

from __future__ import annotations

import json
import secrets
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

import postgres
from small_corpus import ADA, ORDER, Corpus, build
from unsee.app import workspace
from unsee.app.certification import Request, certify
from unsee.books.schema import facts
from unsee.core.errors import ResidueFound, StoreUnreachable, WorkspaceExists

BEYOND = "the write-ahead log, archives, replicas, backups and logs of the PostgreSQL server"


@pytest.fixture
def url(server: postgres.Server) -> Iterator[str]:
    name = server.make()
    yield server.url(name)
    server.drop(name)


@pytest.fixture
def served(url: str, quick: Path) -> Iterator[Corpus]:
    """The small corpus with its books on the server."""
    made = build(quick, books_url=url)
    yield made
    made.close()


def stranger(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The outsider's verifier, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", "from unsee_verify.cli import main; raise SystemExit(main())", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_order_is_carried_from_receipt_to_certificate(served: Corpus, built_corpus: Corpus, tmp_path: Path) -> None:
    columns = ("items", "id, source_no, kind, signals, width, height, size_bytes")
    assert served.rows(*columns) == built_corpus.rows(*columns)
    assert served.facts() == built_corpus.facts()
    gone = served.scope_files()
    kept = {path: path.read_bytes() for path in served.kept_files()}
    assert served.ready().apply().may_hold == (BEYOND,)
    seen = served.verify()
    assert (seen.passed, seen.canary_found, seen.not_searched) == (True, True, (BEYOND,))
    assert seen.raw_bytes > 10_000
    assert not any(path.exists() for path in gone)
    assert {path: path.read_bytes() for path in kept} == kept
    made = certify(served.ws, Request(ORDER, ADA, tmp_path, None, None, False, "own knowledge"))
    ended = stranger(made.certificate, "--pdf", made.pdf, "--key", served.ws.operator_key.public.hex, "--json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    unchecked = " ".join(f["text"] for f in json.loads(ended.stdout)["not_checked"])
    assert f"{BEYOND}: may hold deleted rows of the books; out of the tool's reach, and not searched" in unchecked


def test_r6_a_row_that_stays_anywhere_in_the_database_is_residue(served: Corpus) -> None:
    """Not only in the tables that a query would look at: every row of every table is searched."""
    served.ready().apply()
    with served.ws.books.write() as tx:
        needles = next((served.root / "ws" / "plans").rglob("needles*")).read_bytes()
        row = {"kind": "Forgotten", "body": "{}", "salt": needles[:32], "at": tx.at}
        tx.conn.execute(facts.insert().values(row))
    with pytest.raises(ResidueFound) as caught:
        served.verify()
    assert [str(d) for d in caught.value.details] == [
        "books: the digest of an erased photo stands 1 times in the database"
    ]


def init(root: Path, url: str) -> subprocess.CompletedProcess[str]:
    program = "from unsee.cli import main; raise SystemExit(main())"
    return subprocess.run(
        [sys.executable, "-c", program, "init", str(root), "--organisation", "Acme Vision", "--books", url],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_workspace_keeps_its_books_where_it_was_told(server: postgres.Server, url: str, tmp_path: Path) -> None:
    done = init(tmp_path / "ws", url)
    assert done.returncode == 0, done.stderr
    assert not list((tmp_path / "ws").glob("books.sqlite*"))
    assert stat.S_IMODE((tmp_path / "ws" / workspace.CONFIG).stat().st_mode) == 0o600  # the URL may hold a password
    found = server.execute("SELECT count(*) FROM retention_schedule", str(sa.make_url(url).database))
    assert int(str(found[0][0])) > 0


def test_where_there_is_no_database_nothing_is_made_and_init_works_once_there_is(
    server: postgres.Server, tmp_path: Path
) -> None:
    name = f"late{secrets.token_hex(4)}"
    refused = init(tmp_path / "ws", server.url(name))
    assert refused.returncode == StoreUnreachable.exit_code
    assert f'database "{name}" does not exist' in refused.stderr
    assert '"createdb NAME" makes one' in refused.stderr
    assert list((tmp_path / "ws").iterdir()) == []
    server.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    done = init(tmp_path / "ws", server.url(name))
    server.drop(name)
    assert done.returncode == 0, done.stderr


def test_books_belong_to_one_workspace(url: str, tmp_path: Path) -> None:
    workspace.create(tmp_path / "one", "Acme Vision", books_url=url)
    ws = workspace.open_workspace(tmp_path / "one")
    with ws.act():
        pass
    ws.books.close()
    with pytest.raises(WorkspaceExists, match="These books belong to a workspace already"):
        workspace.create(tmp_path / "two", "Acme Vision", books_url=url)
