"""Turns conversations into packed batches: rows of whole conversations, each with positions from 0."""

import multiprocessing
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from tokenizers import Tokenizer

import tokenizer as tokenizer_files
from data import Author
from prompt import EOS_ID, MAX_LENGTH, render

IGNORE = -100
FILL = 0.98  # share of a batch to fill; a little slack lets nearly every conversation find a row
PREFETCH_PER_WORKER = 4
_tokenizer: Tokenizer | None = None


def encode(messages: list[dict], tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Return the input ids of a conversation and the ids to predict: only the last answer and its </s> count."""
    prompt = tokenizer.encode(render(messages[:-1])).ids
    answer = [*tokenizer.encode(messages[-1]["content"]).ids, EOS_ID]
    return (prompt + answer)[:-1], [IGNORE] * (len(prompt) - 1) + answer


def pack(seed: int, rows: int) -> np.ndarray:
    """Return int16 [3, rows, MAX_LENGTH]: ids, targets, positions. Longest first, each into the first row with room."""
    author, drawn, tokens = Author(seed), [], 0
    while tokens < FILL * rows * MAX_LENGTH:
        ids, targets = encode(author.conversation(), _tokenizer)
        if len(ids) <= MAX_LENGTH:
            drawn.append((ids, targets))
            tokens += len(ids)
    batch = np.empty((3, rows, MAX_LENGTH), np.int16)
    batch[0], batch[1], batch[2] = EOS_ID, IGNORE, 0
    used = [0] * rows
    for ids, targets in sorted(drawn, key=lambda pair: -len(pair[0])):
        row = next((r for r in range(rows) if used[r] + len(ids) <= MAX_LENGTH), None)
        if row is not None:
            span = slice(used[row], used[row] + len(ids))
            batch[0, row, span], batch[1, row, span], batch[2, row, span] = ids, targets, range(len(ids))
            used[row] = span.stop
    for row, start in enumerate(used):  # the padding is a document of its own
        batch[2, row, start:] = range(MAX_LENGTH - start)
    return batch


def batches(seed: int, steps: int, rows: int, workers: int) -> Iterator[np.ndarray]:
    """Yield `steps` packed batches in a fixed order, made ahead of use by worker processes."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
        pending: deque = deque()
        for step in range(steps):
            pending.append(pool.submit(pack, seed * 1_000_000_007 + step, rows))
            if len(pending) > workers * PREFETCH_PER_WORKER:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _start_worker() -> None:
    global _tokenizer
    _tokenizer = tokenizer_files.load()
