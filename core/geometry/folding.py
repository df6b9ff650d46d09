"""A network whose batch norms are folded into the convolutions before them: the same function, cheaper derivatives.

In eval mode a batch norm is a fixed scale and shift per channel, which a convolution can take over:

    gamma (W * x + b - mu) / sigma + beta = (gamma / sigma) W * x + (gamma / sigma) (b - mu) + beta.

The results differ by rounding. torch's second derivative of batch norm recomputes statistics that are constants here.

References: Ioffe and Szegedy, Batch normalization, ICML 2015, Algorithm 2.
"""

from __future__ import annotations

import copy
from weakref import WeakKeyDictionary

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from core.classifier import Classifier

_folded: WeakKeyDictionary[Classifier, Classifier] = WeakKeyDictionary()


def folded(classifier: Classifier) -> Classifier:
    """The classifier with every batch norm that directly follows a convolution in a `Sequential` folded into it.

    Args:
        classifier: any; it is left as it is.

    Returns:
        The same function up to rounding; the classifier itself where there is nothing to fold.
    """
    if not any(_pairs(part) for part in classifier.module.modules()):
        return classifier
    if (known := _folded.get(classifier)) is not None:
        return known
    same = copy.copy(classifier)
    same.module = copy.deepcopy(classifier.module)
    for part in list(same.module.modules()):
        for place in _pairs(part):
            assert isinstance(part, nn.Sequential)
            convolution, norm = part[place], part[place + 1]
            assert isinstance(convolution, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            part[place] = fuse_conv_bn_eval(convolution, norm).requires_grad_(False)
            part[place + 1] = nn.Identity()
    _folded[classifier] = same
    return same


def _pairs(part: nn.Module) -> list[int]:
    """Where in a plain `Sequential` a convolution is followed by a batch norm with statistics of its own."""
    if type(part) is not nn.Sequential:
        return []
    return [
        place
        for place in range(len(part) - 1)
        if type(part[place]) is nn.Conv2d
        and type(part[place + 1]) is nn.BatchNorm2d
        and part[place + 1].running_var is not None
        and not any(module._forward_hooks or module._forward_pre_hooks for module in (part[place], part[place + 1]))
    ]
