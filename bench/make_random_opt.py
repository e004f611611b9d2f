#!/usr/bin/env python3
"""Makes an OPT directory of any size with random weights, as make_random_llama.py makes a Llama.

    pip install numpy
    make_random_opt.py OUT --hidden 9216 --ffn 36864 --blocks 1 --heads 72 --vocab 4096
"""
import argparse
import math
import pathlib

from make_random_llama import CONFIG_NAMES, ITEM_SIZES, N_SPECIAL, Tensor, write_model

POSITION_OFFSET = 2  # OPT's table of positions begins with two rows that no position has


def tensors_of(args):
    """Every tensor of the model, in checkpoint order."""
    h, f = args.hidden, args.ffn

    def linear(name, out, inn):
        yield Tensor(name + ".weight", (out, inn), 0.0, 1.0 / math.sqrt(inn))
        yield Tensor(name + ".bias", (out,), 0.0, 0.1)

    def norm(name):
        yield Tensor(name + ".weight", (h,), 1.0, 0.1)
        yield Tensor(name + ".bias", (h,), 0.0, 0.1)

    yield Tensor("model.decoder.embed_tokens.weight", (args.vocab, h), 0.0, 1.0)
    yield Tensor("model.decoder.embed_positions.weight", (args.max_positions + POSITION_OFFSET, h), 0.0, 0.1)
    for i in range(args.blocks):
        layer = f"model.decoder.layers.{i}."
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from linear(layer + "self_attn." + name, h, h)
        yield from norm(layer + "self_attn_layer_norm")
        yield from linear(layer + "fc1", f, h)
        yield from linear(layer + "fc2", h, f)
        yield from norm(layer + "final_layer_norm")
    yield from norm("model.decoder.final_layer_norm")


def config_of(args):
    return dict(
        architectures=["OPTForCausalLM"], model_type="opt", hidden_size=args.hidden, word_embed_proj_dim=args.hidden,
        ffn_dim=args.ffn, num_hidden_layers=args.blocks, num_attention_heads=args.heads, vocab_size=args.vocab,
        max_position_embeddings=args.max_positions, activation_function="relu", do_layer_norm_before=True,
        bos_token_id=256, eos_token_id=257, pad_token_id=258, torch_dtype=CONFIG_NAMES[args.dtype])


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path, help="directory to make; must not hold weights")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--ffn", type=int, default=1024)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--vocab", type=int, default=512)
    parser.add_argument("--dtype", choices=ITEM_SIZES, default="bf16")
    parser.add_argument("--max-positions", type=int, default=2048)
    parser.add_argument("--shard-gb", type=float, default=5.0, help="largest weights file, in 10^9 bytes (default 5)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if min(args.hidden, args.ffn, args.blocks, args.heads, args.max_positions) < 1 or args.hidden % args.heads:
        parser.error("sizes must be positive, and hidden a multiple of heads")
    if args.vocab < 256 + N_SPECIAL:
        parser.error(f"vocab must be at least {256 + N_SPECIAL}: bytes and special tokens")
    if any(args.out.glob("*.safetensors*")):
        parser.error(f"{args.out} already holds weights")
    return args


if __name__ == "__main__":
    arguments = parse_arguments()
    write_model(arguments, config_of(arguments), tensors_of(arguments))
