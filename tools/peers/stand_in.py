"""Empty modules for what the original code imports and the checks beside this file never call."""

import sys
import types

import torch


class LightningModule(torch.nn.Module):
    """What loading and sampling use of PyTorch Lightning's."""

    @property
    def device(self):
        return next(self.parameters()).device


def stand_in(name, **contents):
    """A module in place of one that is not installed."""
    try:
        __import__(name)
    except ImportError:
        module = types.ModuleType(name)
        module.__dict__.update(contents)
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)


def stand_in_lightning():
    stand_in("pytorch_lightning", LightningModule=LightningModule)
    stand_in("pytorch_lightning.utilities")
    stand_in("pytorch_lightning.utilities.distributed", rank_zero_only=lambda function: function)
