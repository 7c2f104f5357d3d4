"""The networks of Stable Diffusion v1 in diffusers and transformers, from a CompVis checkpoint in .safetensors, without the network."""

import contextlib
import json
import resource
import sys
import time

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from safetensors import safe_open
from transformers import CLIPTextConfig, CLIPTextModel

UNET = dict(sample_size=64, in_channels=4, out_channels=4, cross_attention_dim=768, attention_head_dim=8, layers_per_block=2,
            block_out_channels=(320, 640, 1280, 1280),
            down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",), up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3)
VAE = dict(in_channels=3, out_channels=3, latent_channels=4, sample_size=512, layers_per_block=2, block_out_channels=(128, 256, 512, 512),
           down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)
CLIP = dict(vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
            max_position_embeddings=77, hidden_act="quick_gelu", layer_norm_eps=1e-5, projection_dim=768, bos_token_id=49406, eos_token_id=49407)

PREFIXES = {"unet": "model.diffusion_model.", "vae": "first_stage_model.", "text": "cond_stage_model.transformer."}


def read(path, prefix):
    """Tensors under `prefix`, as float32."""
    tensors = {}
    with safe_open(path, framework="pt") as file:
        for name in file.keys():
            if name.startswith(prefix):
                tensors[name] = file.get_tensor(name).float()
    return tensors


def load(part, path):
    """A network in evaluation mode, in float32, without a copy of its own beside the tensors read."""
    tensors = read(path, PREFIXES[part])
    with torch.device("meta"):
        if part == "unet":
            model = UNet2DConditionModel(**UNET)
        elif part == "vae":
            model = AutoencoderKL(**VAE)
        else:
            model = CLIPTextModel(CLIPTextConfig(**CLIP))
    if part == "unet":
        state = convert_ldm_unet_checkpoint(tensors, config=dict(model.config))
    elif part == "vae":
        state = convert_ldm_vae_checkpoint(tensors, config=dict(model.config))
        expected = model.state_dict()
        state = {name: value.reshape(expected[name].shape) for name, value in state.items()}
    else:
        state = {name.removeprefix(PREFIXES["text"]): value for name, value in tensors.items()}
        if not any(name.startswith("text_model.") for name in model.state_dict()):
            state = {name.removeprefix("text_model."): value for name, value in state.items()}
        state = {name: value for name, value in state.items() if not name.endswith("position_ids")}
    model.load_state_dict(state, strict=True, assign=True)
    for name, buffer in list(model.named_buffers()):
        if buffer.device.type == "meta":  # position_ids, which is no weight
            owner = model.get_submodule(name.rpartition(".")[0])
            setattr(owner, name.rpartition(".")[2], torch.arange(buffer.shape[-1]).expand(buffer.shape))
    return model.eval()


def wave(shape, frequency):
    count = 1
    for length in shape:
        count *= length
    return (torch.sin(torch.arange(count, dtype=torch.float64) * frequency) * 1.5).float().reshape(shape)


def inputs(part, size):
    """The inputs that every side of the benchmark computes on: waves, so that nobody needs another's random numbers."""
    if part == "unet":
        return {"x": wave((2, 4, size // 8, size // 8), 12.9898), "timesteps": torch.tensor([500.0, 500.0]), "context": wave((2, 77, 768), 78.233)}
    if part == "vae":
        return {"z": wave((1, 4, size // 8, size // 8), 12.9898)}
    return {"input_ids": torch.full((2, 77), 49407, dtype=torch.int64).index_fill(1, torch.tensor([0]), 49406)}


def function(part, model):
    """The network as a function from the inputs above to its one output."""
    if part == "unet":
        return lambda x, timesteps, context: model(x, timesteps, encoder_hidden_states=context, return_dict=False)[0]
    if part == "vae":
        return lambda z: model.decode(z, return_dict=False)[0]
    return lambda input_ids: model(input_ids)[0]


@contextlib.contextmanager
def timed(result, key):
    start = time.perf_counter()
    yield
    result[key] = time.perf_counter() - start


def report(result, output):
    """One line for bench/run.ts: seconds, peak memory of the process and a fingerprint of the output."""
    flat = output.double().flatten()
    result["output"] = {"mean": flat.mean().item(), "rms": flat.square().mean().sqrt().item(), "first": flat[:4].tolist()}
    result["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    json.dump(result, sys.stdout)
    print()
