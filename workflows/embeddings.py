"""The handlers of embeddings.yaml.

load ──► arrays ──► Model, 32 at a time ──► vectors, in their order ──► Shards ──► 0000.npz, 0001.npz, …
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]

WIDTH, DEPTH, SHARD = 256, 64, 128
"""Numbers in a row of an array, numbers in a vector, vectors in a file."""


def load(count: int, seed: int = 1) -> Iterator[Array]:
    """Yield arrays of 0.1 to 4 MB, the same each time: where yours come from is up to you."""
    chance = np.random.default_rng(seed)
    for rows in np.exp(chance.uniform(np.log(100), np.log(4000), count)).astype(int):
        yield np.resize(chance.standard_normal(7919, np.float32), (rows, WIDTH))


class Model:
    """Built once in each worker, as it may take long; called with lists of arrays."""

    def __init__(self, seed: int = 2) -> None:
        self.weights = np.random.default_rng(seed).standard_normal((WIDTH, DEPTH), np.float32)

    def __call__(self, arrays: list[Array]) -> Iterator[Array]:
        means = np.stack([array.mean(axis=0) for array in arrays])
        yield from np.tanh(np.einsum("ij,jk->ik", means, self.weights))  # the same, however many there are


class Shards:
    """Writes vectors to files of so many. Those that are left over are in its checkpoint, and in the last file."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.written = 0
        self.vectors: list[Array] = []

    def __call__(self, vector: Array) -> None:
        self.vectors.append(vector)
        if len(self.vectors) == SHARD:
            self.write()

    def write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / "unfinished.npz"
        np.savez(unfinished, vectors=np.stack(self.vectors))
        unfinished.replace(self.folder / f"{self.written:04}.npz")
        self.written += 1
        self.vectors = []

    def close(self) -> None:
        if self.vectors:
            self.write()
