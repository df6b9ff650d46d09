"""A classifier as the geometry sees it: images in [0, 1] in, logits out.

Normalisation, device, dtype and eval mode are inside `Classifier`, so that every distance measured through it is a
distance between images. Its fingerprint identifies the function that it computes: equal fingerprints, equal logits.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from core import wording
from core.errors import ImageError
from core.runtime import batches as compute
from core.runtime import progress
from core.runtime.cost import count_passes


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """Predictions for n images."""

    label: np.ndarray  # (n,) class index, -1 where the logits are not finite
    confidence: np.ndarray  # (n,) probability of that class
    probabilities: np.ndarray  # (n, k)


class Classifier:
    """Maps images in [0, 1] to logits; differentiable in the images, frozen in everything else.

    The module gets a new tensor each time: if it writes into its input, it changes no images of the caller, and its
    derivatives are those of the same steps out of place.

    Args:
        module: any module from normalised images (n, c, h, w) to logits (n, k). It is copied; yours is not changed.
        input_shape: (c, h, w) of one image.
        class_names: one name per class, cleaned by `core.wording.name`; "class 0", "class 1", ... by default.
        mean: per channel, subtracted from the pixels; 0 by default.
        std: per channel, by which the pixels are then divided; 1 by default.
        name: its name in figures; by default that of the module's class.
        device: where it runs; by default the best device here.

    Raises:
        ValueError: if the module does not map such images to (n, k) logits with k >= 2, or the names, mean or std do
            not fit, or the module's dtype cannot represent mean and std.
    """

    def __init__(
        self,
        module: nn.Module,
        input_shape: Sequence[int],
        class_names: Sequence[str] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        name: str | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        self.device = compute.choose_device(device)
        self.module = _frozen_copy(module).to(self.device)
        if len(input_shape) != 3 or any(int(size) < 1 for size in input_shape):
            raise ValueError(f"expected an input shape (channels, height, width), got {tuple(input_shape)}")
        channels, height, width = (int(size) for size in input_shape)
        self.input_shape = (channels, height, width)
        self.dtype = next((p.dtype for p in self.module.parameters() if p.is_floating_point()), torch.float32)
        self.mean = _per_channel("mean", mean, 0.0, channels)
        self.std = _per_channel("std", std, 1.0, channels)
        self.name = wording.name(name or "", type(module).__name__)
        self._prepare()
        self.num_classes = self._count_classes()
        names = wording.names([""] * self.num_classes if class_names is None else class_names, "class")
        if len(names) != self.num_classes:
            raise ValueError(f"expected {self.num_classes} class names, as many as logits, got {len(names)}")
        self.class_names = names

    def _prepare(self) -> None:
        """Put the normalisation on the device and in the dtype of the images.

        Raises:
            ValueError: if the dtype cannot hold it.
        """
        shift = torch.tensor(self.mean, dtype=torch.float64)
        scale = torch.tensor(self.std, dtype=torch.float64).reciprocal()
        self._shift = shift.to(self.dtype).to(self.device).view(-1, 1, 1)
        self._scale = scale.to(self.dtype).to(self.device).view(-1, 1, 1)
        if not bool((self._shift.isfinite() & self._scale.isfinite() & (self._scale > 0)).all()):
            dtype = str(self.dtype).removeprefix("torch.")
            raise ValueError(
                f"expected a mean, and a positive std, within the range of {dtype}, "
                f"got mean {wording.abbreviated(self.mean)} and std {wording.abbreviated(self.std)}; "
                "give both for pixels in [0, 1]"
            )
        self._normalises = self.mean != (0.0,) * len(self.mean) or self.std != (1.0,) * len(self.std)

    def _count_classes(self) -> int:
        with torch.no_grad():
            logits: Any = self.module(self._normalised(self.grey(2)))
        if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != 2 or logits.shape[1] < 2:
            came = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"expected logits of shape (2, classes) for two images, got {came}; is it a classifier?")
        return int(logits.shape[1])

    def __call__(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Logits of images in [0, 1]; pixels outside that range are allowed and used unchanged."""
        progress.batch_begins()
        logits: Tensor = self.module(self._normalised(images))
        return logits

    @property
    def normalisation(self) -> tuple[Tensor, Tensor] | None:
        """Shift and scale of each channel, applied before the module: (x - shift) * scale; None if there is none."""
        return (self._shift, self._scale) if self._normalises else None

    def _normalised(self, images: Tensor) -> Tensor:
        """The input of the module: always a new tensor, since modules may write into it."""
        return (images - self._shift) * self._scale if self._normalises else images.clone()

    def grey(self, count: int = 1) -> Float[Tensor, "n c h w"]:
        """Grey images, with the device and dtype of the classifier."""
        return torch.full((count, *self.input_shape), 0.5, device=self.device, dtype=self.dtype)

    def along(
        self, origin: Float[Tensor, "c h w"], axes: Float[Tensor, "a c h w"]
    ) -> Callable[[Float[Tensor, "n a"]], Float[Tensor, "n k"]]:
        """The classifier on an affine patch of image space.

        Normalisation is affine too, and folded into the patch: a point costs one multiplication and addition per axis
        and pixel, less than normalising an image.

        Args:
            origin: the image at coordinates 0.
            axes: the change of the image per unit of each coordinate.

        Returns:
            A function from coordinates (n, a), in the classifier's dtype, to the logits of origin + coordinates . axes.

        Raises:
            ImageError: if the origin or an axis does not have the input shape, or is not finite.
        """
        centre = ((self.accept(origin[None])[0] - self._shift) * self._scale).flatten()
        directions = (self.accept(axes) * self._scale).flatten(1)

        def logits(coordinates: Tensor) -> Tensor:
            pixels = centre.expand(len(coordinates), -1)
            for axis, direction in enumerate(directions):  # a few: 5 times faster than such a thin matrix product
                pixels = torch.addcmul(pixels, coordinates[:, axis : axis + 1], direction)
            progress.batch_begins()
            found: Tensor = self.module(pixels.view(-1, *self.input_shape))
            return found

        return logits

    def to(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> Classifier:
        """The same function on another device or in another dtype; this one is not changed."""
        moved = copy.copy(self)
        moved.__dict__.pop("fingerprint", None)
        moved.device = torch.device(device) if device is not None else self.device
        moved.dtype = dtype or self.dtype
        moved.module = copy.deepcopy(self.module).to(device=moved.device, dtype=moved.dtype)
        moved._prepare()
        return moved

    def accept(self, images: Tensor | np.ndarray) -> Float[Tensor, "n c h w"]:
        """Check images, and convert them to the classifier's device and dtype.

        Args:
            images: (n, c, h, w) finite pixel values, nominally in [0, 1], of any float type and memory layout.

        Returns:
            The images as a tensor, detached.

        Raises:
            ImageError: if the shape is not the classifier's, or a value is not finite or not a float.
        """
        tensor = _floats(images).detach().to(device=self.device, dtype=self.dtype)
        if tensor.ndim != 4 or tuple(tensor.shape[1:]) != self.input_shape:
            expected = " x ".join(map(str, self.input_shape))
            came = " x ".join(map(str, tensor.shape))
            raise ImageError(f"expected images of n x {expected} for {self.name}, got {came}; resize or regroup them")
        if not bool(torch.isfinite(tensor).all()):
            raise ImageError("expected finite pixel values, got NaN or infinity; look at how the images were made")
        return tensor

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of weights, buffers, architecture and preprocessing; "" if something cannot be hashed."""
        digest = hashlib.sha256()
        try:
            _hash_module(digest, self.module)
            _hash_value(digest, (self.input_shape, self.mean, self.std))
        except _CannotHashError:
            return ""
        return digest.hexdigest()

    @property
    def batch_key(self) -> str:
        """The key of the best batch shape; "" if the classifier has no fingerprint."""
        return f"{self.fingerprint[:32]}/{self.dtype}" if self.fingerprint else ""

    def batches(self, *, counts: bool = True) -> compute.Batches:
        """A runner over rows with the batch shape tuned for this classifier; a row `counts` as a forward pass."""

        def forward(size: int) -> None:
            with torch.inference_mode():
                self(self.grey(size))

        size = compute.batch_shapes.get(self.batch_key, forward, self.device)
        halve = partial(compute.batch_shapes.halve, self.batch_key, self.device)
        return compute.Batches(size, halve, counts=counts)

    def predict(self, images: Tensor | np.ndarray) -> Predictions:
        """Class, confidence and all probabilities of images.

        Args:
            images: (n, c, h, w) finite pixel values, nominally in [0, 1].

        Returns:
            NumPy arrays; label -1 and probabilities NaN where the logits are not finite.

        Raises:
            ImageError: if the shape is not the classifier's or a value is not finite.
        """
        with torch.inference_mode():
            logits = self.batches(counts=False)(self, self.accept(images)).double()
            count_passes(forwards=len(logits))
            finite = torch.isfinite(logits).all(1)
            probabilities = logits.softmax(1).where(finite[:, None], torch.nan)
            confidence, label = probabilities.max(1)
            label = label.where(finite, -1)
        return Predictions(
            label=label.cpu().numpy(), confidence=confidence.cpu().numpy(), probabilities=probabilities.cpu().numpy()
        )

    def __repr__(self) -> str:
        channels, height, width = self.input_shape
        return f"Classifier({self.name}: {channels} x {height} x {width} -> {self.num_classes} classes, {self.device})"


def _frozen_copy(module: nn.Module) -> nn.Module:
    frozen = copy.deepcopy(module).eval().requires_grad_(False)
    for part in frozen.modules():
        if getattr(part, "inplace", False) is True:
            setattr(part, "inplace", False)  # noqa: B010 - attributes of modules are typed as tensors
    return frozen


def _per_channel(name: str, values: object, default: float, channels: int) -> tuple[float, ...]:
    """A statistic of each channel.

    Raises:
        ValueError: if there is not one finite number per channel.
    """
    if values is None:
        return (default,) * channels
    try:
        array = np.asarray(values)
    except (ValueError, TypeError):  # lists of unequal lengths, or a tensor that is not on the CPU
        array = np.array(None)
    if array.dtype.kind not in "fiu" or array.shape != (channels,) or not np.isfinite(array).all():
        expected = f"{channels} finite number{'s' if channels > 1 else ''} of {name}, one per channel"
        raise ValueError(f"expected {expected}, got {wording.abbreviated(values)}; give them for pixels in [0, 1]")
    return tuple(float(value) for value in array)


def _floats(images: Tensor | np.ndarray) -> Tensor:
    """Images as a strided tensor of floats.

    Raises:
        ImageError: if they are not floats: the range of whole numbers is not known to be [0, 1].
    """
    if isinstance(images, Tensor):
        if images.is_floating_point() and images.layout == torch.strided:
            return images
        kind = str(images.dtype if images.layout == torch.strided else images.layout).removeprefix("torch.")
    else:
        try:
            array = np.asarray(images)
        except (ValueError, TypeError):  # lists of unequal lengths
            array = np.array(None)
        if array.dtype.kind == "f":  # torch takes no negative strides, foreign byte orders or long doubles
            native = array.dtype.newbyteorder("=") if array.dtype.itemsize <= 8 else np.float64
            if any(stride < 0 for stride in array.strides):  # even of an axis of length 1, which NumPy ignores
                array = np.array(array, order="C")
            return torch.from_numpy(np.require(array, native, ("C", "W")))
        kind = str(array.dtype)
    advice = "divide them by 255" if "int" in kind else "convert them"
    raise ImageError(f"expected pixel values as floats in [0, 1], got {kind[:40]}; {advice}")


# -- fingerprint ------------------------------------------------------------------------------------------------------


class _CannotHashError(Exception):
    """Something in the module has no canonical bytes."""


_NOT_THE_FUNCTION = {"training", "_parameters", "_buffers", "_modules"}  # a mode, or hashed by name
_LIBRARIES = ("torch.", "torchvision.", "timm.")  # classes that are identified by version, not by source


def _hash_module(digest: hashlib._Hash, module: nn.Module) -> None:
    for name, part in module.named_modules():
        digest.update(f"module {name}\0".encode())
        _hash_class(digest, type(part))
        attributes = {key: value for key, value in vars(part).items() if key not in _NOT_THE_FUNCTION}
        _hash_value(digest, attributes)
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        digest.update(f"tensor {name}\0".encode())
        _hash_value(digest, tensor)


def _hash_class(digest: hashlib._Hash, kind: type) -> None:
    for base in kind.__mro__[:-1]:
        digest.update(f"class {_module_of(base)}.{base.__qualname__}\0".encode())
        library = base.__module__.partition(".")[0]
        if library in ("torchvision", "timm"):  # torch's own layers do not change
            digest.update(version(library).encode())
        if not f"{base.__module__}.".startswith((*_LIBRARIES, "builtins.", "collections.", "typing.")):
            digest.update(_source(base))


def _module_of(thing: Any) -> str:
    """The module that defines something; of ours only the last name, so that moving a file changes no fingerprint."""
    module = getattr(thing, "__module__", None) or ""
    return f"core.{module.rpartition('.')[2]}" if module.startswith("core.") else module


def _source(thing: Any) -> bytes:
    try:
        return inspect.getsource(thing).encode()
    except (OSError, TypeError) as error:
        raise _CannotHashError(f"no source for {thing!r}") from error


def _hash_value(digest: hashlib._Hash, value: Any) -> None:
    digest.update(f"{type(value).__name__}\0".encode())
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | torch.dtype | torch.device):
        digest.update(f"{value!r}\0".encode())
    elif isinstance(value, Tensor):
        _hash_array(digest, value.detach().cpu())
    elif isinstance(value, np.ndarray):
        _hash_array(digest, torch.as_tensor(value))
    elif isinstance(value, Mapping):
        digest.update(f"{len(value)}\0".encode())
        for key in sorted(value, key=repr):
            _hash_value(digest, key)
            _hash_value(digest, value[key])
    elif isinstance(value, list | tuple):
        digest.update(f"{len(value)}\0".encode())
        for entry in value:
            _hash_value(digest, entry)
    elif isinstance(value, set | frozenset):
        _hash_value(digest, sorted(value, key=repr))
    elif isinstance(value, nn.Module):  # in a plain list, for example, where named_modules does not see it
        _hash_module(digest, value)
    elif isinstance(value, type):
        _hash_class(digest, value)
    elif callable(value):
        _hash_callable(digest, value)
    else:
        raise _CannotHashError(f"cannot hash a {type(value).__name__}")


def _hash_array(digest: hashlib._Hash, tensor: Tensor) -> None:
    digest.update(f"{tensor.dtype} {tuple(tensor.shape)}\0".encode())
    digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())


def _hash_callable(digest: hashlib._Hash, value: Any) -> None:
    """Hash a function: by its name if a library defines it, else by its source, defaults and closure."""
    module = _module_of(value)
    name = getattr(value, "__qualname__", None)
    if name is None:
        raise _CannotHashError(f"cannot hash {value!r}")
    digest.update(f"{module}.{name}\0".encode())
    if inspect.isbuiltin(value) or f"{module}.".startswith(_LIBRARIES):
        return
    digest.update(_source(value))
    function = inspect.unwrap(value)
    owner = getattr(function, "__self__", None)
    if owner is not None:
        _hash_value(digest, vars(owner) if hasattr(owner, "__dict__") else owner)
    _hash_value(digest, getattr(function, "__defaults__", None))
    _hash_value(digest, getattr(function, "__kwdefaults__", None))
    _hash_value(digest, [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()])
