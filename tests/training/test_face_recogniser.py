"""The recogniser: equal bytes from equal photos, files without pickle, and errors that name the photo."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from unsee.core.canonical import canonical_json
from unsee.core.errors import AlreadyExists, InvalidValue, MissingExtra, Tampered
from unsee.core.ids import ItemId, SubjectNo
from unsee.replace.faces import Population
from unsee.replace.folder import jpeg
from unsee.training import face_recogniser
from unsee.training.face_recogniser import FILES, Progress, Trained, embed, load_recipe, train
from unsee.training.photos import augmented, dealt, decoded, keyed_hash
from unsee.training.reader import Sample
from unsee.training.recipe import Recipe, margin_at, rate_at

TINY = Recipe(name="tiny", epochs=2, side=32, dimension=8, width=4, batch=8, threads=1)
torch = pytest.importorskip("torch")


def some_samples(people: int = 5, photos: int = 6) -> list[Sample]:
    everyone = Population(31, {"light": people}).people
    return [
        Sample(ItemId(100 + 10 * number + photo), jpeg(person, photo), SubjectNo(7 * number + 3))
        for number, person in enumerate(everyone)
        for photo in range(photos)
    ]


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return some_samples()


@pytest.fixture(scope="module")
def trained(samples: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(samples, TINY, tmp_path_factory.mktemp("models") / "first")


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_two_trainings_give_equal_bytes_whatever_the_order(
    trained: Trained, samples: list[Sample], tmp_path: Path
) -> None:
    shuffled = list(samples)
    random.Random(4).shuffle(shuffled)
    torch.manual_seed(99)  # what the process drew before does not matter
    again = train(iter(shuffled), TINY, tmp_path / "again")
    assert contents(again.directory) == contents(trained.directory)
    assert again.files == trained.files


def test_another_process_gives_equal_bytes(trained: Trained, tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
        "from test_face_recogniser import TINY, some_samples, train\n"
        "train(some_samples(), TINY, Path(sys.argv[2]))"
    )
    subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "other")], check=True)
    assert contents(tmp_path / "other") == contents(trained.directory)


def test_two_threads_are_reproducible_too(samples: list[Sample], tmp_path: Path) -> None:
    recipe = replace(TINY, threads=2, width=8)
    before = torch.get_num_threads()
    one, two = (contents(train(samples, recipe, tmp_path / name).directory) for name in "ab")
    assert one == two
    assert torch.get_num_threads() == before
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("change", [{"seed": 2}, {"epochs": 3}, {"margin": "0.1"}, {"rate": "0.001"}])
def test_the_recipe_decides(trained: Trained, samples: list[Sample], tmp_path: Path, change: dict[str, Any]) -> None:
    other = train(samples, replace(TINY, **change), tmp_path / "other")
    assert contents(other.directory)["weights.safetensors"] != contents(trained.directory)["weights.safetensors"]


def test_one_photo_less_gives_other_weights(trained: Trained, samples: list[Sample], tmp_path: Path) -> None:
    other = train(samples[1:], TINY, tmp_path / "other")
    assert contents(other.directory)["weights.safetensors"] != contents(trained.directory)["weights.safetensors"]


def test_every_file_is_named_with_its_digest(trained: Trained) -> None:
    written = contents(trained.directory)
    assert tuple(file.name for file in trained.files) == FILES
    assert set(written) == set(FILES)
    for file in trained.files:
        assert file.sha256 == hashlib.sha256(written[file.name]).hexdigest()
        assert file.size_bytes == len(written[file.name])
    assert (trained.photos, trained.people, len(trained.losses)) == (30, 5, 2)
    assert json.loads(written["labels.json"])["subjects"] == [3, 10, 17, 24, 31]
    assert load_recipe(trained.directory) == TINY


def test_the_checkpoint_and_optimizer_hold_the_whole_state(trained: Trained) -> None:
    from safetensors.torch import load

    written = contents(trained.directory)
    checkpoint, optimizer = load(written["checkpoint.safetensors"]), load(written["optimizer.safetensors"])
    assert load(written["head.safetensors"])["head"].equal(checkpoint["head"])
    assert all(
        load(written["weights.safetensors"])[k].equal(checkpoint[f"backbone.{k}"])
        for k in load(written["weights.safetensors"])
    )
    assert int(optimizer["step"]) == trained.steps
    assert optimizer["head.exp_avg"].shape == checkpoint["head"].shape


def test_embeddings_are_unit_vectors_in_order(trained: Trained, samples: Sequence[Sample]) -> None:
    images = [sample.data for sample in samples]
    found = embed(trained.directory, iter(images), batch=7)
    assert found.shape == (30, 8)
    assert found.dtype == np.float32
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert np.allclose(found, np.concatenate([embed(trained.directory, [image]) for image in images]), atol=1e-4)
    assert embed(trained.directory, []).shape == (0, 8)


def test_photos_of_any_shape_are_cut_square(samples: Sequence[Sample], trained: Trained) -> None:
    middle = cv2.imdecode(np.frombuffer(samples[0].data, np.uint8), cv2.IMREAD_COLOR)
    assert middle is not None
    wide = cv2.copyMakeBorder(middle, 0, 0, 40, 40, cv2.BORDER_CONSTANT, value=(0, 255, 0))
    files = [cv2.imencode(".png", picture)[1].tobytes() for picture in (middle, wide)]
    one, two = embed(trained.directory, files)
    assert np.allclose(one, two, atol=1e-5)


def test_a_batch_of_one_photo_can_be_learnt_from(samples: list[Sample], tmp_path: Path) -> None:
    recipe = replace(TINY, batch=2, epochs=8)
    sizes = [
        int(np.count_nonzero(dealt(np.arange(5, dtype=np.uint64), batches=2, seed=recipe.seed, epoch=epoch) == batch))
        for epoch in range(recipe.epochs)
        for batch in (0, 1)
    ]
    assert 1 in sizes
    five = [Sample(ItemId(k), s.data, SubjectNo(k % 2)) for k, s in enumerate(samples[:5])]
    assert train(five, recipe, tmp_path / "model").photos == 5


def test_progress_is_told_after_each_epoch(samples: list[Sample], tmp_path: Path) -> None:
    told: list[Progress] = []
    result = train(samples, TINY, tmp_path / "model", progress=told.append)
    assert [(p.epoch, p.epochs, p.photos) for p in told] == [(1, 2, 30), (2, 2, 30)]
    assert tuple(p.loss for p in told) == result.losses


def test_what_is_there_is_not_overwritten_and_a_killed_training_is_cleared_away(
    samples: list[Sample], tmp_path: Path
) -> None:
    left = tmp_path / ".model.partial"
    left.mkdir()
    (left / "weights.safetensors").write_bytes(b"half")
    train(samples, TINY, tmp_path / "model")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    with pytest.raises(AlreadyExists):
        train(samples, TINY, tmp_path / "model")


def test_a_training_that_fails_leaves_nothing(samples: list[Sample], tmp_path: Path) -> None:
    def stop(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(samples, TINY, tmp_path / "model", progress=stop)
    assert not list(tmp_path.iterdir())
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("bad", [b"", b"no picture", "cut"])
def test_a_photo_that_cannot_be_decoded_is_named(samples: list[Sample], tmp_path: Path, bad: bytes | str) -> None:
    data = bad if isinstance(bad, bytes) else samples[3].data[:40]
    with pytest.raises(InvalidValue, match=f"item {samples[3].item} "):
        train([*samples[:3], Sample(samples[3].item, data, samples[3].person)], TINY, tmp_path / "model")


def test_photos_that_nobody_can_learn_from_are_refused(samples: list[Sample], tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="at least 2"):
        train(samples[:3], TINY, tmp_path / "model")
    with pytest.raises(InvalidValue, match="0 people"):
        train([], TINY, tmp_path / "model")
    with pytest.raises(InvalidValue, match=f"Item {samples[0].item} comes twice"):
        train([*samples, samples[0]], TINY, tmp_path / "model")
    with pytest.raises(InvalidValue, match="Nobody is recorded for item 5"):
        train([*samples, Sample(ItemId(5), samples[0].data, None)], TINY, tmp_path / "model")


@pytest.mark.parametrize("lacking", ["torch", "safetensors.torch"])
def test_a_missing_extra_is_named(
    trained: Trained, samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    monkeypatch.setitem(sys.modules, lacking, None)
    with pytest.raises(MissingExtra, match="Training needs the extra 'torch'"):
        train(samples, TINY, tmp_path / "model")
    with pytest.raises(MissingExtra, match="Embedding needs"):
        embed(trained.directory, [])


def test_a_broken_model_directory_is_refused(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(Tampered, match="recipe"):
        embed(tmp_path, [])
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "recipe.json").write_bytes(canonical_json(TINY.as_json()))
    for weights in (b"torn", (trained.directory / "head.safetensors").read_bytes()):
        (broken / "weights.safetensors").write_bytes(weights)
        with pytest.raises(Tampered, match="weights"):
            embed(broken, [])


def test_importing_the_module_does_not_import_torch() -> None:
    code = "import sys, unsee.training.face_recogniser; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert set(face_recogniser.__all__) <= set(dir(face_recogniser))


@given(
    seed=st.integers(0, 2**60),
    epochs=st.integers(1, 99),
    margin=st.decimals(0, 1, places=3).map(str),
    batch=st.integers(2, 4096),
)
def test_recipes_survive_json(seed: int, epochs: int, margin: str, batch: int) -> None:
    recipe = Recipe(seed=seed, epochs=epochs, margin=margin, batch=batch)
    again = Recipe.from_json(json.loads(canonical_json(recipe.as_json())))
    assert again == recipe
    assert again.digest() == recipe.digest()


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"side": 40},
        {"threads": 0},
        {"margin": "much"},
        {"rate": "-1"},
        {"scale": "NaN"},
        {"margin_from": "0.6"},
        {"batch": 1},
        {"width": 10**9},
        {"seed": -1},
        {"epochs": "8"},
        {"surprise": 1},
        {"schema": "unsee/face-recipe/0"},
    ],
)
def test_a_recipe_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(InvalidValue):
        Recipe.from_json({**TINY.as_json(), **change})


def test_a_recipe_is_an_object_with_all_its_fields() -> None:
    with pytest.raises(InvalidValue, match="rate"):
        Recipe.from_json({k: v for k, v in TINY.as_json().items() if k != "rate"})
    with pytest.raises(InvalidValue):
        Recipe.from_json([])


@given(
    ids=st.sets(st.integers(0, 2**40), min_size=2, max_size=200), seed=st.integers(0, 2**32), epoch=st.integers(0, 50)
)
def test_the_batch_of_an_item_does_not_depend_on_the_others(ids: set[int], seed: int, epoch: int) -> None:
    every = np.array(sorted(ids), dtype=np.uint64)
    some = every[::2]
    assert np.array_equal(
        dealt(some, batches=13, seed=seed, epoch=epoch), dealt(every, batches=13, seed=seed, epoch=epoch)[::2]
    )
    assert np.array_equal(keyed_hash(some, seed, epoch, "x"), keyed_hash(every, seed, epoch, "x")[::2])


def test_items_are_dealt_evenly_and_anew_in_each_epoch() -> None:
    ids = np.arange(20_000, dtype=np.uint64)
    first, second = (dealt(ids, batches=100, seed=1, epoch=epoch) for epoch in (0, 1))
    counts = np.bincount(first, minlength=100)
    assert 140 < counts.min() <= counts.max() < 265  # 200 expected, deviation 14
    assert 0.005 < np.mean(first == second) < 0.02


@given(
    pixels=hnp.arrays(np.uint8, (3, 16, 16, 3)),
    draws=hnp.arrays(np.uint64, (3,), elements=st.integers(0, 2**64 - 1)),
)
@settings(deadline=None)
def test_augmentation_is_a_pure_function_of_photo_and_draw(pixels: np.ndarray, draws: np.ndarray) -> None:
    before = pixels.copy()
    changed = augmented(pixels, draws)
    assert changed.shape == pixels.shape
    assert changed.dtype == np.uint8
    assert np.array_equal(pixels, before)
    assert np.array_equal(changed[1:], augmented(pixels[1:], draws[1:]))


def test_augmentation_mirrors_shifts_and_lights() -> None:
    photo = np.zeros((1, 16, 16, 3), dtype=np.uint8)
    photo[0, :, :4] = 200
    centred = 1 << 8 | 1 << 24  # a reach of one pixel: 0, 1, 2 mean -1, 0, +1
    straight, mirrored, bright = (
        augmented(photo, np.array([draw], dtype=np.uint64))[0]
        for draw in (centred, centred | 1, centred | 0xFFFF << 48)
    )
    assert (straight[:, :4] == 170).all()  # the darkest gain, 0.85
    assert (mirrored[:, 12:] == 170).all()
    assert (mirrored[:, :12] == 0).all()
    assert (bright[:, :4] > 225).all()


def test_schedules_begin_low_peak_and_end_low() -> None:
    assert rate_at(0, TINY) < 0.05 * float(TINY.rate)
    assert rate_at(0.25, TINY) == pytest.approx(float(TINY.rate))
    assert rate_at(1, TINY) < 0.001 * float(TINY.rate)
    assert [margin_at(share, TINY) for share in (0, 0.15, 0.325, 0.5, 1)] == pytest.approx([0, 0, 0.15, 0.3, 0.3])


def test_photos_are_sorted_by_item_and_people_by_number(samples: list[Sample]) -> None:
    photos = decoded(reversed(samples), 16)
    assert photos.items.tolist() == sorted(int(s.item) for s in samples)
    assert photos.people[photos.classes].tolist() == [int(s.person or 0) for s in samples]


@pytest.mark.slow
def test_it_learns_to_tell_unseen_people_apart(tmp_path: Path) -> None:
    """80 people to learn from, 20 to try it on: about a minute of one core. Chance is an equal error rate of 0.5."""
    people = Population(8, {"light": 34, "mid": 33, "dark": 33}).people
    learn = [
        Sample(ItemId(100 * p.number + k), jpeg(p, k), SubjectNo(p.number)) for p in people[:80] for k in range(15)
    ]
    model = train(learn, Recipe(epochs=12, threads=1), tmp_path / "model")
    assert model.losses[-1] < model.losses[0]
    rows = embed(model.directory, [jpeg(p, k) for p in people[80:] for k in range(8)])
    who = np.repeat(np.arange(20), 8)
    left, right = np.triu_indices(len(who), 1)
    score, same = (rows @ rows.T)[left, right], (who[:, None] == who[None, :])[left, right]
    thresholds = np.sort(score[same])
    misses = np.arange(len(thresholds)) / len(thresholds)
    false = np.array([(score[~same] >= t).mean() for t in thresholds])
    assert np.min(np.maximum(misses, false)) < 0.16
