"""Notices, and what single people say: given, withdrawn, renewed; what stands today, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from unsee.app.registry import keep_document
from unsee.app.workspace import Workspace
from unsee.books import consents, facts, items, notices, parties, subjects
from unsee.books.database import stamp
from unsee.core import consent
from unsee.core.consent import Consent, ConsentState
from unsee.core.dpv import BASES
from unsee.core.errors import InvalidValue, NotFound, PolicyRefusal, WrongState
from unsee.core.ids import ItemSet, PersonId, SourceId, SubjectNo, slug
from unsee.core.notices import Notice
from unsee.core.purposes import PARENT, covers, known
from unsee.intake.pseudonyms import pseudonym

MAX_FIELD = 4_096
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*")


def add_notice(ws: Workspace, notice: Notice, *, text: Path, person: PersonId) -> Notice:
    """Put a notice on record; its text is kept under its digest.

    Raises:
        AlreadyExists: the id is taken in that language: a new text is a notice with a new id.
        UnknownPurpose, InvalidValue, InputError: a field or the text cannot be used.
    """
    slug(notice.id, what="notice")
    if not _LANGUAGE.fullmatch(notice.language.lower()):
        raise InvalidValue(f"{notice.language[:40]!r} is no language tag.", next_step="Use one such as en or pt-br.")
    for purpose in notice.purposes:
        known(purpose)
    told = {
        "controller": notice.controllers,
        "purpose": notice.purposes,
        "data type": notice.data_types,
        "storage": (notice.storage,),
        "retention": (notice.retention,),
        "withdrawal method": (notice.withdrawal_method,),
    }
    for field, values in told.items():
        if not values or not all(value.strip() and len(value) <= MAX_FIELD for value in values):
            raise InvalidValue(
                f"A notice names its {field}, in at most {MAX_FIELD:,} characters (ISO/IEC TS 27560).",
                next_step=f"Say it with --{field.replace(' ', '-')}.",
            )
    digest = keep_document(ws, text)
    added = replace(notice, language=notice.language.lower(), text_sha256=digest)
    with ws.act() as tx:
        parties.person(tx.conn, person)
        notices.add(tx, added, person=person)
    return added


def all_notices(ws: Workspace) -> list[Notice]:
    """Every notice."""
    with ws.books.read() as conn:
        return notices.all_notices(conn)


def notice(ws: Workspace, notice_id: str) -> list[Notice]:
    """One notice in all its languages.

    Raises:
        NotFound: there is none.
    """
    with ws.books.read() as conn:
        return notices.notice(conn, notice_id)


@dataclass(frozen=True, slots=True)
class Saying:
    """What one person says, as it comes in. `person` is the giver's own id for them; it is never stored."""

    person: str
    source: SourceId
    purposes: tuple[str, ...]
    notice: str
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    basis: str = "consent"
    release: Path | None = None


def give(ws: Workspace, saying: Saying, *, person: PersonId, renew: bool = False) -> int:
    """Record a yes; how many purposes it was new for. It counts from now on, or from `valid_from`.

    Args:
        renew: the person said yes to each purpose before.
    Raises:
        NotFound: no such source, notice or person who acts.
        PolicyRefusal: the notice does not tell of a purpose: nobody consents to what they were not told (R29).
        InvalidValue: it would end before it begins, or the basis is none.
        WrongState: nothing is there to renew.
    """
    if saying.basis not in BASES:
        raise InvalidValue(f"{saying.basis[:40]!r} is no basis.", next_step="Bases: " + ", ".join(BASES) + ".")
    digest = keep_document(ws, saying.release) if saying.release is not None else ""
    with ws.act() as tx:
        parties.person(tx.conn, person)
        told = notices.notice(tx.conn, saying.notice)
        for purpose in map(known, saying.purposes):
            if not any(one.states(purpose) for one in told):
                raise PolicyRefusal(
                    f"Notice {saying.notice} does not tell of {purpose}; nobody consents to what they were not told.",
                    next_step="Publish a notice that does and ask again.",
                )
        begins = saying.valid_from or tx.now
        if saying.valid_until is not None and saying.valid_until < begins:
            raise InvalidValue(f"The consent would end on {saying.valid_until}, before it begins on {begins}.")
        name = pseudonym(ws.secret("pseudonym"), saying.source, saying.person)
        subject = items.subject_numbers(tx, saying.source, [name])[name]
        if renew:
            before = [r.word for r in consents.history(tx.conn, subject) if r.word.state is ConsentState.GIVEN]
            for purpose in saying.purposes:
                if not any(covers(word.purpose, purpose) for word in before):
                    raise WrongState(
                        f"This person never consented to {purpose}; there is nothing to renew.",
                        next_step='Record a first yes with "unsee consent give".',
                    )
        written = consents.record(
            tx,
            [
                Consent(
                    subject,
                    purpose,
                    ConsentState.GIVEN,
                    saying.notice,
                    tx.now,
                    begins,
                    saying.valid_until,
                    saying.basis,
                    released=bool(digest),
                    release_sha256=digest,
                )
                for purpose in saying.purposes
            ],
        )
        facts.record(
            tx,
            "ConsentRenewed" if renew else "ConsentGiven",
            source=saying.source,
            purposes=list(saying.purposes),
            notice=saying.notice,
            released=bool(digest),
            by=person,
        )
    return written


