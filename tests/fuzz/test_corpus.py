"""The kept inputs of fuzzing, and what they were grown from: each target holds for all of them, in bounded time."""

import io
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from fuzz import targets  # noqa: E402  fuzzing is no installed package

CORPUS = [(name, path) for name in targets.TARGETS for path in sorted((ROOT / "fuzz" / "corpus" / name).iterdir())]


@pytest.mark.parametrize(("target", "path"), CORPUS, ids=[f"{name}-{path.name}" for name, path in CORPUS])
def test_a_target_holds_for_a_kept_input_and_its_beginnings(target, path):
    data = path.read_bytes()
    targets.TARGETS[target](data)
    for length in range(0, len(data), max(1, len(data) // 40)):
        targets.TARGETS[target](data[:length])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=300),
            st.binary(max_size=1500),
        ),
        max_size=6,
    ),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_files_that_tarfile_writes_are_found_by_the_parser_as_tarfile_reads_them(files, format):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=format) as writer:
        for name, data in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            writer.addfile(entry, io.BytesIO(data))
    found, whole = targets._entries(made.getvalue())
    with tarfile.open(fileobj=io.BytesIO(made.getvalue())) as reader:
        theirs = [(m.name, m.offset_data, m.size) for m in reader if m.isreg()]
    assert whole
    assert [(e.name.decode(), e.data, e.size) for e in found] == theirs
    targets.tar(made.getvalue())
