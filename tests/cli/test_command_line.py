"""The command line: help and one JSON document everywhere, data on stdout only, documented exit codes, no prompt for programs."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

from small_corpus import OKCUPID, PANEL, PLAN, TRAIN, Corpus, innocent
from unsee.cli.root import root, run
from unsee.core.errors import UnseeError, every_error


@dataclass(frozen=True)
class Said:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        found: dict[str, Any] = json.loads(self.out)  # raises where there is more than one document, or text around it
        return found


Unsee = Callable[..., Said]


@pytest.fixture
def unsee(small: Corpus, monkeypatch: pytest.MonkeyPatch) -> Unsee:
    """Runs `unsee …` on the small corpus, in this process."""
    monkeypatch.setenv("UNSEE_WORKSPACE", str(small.root / "ws"))
    monkeypatch.setenv("UNSEE_PERSON", "dana")
    monkeypatch.chdir(small.root)
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    def call(*words: str) -> Said:
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "argv", ["unsee", *words])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = run()
            except SystemExit as leaving:
                code = int(leaving.code or 0)
        return Said(code, out.getvalue(), err.getvalue())

    return call


def commands(group: click.Group = root, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, by its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None, name
        if isinstance(found, click.Group):
            yield from commands(found, (*path, name))
        else:
            yield (*path, name), found


EVERY = dict(commands())


def test_there_are_the_commands_that_the_story_needs() -> None:
    words = {" ".join(path) for path in EVERY}
    assert len(words) >= 30
    assert {"init", "source add", "order open", "plan", "approve", "apply", "verify", "certify", "receipt"} <= words


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_every_command_explains_itself_and_offers_json(path: tuple[str, ...], unsee: Unsee) -> None:
    said = unsee(*path, "--help")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("Usage: ")
    assert "--json" in said.out
    assert "--help" in said.out
    assert EVERY[path].help


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_a_stray_word_is_wrong_usage_and_leaves_stdout_empty(path: tuple[str, ...], unsee: Unsee) -> None:
    said = unsee(*path, "--no-such-option")
    assert (said.code, said.out) == (2, "")
    assert "--no-such-option" in said.err


def test_exit_codes_are_those_of_the_help(unsee: Unsee) -> None:
    told = {int(code) for code in re.findall(r"^  +(\d+)  ", unsee("--help").out, re.MULTILINE)}
    assert {error.exit_code for error in every_error()} <= told
    assert {0, 2, 130} <= told


def whole_story(corpus: Corpus) -> Iterator[tuple[str, ...]]:
    """Every command that needs no training, in an order that works."""
    document = str(corpus.document)
    yield ("init", "ws-2", "--organisation", "Other Ltd")
    yield ("person", "add", "eve", "--name", "Eve", "--title", "Auditor")
    yield ("person", "list")
    yield (
        "interest",
        "declare",
        "--holder",
        "Eve",
        "--organisation",
        "Elsewhere",
        "--kind",
        "board",
        "--person",
        "eve",
    )
    (corpus.root / "annex").mkdir()
    (corpus.root / "held").mkdir()
    (corpus.root / "shards").mkdir()
    yield ("store", "add", "annex", "annex")
    yield ("store", "add", "shards", "shards", "--kind", "tar")
    yield ("store", "compact", "shards")
    yield ("store", "list")
    yield (
        "backup",
        "add",
        "tape",
        "--location",
        "safe",
        "--store",
        "annex",
        "--made",
        "2024-01-01",
        "--expires",
        "2030-01-01",
        "--as",
        "dana",
    )
    yield ("backup", "list")
    yield ("backup", "may-restore", "tape")
    yield ("backup", "restored", "tape", "--store", "annex", "--as", "dana")
    yield ("backup", "destroyed", "tape", "--note", "shredded", "--as", "dana")
    yield ("store", "index", "annex", "--source", OKCUPID, "--as", "dana")
    yield (
        *("source", "add", "friends", "--kind", "upload", "--issuer", "Friends", "--collected", "2024-05-01"),
        *("--data-class", "photo"),
    )
    yield ("source", "list")
    yield ("source", "show", "friends")
    yield ("organisation", "hold", "Big Fund", "Friends", "--share", "51")
    yield ("organisation", "list")
    yield ("interest", "list")
    yield ("interest", "paths", "cleo", "--source", OKCUPID)
    yield (
        *(
            "assessment",
            "record",
            PANEL,
            "--on",
            str(corpus.ws.now().date()),
            "--evidence",
            document,
            "--result",
            "passed",
        ),
    )
    yield ("assessment", "list", "--due")
    yield (
        "privacy-policy",
        "add",
        "friends",
        "--text",
        document,
        "--in-force",
        "2024-01-01",
        "--purpose",
        TRAIN,
        "--recipient-category",
        "labs",
    )
    yield ("privacy-policy", "list")
    yield (
        *("agreement", "draft", "friends-1", "--source", "friends", "--document", document),
        *("--permits", TRAIN, "--from", "2024-01-01", "--recipient-category", "labs"),
    )
    yield ("privacy-policy", "check", "friends")
    yield ("agreement", "submit", "friends-1")
    yield ("agreement", "approve", "friends-1", "--as", "ada")
    yield ("agreement", "show", "friends-1")
    yield (
        "agreement",
        "draft",
        "friends-2",
        "--source",
        "friends",
        "--document",
        document,
        "--permits",
        "share",
        "--from",
        "2024-01-01",
    )
    yield ("agreement", "reject", "friends-2", "--as", "ada")
    yield ("agreement", "terminate", "friends-1", "--as", "ada")
    yield ("agreement", "list")
    yield ("synth", "annex/more", "--seed", "9", "--people", "mid=1", "--photos", "1", "--workers", "1")
    yield ("channel", "add", "annex-panel", "--source", PANEL, "--kind", "folder", "--location", "annex/more")
    yield ("channel", "add", "annex-old", "--source", PANEL, "--kind", "courier", "--location", "annex")
    yield ("channel", "close", "annex-old")
    yield ("channel", "list")
    yield ("intake", "annex/more", "--source", PANEL, "--workers", "1")
    (corpus.root / "gift").mkdir()
    (corpus.root / "gift" / "1.jpg").write_bytes(innocent(77))
    corpus.take_in(corpus.root / "gift", PANEL, channel=False)
    yield ("quarantine", "list")
    yield ("quarantine", "show", "quarantine-0001")
    yield ("quarantine", "due")
    yield ("quarantine", "release", "quarantine-0001", "--note", "looked at the giver's letter", "--as", "ada")
    yield ("dataset", "freeze", "set-1", "--purpose", TRAIN, "--source", PANEL, "--permitted-only")
    yield ("dataset", "list")
    yield ("exposure",)
    yield ("exposure", "--by", "group:tone")
    yield ("exposure", "--without", PANEL)
    yield ("model", "list")
    yield from consenting(corpus, document)
    yield from rules(document)
    yield from sharing(document)
    yield from sealing(corpus)
    yield ("order", "open", "--source", OKCUPID, "--profile", "ftc-everalbum", "--instrument", document)
    yield ("order", "list")
    yield ("order", "show", "order-0001")
    yield ("recipient", "instruct", "order-0001", "--out", "packs")
    yield ("recipient", "reply", "instruction-0001", "--document", document, "--confirms", "--forward")
    yield ("recipient", "show", "cloudy")
    yield ("plan", "order-0001", "--workers", "1")
    yield ("approve", PLAN, "--as", "ada")
    yield ("approve", PLAN, "--as", "ben")
    yield ("apply", PLAN, "--confirm", OKCUPID, "--workers", "1")
    yield ("verify", "order-0001", "--workers", "1")
    yield ("certify", "order-0001")
    yield ("receipt", "order-0001", "--subject", first_person(corpus), "--out", "receipt.json")
    yield ("log", "show", "--last", "5")


def consenting(corpus: Corpus, document: str) -> Iterator[tuple[str, ...]]:
    """What people say, one by one and in lists."""
    yield ("purpose", "list")
    yield (
        *("notice", "add", "notice-9", "--language", "en", "--text", document, "--published", "2024-01-01"),
        *("--controller", "Acme Vision", "--purpose", "evaluate", "--data-type", "photo", "--storage", "in Ghent"),
        *("--retention", "three years", "--withdrawal-method", "a letter", "--separate-from-terms"),
    )
    yield ("notice", "list")
    yield ("notice", "show", "notice-9")
    said = ("p-9", "--source", PANEL, "--purpose", "evaluate")
    yield ("consent", "give", *said, "--notice", "notice-9", "--from", "2024-02-01")
    yield ("consent", "withdraw", *said, "--notice", "a letter")
    yield ("consent", "renew", *said, "--notice", "notice-9")
    yield ("consent", "show", "p-9", "--source", PANEL)
    (corpus.root / "words.csv").write_text(
        "person,purpose,state,notice,said_at\np-10,evaluate,given,notice-9,2024-02-01\n"
    )
    yield ("consent", "import", "words.csv", "--source", PANEL)
    yield ("consent", "counts")
    yield ("consent", "export", "--out", "words.jsonld")


def rules(document: str) -> Iterator[tuple[str, ...]]:
    """What the law of each place asks, and what it makes of what is there."""
    yield ("rules", "list")
    yield ("rules", "show", "US-IL")
    yield ("rules", "export")
    yield ("retention", "set", "other", "--days", "30", "--basis", "nobody needs it")
    yield ("retention", "list")
    yield ("retention", "due")
    yield ("retention", "forget", "location")
    yield ("may-use", "rec-panel", "--purpose", "evaluate")
    yield ("model", "release", "rec-panel", "--purpose", "evaluate")
    yield ("model", "withdraw", "rec-panel", "--note", "a better one is there")
    yield ("why", "0", "--purpose", TRAIN)
    yield ("audit",)


def sharing(document: str) -> Iterator[tuple[str, ...]]:
    """What goes out, and the register of it."""
    yield ("recipient", "add", "cloudy", "--name", "Cloudy", "--address", "1 Long Road", "--phone", "+32 9 000")
    yield ("recipient", "list")
    yield (
        *("synth", "annex/open", "--seed", "8", "--people", "mid=1", "--photos", "2", "--workers", "1"),
        *("--consent", "share", "--consent-from", "2024-01-01"),
    )
    yield ("source", "add", "open", "--kind", "panel", "--issuer", "Open Ltd", "--collected", "2024-05-01")
    yield (
        *("agreement", "draft", "open-1", "--source", "open", "--document", document, "--permits", "share"),
        *("--from", "2024-01-01", "--onward-sharing", "allowed"),
    )
    yield ("agreement", "submit", "open-1")
    yield ("agreement", "approve", "open-1", "--as", "ada")
    yield ("channel", "add", "annex-open", "--source", "open", "--kind", "folder", "--location", "annex/open")
    yield ("intake", "annex/open", "--source", "open", "--workers", "1")
    yield ("dataset", "freeze", "set-2", "--purpose", "share", "--source", "open")
    yield ("dataset", "export", "set-2", "exported", "--to", "cloudy")
    yield ("model", "deliver", "rec-panel", "delivered", "--to", "cloudy", "--purpose", "evaluate")
    yield (
        *("disclosures", "record", "--to", "cloudy", "--kind", "share", "--source", OKCUPID, "--on", "2014-09-25"),
        *("--purpose", TRAIN, "--basis", "an e-mail"),
    )
    yield ("disclosures", "list")
    yield ("disclosures", "report", "--source", OKCUPID)


def sealing(corpus: Corpus) -> Iterator[tuple[str, ...]]:
    """A vault for one source, and the keeping of its keys."""
    yield ("vault", "create", "vault", "--id", "vault", "--keys", "held/ring", "--wrap", "file:held/master")
    yield ("vault", "seal", "vault", "corpus", "--source", OKCUPID, "--remove-plain")
    yield ("vault", "backup-keys", "vault", "held/ring.copy", "--as", "ada")
    yield ("vault", "destroyed-copy", "vault", "0", "--as", "ada")
    yield ("vault", "rotate", "vault", "--wrap", "file:held/master-2", "--as", "ada")
    yield ("vault", "keys", "vault")
    yield ("vault", "reindex", "vault")


def first_person(corpus: Corpus) -> str:
    """The giver's id of somebody in the scope, from the file that was handed over."""
    path = corpus.corpus / "okcupid" / "photos.csv"
    return (
        path.read_text().splitlines()[1].split(",")[1] if path.exists() else corpus.root.joinpath("person").read_text()
    )


