"""Connections that do not wait for an answer to what the server never got.

Where a send fails, libpq keeps the error to itself until the server has nothing more to say (`pqSendSome`: the server's last words
may say more than the socket's), and a server that got no request says nothing: the wait has no end. A network that swallows
packets looks the same. Keepalives and `tcp_user_timeout` see a dead network; they see neither a request that was lost on this side
nor anything on a Unix socket. How long a statement takes says nothing: writing a large table anew takes hours.

So whoever has waited for a while asks the server, over another connection, what the first one is doing: a session that has been
idle since before the wait began never got the request.
"""

from __future__ import annotations

import select
import time
from typing import Any, LiteralString

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

FIRST_LOOK_S = 2.0
LAST_LOOK_S = 60.0
"""The pause between two looks doubles from the first to this."""
ANSWER_S = 10.0
"""How long the other connection may take to answer, and any to be made."""
_TRANSPORT = {
    "connect_timeout": str(int(ANSWER_S)),
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "6",
    "tcp_user_timeout": "90000",
}
_READABLE, _WRITABLE = 1, 2
"""As psycopg's generators ask for them and are told (`psycopg.waiting.Wait`, `Ready`)."""
_IDLE: LiteralString = """
SELECT state LIKE 'idle%%' AND state_change < now() - make_interval(secs => %s) FROM pg_stat_activity WHERE pid = %s
"""


class Attentive(Connection[Any]):
    """A connection whose waits end when the server does not know of the request."""

    ends_at: float | None = None
    """When every wait ends, for the connection that asks; None: while the server works, it is waited for."""

    def wait(self, gen: Any, interval: float = 0.0, timeout: float | None = None) -> Any:
        """Run one of psycopg's generators to its end.

        Raises:
            OperationalError: the server never got the request; the connection is closed.
        """
        del interval, timeout  # the looks are what ends a wait here
        look_s, begun = FIRST_LOOK_S, time.monotonic()
        try:
            asked = next(gen)
            while True:
                ready = self._ready(int(asked), look_s)
                if ready:
                    asked = gen.send(ready)
                    look_s, begun = FIRST_LOOK_S, time.monotonic()
                elif self._lost(time.monotonic() - begun):
                    self.close()
                    raise psycopg.OperationalError("the request did not reach the server")
                else:
                    look_s = min(2 * look_s, LAST_LOOK_S)
        except StopIteration as done:
            return done.value
        except KeyboardInterrupt:
            self.cancel_safe(timeout=ANSWER_S)  # what the server does for nobody, and with locks held
            raise

    def _ready(self, asked: int, within_s: float) -> int:
        poll = select.poll()
        poll.register(
            self.pgconn.socket, select.POLLIN * bool(asked & _READABLE) | select.POLLOUT * bool(asked & _WRITABLE)
        )
        if self.ends_at is not None:
            within_s = min(within_s, max(0.0, self.ends_at - time.monotonic()))
        ready = 0
        for _, events in poll.poll(within_s * 1000):
            if events & ~select.POLLOUT:  # an end or an error is read, too
                ready |= _READABLE
            if events & ~select.POLLIN:
                ready |= _WRITABLE
        return ready & asked

    def _lost(self, waited_s: float) -> bool:
        if self.ends_at is not None:
            return time.monotonic() >= self.ends_at
        try:
            password = {"password": self.info.password} if self.info.password else {}
            with connect(self.info.dsn, **password) as other:
                other.ends_at = time.monotonic() + ANSWER_S
                row = other.execute(_IDLE, [waited_s, self.info.backend_pid]).fetchone()
        except psycopg.Error:
            return False  # it cannot be asked now: later
        return bool(row and row[0])


def connect(location: str, **given: str) -> Attentive:
    """A connection that commits each statement. What the URL says of timeouts and keepalives holds; otherwise `_TRANSPORT`.

    Raises:
        psycopg.Error: it cannot be made.
    """
    held = {name: value for name, value in conninfo_to_dict(location).items() if value is not None}
    spelled = make_conninfo("", **{**_TRANSPORT, "application_name": "unsee", **held, **given})
    return Attentive.connect(spelled, autocommit=True)
