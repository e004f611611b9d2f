"""Reads the compressed checkpoints of Lathe: docs/python.md has examples, docs/file_format.md the format.

    from lathe_checkpoint import Checkpoint

    checkpoint = Checkpoint("RUN/checkpoint")
    values = checkpoint.tensor("model.layers.0.mlp.down_proj.weight")  # float32, in its shape
"""
from .checkpoint import FORMAT_VERSION, Checkpoint, PlanUnit
from .encodings import decode, encodings
from .errors import CheckpointError, NoStockModelError, Place
from .stock_model import load_transformers, reason_without_stock_model
from .tensor import EncodedTensor, Part

__all__ = ["FORMAT_VERSION", "Checkpoint", "CheckpointError", "EncodedTensor", "NoStockModelError", "Part", "Place", "PlanUnit",
           "decode", "encodings", "load_transformers", "reason_without_stock_model"]
