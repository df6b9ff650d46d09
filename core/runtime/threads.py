"""How threads wait for each other on the CPU; must be set before importing torch or SciPy."""

from __future__ import annotations

import os

SPINS = "2000"  # rounds, some 50 microseconds
BLAS_SPINS = "17"  # 2^17 ticks of the processor, as long


def wait_briefly() -> None:
    """Let idle threads spin for a moment between two operations, then sleep.

    A network for small images has operations of 10 to 100 microseconds. Threads that sleep at once, as the policy
    PASSIVE says, must be woken for each of them: a gradient of the demo models took two to three times as long.
    Threads that spin for milliseconds, the default, starve the pages and other processes of a busy machine: after an
    eigenvalue problem SciPy's threads spin so long that torch's next work takes twice as long. Settings already in the
    environment are kept.

    References: OpenMP 5.2, section 21.1.9; GOMP_SPINCOUNT in the manual of GNU libgomp; OPENBLAS_THREAD_TIMEOUT in
    OpenBLAS' list of runtime variables. Other runtimes follow the policy alone.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", BLAS_SPINS)