def test_every_command_of_a_whole_story_prints_one_document_with_a_schema(small: Corpus, unsee: Unsee) -> None:
    (small.root / "person").write_text(first_person(small))
    seen = set()
    for words in whole_story(small):
        said = unsee(*words, "--json")
        assert said.code == 0, f"{words}: {said.out} {said.err}"
        assert re.fullmatch(r"unsee/[a-z-]+/\d+", said.document["schema"]), words
        assert said.err == "", words
        seen.add(next(path for path in EVERY if words[: len(path)] == path))
    assert {" ".join(path) for path in set(EVERY) - seen} == {"train", "evaluate", "compare"}


def test_every_command_of_a_whole_story_speaks_to_people_on_stdout(small: Corpus, unsee: Unsee) -> None:
    (small.root / "person").write_text(first_person(small))
    for words in whole_story(small):
        said = unsee(*words)
        assert said.code == 0, f"{words}: {said.out} {said.err}"
        assert said.err == "", words
        assert said.out.strip(), words
        assert "\x1b" not in said.out, "no colours where there is no terminal"


WRONG: dict[tuple[str, ...], tuple[int, str]] = {
    ("plan", "order-0009"): (4, "NTF-001"),
    ("order", "show", "order-0009"): (4, "NTF-001"),
    ("source", "add", "Bad Name", "--kind", "panel", "--issuer", "x", "--collected", "2024-01-01"): (4, "INP-002"),
    ("source", "add", PANEL, "--kind", "panel", "--issuer", "x", "--collected", "2024-01-01"): (5, "CNF-002"),
    ("source", "add", "crawl", "--kind", "scraped", "--issuer", "x", "--collected", "2024-01-01"): (4, "INP-003"),
    ("dataset", "freeze", "x", "--purpose", TRAIN): (3, "POL-002"),
    ("dataset", "freeze", "x", "--purpose", "nothing"): (4, "INP-005"),
    ("intake", "nowhere", "--source", PANEL): (4, "NTF-001"),
    ("store", "add", "far", "not-there"): (9, "STO-002"),
    ("train", "rec-9", "--dataset", "nothing"): (4, "NTF-001"),
    ("evaluate", "rec-9", "--on", "nothing"): (4, "NTF-001"),
    ("compare", "rec-2014", "rec-panel", "--on", "faces-panel"): (5, "CNF-005"),
    ("verify", "order-0009"): (4, "NTF-001"),
    ("receipt", "order-0009", "--subject", "x"): (4, "NTF-001"),
    ("certify", "order-0009"): (4, "NTF-001"),
    ("init", "ws", "--organisation", "Acme"): (5, "CNF-003"),
}


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_an_error_is_one_document_too(words: tuple[str, ...], unsee: Unsee) -> None:
    code, stable = WRONG[words]
    said = unsee(*words, "--json")
    assert said.code == code, said
    assert said.document["schema"] == "unsee/error/1"
    assert said.document["code"] == stable
    assert said.document["message"]
    assert said.document["next_step"]
    assert said.err == ""


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_an_error_for_people_is_on_stderr_with_its_next_step(words: tuple[str, ...], unsee: Unsee) -> None:
    code, stable = WRONG[words]
    said = unsee(*words)
    assert (said.code, said.out) == (code, "")
    assert stable in said.err
    assert "→ " in said.err
    assert "Traceback" not in said.err


