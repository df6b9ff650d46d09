"""Isotropy and symmetry: how the response of a map depends on the direction and the sign of a step.

With d+ = F(x + r v) - F(x), d- = F(x - r v) - F(x) and the gain g(v) = |d+| / r over directions v of one distribution:

    variation   std(g) / mean(g)                 0: isotropic
    ratio       5 % quantile / 95 % quantile     1: isotropic
    spectral    least / largest singular value of the Jacobian on the subspace of the directions
    effective   PR / dimension, PR = (sum s²)² / sum s⁴: the share of directions that matter
    asymmetry   |d+ + d-| / (|d+| + |d-|)        0: affine along v; 1: an even change
    opposition  -cos(d+, d-)                     1: affine along v

**A linear map is not isotropic either.** A random linear map to ten outputs has a variation of about 0.22 and a
ratio of about 0.47 on the sphere, and its spectral isotropy is 0 once the subspace has more dimensions than there are
outputs. For a linear map on the sphere of R^D, E g² = tr M / D and the squared coefficient of variation of g² is (2 D /
(D + 2)) (1 / PR - 1 / D) with M = J^T J.

For a map that is smooth on the segment the asymmetry grows like r/2 |F''[v, v]| / |J v|: on logarithmic axes its slope
against r is 1, up to the first kink or where higher orders matter.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.geometry.local.jacobian import singular_values
from core.geometry.local.mantel import effective_directions

QUANTILES = (0.05, 0.95)


def variation(gain: np.ndarray) -> np.ndarray:
    """Std / mean of gains over their last axis; NaN where nothing changed.

    >>> float(variation(np.array([2.0, 2.0, 2.0])))
    0.0
    """
    gain = np.where(np.isfinite(gain), gain, np.nan)
    mean = gain.mean(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: np.ndarray = np.where(mean > 0, gain.std(-1) / mean, np.nan)
    return found


def quantile_ratio(gain: np.ndarray) -> np.ndarray:
    """5 % over 95 % quantile of gains over their last axis; NaN where nothing changed.

    >>> float(quantile_ratio(np.array([3.0, 3.0])))
    1.0
    """
    low, high = np.quantile(np.where(np.isfinite(gain), gain, np.nan), QUANTILES, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: np.ndarray = np.where(high > 0, low / high, np.nan)
    return found


def censored_ratio(distance: np.ndarray) -> np.ndarray:
    """5 % over 95 % quantile of distances over their last axis, where NaN means beyond reach.

    Args:
        distance: (..., m) lengths; NaN where a ray meets nothing.

    Returns:
        The ratio; NaN where either quantile is beyond reach.
    """
    far = np.where(np.isnan(distance), np.inf, distance)
    low, high = np.quantile(far, QUANTILES, axis=-1, method="nearest")
    known = np.isfinite(low) & np.isfinite(high)
    found: np.ndarray = np.divide(low, high, out=np.full(low.shape, np.nan), where=known)
    return found


def asymmetry(ahead: Float[Tensor, "*n k"], behind: Float[Tensor, "*n k"]) -> Float[Tensor, "*n"]:
    """|d+ + d-| / (|d+| + |d-|), in [0, 1]; NaN where both are 0.

    Args:
        ahead: d+.
        behind: d-.
    """
    found: Tensor = (ahead + behind).norm(dim=-1) / (ahead.norm(dim=-1) + behind.norm(dim=-1))
    return found


def opposition(ahead: Float[Tensor, "*n k"], behind: Float[Tensor, "*n k"]) -> Float[Tensor, "*n"]:
    """-cos(d+, d-), in [-1, 1]; NaN where one of them is 0.

    Args:
        ahead: d+.
        behind: d-.
    """
    found: Tensor = -(ahead * behind).sum(-1) / (ahead.norm(dim=-1) * behind.norm(dim=-1))
    return found


def spectral(
    matrix: Float[Tensor, "n k d"], basis: Float[Tensor, "b d"] | None
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Least over largest singular value of a map on a subspace, and the effective share of its directions.

    Args:
        matrix: matrix of the map.
        basis: orthonormal rows that span the subspace; None for the whole space.

    Returns:
        Spectral isotropy, exactly 0 where the subspace has more dimensions than the map has outputs, and PR over the
        dimension; NaN for the map 0.
    """
    inside = matrix.double() if basis is None else matrix.double() @ basis.double().T
    outputs, dimension = inside.shape[1:]
    values = singular_values(inside if outputs <= dimension else inside.transpose(1, 2))
    least = torch.zeros_like(values[:, -1]) if outputs < dimension else values[:, -1]
    return least / values[:, 0], effective_directions(values) / dimension


def expected_variation_of_squares(singular_values: Float[Tensor, "*n k"], dimension: int) -> Float[Tensor, "*n"]:
    """std(g²) / mean(g²) of a linear map over directions uniform on the sphere of R^D.

    Args:
        singular_values: of the map; missing ones are 0.
        dimension: D.

    Returns:
        sqrt((2 D / (D + 2)) (1 / PR - 1 / D)); NaN for the map 0.

    >>> float(expected_variation_of_squares(torch.ones(5), 5))
    0.0
    """
    many = effective_directions(singular_values)
    return (2 * dimension / (dimension + 2) * (1 / many - 1 / dimension)).clamp(min=0).sqrt()
