"""The face recogniser: trained with a CosFace margin, byte-reproducible, and every file it leaves behind named.

Which batch an item falls into, and how it is augmented, is drawn by a keyed hash of its id, the epoch and the recipe's seed.
So with the same number of batches a photo's batch and looks do not depend on which other photos there are: what a replay without
some of them needs.

CosFace: Wang et al. 2018, arXiv 1801.09414, eq. 4. torch is imported when training or embedding begins, not before.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from unsee.core.canonical import canonical_json
from unsee.core.errors import AlreadyExists, InvalidValue, MissingExtra, Tampered
from unsee.training.photos import Labels, Photos, Pixels, augmented, chunks, dealt, decoded, keyed_hash
from unsee.training.reader import Sample
from unsee.training.recipe import Recipe, margin_at, rate_at

if TYPE_CHECKING:
    import torch

    from unsee.training.network import Backbone

__all__ = ["FILES", "Progress", "Recipe", "Sample", "Trained", "TrainedFile", "embed", "load_recipe", "train"]

WEIGHTS: Final = "weights.safetensors"
HEAD: Final = "head.safetensors"
CHECKPOINT: Final = "checkpoint.safetensors"
OPTIMIZER: Final = "optimizer.safetensors"
LABELS: Final = "labels.json"
RECIPE: Final = "recipe.json"
FILES: Final = (WEIGHTS, HEAD, CHECKPOINT, OPTIMIZER, LABELS, RECIPE)
"""All that a training leaves behind. Each but the recipe holds what was learned, or of whom: they go with the model."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands; reported after each epoch."""

    epoch: int
    """Epochs done."""
    epochs: int
    photos: int
    """Photos to an epoch."""
    loss: float
    """Mean over the epoch."""


@dataclass(frozen=True, slots=True)
class TrainedFile:
    """One file that the training wrote."""

    name: str
    size_bytes: int
    sha256: str
    """Hexadecimal."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What came out of a training."""

    directory: Path
    files: tuple[TrainedFile, ...]
    """One for each of `FILES`, in that order."""
    photos: int
    people: int
    parameters: int
    """Numbers in the backbone, without the head."""
    steps: int
    losses: tuple[float, ...]
    """Mean loss of each epoch."""