def test_refusals_of_plan_and_apply_carry_their_own_codes(small: Corpus, unsee: Unsee) -> None:
    small.open_order()
    small.plan()
    refused = unsee("approve", PLAN, "--as", "cleo", "--json")
    assert (refused.code, refused.document["code"]) == (3, "POL-003")
    early = unsee("apply", PLAN, "--confirm", OKCUPID, "--json")
    assert (early.code, early.document["code"]) == (3, "POL-003")
    early = unsee("verify", "order-0001", "--json")
    assert (early.code, early.document["code"]) == (5, "CNF-005")
    small.approve()
    (small.mirror / "new.txt").write_text("new")
    stale = unsee("apply", PLAN, "--confirm", OKCUPID, "--json")
    assert (stale.code, stale.document["code"]) == (5, "ERA-012")
    assert stale.document["details"] == ["mirror:./new.txt"]
    (small.mirror / "new.txt").unlink()
    path = small.ws.plans / PLAN / "summary.json"
    text = path.read_bytes()
    path.write_bytes(text + b" ")
    tampered = unsee("apply", PLAN, "--confirm", OKCUPID, "--json")
    assert (tampered.code, tampered.document["code"]) == (7, "ATT-001")
    path.write_bytes(text)
    photo = sorted((small.corpus / "okcupid" / "part-001").iterdir())[0]
    data = photo.read_bytes()
    assert unsee("apply", PLAN, "--confirm", OKCUPID, "--json").code == 0
    photo.parent.mkdir(parents=True)
    photo.write_bytes(data)
    left = unsee("verify", "order-0001", "--json")
    assert (left.code, left.document["code"]) == (6, "ERA-002")
    assert [d["where"] for d in left.document["details"]] == [f"corpus:okcupid/part-001/{photo.name}"]


