"""Local properties of a classifier: how its outputs respond to perturbations of one length around an image.

Around an image x, the classifier is evaluated at x + r v and x - r v for directions v of one distribution
(`core.geometry.local.direction_distributions`). These points give its isotropy and symmetry
(`core.geometry.local.isotropy`), the Mantel score of their distances before and after (`core.geometry.local.mantel`),
and estimates of its Lipschitz constant (`core.geometry.local.lipschitz`). Each is compared with the same number for two
linear maps:

    the linearisation    the classifier's own Jacobian at x, along the same directions
    a random map         Gaussian weights to as many outputs, along the same directions

An effect that a linear map shows as well is no sign of non-linearity. Mantel scores use one radius, only the points x +
r v, and not x itself: antipodal pairs and pooled radii raise them whatever the map is.

Nothing is clipped to the pixel box, which would break the pairing of v and -v; `outside` counts the points beyond it.

References: Aghdam, Heravi, Puig, Explaining adversarial examples by local properties of convolutional neural networks,
VISAPP 2017, pp. 226-234, DOI 10.5220/0006123702260234. Definitions where that paper's are not known are given in the
modules named above, and are ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.local import isotropy
from core.geometry.local.direction_distributions import Directions, Sampler, directions
from core.geometry.local.jacobian import REPRESENTATIONS, Linearised, Outputs, Representation
from core.geometry.local.lipschitz import steepest_in_ball, steepest_pair
from core.geometry.local.mantel import distances, expected_of_linear, mantel_where_distinct
from core.geometry.local.norm_product import norm_product
from core.geometry.local.rays import label_rays
from core.models.classifier import Classifier
from core.result import ClassifierResult, Context, Number, quantity
from core.runtime.batches import Chunks, engine_mode
from core.runtime.cost import counted, spent
from core.runtime.progress import OnProgress, silent

STATUSES: Mapping[str, str] = MappingProxyType(
    {
        "measured": "Every number that the settings allow is there.",
        "no change": "The outputs are the same at all points: gains are 0, and ratios of them are not defined.",
        "undefined": "A logit is not finite at the image or at a perturbed point.",
    }
)
MAPS = ("measured", "linearised", "random linear map")
_WORDS = tuple(STATUSES)
_MEASURED, _NO_CHANGE, _UNDEFINED = range(len(_WORDS))
_SHOWN = 64  # points whose pairs are kept
_MOST_VALUES = 1 << 25  # of images x directions x pixels that are looked at together
# below this radius a pixel's step is so small that float32 turns it by more than a thousandth: 3.3e-3 for 3 x 32 x 32
_ROUNDED = 1000 * 2.0**-24


@dataclass(frozen=True, kw_only=True, eq=False)
class LocalGeometry(ClassifierResult):
    """Local properties of n images along m directions; the axis `map` follows MAPS."""

    gain: np.ndarray = quantity("output / ℓ2 pixel", "image direction")  # |d+| / r
    gain_behind: np.ndarray = quantity("output / ℓ2 pixel", "image direction")  # |d-| / r
    gain_linear: np.ndarray = quantity("output / ℓ2 pixel", "image direction")  # |J v|
    gain_random: np.ndarray = quantity(
        "output / ℓ2 pixel", "image direction"
    )  # |R v| of a random map of weights N(0, 1)
    asymmetry: np.ndarray = quantity(
        "", "image direction", words="asymmetry, mean over directions"
    )  # |d+ + d-| / (|d+| + |d-|); NaN where nothing changes
    opposition: np.ndarray = quantity("", "image direction")  # -cos(d+, d-); NaN where one of them is 0
    residual: np.ndarray = quantity(
        "", "image direction", words="off the linearisation, mean over directions"
    )  # |d+ - r J v| / |d+|
    flips: np.ndarray = quantity("", "image direction")  # 0: no other class, 1: ahead, 2: behind, 3: both; -1 undefined
    boundary: np.ndarray = quantity("ℓ2 pixel", "sense image ray")  # ahead, behind; NaN: none within the reach
    variation: np.ndarray = quantity("", "image map", words="variation of the gain")
    ratio: np.ndarray = quantity("", "image map")
    spectral: np.ndarray = quantity("", "image map")  # of Jacobians: NaN in the first column
    effective: np.ndarray = quantity("", "image map", words="share of directions that matter")  # the same
    mantel_raw: np.ndarray = quantity("", "image", words="Mantel score")
    mantel_linear: np.ndarray = quantity("", "image", words="Mantel score of the linearisation")  # of the linearisation
    mantel_jacobian: np.ndarray = quantity("", "image")  # between |J(z_i - z_j)| and |F(z_i) - F(z_j)|
    mantel_random: np.ndarray = quantity(
        "", "image", words="Mantel score of a random linear map"
    )  # of a random linear map
    mantel_expected: np.ndarray = quantity("", "image")  # of a linear map with this spectrum; on the sphere only
    mantel_p: np.ndarray = quantity("", "image score")  # of raw, linear, jacobian
    lipschitz_pairs: np.ndarray = quantity("output / ℓ2 pixel", "image", words="slope between pairs of points")
    lipschitz_point: np.ndarray = quantity("output / ℓ2 pixel", "image", words="slope at the image")
    lipschitz_ball: np.ndarray = quantity("output / ℓ2 pixel", "image", words="slope in the ball")
    lipschitz_margin: np.ndarray = quantity(
        "output / ℓ2 pixel", "image", words="slope of a margin in the ball"
    )  # NaN where there are many outputs
    lipschitz_residual: np.ndarray = quantity("", "image")  # of the power iteration at the point; 0: exact
    margin: np.ndarray = quantity("output", "image", words="margin")  # f_c - max f_j
    outside: np.ndarray = quantity("", "image")  # share of the 2 m points with a pixel outside [0, 1]
    source_class: np.ndarray = quantity("", "image")  # -1 where undefined
    outcome: np.ndarray = quantity("", "image")  # the number of its word in STATUSES
    pair_distance: np.ndarray = quantity(
        "ℓ2 pixel", "kept pair", formerly="apart"
    )  # |z_i - z_j| of the first 64 points, first images
    answered: np.ndarray = quantity("output", "kept pair")  # |F(z_i) - F(z_j)|
    answered_linear: np.ndarray = quantity("output", "kept pair")  # |J (z_i - z_j)|
    product: float = quantity(
        "logit / ℓ2 pixel", words="product of the layers' norms"
    )  # of the layers' norms; NaN where there is no such bound
    product_words: str = quantity("")
    radius: float = quantity("ℓ2 pixel")
    reach: float = quantity("ℓ2 pixel")
    sampler: str = quantity("")
    dimension: int = quantity("")  # of the subspace that the directions lie in
    representation: str = quantity("")
    precision: str = quantity("")

    @property
    def status(self) -> np.ndarray:
        """(n,) words of STATUSES."""
        words: np.ndarray = np.array(_WORDS)[self.outcome]
        return words

    @property
    def length_of_margin(self) -> np.ndarray:
        """(n,) margin / steepest slope of a margin met in the ball, ℓ2 pixel: a length, whatever the units."""
        found: np.ndarray = self.margin / self.lipschitz_margin
        return found

    @property
    def label_ratio(self) -> np.ndarray:
        """(n,) 5 % over 95 % quantile of the distances of the boundary; NaN where either is beyond reach."""
        return isotropy.censored_ratio(np.concatenate([self.boundary[0], self.boundary[1]], 1))

    @property
    def censored(self) -> np.ndarray:
        """(n,) share of rays, both senses, that met no other class."""
        share: np.ndarray = np.isnan(self.boundary).mean((0, 2))
        return share

    @property
    def flip_shares(self) -> np.ndarray:
        """(n, 4) shares of directions along which no sense, v alone, -v alone, and both change the class."""
        shares: np.ndarray = (self.flips[:, :, None] == np.arange(4)).mean(1)
        return shares

    def key_numbers(self, context: Context) -> Iterator[Number]:
        """Margin, isotropy, symmetry, steepness and scores, with those of linear maps."""
        yield from self.quoted(
            "margin",
            "length_of_margin:margin over the steepest slope met:ℓ2 pixel",
            "label_ratio:distance of the boundary, 5 % over 95 % quantile",
            "censored:share of rays that meet no other class",
            "asymmetry",
            "residual",
            "lipschitz_point",
            "lipschitz_pairs",
            "lipschitz_ball",
            "lipschitz_margin",
            "mantel_raw",
            "mantel_linear",
            "mantel_random",
        )
        yield from self.quoted("variation", "effective", columns=MAPS)
        yield from self.quoted("product")


@counted
def local_geometry(
    classifier: Classifier,
    images: Float[Tensor, "n c h w"],
    radius: float,
    *,
    sampler: Sampler = "sphere",
    dimension: int = 8,
    count: int = 128,
    rays: int = 16,
    reach: float | None = None,
    representation: Representation = "logits",
    permutations: int = 199,
    samples: int = 4,
    ascents: int = 4,
    seed: int = 0,
    keep: int = 1,
    on_progress: OnProgress = silent,
) -> LocalGeometry:
    """Measure isotropy, symmetry, Mantel scores and Lipschitz numbers around images.

    Args:
        classifier: any `core.models.classifier.Classifier`.
        images: finite pixel values, nominally in [0, 1].
        radius: r, the length of all perturbations, in ℓ2 pixel.
        sampler: the distribution of the directions, see `core.geometry.local.direction_distributions.directions`.
        dimension: dimension of the subspace, for the sampler "subspace".
        count: m, the number of directions v, each with -v; the points x + r v are those of the Mantel scores.
        rays: number of directions, the first ones, along which the label is followed both ways; 0 for none.
        reach: length of these rays, in ℓ2 pixel; 10 radii when None.
        representation: logits, or their softmax.
        permutations: permutations for the p-values of the Mantel scores; 0 for none.
        samples: points of each ball, besides its centre, at which the Jacobian is computed.
        ascents: ascent steps from the steepest of them.
        seed: seed of directions, permutations and the random map.
        keep: number of images, the first ones, whose pairs are kept.
        on_progress: called with the fraction done.

    Returns:
        The local properties. `forwards` and `gradients` count passes in images; a Jacobian takes a gradient per output.

    Raises:
        ValueError: if there is no image, the radius is not a positive length, or an option is not one of those above.
        ImageError: if a value is not finite or the shape is not the classifier's.

    Reference:
        Aghdam, Heravi, Puig, VISAPP 2017.
    """
    if not 0 < radius < math.inf:
        raise ValueError(f"expected a radius of positive length, got {radius}")
    if representation not in REPRESENTATIONS:
        raise ValueError(f"expected logits or probabilities, got {representation!r}")
    if min(rays, permutations, ascents, keep) < 0 or not 0 <= samples <= count or count < 4:
        came = f"{count}, {rays}, {permutations}, {samples}, {ascents}, {keep}"
        raise ValueError(f"expected 4 or more directions, samples among them, and nothing below 0, got {came}")
    exact, pixels = precisely(classifier, images, radius)
    with engine_mode(exact.device):
        outputs = Outputs(exact, representation)
        drawn = directions(exact, pixels, count, sampler, dimension=dimension, radius=radius, seed=seed)
        around = _Around(
            outputs, drawn, sampler == "sphere", radius, min(rays, count), reach or 10 * radius, permutations, seed
        )
        parts = Chunks(_MOST_VALUES, each=count * pixels[0].numel())(
            len(pixels),
            lambda rows, tick: around(pixels[rows], drawn.of(rows), samples, ascents, max(0, keep - rows.start), tick),
            on_progress,
        )
        product = norm_product(classifier)
    columns: dict[str, Any] = {
        name: np.concatenate([part[name] for part in parts], 1 if name == "boundary" else 0) for name in parts[0]
    }
    return LocalGeometry(
        **columns,
        product=product.bound if representation == "logits" else math.nan,
        product_words=product.words if representation == "logits" else "no bound: it is about logits",
        radius=float(radius),
        reach=float(around.reach),
        sampler=sampler,
        dimension=pixels[0].numel() if drawn.basis is None else len(drawn.basis),
        representation=representation,
        precision=str(exact.dtype).removeprefix("torch."),
        num_classes=classifier.num_classes,
        fingerprint=classifier.fingerprint,
        **spent(),
    )


def precise(classifier: Classifier, radius: float) -> Classifier:
    """The classifier in a dtype in which perturbations of this length keep their direction to a thousandth."""
    rounded = _ROUNDED * math.sqrt(math.prod(classifier.input_shape))
    few = torch.finfo(classifier.dtype).eps > torch.finfo(torch.float32).eps
    if classifier.dtype == torch.float64 or (radius >= rounded and not few):
        return classifier
    wider = torch.float64 if radius < rounded and classifier.device.type != "mps" else torch.float32
    return classifier.to(dtype=wider)


def precisely(
    classifier: Classifier, images: Float[Tensor, "n c h w"], radius: float
) -> tuple[Classifier, Float[Tensor, "n c h w"]]:
    """The classifier as `precise` returns it, and images, one at least, as it accepts them.

    Raises:
        ValueError: if there is no image.
    """
    exact = precise(classifier, radius)
    pixels = exact.accept(images)
    if not len(pixels):
        raise ValueError("expected at least one image, got none")
    return exact, pixels


class _Around:
    def __init__(
        self,
        outputs: Outputs,
        drawn: Directions,
        sphere: bool,
        radius: float,
        rays: int,
        reach: float,
        permutations: int,
        seed: int,
    ) -> None:
        self._outputs, self._basis, self._sphere, self._radius = outputs, drawn.basis, sphere, radius
        self._rays, self.reach, self._permutations, self._seed = rays, reach, permutations, seed
        like = drawn.vectors
        generator = torch.Generator().manual_seed(seed + 1)
        self._random = torch.randn((1, outputs.count, like.shape[2]), generator=generator, dtype=torch.float64).to(like)

    def __call__(
        self,
        images: Tensor,
        vectors: Tensor,
        samples: int,
        ascents: int,
        keep: int,
        tick: Callable[[float], None],
    ) -> dict[str, np.ndarray]:
        radius, outputs = self._radius, self._outputs
        here = Linearised(outputs, images)
        logits = here.value if outputs.representation == "logits" else here.value.log()
        top, source = logits.topk(2, 1).values, logits.argmax(1)
        there, classes = outputs.around(images, vectors, (radius, -radius))
        ahead, behind = (there - here.value[:, None]).double()
        linear, random = here(vectors).double(), (vectors @ self._random[0].T).double()
        defined = torch.isfinite(here.value).all(1) & (classes >= 0).all(2).all(0)
        tick(0.3)
        gains = torch.stack(
            [ahead.norm(dim=2) / radius, linear.norm(dim=2), random.norm(dim=2).expand(len(images), -1)], 2
        )
        columns: dict[str, Any] = {
            "gain": gains[..., 0],
            "gain_behind": behind.norm(dim=2) / radius,
            "gain_linear": gains[..., 1],
            "gain_random": gains[..., 2],
            "asymmetry": isotropy.asymmetry(ahead, behind),
            "opposition": isotropy.opposition(ahead, behind),
            "residual": (ahead - radius * linear).norm(dim=2) / ahead.norm(dim=2),
        }
        columns |= self._scores(vectors, ahead, linear, random, keep)
        tick(0.5)
        point = here.largest()
        steep = steepest_in_ball(
            outputs, images, here, source, vectors[:, :samples], radius, ascents=ascents, seed=self._seed
        )
        tick(0.7)
        columns |= self._maps(here, gains)
        columns["lipschitz_point"], columns["lipschitz_residual"] = point.value, point.residual
        columns["lipschitz_ball"], columns["lipschitz_margin"] = steep.outputs, steep.margin
        columns["margin"] = (top[:, 0] - top[:, 1]).double()
        columns["boundary"] = (
            label_rays(outputs, images, vectors[:, : self._rays], self.reach).distance
            if self._rays
            else images.new_empty((2, len(images), 0), dtype=torch.float64)
        )
        points = (images[:, None].flatten(2) + side * radius * vectors for side in (1, -1))
        columns["outside"] = torch.stack([((each < 0) | (each > 1)).any(2).double().mean(1) for each in points]).mean(0)
        unchanged = (gains[..., 0] == 0).all(1) & (columns["gain_behind"] == 0).all(1)
        found = {name: _blank(name, value, defined).cpu().numpy() for name, value in columns.items()}
        moved = (classes != source[:, None]).to(torch.int8)
        return found | {
            "flips": (moved[0] + 2 * moved[1]).masked_fill(~defined[:, None], -1).cpu().numpy(),
            "source_class": source.masked_fill(~defined, -1).to(torch.int32).cpu().numpy(),
            "outcome": torch.where(defined, torch.where(unchanged, _NO_CHANGE, _MEASURED), _UNDEFINED)
            .to(torch.int8)
            .cpu()
            .numpy(),
        }

    def _scores(self, vectors: Tensor, there: Tensor, linear: Tensor, random: Tensor, keep: int) -> dict[str, Tensor]:
        """Mantel scores of the points ahead, and the distances of the first images."""
        count = there.shape[1]
        pair_distance = (self._radius * distances(vectors)).expand(len(there), -1, -1)
        answered, answered_linear = distances(torch.nan_to_num(there)), self._radius * distances(linear)
        plain = distances(random).expand_as(pair_distance)
        shown = min(count, _SHOWN)
        rows = torch.triu_indices(shown, shown, 1, device=pair_distance.device)
        first, second = (
            torch.cat([pair_distance, pair_distance, answered_linear, pair_distance]),
            torch.cat([answered, answered_linear, answered, plain]),
        )
        score, p = mantel_where_distinct(first, second, self._permutations, self._seed)
        raw, straight, jacobian, plainly = score.view(4, -1)
        return {
            "mantel_raw": raw,
            "mantel_linear": straight,
            "mantel_jacobian": jacobian,
            "mantel_random": plainly,
            "mantel_p": p.view(4, -1)[:3].T,
            "lipschitz_pairs": steepest_pair(pair_distance, answered),
            "pair_distance": pair_distance[:keep, rows[0], rows[1]],
            "answered": answered[:keep, rows[0], rows[1]],
            "answered_linear": answered_linear[:keep, rows[0], rows[1]],
        }

    def _maps(self, here: Linearised, gains: Tensor) -> dict[str, Tensor]:
        """Isotropy of the classifier, its linearisation and a random linear map."""
        rows, unknown = len(gains), torch.full_like(gains[:, 0, 0], torch.nan)
        plain, share = isotropy.spectral(self._random, self._basis)
        least, part, expected = unknown, unknown, unknown
        if here.matrix is not None:
            least, part = isotropy.spectral(here.matrix, self._basis)
            if self._sphere:
                values = here.singular_values()
                assert values is not None
                expected = expected_of_linear(values, here.matrix.shape[2])
        over = gains.transpose(1, 2).cpu().numpy()
        return {
            "variation": torch.from_numpy(isotropy.variation(over)),
            "ratio": torch.from_numpy(isotropy.quantile_ratio(over)),
            "spectral": torch.stack([unknown, least, plain.expand(rows)], 1),
            "effective": torch.stack([unknown, part, share.expand(rows)], 1),
            "mantel_expected": expected,
        }


def _blank(name: str, value: Tensor, defined: Tensor) -> Tensor:
    """Set to NaN where an image is undefined; pairs belong to the first images only."""
    known = defined.to(value.device)
    if name == "boundary":
        return value.masked_fill(~known[None, :, None], torch.nan)
    known = known[: len(value)]
    return value.masked_fill(~known.view(-1, *[1] * (value.ndim - 1)), torch.nan)