def withdraw(ws: Workspace, saying: Saying, *, person: PersonId) -> int:
    """Record a no. It takes effect at once, and only for the future; what was lawful until now stays on record.

    Raises:
        NotFound: no such source, person who acts, or nobody of that id is known.
        UnknownPurpose: a purpose is not in the tree.
    """
    with ws.act() as tx:
        parties.person(tx.conn, person)
        subject = _subject(ws, tx.conn, saying.source, saying.person)
        written = consents.record(
            tx,
            [
                Consent(subject, known(purpose), ConsentState.WITHDRAWN, saying.notice, tx.now, tx.now)
                for purpose in saying.purposes
            ],
        )
        facts.record(tx, "ConsentWithdrawn", source=saying.source, purposes=list(saying.purposes), by=person)
    return written


@dataclass(frozen=True, slots=True)
class Now:
    """What stands for one purpose, and why."""

    purpose: str
    consents: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Account:
    """One person's history and what it adds up to at `moment`."""

    moment: datetime
    history: tuple[consents.Recorded, ...]
    now: tuple[Now, ...]

    def as_json(self) -> dict[str, object]:
        """As printed; it names nobody."""
        return {
            "moment": stamp(self.moment),
            "history": [
                {
                    "said_at": stamp(r.word.said_at),
                    "state": str(r.word.state),
                    "purpose": r.word.purpose,
                    "notice": r.word.notice,
                    "valid_from": stamp(r.word.valid_from),
                    "valid_until": stamp(r.word.valid_until) if r.word.valid_until else None,
                    "basis": r.word.basis,
                    "released": r.word.released,
                    "record_id": r.word.record_id,
                    "release_sha256": r.word.release_sha256,
                    "recorded_at": r.recorded_at,
                }
                for r in self.history
            ],
            "now": [asdict(n) for n in self.now],
        }


def show(ws: Workspace, person: str, source: SourceId, *, moment: datetime | None = None) -> Account:
    """What one person said, and what stands at `moment` (default: now) by purpose, each with its reason.

    Raises:
        NotFound: no such source, or nobody of that id is known.
    """
    when = (moment or ws.now()).replace(microsecond=0)
    with ws.books.read() as conn:
        history = consents.history(conn, _subject(ws, conn, source, person))
    words = [r.word for r in history]
    return Account(when, tuple(history), tuple(_now(purpose, words, when) for purpose in PARENT))


def counts(ws: Workspace, source: SourceId | None = None) -> dict[str, dict[str, int]]:
    """For each source: how many people consented, took back all they gave, said nothing, and hold only expired yeses (R24).

    Cost: one pass over all consents, and a set a source.
    Raises:
        NotFound: no such source.
    """
    now = ws.now()
    with ws.books.read() as conn:
        chosen = [source] if source is not None else [s.id for s in parties.all_sources(conn)]
        said = consents.words(conn, until=now)
        in_force = ItemSet.union(ItemSet(), *(c.people for c in consents.consenting(conn, now, said=said).values()))
        spoke, stands = consents.heard(conn, now, said=said)
        answer = {}
        for name in chosen:
            people = subjects.of_source(conn, name)
            found = consents.count(people, spoke, stands)
            answer[str(name)] = {**found, "expired": found["consented"] - len(people & in_force), "people": len(people)}
    return answer


def reason(purpose: str, words: Iterable[Consent], moment: datetime) -> str:
    """Why a person consents to a purpose at a moment, or why not, in a few words."""
    heard = [w for w in words if w.said_at <= moment]
    yeses = consent.standing(heard, moment).get(purpose, ())
    current = [y for y in yeses if y.in_force(moment)]
    if current:
        yes = min(current, key=lambda y: (y.purpose != purpose, y.valid_from))
        by = "" if yes.purpose == purpose else f" by the yes to {yes.purpose}"
        until = f" until {yes.valid_until:%Y-%m-%d}" if yes.valid_until else ""
        return f"given on {yes.said_at:%Y-%m-%d} under notice {yes.notice}{by}{until}"
    if yeses:
        yes = max(yeses, key=lambda y: y.said_at)
        if yes.valid_from > moment:
            return f"given, but it begins on {yes.valid_from:%Y-%m-%d}"
        return f"given, but it ended on {yes.valid_until:%Y-%m-%d}"
    noes = [
        w
        for w in heard
        if w.state is ConsentState.WITHDRAWN and (covers(w.purpose, purpose) or covers(purpose, w.purpose))
    ]
    if noes:
        last = max(noes, key=lambda w: w.said_at)
        part = "" if covers(last.purpose, purpose) else f": {last.purpose}, a part of it"
        return f"withdrawn on {last.said_at:%Y-%m-%d}{part}"
    return "nothing was said"


def _now(purpose: str, words: list[Consent], moment: datetime) -> Now:
    return Now(purpose, purpose in consent.consented(words, moment), reason(purpose, words, moment))


def _subject(ws: Workspace, conn: Connection, source: SourceId, person: str) -> SubjectNo:
    found = items.subject_of(conn, source, pseudonym(ws.secret("pseudonym"), source, person))
    if found is None:
        raise NotFound(
            "person of that id",
            "(not shown)",
            where=f" in source {source}",
            next_step="Give the id under which the source knows the person.",
        )
    return found
