"""Measures this machine in half a second: cores, memory, speed of a matrix product. What plans rest on."""

import os
import time

from lifeloop.core.candidates import Machine

SIDE = 1024
SECONDS = 0.4


def calibrate() -> Machine:
    """Return what was measured: the best of several products, since a busy moment says little."""
    import numpy as np

    a = np.random.default_rng(0).standard_normal((SIDE, SIDE), dtype=np.float32)
    a @ a
    best, begun = 0.0, time.perf_counter()
    while time.perf_counter() - begun < SECONDS:
        start = time.perf_counter()
        a @ a
        best = max(best, 2 * SIDE**3 / (time.perf_counter() - start) / 1e9)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return Machine(cores=len(os.sched_getaffinity(0)), memory_gb=memory, gflops=best)
