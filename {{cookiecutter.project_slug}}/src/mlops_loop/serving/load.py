"""A load test: requests at a steady rate, whether or not earlier ones have been answered."""

import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

THREADS = 16


@dataclass(frozen=True)
class Load:
    """What came of the requests; waiting for a free connection counts as latency."""

    failed: int
    per_second: float
    p99_ms: float


def steady(send: Callable[[], bool], rate: float, seconds: float) -> Load:
    """Call `send`, which says whether it went well, `rate` times a second."""
    numbers, start = itertools.count(), time.perf_counter()
    took: list[float] = []
    failed: list[float] = []

    def work() -> None:
        while (due := next(numbers) / rate) < seconds:
            time.sleep(max(0.0, start + due - time.perf_counter()))
            (took if send() else failed).append(time.perf_counter() - start - due)

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(work) for _ in range(THREADS)]:
            done.result()
    elapsed = time.perf_counter() - start
    p99 = float(np.quantile(took, 0.99)) * 1e3 if took else float("inf")
    return Load(len(failed), len(took) / elapsed, p99)
