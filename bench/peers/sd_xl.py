"""SDXL's UNet in diffusers, from a single file in .safetensors, without the network; with the names of sd_v1.py. `$SD_XL_UNET` is the config.json of
another UNet of its kind, for a try with a small one."""

import json
import os

import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
from safetensors import safe_open
from sd_v1 import PREFIXES, report, timed, wave  # noqa: F401

UNET = dict(sample_size=128, in_channels=4, out_channels=4, cross_attention_dim=2048, attention_head_dim=[5, 10, 20], layers_per_block=2,
            block_out_channels=[320, 640, 1280], down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
            up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"], transformer_layers_per_block=[1, 2, 10],
            use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816)


def config():
    path = os.environ.get("SD_XL_UNET")
    if path is None:
        return UNET
    with open(path) as file:
        return {name: value for name, value in json.load(file).items() if not name.startswith("_")}


def load(part, path, dtype=torch.float32):
    """The UNet in evaluation mode, without a copy of its own beside the tensors read."""
    if part != "unet":
        raise SystemExit("Of SDXL only the part unet is measured.")
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name).to(dtype) for name in file.keys() if name.startswith(PREFIXES["unet"])}
    with torch.device("meta"):
        model = UNet2DConditionModel(**config())
    model.load_state_dict(convert_ldm_unet_checkpoint(tensors, config=dict(model.config)), strict=True, assign=True)
    return model.eval()


def inputs(part, size):
    """Waves, as of sd_v1.py, and a picture of the size without a crop."""
    known = config()
    pooled = known["projection_class_embeddings_input_dim"] - 6 * known["addition_time_embed_dim"]
    sizes = torch.tensor([[size, size, 0, 0, size, size]] * 2, dtype=torch.float32)
    return {"x": wave((2, 4, size // 8, size // 8), 12.9898), "timesteps": torch.tensor([500.0, 500.0]),
            "context": wave((2, 77, known["cross_attention_dim"]), 78.233), "pooled": wave((2, pooled), 37.719), "sizes": sizes}


def function(part, model):
    """The network as a function from the inputs above to its one output."""
    def run(x, timesteps, context, pooled, sizes):
        dtype = model.dtype
        added = {"text_embeds": pooled.to(dtype), "time_ids": sizes.to(dtype)}
        return model(x.to(dtype), timesteps, encoder_hidden_states=context.to(dtype), added_cond_kwargs=added, return_dict=False)[0].float()

    return run
