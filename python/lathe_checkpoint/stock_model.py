"""A checkpoint as a model of transformers, where one of its classes computes what the checkpoint stands for."""
from __future__ import annotations

import os
import re
from typing import Any

from .checkpoint import Checkpoint
from .errors import NoStockModelError

#: Layers that store [in_features, out_features]: GPT-2's Conv1D.
_TURNED = {"gpt2": re.compile(r"\.(c_attn|c_proj|c_fc)\.weight$")}


def reason_without_stock_model(checkpoint: Checkpoint) -> str:
    """Why no class of transformers computes this model, as far as the checkpoint says; "" if one should."""
    if checkpoint.slicing is not None and checkpoint.slicing.get("shortcuts") is False and checkpoint.slicing.get("shared_table") is True:
        return ("the model was sliced around the table that its embedding and head share: it has projections between table and blocks "
                "and norms without parameters, which no class of transformers has; slice with `tables: own` for a stock model, or run "
                "it with `lathe eval` and `lathe generate`")
    if checkpoint.slicing is not None:
        return ("the model was sliced with a rotation for each boundary: its blocks have shortcut matrices, widths of their own and "
                "norms without parameters, which no class of transformers has; slice with `rotation: global` for a stock model, "
                "or run it with `lathe eval` and `lathe generate`")
    architectures = checkpoint.config.get("architectures")
    if not isinstance(architectures, list) or not architectures or not isinstance(architectures[0], str):
        return "config.json names no class under 'architectures'"
    return ""


def load_transformers(checkpoint: Checkpoint | str | os.PathLike[str], dtype: Any = None) -> Any:
    """The checkpoint in the class of transformers that its config.json names, in eval mode, on the CPU.

    Split layers (FFSplit) have their neurons in another order, and those that were dropped as zeros: the class is the
    source's all the same. A model that was sliced with one rotation has a smaller hidden size.

    Args:
        checkpoint: or its directory.
        dtype: a torch.dtype for the weights; None: float32, which holds the decoded values exactly.

    Raises:
        NoStockModelError: no class computes this model; the message says why.
        CheckpointError: the checkpoint is damaged.
        ImportError: torch or transformers is not installed.
    """
    if not isinstance(checkpoint, Checkpoint):
        checkpoint = Checkpoint(checkpoint)
    directory = str(checkpoint.directory)
    reason = reason_without_stock_model(checkpoint)
    if reason:
        raise NoStockModelError(reason, directory)
    import torch
    import transformers

    name = checkpoint.config["architectures"][0]
    model_class: Any = getattr(transformers, name, None)
    is_model = isinstance(model_class, type) and issubclass(model_class, transformers.PreTrainedModel)
    if not is_model:
        raise NoStockModelError(f"transformers {transformers.__version__} has no model class '{name}'", directory)
    # The weights are dequantised: such sections would have them quantised anew.
    settings = {k: v for k, v in checkpoint.config.items() if k not in ("quantization_config", "compression_config")}
    config = model_class.config_class.from_dict(settings)
    turned = _TURNED.get(str(settings.get("model_type")))
    state = {key: value.T.contiguous() if turned and turned.search(key) else value
             for key, value in checkpoint.state_dict("torch").items()}
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    model, info = model_class.from_pretrained(None, config=config, state_dict=state, torch_dtype=dtype or torch.float32,
                                              output_loading_info=True, ignore_mismatched_sizes=True)
    for what, keys in (("lacks", info["missing_keys"]), ("has besides", info["unexpected_keys"]),
                       ("has in another shape", [key for key, *_ in info["mismatched_keys"]])):
        if keys:
            listed = ", ".join(f"{key} {list(shapes[key])}" if key in shapes else key for key in sorted(keys)[:4])
            raise NoStockModelError(f"class {name} does not fit: the checkpoint {what} {listed}" + (", ..." if len(keys) > 4 else ""),
                                    directory)
    return model.eval()