def test_apply_never_asks_where_there_is_no_terminal(small: Corpus, unsee: Unsee) -> None:
    small.ready()
    for words in ((), ("--confirm", "something-else"), ("--confirm", "")):
        said = unsee("apply", PLAN, *words)
        assert (said.code, said.out) == (2, "")
        assert f"--confirm {OKCUPID}" in said.err
    assert all(p.exists() for p in small.scope_files())


@pytest.mark.parametrize(("answer", "code"), [(OKCUPID, 0), ("yes", 2), ("", 2)])
def test_on_a_terminal_the_name_is_asked_for(small: Corpus, answer: str, code: int) -> None:
    small.ready()
    above, below = pty.openpty()
    os.write(above, f"{answer}\n".encode())
    child = subprocess.run(
        [
            sys.executable,
            "-c",
            "from unsee.cli import main; main()",
            "apply",
            PLAN,
            "--workers",
            "1",
            "-w",
            str(small.root / "ws"),
        ],
        stdin=below,
        capture_output=True,
        check=False,
    )
    os.close(above)
    os.close(below)
    assert child.returncode == code, child.stderr.decode()
    assert b"Type the source's name" in child.stdout + child.stderr
    assert all(p.exists() for p in small.scope_files()) == (code != 0)


def test_json_stays_one_document_where_warnings_and_progress_would_speak(small: Corpus, unsee: Unsee) -> None:
    (small.mirror / "cut.jpg").write_bytes((small.mirror / "hill.jpg").read_bytes()[:-300])
    small.open_order()
    said = unsee("plan", "order-0001", "--workers", "1", "--json")
    assert said.document["summary"]["schema"] == "unsee/plan/1"
    assert said.err == ""


