"""How threads wait for each other on the CPU; to be said before torch is imported."""

from __future__ import annotations

import os

SPINS = "2000"  # rounds, some 50 microseconds


def wait_briefly() -> None:
    """Between two operations torch's threads stay awake for a moment, then leave the processor to others.

    A network for small images has operations of 10 to 100 microseconds. Threads that sleep at once, which the policy
    PASSIVE says, have to be woken for each of them: a gradient of the demo models took two to three times as long.
    Threads that spin on for milliseconds, the default, starve the pages and other processes of a busy machine. What
    is set in the environment already stays.

    References: OpenMP 5.2, section 21.1.9; GOMP_SPINCOUNT in the manual of GNU libgomp. Other runtimes follow the
    policy alone.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
