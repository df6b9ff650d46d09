"""PRIME and its primitives as transforms of `torchvision.transforms.v2`, for use in a `Compose`.

A v2 transform draws its parameters once per call, so that a batch would share them; these draw for each image of the
batch. Pixels must be floats in [0, 1], (c, h, w) or (n, c, h, w): put `v2.ToDtype(torch.float32, scale=True)` in
front. Only images are transformed, no masks or boxes. `make_params` returns the draws, with which `transform` repeats
a result.

Each transform has a generator of its own, started from its seed; the global one is left alone. In the workers of a
`DataLoader` it is started from both the seed and the worker's, which changes from epoch to epoch: no two draw alike.

Reference: Modas, Rade, Ortiz-Jimenez, Moosavi-Dezfooli, Frossard, PRIME: a few primitives can boost robustness to
common corruptions, ECCV 2022 (arXiv 2112.13547).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info
from torchvision import tv_tensors
from torchvision.transforms import v2

from core.errors import ImageError
from core.geometry.corruptions.prime import Prime, draw_prime
from core.geometry.corruptions.primitives import Colour, Spatial, Spectral, draw_colour, draw_spatial, draw_spectral


def _plain(value: Any) -> bool:
    """Whether a value is a tensor and nothing more, which v2 takes for an image."""
    return type(value) is Tensor


class PerImage(v2.Transform, ABC):  # type: ignore[misc] # torchvision is not typed
    """Draws for each image of a call, and applies the draws.

    Args:
        seed: seed of the draws.
    """

    _transformed_types = (_plain, tv_tensors.Image)

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self._started: tuple[int | None, torch.Generator] | None = None

    @abstractmethod
    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Callable[[Tensor], Tensor]:
        """The draws for `count` images of shape (c, h, w): a map from batches to batches."""

    def make_params(self, flat_inputs: list[Tensor]) -> dict[str, Any]:
        """The draws for the images of a call, under "drawn".

        Raises:
            ImageError: if there is not just one image or batch in the call, or it does not hold floats.
        """
        shapes = {tuple(image.shape) for image in flat_inputs}
        if len(flat_inputs) != 1 or flat_inputs[0].ndim not in (3, 4) or not flat_inputs[0].is_floating_point():
            came = ", ".join(" x ".join(map(str, shape)) for shape in shapes) or "nothing"
            raise ImageError(f"expected floats, c x h x w or n x c x h x w, got {came}; put v2.ToDtype in front")
        count, channels, height, width = _batch(flat_inputs[0]).shape
        return {"drawn": self.draw(count, (channels, height, width), self._generator())}

    def transform(self, inpt: Tensor, params: dict[str, Any]) -> Tensor:
        """The transformed image or batch."""
        made: Tensor = params["drawn"](_batch(inpt)).view(inpt.shape)
        return tv_tensors.wrap(made, like=inpt) if isinstance(inpt, tv_tensors.Image) else made

    def _generator(self) -> torch.Generator:
        worker = get_worker_info()
        place = None if worker is None else worker.seed
        if self._started is None or self._started[0] != place:
            seeds = np.random.SeedSequence([self.seed] if place is None else [self.seed, place])
            start = int(seeds.generate_state(1, np.uint64)[0] >> np.uint64(1))
            self._started = place, torch.Generator().manual_seed(start)
        return self._started[1]


class SpectralTransform(PerImage):
    """A random filter for each image; settings as in `draw_spectral`."""

    def __init__(self, strength: float = 4.0, size: int = 3, *, seed: int = 0) -> None:
        super().__init__(seed)
        self.strength, self.size = strength, size

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Spectral:
        """Filters."""
        return draw_spectral(count, generator, strength=self.strength, size=self.size)


class SpatialTransform(PerImage):
    """A random smooth displacement for each image, which folds nothing; settings as in `draw_spatial`."""

    def __init__(self, strength: float = 1.0, cutoff: int = 100, *, seed: int = 0) -> None:
        super().__init__(seed)
        self.strength, self.cutoff = strength, cutoff

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Spatial:
        """Displacements."""
        return draw_spatial(count, shape[1:], generator, strength=self.strength, cutoff=self.cutoff)


class ColourTransform(PerImage):
    """A random colour curve for each image and channel; settings as in `draw_colour`."""

    def __init__(self, strength: float = 0.01, cutoff: int = 100, *, seed: int = 0) -> None:
        super().__init__(seed)
        self.strength, self.cutoff = strength, cutoff

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Colour:
        """Colour curves."""
        return draw_colour(count, shape[0], generator, strength=self.strength, cutoff=self.cutoff)


class PrimeTransform(PerImage):
    """The mixture of all three for each image; settings as in `draw_prime`."""

    def __init__(self, width: int = 3, depth: int = 3, *, seed: int = 0) -> None:
        super().__init__(seed)
        self.width, self.depth = width, depth

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Prime:
        """Chains of all three, and how they are mixed."""
        return draw_prime(count, shape, generator, width=self.width, depth=self.depth)


def _batch(image: Tensor) -> Tensor:
    plain = image.as_subclass(Tensor)
    return plain if plain.ndim == 4 else plain[None]
