"""Embeddings of people who do not exist: a direction each, and noise. Groups can be drawn together, as a model that
never saw a group does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

GROUPS = ("dark", "light", "mid")
_CENTRES = np.random.default_rng(7).normal(size=(8, 64))


def embeddings(
    seed: int,
    *,
    people: int = 60,
    photos: int = 5,
    dims: int = 32,
    noise: float = 0.9,
    pull: tuple[float, ...] = (0.0, 0.0, 0.0),
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], dict[int, str]]:
    """(n, d) unit embeddings, the person of each, the group of each person; `pull` moves a group towards its middle."""
    rng = np.random.default_rng(seed)
    group = np.arange(people) % len(pull)
    share = np.array(pull)[group][:, None]
    own = rng.normal(size=(people, dims)) * (1 - share) + _CENTRES[group, :dims] * share
    who = np.repeat(np.arange(people), photos)
    rows = own[who] + noise * rng.normal(size=(len(who), dims))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32), who, {p: GROUPS[int(group[p])] for p in range(people)}
