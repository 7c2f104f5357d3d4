"""
Records what LyCORIS makes of a linear layer and of a convolution by each of its algorithms: `fixtures/lycoris/`.

    pip install lycoris-lora==4.1.3 safetensors
    python lycoris-golden.py fixtures/lycoris
"""

import sys

import torch
from lycoris.modules import boft, diag_oft, full, glora, ia3, locon, loha, lokr
from safetensors.torch import save_file

out = sys.argv[1]
torch.manual_seed(3)
linear = torch.nn.Linear(12, 16)
square = torch.nn.Linear(16, 16)
conv = torch.nn.Conv2d(8, 16, 3, padding=1)
layers = {"linear": linear, "square": square, "conv": conv}
tensors = {f"{name}.weight": layer.weight.detach().clone() for name, layer in layers.items()}

cases = {
    "locon": (locon.LoConModule, dict(lora_dim=3, alpha=2)),
    "locon-tucker": (locon.LoConModule, dict(lora_dim=3, alpha=2, use_tucker=True)),
    "dora": (locon.LoConModule, dict(lora_dim=3, alpha=2, weight_decompose=True)),
    "dora-input": (locon.LoConModule, dict(lora_dim=3, alpha=2, weight_decompose=True, wd_on_out=False)),
    # LyCORIS multiplies LoHa and LoKr by alpha / r twice when it merges; A1111 and ComfyUI do it once. Here alpha / r is 1.
    "loha": (loha.LohaModule, dict(lora_dim=3, alpha=3)),
    "loha-tucker": (loha.LohaModule, dict(lora_dim=3, alpha=3, use_tucker=True)),
    "loha-dora": (loha.LohaModule, dict(lora_dim=3, alpha=3, weight_decompose=True)),
    "lokr": (lokr.LokrModule, dict(lora_dim=1, alpha=1, factor=4)),
    "lokr-tucker": (lokr.LokrModule, dict(lora_dim=1, alpha=1, factor=2, use_tucker=True)),
    "lokr-both": (lokr.LokrModule, dict(lora_dim=1, alpha=1, factor=4, decompose_both=True)),
    "lokr-full": (lokr.LokrModule, dict(lora_dim=100, alpha=2, factor=2, full_matrix=True)),
    "lokr-dora": (lokr.LokrModule, dict(lora_dim=1, alpha=1, factor=4, weight_decompose=True)),
    "full": (full.FullModule, dict()),
    "glora": (glora.GLoRAModule, dict(lora_dim=3, alpha=2)),
    "oft": (diag_oft.DiagOFTModule, dict(lora_dim=4)),
    "oft-bound": (diag_oft.DiagOFTModule, dict(lora_dim=4, constraint=0.01, rescaled=True)),
    "boft": (boft.ButterflyOFTModule, dict(lora_dim=4)),
    "boft-bound": (boft.ButterflyOFTModule, dict(lora_dim=4, constraint=0.01, rescaled=True)),
    "ia3": (ia3.IA3Module, dict()),
    "ia3-input": (ia3.IA3Module, dict(train_on_input=True)),
}
for case, (module_class, options) in cases.items():
    for name, layer in layers.items():
        try:
            module = module_class("m", layer, 1.0, **options)
        except Exception as error:
            print(case, name, "is not made:", str(error)[:80])
            continue
        with torch.no_grad():
            for key, value in module.named_parameters():
                value.copy_(torch.randn(value.shape) * 0.3 + (1 if "dora" in key or "rescale" in key else 0))
        module.eval()
        with torch.no_grad():
            merged = module.get_merged_weight(1.0, shape=layer.weight.shape)[0]
            custom = module.custom_state_dict()
            state = custom if custom is not None else module.state_dict()
            if case == "full":  # a module that was not applied keeps the difference as its weight
                state = {"diff": module.weight, "diff_b": module.bias}
                merged = layer.weight + module.weight
        for key, value in state.items():
            tensors[f"{case}/{name}/{key}"] = torch.as_tensor(value).detach().clone().contiguous()
        tensors[f"{case}/{name}=merged"] = merged.detach().reshape(layer.weight.shape).clone().contiguous()
        print(case, name, {k: list(torch.as_tensor(v).shape) for k, v in state.items()})
save_file(tensors, f"{out}/lycoris.safetensors")
print(sum(value.numel() * value.element_size() for value in tensors.values()), "bytes")
