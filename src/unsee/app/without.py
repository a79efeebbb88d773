"""What if these sources went? Nothing changes: it is read off the books as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from unsee.app.exposed import Exposed, all_sources, parties_by, people_of
from unsee.app.exposure import recipients_of, stands_on
from unsee.app.workspace import Workspace
from unsee.books import orders, training, world
from unsee.books.sets import union
from unsee.core.errors import NotFound
from unsee.core.exposure import Fallen, Kept, kept
from unsee.core.ids import DatasetId, RecipientId, SourceId
from unsee.core.policy import decide
from unsee.erase import scope as scopes

NOT_COMPUTED: Final = (
    'Which of these photos have twins in other sources, lawful in their own right, is not computed; "unsee plan" finds them.',
)


@dataclass(frozen=True, slots=True)
class KeptSet:
    """What a dataset would keep."""

    kept: Kept
    people: int
    people_kept: int
    lawful_kept: int
    """Items of what is kept that policy permits today for the dataset's purpose."""

    def as_json(self) -> dict[str, object]:
        """As printed."""
        return {
            **self.kept.as_json(),
            "people": self.people,
            "people_kept": self.people_kept,
            "lawful_kept": self.lawful_kept,
        }


@dataclass(frozen=True, slots=True)
class Without:
    """The books without some sources."""

    sources: tuple[SourceId, ...]
    items: int
    people: int
    size_bytes: int
    datasets: tuple[KeptSet, ...]
    falls: Fallen
    recipients: tuple[RecipientId, ...]
    """Who would have to be told: who ever got photos of these, or a model made from them."""

    def as_json(self) -> dict[str, object]:
        """As printed."""
        return {
            "without": list(self.sources),
            "items": self.items,
            "people": self.people,
            "size_bytes": self.size_bytes,
            "datasets": [d.as_json() for d in self.datasets],
            "models": list(self.falls.models),
            "withdraw": list(self.falls.deployed),
            "retraining": self.falls.retraining.as_json(),
            "tell": list(self.recipients),
            "not_computed": list(NOT_COMPUTED),
        }


def without(ws: Workspace, names: Sequence[str], by: str = "source") -> Without:
    """What would fall, and what each dataset would keep, if these sources and all that was derived from them went.

    Args:
        ws: the workspace.
        names: the sources; their order, and naming one twice, changes nothing.
        by: how the shares of what is kept are counted: as for `exposure`.
    Raises:
        NotFound: there is no such source.
        InvalidValue: `by` is no way to part the books.
    """
    with ws.books.read() as conn:
        held = all_sources(conn)
        wanted = sorted({SourceId(name) for name in names})
        missing = [name for name in wanted if name not in {h.source.id for h in held}]
        if missing:
            raise NotFound("source", missing[0])
        chosen = [h for h in held if h.source.id in wanted]
        party = Exposed(
            "",
            union(h.ever for h in chosen),
            union(h.items for h in chosen),
            len(union(h.people for h in chosen)),
            sum(h.size_bytes for h in chosen),
        )
        gone, erased = scopes.with_derived(conn, party.items), orders.erased(conn)
        groups = {p.name: p.ever for p in parties_by(conn, by, held)}
        (falls,), (ever_made,) = stands_on(conn, [party])
        facts = world.as_of(conn, ws.now())
        datasets = []
        for name in falls.datasets:
            dataset = training.dataset(conn, DatasetId(name))
            members = dataset.items - erased
            rest = kept(name, dataset.purpose, members, gone, groups)
            lawful = decide(dataset.purpose, rest.kept, facts, today=ws.now().date()).permitted
            stay = people_of(conn, rest.kept, held)
            went = people_of(conn, members - rest.kept, held)
            datasets.append(KeptSet(rest, len(stay | went), len(stay), len(lawful)))
        recipients = recipients_of(conn, party.ever, ever_made)
    return Without(
        tuple(wanted), len(party.items), party.people, party.size_bytes or 0, tuple(datasets), falls, recipients
    )
