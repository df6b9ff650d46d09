"""A calm step of walks along level sets, compiled for the CPU: each row in a few passes, all of them in the cache.

A step is calm where every walker is accepted and nothing ends. Written with tensors it takes some 130 operations, each
a pass over all images and a few microseconds on small ones: as much as a forward and a backward of a demo model.
"""

from __future__ import annotations

import math

import numpy as np

from core.runtime.compiled import compiled

NEWTON_STEPS = 8  # at most
SUPERLEVEL, EQUALITY, PAPER = range(3)


@compiled
def calm_step(
    mode: int,
    eta: float,
    climb: float,
    eps: float,
    near: float,
    flat: float,
    rounding: float,
    points: np.ndarray,
    targets: np.ndarray,
    gradients: np.ndarray,
    pushes: np.ndarray,
    logits: np.ndarray,
    target_class: np.ndarray,
    rows: np.ndarray,
    age: np.ndarray,
    history: np.ndarray,
    ends: np.ndarray,
    found: np.ndarray,
) -> bool:
    """One step of n walkers in a mode, if it is calm for all of them; else nothing is written.

    Args:
        mode: SUPERLEVEL, EQUALITY or PAPER.
        eta: which share of the way to the target it heads for.
        climb: see `level_steps.Stepper`.
        eps: likewise.
        near: a distance at most as long may have reached the target.
        flat: the length of a gradient that is hardly one.
        rounding: how well log-odds of 1 are known.
        points: (n, d) where they are, seen just now; likewise their
        targets: (n, d),
        gradients: (n, d) of the log-odds,
        pushes: (n, d) of the published walk, changed in place; (n, 0) else,
        logits: (n, k).
        target_class: (n,).
        rows: (7, n) log-odds seen, at the source, of the level; delta, aim, share of the climb left, last stride.
        age: (n,) steps done.
        history: (n, 5, s) scalars of every step, where those seen now are noted.
        ends: (n, d) where the next points are written.
        found: (7, n) log-odds, confidence in the target's class, distance, cosine; scale, stride and aim of the next.

    Returns:
        Whether it was calm.
    """
    count, values = points.shape
    for row in range(count):
        way_way = 0.0
        slope_slope = 0.0
        way_slope = 0.0
        for place in range(values):
            way = targets[row, place] - points[row, place]
            slope = gradients[row, place]
            way_way += way * way
            slope_slope += slope * slope
            way_slope += way * slope
        distance, steepness = math.sqrt(way_way), math.sqrt(slope_slope)
        at, source, level, delta = rows[0, row], rows[1, row], rows[2, row], rows[3, row]
        if mode == SUPERLEVEL:
            inside = at - level
        else:
            fall = 1 / (1 + math.exp(-source)) - 1 / (1 + math.exp(-at))
            inside = delta - (fall if mode == PAPER else abs(fall))
        shrinks = mode == PAPER or distance <= history[row, 2, age[row] - 1]
        calm = inside >= 0 and distance >= near and steepness >= 2 * flat and shrinks
        if not calm or not math.isfinite(distance * steepness):  # or NaN
            return False
        found[0, row], found[2, row], found[4, row] = at, distance, distance * steepness
        found[3, row], found[5, row], found[6, row] = way_slope, slope_slope, steepness
    cell = np.empty(4, points.dtype)  # numbers in the precision of the pixels
    cell[0], cell[1] = eta, eps
    share, most = cell[0], cell[1]
    tiny = np.finfo(points.dtype).tiny
    for row in range(count):
        top = -np.inf
        for each in range(logits.shape[1]):
            top = max(top, logits[row, each])
        total = 0.0
        for each in range(logits.shape[1]):
            total += math.exp(logits[row, each] - top)
        found[1, row] = math.exp(logits[row, target_class[row]] - top) / total
        at, way_slope, slope = found[0, row], found[3, row], found[5, row]
        found[3, row] = way_slope / found[4, row]
        for each in range(4):
            history[row, each, age[row]] = found[each, row]
        history[row, 4, age[row]] = rows[6, row]
        length = 0.0
        if mode == PAPER:
            cell[2] = eps / (1 + math.exp(at))
            cell[3] = eta * way_slope / slope
            up, along = cell[2], cell[3]
            for place in range(values):
                here, steep = points[row, place], gradients[row, place]
                push = min(max(pushes[row, place] + up * steep, -most), most)
                pushes[row, place] = push
                there = min(max(here + share * (targets[row, place] - here) - along * steep + push, 0), 1)
                ends[row, place] = there
                length += (there - here) * (there - here)
            found[5, row], found[6, row] = math.sqrt(length), at
            continue
        risen = eta * way_slope
        if mode == EQUALITY:
            rise = rows[1, row] - at
        else:
            level = rows[2, row]
            spare = max(rows[4, row] - at, (rows[1, row] + climb - level) * rows[5, row])
            least = level + rounding * (1 + abs(rows[1, row])) - at
            rise = max(least, min(level + spare - at, eta * found[4, row]))
        enough = 4 * np.finfo(points.dtype).eps * max(abs(rise), abs(risen))
        reach = 0.0
        for _ in range(NEWTON_STEPS):  # as `level_steps.rise_in_box`
            lack = rise - risen
            if not (abs(lack) if mode == EQUALITY else lack) > enough or not slope >= tiny:
                break
            reach += lack / slope
            cell[2] = reach
            pull = cell[2]
            risen = 0.0
            slope = 0.0
            for place in range(values):
                here, steep = points[row, place], gradients[row, place]
                free = here + share * (targets[row, place] - here) + pull * steep
                held = min(max(free, 0), 1)
                risen += steep * (held - here)
                slope += steep * steep if held == free else 0
        cell[2] = reach
        pull = cell[2]
        for place in range(values):
            here = points[row, place]
            free = here + share * (targets[row, place] - here) + pull * gradients[row, place]
            there = min(max(free, 0), 1)
            ends[row, place] = there
            length += (there - here) * (there - here)
        found[5, row], found[6, row] = math.sqrt(length), at + max(rise, risen)
    return True


def warm_up() -> None:
    """Compile for float32, what demo models and most others compute in."""
    images, numbers, none = np.full((1, 2), 0.5, np.float32), np.zeros((7, 1), np.float32), np.zeros(1, np.int64)
    history, logits = np.zeros((1, 5, 1), np.float32), np.zeros((1, 2), np.float32)
    four = images, images, images, images
    settings = (SUPERLEVEL, 0.1, 0.0, 0.1, 0.0, 0.0, 0.0)
    calm_step(*settings, *four, logits, none, numbers, none, history, images.copy(), numbers.copy())
