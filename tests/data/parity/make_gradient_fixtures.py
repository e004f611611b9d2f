#!/usr/bin/env python3
"""Makes gradients.h5 of this folder: what torch's automatic differentiation says of its models.

    pip install torch transformers safetensors h5py
    make_gradient_fixtures.py [DIR]        default: the folder of this script

For each model directory a dataset of float64 named after it. The loss is the sum over the head's
rows r (of a language model tokens, of a classifier texts) of -log p(output (7 r) mod n), or of the
output itself if there is only one. Of each weight of a linear layer in the blocks or in a
classifier's head, of the language model's head and of the token embedding (neither if tied), in the
order of their names: the sum over tokens of the squared derivative of the loss by each output of
the module. Weights are the stored ones, arithmetic is float64 but for what transformers itself
does in float32 (norms, rotary angles).
"""

import pathlib
import sys

import h5py
import numpy as np
import torch
import transformers as tf
from safetensors import safe_open
from transformers.pytorch_utils import Conv1D

NOT_UNITS = ("project_in", "project_out", "embed_positions", "position_embeddings", "token_type_embeddings", "wpe")


def squares(directory):
    config = tf.AutoConfig.from_pretrained(directory)
    model = getattr(tf, config.architectures[0]).from_pretrained(
        directory, attn_implementation="eager", dtype=torch.float64).eval()
    with h5py.File(directory / "reference.h5") as file:
        inputs = {key: torch.from_numpy(file[key][:]) for key in ("input_ids", "attention_mask", "token_type_ids")
                  if key in file}
    tied = getattr(config, "tie_word_embeddings", True) and model.get_output_embeddings() is not None
    sums = {}

    def watch(name):
        def hook(_module, _inputs, output):
            output.register_hook(lambda grad: sums.__setitem__(
                name, (grad.reshape(-1, grad.shape[-1]) ** 2).sum(0).double().numpy()))
        return hook

    stored = {name for file in directory.glob("*.safetensors") for name in safe_open(file, "pt").keys()}
    for name, module in model.named_modules():
        if name == "lm_head" and "embed_out.weight" in stored:
            name = "embed_out"  # GPT-NeoX's own name for it, which transformers no longer uses
        if isinstance(module, (torch.nn.Linear, Conv1D, torch.nn.Embedding)) and name.split(".")[-1] not in NOT_UNITS:
            if not (tied and module in (model.get_input_embeddings(), model.get_output_embeddings())):
                module.register_forward_hook(watch(name + ".weight"))
    with torch.enable_grad():
        logits = model(**inputs).logits
        logits = logits.reshape(-1, logits.shape[-1])
        if logits.shape[1] == 1:
            loss = logits.sum()
        else:
            targets = 7 * torch.arange(logits.shape[0]) % logits.shape[1]
            loss = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
        loss.backward()
    return np.concatenate([sums[name] for name in sorted(sums)])


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    with h5py.File(folder / "gradients.h5", "w", track_order=False) as file:
        for directory in sorted(path.parent for path in folder.glob("*/reference.h5")):
            file.create_dataset(directory.name, data=squares(directory))
            print(directory.name, file[directory.name].shape)


if __name__ == "__main__":
    main()
