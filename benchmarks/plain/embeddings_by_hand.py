"""Vectors of big arrays by processes and queues of one's own: what workflows/embeddings.yaml is compared with.

The handlers are the workflow's; what is written here is what carries arrays to them, and vectors back in their order.

PYTHONPATH=workflows python benchmarks/plain/embeddings_by_hand.py --arrays 500
"""

import argparse
from collections.abc import Iterator
from itertools import islice
from multiprocessing import Process, Queue
from typing import Any

from embeddings import Array, Model, Shards, load

WORKERS, BATCH, AHEAD = 2, 32, 4


def work(inbox: "Queue[Any]", outbox: "Queue[Any]") -> None:
    model = Model()
    while (job := inbox.get()) is not None:
        number, arrays = job
        try:
            outbox.put((number, list(model(arrays))))
        except Exception as error:
            outbox.put((number, error))
            raise


def batches(arrays: Iterator[Array]) -> Iterator[tuple[int, list[Array]]]:
    number = 0
    while batch := list(islice(arrays, BATCH)):
        yield number, batch
        number += 1


def embed(arrays: Iterator[Array]) -> Iterator[Array]:
    """Yield the vectors in order: so many batches are on their way at most, and early ones wait for their turn."""
    inbox: Queue[Any] = Queue()
    outbox: Queue[Any] = Queue()
    workers = [Process(target=work, args=(inbox, outbox), daemon=True) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    jobs, early, turn, sent = batches(arrays), {}, 0, 0
    for job in islice(jobs, AHEAD):
        inbox.put(job)
        sent += 1
    while turn < sent:
        number, vectors = outbox.get()
        if isinstance(vectors, Exception):
            raise vectors
        early[number] = vectors
        for job in islice(jobs, 1):
            inbox.put(job)
            sent += 1
        while turn in early:
            yield from early.pop(turn)
            turn += 1
    for _ in workers:
        inbox.put(None)
    for worker in workers:
        worker.join()


def main() -> None:
    parser = argparse.ArgumentParser(description="Embed big arrays.")
    parser.add_argument("--arrays", default=500, type=int, help="how many arrays")
    parser.add_argument("--folder", default="vectors", help="the folder for what comes out")
    given = parser.parse_args()
    shards = Shards(given.folder)
    for vector in embed(load(given.arrays)):
        shards(vector)
    shards.close()


if __name__ == "__main__":
    main()
