"""PRIME's check for folds, its filters and colour curves, compiled for the CPU: one pass over memory, and not 20."""

from __future__ import annotations

import numpy as np

from core.runtime.compiled import compiled


@compiled
def compression(field: np.ndarray) -> np.ndarray:
    """The largest real part of an eigenvalue of grad tau, at least 0: (n,) of displacements tau, (n, 2, h, w)."""
    count, _, height, width = field.shape
    found = np.zeros(count, field.dtype)
    most = np.zeros(width, field.dtype)  # of each column: lanes that do not wait for each other
    zero = found[0]
    for row in range(count):
        most[:] = zero
        for y in range(height - 1):
            for side in range(2):
                for x in range(width - 1):
                    a = field[row, 0, y + 1, x + side] - field[row, 0, y, x + side]
                    b = field[row, 1, y + 1, x + side] - field[row, 1, y, x + side]
                    c = field[row, 0, y + side, x + 1] - field[row, 0, y + side, x]
                    d = field[row, 1, y + side, x + 1] - field[row, 1, y + side, x]
                    twice = b * c + b * c
                    squared = (a - d) * (a - d) + twice + twice
                    sized = a + d + np.sqrt(squared if squared > zero else zero)
                    most[x] = sized if sized > most[x] else most[x]
        for x in range(width - 1):
            found[row] = max(found[row], most[x] / 2)
    return found


@compiled
def filtered(images: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    """Images (n, c, h, w), each convolved with its kernel (n, k, k) and clipped; beyond the frame it goes on."""
    count, channels, height, width = images.shape
    side = kernels.shape[1]
    half = side // 2
    found = np.zeros_like(images)
    framed = np.zeros((height, width + 2 * half), images.dtype)
    zero, one = images.dtype.type(0), images.dtype.type(1)
    for row in range(count):
        for channel in range(channels):
            for y in range(height):
                framed[y, half : half + width] = images[row, channel, y]
                framed[y, :half] = images[row, channel, y, 0]
                framed[y, half + width :] = images[row, channel, y, width - 1]
            for y in range(height):
                line = found[row, channel, y]
                for down in range(side):
                    above = framed[min(max(y + half - down, 0), height - 1)]
                    for across in range(side):
                        weight, beside = kernels[row, down, across], above[2 * half - across :]
                        for x in range(width):
                            line[x] += weight * beside[x]
                for x in range(width):
                    value = line[x] if line[x] > zero else zero
                    line[x] = value if value < one else one
    return found


@compiled
def curved(images: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """Values (n, c, p) in [0, 1] with what tables (n, c, entries + 2) add, linear between entries, and clipped.

    The last entry of a table stands behind the one at 1. Values outside are clipped before.
    """
    count, channels, pixels = images.shape
    scale = images.dtype.type(tables.shape[2] - 2)
    found = np.empty_like(images)
    zero, one = images.dtype.type(0), images.dtype.type(1)
    for row in range(count):
        for channel in range(channels):
            table, values, line = tables[row, channel], images[row, channel], found[row, channel]
            for pixel in range(pixels):  # whatever comes in, there is an entry for it
                value = values[pixel] if values[pixel] > zero else zero
                line[pixel] = value if value < one else one
            for pixel in range(pixels):
                place = line[pixel] * scale
                entry = np.uint32(np.int32(place))  # never negative, which saves a look
                low = table[entry]
                line[pixel] += low + (table[entry + np.uint32(1)] - low) * (place - np.float32(entry))
            for pixel in range(pixels):  # by itself: lanes, and no branches to be guessed
                value = line[pixel] if line[pixel] > zero else zero
                line[pixel] = value if value < one else one
    return found
