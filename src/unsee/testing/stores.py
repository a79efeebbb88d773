"""The contract of `unsee.stores.contract`, proven on a store: each MUST is a test. For pytest.

Write a harness for your store and inherit the suite::

    class MyHarness:                                   # a StoreHarness; what it may say besides: More
        ...

    class TestMyStore(StoreContract):
        @pytest.fixture
        def harness(self) -> StoreHarness:
            return MyHarness()

What the suite cannot know of a format — its versions, dictionaries, slack — your harness answers in `raw_finds`: it looks for
marked bytes in everything that the store keeps, not only where the format's reader looks. `foreign_contents` reads members by the
other tool's reader, so that nobody takes the store's word for what others see. An example: docs/stores/writing-a-store.md.
"""

from __future__ import annotations

from unsee.testing.contract_faults import FaultContract
from unsee.testing.contract_members import MembersContract
from unsee.testing.contract_residue import ResidueContract
from unsee.testing.harness import (
    Contents,
    More,
    StoreHarness,
    contents,
    marked,
    members,
    must,
    raw_places,
    store_id,
    targets_of,
)

__all__ = [
    "Contents",
    "More",
    "StoreContract",
    "StoreHarness",
    "contents",
    "marked",
    "members",
    "must",
    "raw_places",
    "store_id",
    "targets_of",
]


class StoreContract(MembersContract, ResidueContract, FaultContract):
    """Inherit this, and give it a fixture `harness`. Test classes begin with `Test`."""
