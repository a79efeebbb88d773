"""Declared interests of people, and holdings among organisations."""

from __future__ import annotations

from unsee.app.workspace import Workspace
from unsee.books import interests, parties
from unsee.core.parties import Interest


def declare(ws: Workspace, interest: Interest) -> None:
    """Record a declared interest. Where it names a person or source of the workspace, they must exist.

    Raises:
        NotFound: they do not.
    """
    with ws.act() as tx:
        if interest.person is not None:
            parties.person(tx.conn, interest.person)
        if interest.source is not None:
            parties.source(tx.conn, interest.source)
        interests.declare(tx, interest)
