"""Functions that worker processes import by name."""

import os
import signal
import time
from pathlib import Path


def double(n: int) -> int:
    return 2 * n


def fail_on_multiples_of_three(n: int) -> int:
    if n % 3 == 0:
        raise ValueError(f"{n} is a multiple of three")
    return n


def die_on_thirteen(n: int) -> int:
    if n == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return n


def die_the_first_time(path: str) -> str:
    """Dies unless an earlier attempt left its mark."""
    mark = Path(path)
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return path


def note_and_wait(unit: tuple[str, float]) -> None:
    path, seconds = unit
    Path(path).touch()
    time.sleep(seconds)


def leave(n: int) -> int:
    raise SystemExit(n)


def unpicklable(n: int) -> object:
    return lambda: n


def who(n: int) -> int:
    return os.getpid()


class Stubborn:
    """Pickles, but does not come back."""

    def __reduce__(self):
        return (_refuse, ())


def _refuse():
    raise RuntimeError("I do not unpickle")


def make_stubborn(n: int) -> Stubborn:
    return Stubborn()
