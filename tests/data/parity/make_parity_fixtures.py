#!/usr/bin/env python3
"""Makes the tiny random Llama models of this folder, with reference outputs by transformers.

    pip install torch transformers safetensors h5py
    make_parity_fixtures.py [OUT_DIR]        default: the folder of this script

Each model is a Hugging Face directory (config.json, weights) with a reference.h5:
    input_ids  int64   [sequences, length]
    logits     float32 [sequences, length, vocab]
    hidden     float32 [n_blocks + 1, sequences, length, hidden]
               0: embeddings; i: output of block i - 1. The last entry is taken after the final
               norm, as transformers reports it; its attribute final_norm_applied says so.
The reference runs in float32 on the stored, that is rounded, weights. All norms and biases are
random, so that a forgotten one shows. Each model is checked to depend on what it is here for: the
script fails if its logits do not change when that feature is switched off.

Byte-identical output is not promised between versions of torch; keep the generated files.
"""

import argparse
import copy
import json
import math
import pathlib
import shutil
from dataclasses import dataclass

import h5py
import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

COMMON = dict(num_hidden_layers=2, bos_token_id=0, eos_token_id=1, pad_token_id=2)
SMALLEST_EFFECT = 0.02  # relative L2 change of the logits when a feature is switched off


@dataclass
class Fixture:
    """One model. `without` are config changes that switch the features under test off."""

    name: str
    dtype: torch.dtype
    length: int
    config: dict
    without: dict
    shard_size: str = "1GB"
    old_spelling: bool = False  # rope_theta and rope_scaling in place of rope_parameters


FIXTURES = [
    # Three query heads to each key-value head; a sequence length that no tile size divides.
    Fixture(
        "llama", torch.bfloat16, 21,
        dict(vocab_size=112, hidden_size=48, intermediate_size=72, num_attention_heads=6,
             num_key_value_heads=2, max_position_embeddings=128, rms_norm_eps=1e-5,
             tie_word_embeddings=False),
        without=dict(rope_parameters=dict(rope_type="default", rope_theta=20.0)),
        shard_size="50KB",
    ),
    # Wavelengths (6.3, 19.9, 63, 199, ...) fall into all three parts: kept, blended, stretched.
    Fixture(
        "llama3", torch.float16, 41,
        dict(vocab_size=96, hidden_size=32, intermediate_size=80, num_attention_heads=2,
             num_key_value_heads=1, max_position_embeddings=256, rms_norm_eps=1e-6,
             tie_word_embeddings=True,
             rope_parameters=dict(rope_type="llama3", rope_theta=10000.0, factor=8.0,
                                  low_freq_factor=1.0, high_freq_factor=4.0,
                                  original_max_position_embeddings=64)),
        without=dict(rope_parameters=dict(rope_type="default", rope_theta=10000.0)),
    ),
    # head_dim 12 is not 32 / 4; every linear layer has a bias.
    Fixture(
        "llama_linear", torch.float32, 23,
        dict(vocab_size=101, hidden_size=32, intermediate_size=44, num_attention_heads=4,
             num_key_value_heads=2, head_dim=12, max_position_embeddings=64, rms_norm_eps=1e-6,
             tie_word_embeddings=False, attention_bias=True, mlp_bias=True,
             rope_parameters=dict(rope_type="linear", rope_theta=5000.0, factor=2.5)),
        without=dict(rope_parameters=dict(rope_type="default", rope_theta=5000.0)),
        old_spelling=True,
    ),
]


def randomise(model, generator):
    """Weights with outputs of order one, so that attention is neither flat nor one-hot."""
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("norm.weight"):
                parameter.copy_(1.0 + 0.25 * noise)
            elif name.endswith("bias"):
                parameter.copy_(0.3 * noise)
            elif "embed_tokens" in name:
                parameter.copy_(0.5 * noise)
            else:
                parameter.copy_(noise / math.sqrt(parameter.shape[1]))


def write_old_spelling(path):
    """Rewrites config.json with the keys that transformers wrote before version 5."""
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = dict(type=rope.pop("rope_type"), **rope)
    config["torch_dtype"] = config.pop("dtype")
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def load(directory, **changes):
    config = LlamaConfig.from_pretrained(directory)
    for key, value in changes.items():
        setattr(config, key, copy.deepcopy(value))
    return LlamaForCausalLM.from_pretrained(
        directory, config=config, dtype=torch.float32, attn_implementation="eager").eval()


def blocks_outputs(model, ids):
    """Embeddings, then each block's output, taken by hooks: independent of output_hidden_states."""
    taken = []
    hooks = [model.model.embed_tokens.register_forward_hook(lambda m, i, o: taken.append(o))]
    for layer in model.model.layers:
        hooks.append(layer.register_forward_hook(lambda m, i, o: taken.append(o)))
    model(ids)
    for hook in hooks:
        hook.remove()
    return taken


def check_hidden(model, ids, hidden):
    """The layout promised above: only the last entry has gone through the final norm."""
    outputs = blocks_outputs(model, ids)
    assert len(outputs) == len(hidden)
    for output, reported in zip(outputs[:-1], hidden[:-1]):
        assert torch.equal(output, reported)
    assert torch.equal(model.model.norm(outputs[-1]), hidden[-1])


def make(fixture, index, directory):
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    generator = torch.Generator().manual_seed(20240 + index)
    model = LlamaForCausalLM(LlamaConfig(**COMMON, **fixture.config)).eval()
    randomise(model, generator)
    model.to(fixture.dtype).save_pretrained(directory, max_shard_size=fixture.shard_size)
    (directory / "generation_config.json").unlink(missing_ok=True)
    for path in directory.iterdir():
        path.chmod(0o644)  # safetensors writes files that only their owner reads
    if fixture.old_spelling:
        write_old_spelling(directory / "config.json")

    vocab = fixture.config["vocab_size"]
    ids = torch.randint(0, vocab, (3, fixture.length), generator=generator)
    model = load(directory)
    with torch.no_grad():
        result = model(ids, output_hidden_states=True)
        check_hidden(model, ids, result.hidden_states)
        other = load(directory, **fixture.without)(ids).logits
    effect = float((other - result.logits).norm() / result.logits.norm())
    assert effect > SMALLEST_EFFECT, f"{fixture.name}: the features hardly show ({effect})"

    with h5py.File(directory / "reference.h5", "w") as file:
        file["input_ids"] = ids.numpy()
        file["logits"] = result.logits.numpy().astype(np.float32)
        hidden = file.create_dataset("hidden", data=torch.stack(result.hidden_states).numpy())
        hidden.attrs["final_norm_applied"] = True
    size = sum(path.stat().st_size for path in directory.iterdir())
    print(f"{fixture.name:13s} {size / 1024:6.0f} KiB, logits {tuple(result.logits.shape)} "
          f"std {result.logits.std():.3f}, effect of the features {effect:.3f}")
    print("  inv_freq", [float(f"{x:.9g}") for x in model.model.rotary_emb.inv_freq])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    out = parser.parse_args().out
    torch.manual_seed(0)
    for index, fixture in enumerate(FIXTURES):
        make(fixture, index, out / fixture.name)


if __name__ == "__main__":
    main()
