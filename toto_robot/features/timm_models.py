"""DINO, DINOv2, the image side of CLIP, and other networks of timm, with weights from a local file.

    timm:vit_small_patch16_224.dino:dino_deitsmall16_pretrain.pth
    timm:vit_small_patch14_dinov2.lvd142m:dinov2_vits14_pretrain.pth
    timm:vit_base_patch16_clip_224.openai:model.safetensors

timm builds the architecture and translates the names of the original files to its own. The file is read without running
it, and nothing is downloaded. timm is imported when it is needed.
"""

import difflib
import importlib
from pathlib import Path

import torch
from torch import Tensor, nn

from toto_robot.ground.errors import UserError
from toto_robot.tokens.foreign.weights import read_weights

LARGEST = 224
"""Largest side of a frame in pixels. A vision transformer for larger frames (DINOv2's 518) runs at this size, with
interpolated positions."""
SPARE = ("mask_token", "head", "fc_norm")
"""Weights of a model that no feature depends on, or that some files leave out."""


class TimmModel(nn.Module):
    """A network of timm in the form that `VisionEncoder` needs: tokens after a layer, the class token first, if any."""

    def __init__(self, name: str):
        super().__init__()
        timm = _timm()
        if not timm.is_model(name):
            near = difflib.get_close_matches(name, timm.list_models(pretrained=True), n=5, cutoff=0.3)
            raise UserError(
                f"timm {timm.__version__} has no model {name!r}. Similar names: {', '.join(near) or 'none'}."
            )
        options: dict = {"pretrained": False, "num_classes": 0}
        found = timm.get_pretrained_cfg(name)
        if name.startswith("vit_") and found.input_size[1] > LARGEST:
            options["img_size"] = LARGEST
        self.model = timm.create_model(name, **options)
        self.name, self.transformer = name, hasattr(self.model, "blocks") and hasattr(self.model, "num_prefix_tokens")
        self.depth = len(self.model.blocks) if self.transformer else 1
        self.image_size = options.get("img_size", found.input_size[1])
        self.mean, self.std, self.prefix = found.mean, found.std, getattr(self.model, "num_prefix_tokens", 0)
        self.width = self.model.num_features

    def forward(self, x: Tensor, layer: int) -> Tensor:
        """Normalised frames (B, 3, H, W) → tokens (B, [1 +] S, D) after `layer`; the last layer with the final norm."""
        if self.transformer and layer < self.depth:
            options = dict(indices=[layer - 1], intermediates_only=True, norm=False, output_fmt="NLC")
            ((x, prefix),) = self.model.forward_intermediates(x, return_prefix_tokens=True, **options)
            x = torch.cat([prefix, x], dim=1)
        else:
            x = self.model.forward_features(x)
        if x.ndim == 4:  # a convolutional network's map (B, D, h, w)
            return x.flatten(2).transpose(1, 2)
        return torch.cat([x[:, :1], x[:, self.prefix :]], dim=1) if self.prefix else x

    def read(self, path: Path) -> None:
        """Read the weights of `path`, in timm's names or in those of the original release.

        Raises UserError listing what is missing.
        """
        state = read_weights(path)
        translate = getattr(importlib.import_module(type(self.model).__module__), "checkpoint_filter_fn", None)
        try:
            state = translate(state, self.model) if translate else state
            missing = self.model.load_state_dict(state, strict=False).missing_keys
        except (RuntimeError, KeyError, ValueError, AttributeError) as error:
            said = " ".join(str(error).split())[:200]
            raise UserError(
                f"{path} does not hold the weights of {self.name} ({said}); name the model that it belongs to."
            ) from error
        missing = [name for name in missing if not name.startswith(SPARE)]
        if missing:
            raise UserError(
                f"{path} lacks {len(missing)} weights of {self.name}, for example {', '.join(missing[:3])}; name the "
                "model that it belongs to."
            )


def _timm():
    try:
        import timm
    except Exception as error:  # an ImportError, or what a torchvision of another build raises
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        raise UserError(
            f"encoder=timm:… needs timm, which can't be imported here ({said}). "
            "Install it with `pip install timm` (it brings torchvision, of the build that fits torch), or use vit:FILE."
        ) from error
    return timm
