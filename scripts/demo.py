"""The main job, end to end: the story of 2014–2026 told by ordinary `unsee` commands, each printed before it runs.

Leaves the workspace `demo/`. Exits with 1 where a step does not come out as the story says.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import cv2
import demo_lake

ROOT = Path(__file__).resolve().parent.parent
DEMO = Path(os.environ.get("UNSEE_DEMO_DIR", ROOT / "demo"))
BIN = Path(sys.executable).parent
OUTSIDER = Path(os.environ.get("UNSEE_VERIFY_BIN", ROOT / ".venv-verify" / "bin"))
"""The stranger's environment: it holds unsee-verify and cryptography, and nothing of unsee."""
SCALE = float(os.environ.get("UNSEE_DEMO_SCALE", "1"))
"""1 is the story; tests tell it smaller."""
EPOCHS = f" --set epochs={os.environ['UNSEE_DEMO_EPOCHS']}" if "UNSEE_DEMO_EPOCHS" in os.environ else ""
STARTED = time.monotonic()


class S3:
    """The bucket of the story; its endpoint runs as long as the story is told."""

    url = ""


def chapter(title: str, text: str = "") -> None:
    seconds = time.monotonic() - STARTED
    print(f"\n\033[1;34m━━ {title} \033[0;90m(at {seconds:.0f} s)\033[0m", flush=True)
    if text:
        print(f"\033[0;90m{text}\033[0m", flush=True)


