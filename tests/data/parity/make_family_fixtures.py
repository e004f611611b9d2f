#!/usr/bin/env python3
"""Makes tiny random models of every family but Llama, with reference outputs by transformers.

    pip install torch transformers safetensors h5py
    make_family_fixtures.py [OUT_DIR]        default: the folder of this script

The layout of a directory is that of make_parity_fixtures.py; encoders have an attention_mask
(int64, ones and then zeros), BERT token_type_ids too, and logits [sequences, labels]. What belongs to masked tokens is set to
0 in `hidden`. The reference runs in float32 on the stored weights. All norms and biases are random,
so that a forgotten one shows, and features that a default would hide are on: a window shorter than
the text, heads that are no power of two, a second segment, two widths.

Byte-identical output is not promised between versions of torch; keep the generated files.
"""

import argparse
import math
import pathlib
import shutil

import h5py
import numpy as np
import torch
import transformers as tf

TOKENS = dict(vocab_size=96, bos_token_id=0, eos_token_id=1, pad_token_id=2)
LLAMA = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, **TOKENS)
BERT = dict(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=4, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
OPT = dict(hidden_size=32, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4,
           max_position_embeddings=64, dropout=0.0, **TOKENS)
NEOX = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
            rotary_pct=0.25, max_position_embeddings=64, **TOKENS)

# name: (model, config, type of the stored weights, bytes of a shard)
FIXTURES = {
    "mistral": (tf.MistralForCausalLM, tf.MistralConfig(sliding_window=7, **LLAMA), torch.bfloat16, "20KB"),
    # The window begins in the second block.
    "qwen2": (tf.Qwen2ForCausalLM, tf.Qwen2Config(use_sliding_window=True, sliding_window=6, max_window_layers=1,
              tie_word_embeddings=True, **LLAMA), torch.bfloat16, "1GB"),
    "qwen3": (tf.Qwen3ForCausalLM, tf.Qwen3Config(head_dim=12, tie_word_embeddings=False, **LLAMA), torch.float16, "1GB"),
    "phi3": (tf.Phi3ForCausalLM, tf.Phi3Config(sliding_window=9, resid_pdrop=0.0, tie_word_embeddings=False,
             **LLAMA), torch.bfloat16, "1GB"),
    "opt": (tf.OPTForCausalLM, tf.OPTConfig(word_embed_proj_dim=32, **OPT), torch.float16, "20KB"),
    # OPT-350M: norms after the addition, embeddings of another width.
    "opt_post_norm": (tf.OPTForCausalLM, tf.OPTConfig(word_embed_proj_dim=20, do_layer_norm_before=False, **OPT),
                      torch.float32, "1GB"),
    "phi": (tf.PhiForCausalLM, tf.PhiConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=4, partial_rotary_factor=0.5, max_position_embeddings=64, resid_pdrop=0.0,
            tie_word_embeddings=False, **TOKENS), torch.float16, "1GB"),
    "gpt2": (tf.GPT2LMHeadModel, tf.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=64, resid_pdrop=0.0,
             embd_pdrop=0.0, attn_pdrop=0.0, **TOKENS), torch.float32, "1GB"),
    "gpt_neox": (tf.GPTNeoXForCausalLM, tf.GPTNeoXConfig(use_parallel_residual=True, **NEOX), torch.float16, "20KB"),
    "gpt_neox_sequential": (tf.GPTNeoXForCausalLM, tf.GPTNeoXConfig(use_parallel_residual=False, **NEOX),
                            torch.float16, "1GB"),
    # Six heads: two of the ALiBi slopes come from the finer series.
    "bloom": (tf.BloomForCausalLM, tf.BloomConfig(hidden_size=36, n_layer=2, n_head=6, hidden_dropout=0.0,
              attention_dropout=0.0, **TOKENS), torch.float16, "1GB"),
    "bert": (tf.BertForSequenceClassification, tf.BertConfig(max_position_embeddings=48, num_labels=3, pad_token_id=0,
             **BERT), torch.float32, "1GB"),
    "roberta": (tf.RobertaForSequenceClassification, tf.RobertaConfig(max_position_embeddings=50, num_labels=2,
                pad_token_id=1, type_vocab_size=1, **BERT), torch.float32, "1GB"),
    "distilbert": (tf.DistilBertForSequenceClassification, tf.DistilBertConfig(vocab_size=96, dim=32, hidden_dim=48,
                   n_layers=2, n_heads=4, max_position_embeddings=48, dropout=0.0, attention_dropout=0.0,
                   seq_classif_dropout=0.0, num_labels=1, pad_token_id=0), torch.float32, "1GB"),
}
LENGTH = 23


def randomise(model, generator):
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1 and name.endswith("weight"):
                parameter.copy_(1.0 + 0.25 * noise)
            elif parameter.dim() == 1:
                parameter.copy_(0.3 * noise)
            elif "embed" in name or "wte" in name or "wpe" in name:
                parameter.copy_(0.5 * noise)
            else:
                parameter.copy_(noise / math.sqrt(parameter.shape[-1]))


def make(name, number, directory):
    kind, config, dtype, shard = FIXTURES[name]
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    generator = torch.Generator().manual_seed(500 + number)
    model = kind(config).eval()
    randomise(model, generator)
    model.to(dtype).save_pretrained(directory, max_shard_size=shard)
    (directory / "generation_config.json").unlink(missing_ok=True)
    for path in directory.iterdir():
        path.chmod(0o644)

    model = kind.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()
    ids = torch.randint(3, 96, (3, LENGTH), generator=generator)
    inputs = dict(input_ids=ids)
    is_encoder = "SequenceClassification" in kind.__name__
    if is_encoder:
        mask = torch.ones_like(ids)
        mask[1, 17:] = 0
        mask[2, 5:] = 0
        inputs["input_ids"] = ids = torch.where(mask == 1, ids, config.pad_token_id)
        inputs["attention_mask"] = mask
        if name == "bert":
            inputs["token_type_ids"] = torch.arange(LENGTH).ge(9).long().expand(3, LENGTH).contiguous()
    with torch.no_grad():
        result = model(**inputs, output_hidden_states=name != "opt_post_norm")
    with h5py.File(directory / "reference.h5", "w") as file:
        for key, value in inputs.items():
            file[key] = value.numpy()
        file["logits"] = result.logits.numpy().astype(np.float32)
        if result.hidden_states is not None:
            hidden = torch.stack(result.hidden_states)
            if is_encoder:
                hidden = hidden * mask[None, :, :, None]
            file["hidden"] = hidden.numpy()
    size = sum(path.stat().st_size for path in directory.iterdir())
    print(f"{name:20s} {size / 1024:6.0f} KiB, logits {tuple(result.logits.shape)} std {result.logits.std():.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    out = parser.parse_args().out
    torch.manual_seed(0)
    for number, name in enumerate(FIXTURES):
        make(name, number, out / name)


if __name__ == "__main__":
    main()