def train(
    samples: Iterable[Sample],
    recipe: Recipe,
    directory: Path,
    *,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Trained:
    """Train a recogniser on `samples` and write it to `directory`, which appears whole or not at all.

    Args:
        samples: read once, in any order: they are sorted by item id. Photos are cut square and shrunk to the recipe's side.
        recipe: what to do.
        directory: must not exist; its parent must. A killed training leaves at most `.NAME.partial` beside it, which the next one
            clears away.
        progress: called after each epoch.
    Returns:
        Equal samples and recipe give files of equal bytes on the same machine and build.
    Raises:
        MissingExtra: torch or safetensors is not installed.
        AlreadyExists: `directory` is there.
        InvalidValue: a photo cannot be decoded or shows nobody known, an item comes twice, or there are fewer than two people.
    Cost: about 1 ms of one core for a photo and epoch at the default recipe; memory side² · 3 bytes for each photo.
    """
    with _torch(recipe.threads, needed_for="Training"):
        if directory.exists():
            raise AlreadyExists("model directory", str(directory))
        photos = decoded(samples, recipe.side)
        learner = _Learner(recipe, photos.people)
        losses = []
        for epoch in range(recipe.epochs):
            losses.append(learner.epoch(epoch, photos))
            progress(Progress(epoch + 1, recipe.epochs, len(photos.items), losses[-1]))
        return Trained(
            directory=directory,
            files=_write(_contents(learner, photos.people), directory),
            photos=len(photos.items),
            people=len(photos.people),
            parameters=sum(p.numel() for p in learner.backbone.parameters()),
            steps=learner.step,
            losses=tuple(losses),
        )


def embed(directory: Path, images: Iterable[bytes], *, batch: int = 256) -> npt.NDArray[np.float32]:
    """Embeddings of `images` by the model in `directory`: (n, dimension) float32, each of unit norm. Reads no pickle.

    The embedding of a photo is the mean over the photo and its mirror image, set to unit norm.

    Raises:
        MissingExtra: torch or safetensors is not installed.
        InvalidValue: an image cannot be decoded; its place in `images` is named.
        Tampered: the directory holds no such model.
    Cost: about 0.5 ms of one core an image.
    """
    recipe = load_recipe(directory)
    with _torch(recipe.threads, needed_for="Embedding"):
        import torch

        backbone = _load(directory, recipe)
        rows: list[npt.NDArray[np.float32]] = [np.empty((0, recipe.dimension), dtype=np.float32)]
        with torch.inference_mode():
            for chunk in chunks(images, batch, recipe.side):
                x = _tensor(chunk)
                rows.append(torch.nn.functional.normalize(backbone(x) + backbone(x.flip(3))).numpy())
    return np.concatenate(rows)


def load_recipe(directory: Path) -> Recipe:
    """The recipe of the model in `directory`.

    Raises:
        Tampered: there is none, or it cannot be read.
    """
    path = directory / RECIPE
    try:
        return Recipe.from_json(json.loads(path.read_bytes()))
    except (OSError, ValueError, InvalidValue) as error:
        raise Tampered(
            f"{path} holds no recipe of a recogniser: {error}", next_step="Train the model again."
        ) from error


class _Learner:
    """Backbone, head, optimizer and how far they are."""

    def __init__(self, recipe: Recipe, people: Labels) -> None:
        import torch

        from unsee.training.network import Backbone

        self.recipe, self.step = recipe, 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.backbone = Backbone(side=recipe.side, dimension=recipe.dimension, width=recipe.width)
        # A person's row begins at a place drawn from their own number, so that it does not depend on who else is there.
        rows = [np.random.default_rng([recipe.seed, int(p)]).standard_normal(recipe.dimension) for p in people]
        self.head = torch.nn.Parameter(torch.from_numpy(np.array(rows, dtype=np.float32)) * 0.05)
        decayed = [p for p in self.backbone.parameters() if p.ndim > 1] + [self.head]
        plain = [p for p in self.backbone.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": float(recipe.decay)}, {"params": plain, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=float(recipe.rate))

    def epoch(self, epoch: int, photos: Photos) -> float:
        """One pass over all photos; the mean loss."""
        import torch

        seed, epochs = self.recipe.seed, self.recipe.epochs
        batches = max(1, round(len(photos.items) / self.recipe.batch))
        batch_of = dealt(photos.items, batches=batches, seed=seed, epoch=epoch)
        draws = keyed_hash(photos.items, seed, epoch, "augment")
        self.backbone.train()
        total = 0.0
        for number in range(batches):
            mine = np.flatnonzero(batch_of == number)
            if not len(mine):  # the hash dealt nobody into it
                continue
            share = (epoch + number / batches) / epochs
            for group in self.optimizer.param_groups:
                group["lr"] = rate_at(share, self.recipe)
            x = _tensor(augmented(photos.pixels[mine], draws[mine]))
            loss = self._loss(x, torch.from_numpy(photos.classes[mine]), share)
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward([loss])
            self.optimizer.step()
            self.step += 1
            total += float(loss.detach()) * len(mine)
        return total / len(photos.items)

    def _loss(self, x: torch.Tensor, target: torch.Tensor, share: float) -> torch.Tensor:
        """CosFace: cross entropy over scaled cosines, the true class handicapped by the margin."""
        import torch

        cosines = self.backbone(x) @ torch.nn.functional.normalize(self.head).T
        handicap = torch.nn.functional.one_hot(target, cosines.shape[1]) * margin_at(share, self.recipe)
        return torch.nn.functional.cross_entropy(float(self.recipe.scale) * (cosines - handicap), target)


def _tensor(pixels: Pixels) -> torch.Tensor:
    """(n, side, side, 3) uint8 as (n, 3, side, side) float32 in -1..1; channels-last in memory, as numpy had it."""
    import torch

    return torch.from_numpy(pixels).permute(0, 3, 1, 2).to(torch.float32).div_(127.5).sub_(1.0)


@contextlib.contextmanager
def _torch(threads: int, *, needed_for: str) -> Iterator[None]:
    """torch with pinned threads and deterministic algorithms, both put back afterwards.

    Raises:
        MissingExtra: torch or safetensors is not installed.
    """
    try:
        import torch

        importlib.import_module(
            "safetensors.torch"
        )  # asked for now, so that its lack shows before the work, not after it
    except ImportError as error:
        raise MissingExtra("torch", needed_for=needed_for) from error
    before, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(strict)


def _load(directory: Path, recipe: Recipe) -> Backbone:
    from safetensors import SafetensorError
    from safetensors.torch import load

    from unsee.training.network import Backbone

    backbone = Backbone(side=recipe.side, dimension=recipe.dimension, width=recipe.width)
    path = directory / WEIGHTS
    try:
        backbone.load_state_dict(load(path.read_bytes()))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise Tampered(f"{path} does not fit its recipe: {error}", next_step="Train the model again.") from error
    return backbone.eval()


def _contents(learner: _Learner, people: Labels) -> dict[str, bytes]:
    """The files of a model by name."""
    import torch
    from safetensors.torch import save

    weights = {name: tensor.contiguous() for name, tensor in learner.backbone.state_dict().items()}
    head = {"head": learner.head.detach()}
    moments = {"step": torch.tensor(learner.step)}
    for name, parameter in {**dict(learner.backbone.named_parameters(prefix="backbone")), "head": learner.head}.items():
        for key in ("exp_avg", "exp_avg_sq"):
            moments[f"{name}.{key}"] = learner.optimizer.state[parameter][key].contiguous()
    return {
        WEIGHTS: save(weights),
        HEAD: save(head),
        CHECKPOINT: save({**{f"backbone.{name}": tensor for name, tensor in weights.items()}, **head}),
        OPTIMIZER: save(moments),
        LABELS: canonical_json({"schema": "unsee/face-labels/1", "subjects": [int(person) for person in people]}),
        RECIPE: canonical_json(learner.recipe.as_json()),
    }


def _write(contents: dict[str, bytes], directory: Path) -> tuple[TrainedFile, ...]:
    """All files into a directory beside the target, to the disk, then renamed: whole or not there."""
    partial = directory.with_name(f".{directory.name}.partial")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir()
    for name, content in contents.items():
        with (partial / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    _sync(partial)
    partial.rename(directory)
    _sync(directory.parent)
    return tuple(TrainedFile(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in contents.items())


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
