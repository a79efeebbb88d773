"""What became of one unit of work. A failure is a value, so that one poisoned unit never stops the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

U = TypeVar("U")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Done(Generic[U, V]):
    """The unit was carried out; `value` is what the function returned."""

    unit: U
    value: V


@dataclass(frozen=True, slots=True)
class Failed(Generic[U]):
    """The unit was set aside: the function raised, or its worker died each time it was tried."""

    unit: U
    error: str
    """One line: the message of the exception, or how the worker died."""
    error_type: str
    """Name of the exception's class; `WorkerDied` where there was none."""
    trace: str = ""
    """The traceback, for whoever mends it. May hold personal data (file names): not for logs or reports."""


Outcome = Done[U, V] | Failed[U]