HEAVY = ("torch", "cv2", "pyarrow", "sqlalchemy", "numpy", "PIL", "matplotlib", "fpdf", "cryptography", "alembic")


@pytest.mark.parametrize("words", ["import unsee", "--help", "source add --help", "apply --help", "--version"])
def test_a_start_loads_nothing_heavy(words: str) -> None:
    act = (
        words
        if words.startswith("import")
        else f"import sys; sys.argv[1:] = {words.split()!r}; from unsee.cli.root import run; run()"
    )
    code = f"{act}\nimport sys\nprint('LOADED', sorted(set(sys.modules) & set({HEAVY!r})))"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.splitlines()[-1] == "LOADED []"


def test_the_command_itself_is_installed_and_returns_its_code(small: Corpus) -> None:
    command = Path(sys.executable).with_name("unsee")
    child = subprocess.run(
        [command, "source", "list", "--json", "-w", small.root / "ws"], capture_output=True, text=True, check=True
    )
    assert [s["id"] for s in json.loads(child.stdout)["sources"]] == [PANEL, "members-2024", OKCUPID]
    child = subprocess.run(
        [command, "order", "show", "order-0001", "-w", small.root / "ws"], capture_output=True, check=False
    )
    assert child.returncode == 4
    assert issubclass(UnseeError, Exception)


def test_an_interrupted_apply_says_that_the_same_command_resumes(
    small: Corpus, unsee: Unsee, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unsee.stores.files import FileStore

    small.ready()

    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FileStore, "erase", interrupted)
        said = unsee("apply", PLAN, "--confirm", OKCUPID, "--workers", "1")
    assert (said.code, said.out) == (130, "")
    assert "The same command resumes" in said.err
    assert unsee("apply", PLAN, "--confirm", OKCUPID, "--workers", "1").code == 0
    assert unsee("verify", "order-0001", "--workers", "1").code == 0


def test_r35_the_report_on_sharing_repeats_the_conflict(small: Corpus, unsee: Unsee) -> None:
    said = unsee("disclosures", "report", "--source", OKCUPID, "--json")
    assert "cleo" in {path["person"] for path in said.document["conflicts"]}
    assert (
        "CONFLICT    cleo declared an interest (equity) in OkCupid"
        in unsee("disclosures", "report", "--source", OKCUPID).out
    )
    assert unsee("disclosures", "report", "--source", PANEL, "--json").document["conflicts"] == []