def run(command: str, *, expect: int = 0, quiet: bool = False, last: int = 0) -> str:
    """Run one command as a user would type it in `demo/`; its exit code must be the expected one.

    Prints what it prints: all of it, or the `last` lines, or nothing.
    """
    print(f"\033[1m$ {command}\033[0m", flush=True)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(OUTSIDER), str(BIN), os.environ["PATH"]]),
        "PYTHONWARNINGS": "default",
    }
    kept = subprocess.run(
        shlex.split(command), cwd=DEMO, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    if not quiet:
        lines = kept.stdout.splitlines(keepends=True)
        print("…\n" * bool(last and len(lines) > last) + "".join(lines[-last:]), end="", flush=True)
    if kept.returncode != expect:
        print(kept.stdout if quiet else "", end="")
        sys.exit(f"the story breaks here: exit code {kept.returncode}, expected {expect}")
    return kept.stdout


def people(count: int) -> int:
    return max(2, round(count * SCALE))


def write(name: str, text: str) -> None:
    """A small document that looks like a PDF to nobody but is a real file with a digest."""
    from fpdf import FPDF

    page = FPDF()
    page.add_page()
    page.set_font("Helvetica", size=12)
    page.multi_cell(0, 7, text)
    page.output(str(DEMO / name))


def render() -> None:
    training = (
        "--consent train-face-recognition --consent evaluate --consent verify-1-to-1 "
        "--consent-from 2024-01-15 --consent-until 2031-12-31"
    )
    testing = "--consent evaluate --consent-from 2024-01-15 --consent-until 2031-12-31"
    plain = "--attribute age --attribute sex --attribute tone"
    run(
        f"unsee synth corpus/okcupid --seed 2014 --photos 20 --people-per-directory 10 "
        f"--people dark={people(190)} --people mid={people(30)} --people light={people(30)}"
    )
    run(
        f"unsee synth corpus/panel --seed 2024 --photos 20 {plain} "
        f"--people dark={people(5)} --people mid={people(77)} --people light={people(78)} {training}"
    )
    run(
        f"unsee synth corpus/panel-test --seed 2025 --photos 10 {plain} "
        f"--people dark={people(40)} --people mid={people(40)} --people light={people(40)} {testing}"
    )
    run(
        f"unsee synth corpus/synthetic --seed 1 --photos 20 {plain} "
        f"--people dark={people(2)} --people mid={people(29)} --people light={people(29)}"
    )


def scatter_copies() -> None:
    """What happens to photos in twelve years, and what no book records."""
    corpus = DEMO / "corpus"
    photos = sorted((corpus / "okcupid").rglob("*.jpg"))
    for directory in sorted({photo.parent for photo in photos})[:5]:
        shutil.copytree(directory, corpus / "old laptop" / "okc backup" / directory.name)
    renamed = corpus / "tmp"
    renamed.mkdir()
    for number, photo in enumerate(photos[::25]):
        shutil.copyfile(photo, renamed / f"face_{number:05d}.jpeg")
    thumbnails = corpus / "web" / "thumbnails"
    thumbnails.mkdir(parents=True)
    for photo in photos[::10]:
        small = cv2.resize(cv2.imread(str(photo)), (64, 64), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(thumbnails / f"{photo.stem}_64.jpg"), small, [cv2.IMWRITE_JPEG_QUALITY, 60])
    print(
        f"  (unseen by any book: a folder copied to an old laptop, {len(photos[::25])} renamed files, "
        f"{len(photos[::10])} thumbnails re-encoded at 64 px)"
    )


def scatter_hostile_files() -> None:
    """What any folder of a million files holds: intake names each and goes on."""
    folder = DEMO / "corpus" / "panel" / "odd"
    folder.mkdir()
    photo = next(iter(sorted((DEMO / "corpus" / "panel").rglob("*.jpg")))).read_bytes()
    (folder / "half-uploaded.jpg").write_bytes(photo[: len(photo) // 2])
    (folder / "letter.jpg").write_text("Dear Panel Ltd, please find my photo attached.")
    (folder / "bomb.png").write_bytes(_png_header(60_000, 60_000))
    (folder / "way-out.jpg").symlink_to("/etc/hostname")


def _png_header(width: int, height: int) -> bytes:
    """A PNG that says it holds billions of pixels, in 57 bytes."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", b"") + part(b"IEND", b"")


def kill_half_way(plan: str) -> None:
    """Start the erasure, and kill -9 it when half of its units are done."""
    command = f"unsee apply {plan} --confirm okcupid-2014 --workers 1"
    print(f"\033[1m$ {command}   \033[31m# killed half way: kill -9\033[0m", flush=True)
    journal = DEMO / "plans" / plan / "journal.sqlite"
    units = len(list(journal.parent.glob("targets-*.parquet"))) and _units(plan)
    process = subprocess.Popen(
        [BIN / "unsee", *shlex.split(command)[1:]], cwd=DEMO, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None:
        if _done(journal) >= units // 2:
            process.send_signal(signal.SIGKILL)
        time.sleep(0.001)
    print(f"  killed; {_done(journal)} of {units} units were journalled as done")
    if process.returncode != -signal.SIGKILL:
        sys.exit("the erasure ended before it could be killed")


def _units(plan: str) -> int:
    import json

    return int(json.loads((DEMO / "plans" / plan / "summary.json").read_text())["units"]) + 5


def _done(journal: Path) -> int:
    try:
        with sqlite3.connect(f"file:{journal}?mode=ro", uri=True) as conn:
            return int(conn.execute("SELECT count(*) FROM units WHERE state = 'done'").fetchone()[0])
    except sqlite3.Error:
        return 0


def flip_one_byte(source: Path, target: Path) -> None:
    data = bytearray(source.read_bytes())
    at = len(data) // 5
    data[at] ^= 1
    target.write_bytes(data)
    print(f"  (byte {at:,} of {len(data):,} changed)")


def workspace() -> None:
    chapter("1  A workspace", "books, keys, log; and the people who act in it")
    run('unsee init . --organisation "Acme Vision"')
    run('unsee person add dana --name "Dana Duarte" --title "Data engineer"', quiet=True)
    run('unsee person add ada --name "Ada Okafor" --title "Privacy officer"', quiet=True)
    run('unsee person add ben --name "Ben Weiss" --title "General counsel"', quiet=True)
    run('unsee person add cleo --name "Cleo Marsh" --title "Chief scientist"', quiet=True)
    run("unsee person list")


def faces() -> None:
    chapter(
        "    Faces", "of people who do not exist, written as any giver would hand them over: JPEG, EXIF, photos.csv"
    )
    render()
    scatter_copies()
    scatter_hostile_files()


def sources() -> None:
    chapter("2  Three sources", "one of them without an agreement, and with interests on both sides")
    write(
        "panel-agreement.pdf",
        "Panel Ltd and Acme Vision agree: photos of consenting panel members, for training and testing.",
    )
    write("synthetic-record.pdf", "Acme Vision rendered these faces. Nobody in them exists.")
    run("unsee store add corpus corpus")
    run(
        "unsee source add okcupid-2014 --kind partner --issuer OkCupid --collected 2014-09-15 --legacy "
        "--data-class photo --data-class location --data-class demographics"
    )
    run('unsee interest declare --holder "Cleo Marsh" --person cleo --organisation "Founders Fund" --kind equity')
    run('unsee organisation hold "Founders Fund" OkCupid --kind equity --share 40')
    run("unsee interest paths cleo --source okcupid-2014")
    run(
        'unsee interest declare --holder "A founder of OkCupid" --organisation "Acme Vision" --kind equity --source okcupid-2014'
    )
    run('unsee source add consented-panel --kind panel --issuer "Panel Ltd" --collected 2024-02-01 --data-class photo')
    run(
        "unsee agreement draft panel-2024 --source consented-panel --document panel-agreement.pdf "
        "--permits train-face-recognition --permits evaluate --permits verify-1-to-1 --from 2024-01-01 --until 2031-12-31"
    )
    run("unsee agreement submit panel-2024")
    run("unsee agreement approve panel-2024 --as ada")
    run(
        "unsee channel add founders-mail --source okcupid-2014 --kind email --location corpus/okcupid",
        expect=3,  # how it came in 2014
    )
    run("unsee channel add panel-drop --source consented-panel --kind sftp-drop --location corpus/panel")
    run("unsee channel add panel-test-drop --source consented-panel --kind sftp-drop --location corpus/panel-test")
    run('unsee source add synthetic-v1 --kind synthetic --issuer "Acme Vision" --collected 2026-01-10')
    run(
        "unsee agreement draft rendered-2026 --source synthetic-v1 --document synthetic-record.pdf "
        "--permits train-face-recognition --permits evaluate --permits verify-1-to-1 --from 2026-01-01"
    )
    run("unsee agreement submit rendered-2026")
    run("unsee agreement approve rendered-2026 --as ada")


def intake() -> None:
    chapter("3  Intake", "the photos stay where they are; running it twice adds nothing")
    run("unsee intake corpus/okcupid --source okcupid-2014")
    run("unsee intake corpus/okcupid --source okcupid-2014")
    run("unsee intake corpus/panel --source consented-panel")
    run("unsee intake corpus/panel-test --source consented-panel")
    run("unsee intake corpus/synthetic --source synthetic-v1")
    run('unsee recipient add face-lab --name "Face Lab" --address "1 Long Road, Ghent" --phone "+32 9 000"')
    run(
        "unsee disclosures record --to face-lab --kind share --source okcupid-2014 --on 2015-03-02 "
        '--purpose train-face-recognition --basis "an e-mail, no contract"'
    )
    run("unsee disclosures report --source okcupid-2014")


def lake() -> None:
    chapter(
        "   What others made of them",
        "shards, a table, a Lance dataset, a bucket with versions, a vector index, each by its own tool; a vault; a backup",
    )
    panel, okcupid = demo_lake.every(DEMO / "corpus/panel", 8), demo_lake.every(DEMO / "corpus/okcupid", 8)
    photos = demo_lake.shuffled(panel + okcupid, seed=5)
    place = DEMO / "lake"
    demo_lake.shards(photos, place / "shards")
    demo_lake.parquet(photos, place / "tables")
    demo_lake.lance(photos, place / "lance")
    demo_lake.vectors(okcupid, place / "vectors", DEMO / "made-from.csv")
    demo_lake.bucket(photos, S3.url, "faces")
    print(f"  ({len(photos):,} photos, {len(okcupid):,} of them OkCupid's, in each of them)")
    run("unsee store add shards lake/shards --kind tar")
    run("unsee store add tables lake/tables --kind parquet --option key=id --option data=image")
    run("unsee store add lance lake/lance --kind lance --option key=id --option data=image")
    run(f"unsee store add bucket s3://faces --kind s3 --option endpoint={S3.url}")
    run("unsee store add vectors lake/vectors --kind faiss")
    for store in ("shards", "tables", "bucket"):  # the Lance dataset is recorded by nobody: the plan finds it
        run(f"unsee store index {store} --source okcupid-2014")
        run(f"unsee store index {store} --source consented-panel", quiet=True)
    run("unsee store index vectors --source okcupid-2014 --made-from made-from.csv")
    run("unsee vault create lake/vault --id vault --keys vault-keys/ring --wrap file:vault-keys/master")
    run("unsee vault seal vault corpus --source okcupid-2014", last=4)
    today = time.strftime("%Y-%m-%d", time.gmtime())
    run(f'unsee backup add tape-7 --location "tape 7 in the safe" --store corpus --made {today} --expires 2031-01-01')


def dataset() -> None:
    chapter(
        "4  The dataset of 2014", "policy refuses it; as it was in 2014 it exists only by an override on the record"
    )
    run("unsee dataset freeze faces-2014 --purpose train-face-recognition", expect=3)
    run("unsee dataset freeze faces-lawful --purpose train-face-recognition --permitted-only")
    run("unsee dataset freeze held-out --purpose evaluate --source consented-panel --without-people-of faces-lawful")
    run(
        "unsee dataset freeze faces-2014 --purpose train-face-recognition --without-people-of held-out --override-policy "
        '--reason "the legacy corpus as it was used from 2014 on"'
    )
    run(
        "unsee dataset freeze control --purpose train-face-recognition --of faces-2014 "
        f"--drop-people {people(190) + 2 * people(30)} "
        '--seed 7 --override-policy --reason "control: as many people less, drawn at random"'
    )


def training() -> None:
    chapter("5  A recogniser, really trained", "on what the permitted reader yields; measured on people it never saw")
    run(f"unsee train recogniser-2014 --dataset faces-2014{EPOCHS}")
    run("unsee evaluate recogniser-2014 --on held-out")
    run(f"unsee train control-random --dataset control{EPOCHS}")
    run("unsee evaluate control-random --on held-out", quiet=True)


def exposure() -> None:
    chapter("6  Exposure", "what falls if a source goes")
    run("unsee exposure --plot reports/exposure.png")
    run("unsee may-use recogniser-2014 --purpose identify-1-to-n", expect=3)
    run("unsee audit")
    run("unsee exposure --without okcupid-2014")
    run("unsee retention due")


def order() -> None:
    chapter("7  2026: an order", "blocked at once; planned; signed by two; carried out, killed, resumed")
    write(
        "order.pdf",
        "FEDERAL TRADE COMMISSION\n\nDelete the photos and every model developed in whole or in part with them.",
    )
    run(
        "unsee order open --source okcupid-2014 --profile ftc-everalbum --instrument order.pdf "
        '--authority "Federal Trade Commission (demonstration)"'
    )
    run("unsee train another --dataset faces-2014", expect=3)
    run("unsee recipient instruct order-0001 --out packs")
    run("unsee plan order-0001")
    run("unsee approve plan-0001-1 --as cleo", expect=3)
    run("unsee approve plan-0001-1 --as ada")
    run("unsee apply plan-0001-1 --confirm okcupid-2014", expect=3)
    run("unsee approve plan-0001-1 --as ben")
    kill_half_way("plan-0001-1")
    run("unsee apply plan-0001-1 --confirm okcupid-2014")


def retraining() -> None:
    chapter("8  Without the source", "the models are gone; the recogniser is trained again on what is lawful")
    run("unsee model list")
    run(f"unsee train recogniser-2026 --dataset faces-lawful{EPOCHS}")
    run("unsee evaluate recogniser-2026 --on held-out", quiet=True)
    run("unsee may-use recogniser-2026 --purpose identify-1-to-n", expect=3)
    run("unsee model release recogniser-2026 --purpose verify-1-to-1")
    run(
        "unsee compare recogniser-2014 recogniser-2026 --control control-random --on held-out --plot reports/before-after.png "
        '--title "What deleting okcupid-2014 cost the recogniser"'
    )


def verification() -> None:
    chapter("9  Fresh eyes", "every store walked again; nothing left; nothing else touched; the recipient has answered")
    write("face-lab-answer.pdf", "Face Lab confirms: the photos and what was made from them are deleted.")
    run("unsee recipient reply instruction-0001 --document face-lab-answer.pdf --confirms --forward --as ada")
    run("unsee verify order-0001")


def certificate() -> None:
    chapter("10 The certificate", "signed, logged, readable; and what a stranger makes of it")
    run(
        "unsee certify order-0001 --as ada --before recogniser-2014 --after recogniser-2026 --control control-random "
        "--on held-out --receipts"
    )
    run("unsee-verify reports/order-0001/certificate.json --pdf reports/order-0001/certificate.pdf")
    flip_one_byte(DEMO / "reports/order-0001/certificate.json", DEMO / "forged.json")
    run("unsee-verify forged.json", expect=1, last=9)
    receipt = sorted((DEMO / "reports/order-0001/receipts").iterdir())[0]
    run(
        f"unsee-verify reports/order-0001/receipts/{receipt.name} --certificate reports/order-0001/certificate.json",
        last=14,
    )


def return_of_the_photos() -> None:
    chapter("11 They come back", "the giver sends the same photos again, through another door")
    run(
        f"unsee synth returned --seed 2014 --photos 20 --people-per-directory 10 "
        f"--people dark={people(190)} --people mid={people(30)} --people light={people(30)}"
    )
    run("unsee channel add returned-drop --source consented-panel --kind sftp-drop --location returned")
    run("unsee intake returned --source consented-panel")
    run("unsee log show --last 8")


def main() -> None:
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir(parents=True)
    os.environ["UNSEE_PERSON"] = "dana"
    with demo_lake.s3_endpoint() as S3.url:
        story()
    minutes = (time.monotonic() - STARTED) / 60
    print(f"\n\033[1;32mThe story is told in {minutes:.1f} minutes.\033[0m Explore demo/:")
    print("  reports/order-0001/certificate.pdf, reports/before-after.png, and any unsee command with -w demo")


def story() -> None:
    for tell in (
        workspace,
        faces,
        sources,
        intake,
        lake,
        dataset,
        training,
        exposure,
        order,
        retraining,
        verification,
        certificate,
        return_of_the_photos,
    ):
        tell()


if __name__ == "__main__":
    main()
