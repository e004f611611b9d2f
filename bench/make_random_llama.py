#!/usr/bin/env python3
"""Makes a Llama directory of any size with random weights, for measurements of speed and memory.

    pip install numpy
    make_random_llama.py OUT --hidden 4096 --ffn 11008 --blocks 32 --heads 32 --kv-heads 8 \\
                         --vocab 32000 --dtype bf16 --shard-gb 5
    make_random_llama.py OUT --dry-run ...      prints the size and writes nothing

Weights are drawn, rounded and written one piece at a time: memory does not grow with the model.
The same arguments give the same bytes. The tokenizer maps bytes to ids 0-255; its three special
tokens are <s> 256, </s> 257 and <pad> 258; ids beyond are named <unused_...>.

The outputs mean nothing, but their sizes are sensible: weights have the spread 1 / sqrt(in), so
activations neither vanish nor overflow in fp16.
"""

import argparse
import json
import math
import pathlib
import sys
from dataclasses import dataclass

import numpy as np

PIECE_ELEMENTS = 1 << 22  # 16 MiB of float32 at a time
N_SPECIAL = 3  # <s>, </s>, <pad>, after the 256 bytes

SAFETENSORS_NAMES = {"bf16": "BF16", "fp16": "F16", "fp32": "F32"}
CONFIG_NAMES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
ITEM_SIZES = {"bf16": 2, "fp16": 2, "fp32": 4}


@dataclass
class Tensor:
    name: str
    shape: tuple
    mean: float
    spread: float

    @property
    def elements(self):
        return math.prod(self.shape)


def tensors_of(args):
    """Every tensor of the model, in checkpoint order."""
    h, f, head_dim = args.hidden, args.ffn, args.head_dim
    q, kv = args.heads * head_dim, args.kv_heads * head_dim

    def linear(name, out, inn):
        return Tensor(name + ".weight", (out, inn), 0.0, 1.0 / math.sqrt(inn))

    def norm(name):
        return Tensor(name + ".weight", (h,), 1.0, 0.1)

    yield Tensor("model.embed_tokens.weight", (args.vocab, h), 0.0, 1.0)
    for i in range(args.blocks):
        layer = f"model.layers.{i}."
        yield norm(layer + "input_layernorm")
        yield linear(layer + "self_attn.q_proj", q, h)
        yield linear(layer + "self_attn.k_proj", kv, h)
        yield linear(layer + "self_attn.v_proj", kv, h)
        yield linear(layer + "self_attn.o_proj", h, q)
        yield norm(layer + "post_attention_layernorm")
        yield linear(layer + "mlp.gate_proj", f, h)
        yield linear(layer + "mlp.up_proj", f, h)
        yield linear(layer + "mlp.down_proj", h, f)
    yield norm("model.norm")
    if not args.tied:
        yield linear("lm_head", args.vocab, h)


def shards_of(tensors, item_size, limit):
    """Cuts the list where a file would pass the limit; a larger tensor has a file of its own."""
    shards, size = [[]], 0
    for tensor in tensors:
        n_bytes = tensor.elements * item_size
        if shards[-1] and size + n_bytes > limit:
            shards.append([])
            size = 0
        shards[-1].append(tensor)
        size += n_bytes
    return shards


def to_bf16(values):
    """Round to nearest, ties to even; the values are finite."""
    bits = values.view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
            ).astype(np.uint16)


def write_tensor(file, tensor, generator, dtype):
    for start in range(0, tensor.elements, PIECE_ELEMENTS):
        count = min(PIECE_ELEMENTS, tensor.elements - start)
        values = generator.standard_normal(count, dtype=np.float32)
        values *= np.float32(tensor.spread)
        values += np.float32(tensor.mean)
        if dtype == "bf16":
            values = to_bf16(values)
        elif dtype == "fp16":
            values = values.astype(np.float16)
        file.write(values.data)


