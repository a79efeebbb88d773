import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from unsee.core.errors import InvalidValue, NotFound, StoreError
from unsee.core.ids import StoreId
from unsee.stores import registry
from unsee.stores.contract import Store
from unsee.stores.files import FileStore

ID = StoreId("photos")


def test_files_open_by_their_kind(tmp_path):
    store = registry.open_store(ID, "files", str(tmp_path))
    assert store == FileStore(ID, str(tmp_path), overwrite=False)
    assert isinstance(store, Store)


@pytest.mark.parametrize(
    ("spelled", "meant"), [("true", True), ("Yes", True), ("1", True), ("false", False), ("no", False)]
)
def test_options_are_text(tmp_path, spelled, meant):
    assert registry.open_store(ID, "files", str(tmp_path), {"overwrite": spelled}).overwrite is meant


def test_opening_touches_nothing_yet():
    assert registry.open_store(ID, "files", "/nowhere/at/all").location == "/nowhere/at/all"


def test_an_unknown_kind_lists_the_kinds():
    with pytest.raises(NotFound, match=r"no store kind 'tapes'.*Kinds:.*files"):
        registry.open_store(ID, "tapes", "/")


def test_an_unknown_option_and_a_bad_value_are_named():
    with pytest.raises(InvalidValue, match=r"no option 'overwirte'.*Options: overwrite"):
        registry.open_store(ID, "files", "/", {"overwirte": "true"})
    with pytest.raises(InvalidValue, match="overwrite='maybe'"):
        registry.open_store(ID, "files", "/", {"overwrite": "maybe"})


class Tapes(FileStore):
    """A store of another package."""


def open_tapes(id, location, options):
    assert options == {"drive": "2"}
    return Tapes(id, location)


@pytest.fixture
def installed(monkeypatch):
    """Other packages with entry points."""
    points = EntryPoints(
        EntryPoint(name, value, registry.GROUP)
        for name, value in {
            "tapes": f"{__name__}:open_tapes",
            "files": f"{__name__}:open_tapes",
            "broken": "no_such_package:opener",
        }.items()
    )
    monkeypatch.setattr(registry, "entry_points", points.select)


@pytest.mark.usefixtures("installed")
def test_other_packages_add_kinds_and_replace_none():
    assert registry.kinds() == tuple(sorted({*registry._BUILT_IN, "broken", "tapes"}))
    assert type(registry.open_store(ID, "tapes", "/", {"drive": "2"})) is Tapes
    assert type(registry.open_store(ID, "files", "/")) is FileStore
    with pytest.raises(StoreError, match=r"'broken' of 'no_such_package:opener' cannot be loaded.*no_such_package"):
        registry.open_store(ID, "broken", "/")


def test_the_registry_imports_nothing_heavy():
    code = (
        "import sys, unsee.stores.registry\n"
        "print(sorted({'torch', 'cv2', 'pyarrow', 'numpy', 'sqlalchemy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"
