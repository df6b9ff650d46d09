"""The networks of the demo models, small enough to train on a CPU in a minute or two.

References: BatchNorm, Ioffe and Szegedy, ICML 2015; SiLU, Elfwing, Uchibe and Doya, Neural Networks 107, 2018; the
vision transformer, Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021, as timm builds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

_ACTIVATIONS: Mapping[str, type[nn.Module]] = {"silu": nn.SiLU, "relu": nn.ReLU}


def strided(input_shape: Sequence[int], classes: int, *, widths: Sequence[int], activation: str) -> nn.Sequential:
    """Stages of [3 x 3 convolution of stride 2, BatchNorm, activation], then a linear head on all values.

    Args:
        input_shape: (c, h, w) of one image.
        classes: number of logits.
        widths: channels of each stage.
        activation: "silu" (smooth, so that curvature is defined) or "relu".

    Returns:
        The network, from images to logits.

    Raises:
        ValueError: if a size is not positive.
    """
    if min(*input_shape, classes, *widths) < 1:
        raise ValueError(f"expected positive sizes, got {(*input_shape, classes, *widths)}")
    channels, height, width = input_shape
    stages: list[nn.Module] = []
    for stage in widths:
        convolution = nn.Conv2d(channels, stage, kernel_size=3, stride=2, padding=1, bias=False)
        stages += [convolution, nn.BatchNorm2d(stage), _ACTIVATIONS[activation]()]
        channels, height, width = stage, -(-height // 2), -(-width // 2)
    return nn.Sequential(*stages, nn.Flatten(), nn.Linear(channels * height * width, classes))


def transformer(
    input_shape: Sequence[int], classes: int, *, patch: int, width: int, depth: int, heads: int
) -> nn.Module:
    """The vision transformer of timm: patches of pixels as tokens, self-attention, a head on their mean.

    Args:
        input_shape: (c, h, w) of one image.
        classes: number of logits.
        patch: side of a patch, in pixels; divides height and width.
        width: numbers per token, a multiple of `heads`.
        depth: blocks of attention and a two-layer perceptron twice as wide.
        heads: attention heads per block.

    Returns:
        The network, from images to logits.

    Raises:
        ValueError: if a size is not positive, or one of the two divisions has a remainder.
    """
    from timm.models.vision_transformer import VisionTransformer

    channels, height, wide = input_shape
    if min(*input_shape, classes, patch, width, depth, heads) < 1 or height % patch or wide % patch or width % heads:
        sizes = (*input_shape, classes, patch, width, depth, heads)
        raise ValueError(
            f"expected positive sizes, patches that tile the image, heads that share the width, got {sizes}"
        )
    network: nn.Module = VisionTransformer(
        img_size=(height, wide),
        patch_size=patch,
        in_chans=channels,
        num_classes=classes,
        global_pool="avg",
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        mlp_ratio=2.0,
    )
    for module in network.modules():
        if hasattr(module, "fused_attn"):
            vars(module)["fused_attn"] = False  # the fused kernel has no second derivative
    return network
