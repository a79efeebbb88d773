"""What the fault helper runs for test_shards: it imports these by name."""

import os
from contextlib import contextmanager, suppress

from unsee.stores import beneath, shards

OLD = b"old bytes, marked as such; " * 400
NEW = b"the new bytes; " * 300
SUFFIXES = (".tar",)


def write_new(old, new):
    shards.copy_range(old, new, 0, 10)
    os.write(new, NEW)


def refuse(old, new):
    os.write(new, b"half")
    raise LookupError("cannot be parsed")


def put_new(location, zero=False):
    """As a store does: sweep what an earlier call left, and replace where it is still the old file."""
    name = "deep/a.tar"
    with shards.opened(location, name) as file:
        if file is not None and os.pread(file, len(OLD) + 1, 0) != OLD:
            above, last = shards.split(name)
            with beneath.directory(location, above) as directory:
                shards.sweep(directory, last)
                os.fsync(directory)
            return None
    return shards.replace(location, name, write_new, zero=zero)


@contextmanager
def held_open(path, flags=os.O_RDONLY):
    file = os.open(path, flags)
    try:
        yield file
    finally:
        with suppress(OSError):
            os.close(file)