def write_shard(path, tensors, generators, dtype):
    """safetensors by hand: its own writer wants all tensors in memory at once."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for tensor in tensors:
        end = offset + tensor.elements * ITEM_SIZES[dtype]
        header[tensor.name] = dict(dtype=SAFETENSORS_NAMES[dtype], shape=list(tensor.shape),
                                   data_offsets=[offset, end])
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for tensor in tensors:
            write_tensor(file, tensor, next(generators), dtype)


def write_weights(out, args, tensors):
    item_size = ITEM_SIZES[args.dtype]
    shards = shards_of(tensors, item_size, int(args.shard_gb * 1e9))
    # One generator for each tensor: its bytes do not depend on where the shards are cut.
    generators = (np.random.Generator(np.random.SFC64(seed))
                  for seed in np.random.SeedSequence(args.seed).spawn(sum(map(len, shards))))
    names = ["model.safetensors"]
    if len(shards) > 1:
        names = [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
    for name, tensors in zip(names, shards):
        write_shard(out / name, tensors, generators, args.dtype)
        print(name, file=sys.stderr)
    if len(shards) == 1:
        return
    total = item_size * sum(t.elements for shard in shards for t in shard)
    index = {"metadata": {"total_size": total},
             "weight_map": {t.name: name for name, shard in zip(names, shards) for t in shard}}
    (out / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def config_of(args):
    return dict(
        architectures=["LlamaForCausalLM"], model_type="llama", hidden_size=args.hidden,
        intermediate_size=args.ffn, num_hidden_layers=args.blocks, num_attention_heads=args.heads,
        num_key_value_heads=args.kv_heads, head_dim=args.head_dim, vocab_size=args.vocab,
        max_position_embeddings=args.max_positions, rms_norm_eps=1e-5, rope_theta=10000.0,
        hidden_act="silu", attention_bias=False, mlp_bias=False, tie_word_embeddings=args.tied,
        bos_token_id=256, eos_token_id=257, pad_token_id=258, torch_dtype=CONFIG_NAMES[args.dtype])


def byte_characters():
    """The printable character by which byte-level tokenizers write each byte, after GPT-2."""
    kept = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (byte for byte in range(256) if byte not in kept)
    return {**{byte: chr(byte) for byte in kept},
            **{byte: chr(256 + i) for i, byte in enumerate(others)}}


def write_tokenizer(out, args):
    """A byte-level BPE without merges: one token for each byte."""
    vocab = {character: byte for byte, character in sorted(byte_characters().items())}
    special = ["<s>", "</s>", "<pad>"]
    vocab |= {f"<unused_{i}>": i for i in range(256 + N_SPECIAL, args.vocab)}
    added = [dict(id=256 + i, content=token, single_word=False, lstrip=False, rstrip=False,
                  normalized=False, special=True) for i, token in enumerate(special)]
    vocab |= {token["content"]: token["id"] for token in added}
    byte_level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=False)
    tokenizer = dict(
        version="1.0", truncation=None, padding=None, added_tokens=added, normalizer=None,
        pre_tokenizer=byte_level, post_processor=None, decoder=byte_level,
        model=dict(type="BPE", dropout=None, unk_token=None, continuing_subword_prefix=None,
                   end_of_word_suffix=None, fuse_unk=False, byte_fallback=False,
                   ignore_merges=False, vocab=vocab, merges=[]))
    (out / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False, indent=1) + "\n",
                                        encoding="utf-8")
    settings = dict(tokenizer_class="PreTrainedTokenizerFast", bos_token="<s>", eos_token="</s>",
                    pad_token="<pad>", model_max_length=args.max_positions)
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def write_model(args, config, tensors):
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    write_tokenizer(args.out, args)
    write_weights(args.out, args, tensors)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path, help="directory to make; must not hold weights")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--ffn", type=int, default=688)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--kv-heads", type=int, help="default: as many as heads")
    parser.add_argument("--head-dim", type=int, help="default: hidden / heads")
    parser.add_argument("--vocab", type=int, default=512)
    parser.add_argument("--dtype", choices=ITEM_SIZES, default="bf16")
    parser.add_argument("--tied", action="store_true", help="the head is the embedding")
    parser.add_argument("--max-positions", type=int, default=4096)
    parser.add_argument("--shard-gb", type=float, default=5.0,
                        help="largest weights file, in 10^9 bytes (default 5)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dry-run", action="store_true")
    args = parser.parse_args()

    args.kv_heads = args.kv_heads or args.heads
    sizes = [args.hidden, args.ffn, args.blocks, args.heads, args.kv_heads, args.max_positions]
    if min(sizes) < 1 or args.shard_gb <= 0:
        parser.error("sizes must be positive")
    if args.heads % args.kv_heads:
        parser.error(f"{args.heads} heads are no multiple of {args.kv_heads} key-value heads")
    if not args.head_dim and args.hidden % args.heads:
        parser.error(f"hidden {args.hidden} is no multiple of {args.heads} heads: give --head-dim")
    args.head_dim = args.head_dim or args.hidden // args.heads
    if args.head_dim < 2 or args.head_dim % 2:
        parser.error(f"head_dim {args.head_dim} must be even and positive")
    if args.vocab < 256 + N_SPECIAL:
        parser.error(f"vocab must be at least {256 + N_SPECIAL}: bytes and special tokens")
    if not args.dry_run and any(args.out.glob("*.safetensors*")):
        parser.error(f"{args.out} already holds weights")
    return args


def main():
    args = parse_arguments()
    parameters = sum(tensor.elements for tensor in tensors_of(args))
    print(f"{parameters} parameters, {parameters * ITEM_SIZES[args.dtype]} bytes")
    if args.dry_run:
        return
    write_model(args, config_of(args), tensors_of(args))


if __name__ == "__main__":
    main()
