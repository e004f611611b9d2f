#!/usr/bin/env python3
"""Makes a directory of BERT-base's shape (or another) with random fp16 weights, for measurements of speed.

    pip install numpy
    make_random_bert.py OUT TOKENIZER_DIRECTORY [--hidden 768] [--ffn 3072] [--blocks 12] [--heads 12]
"""
import argparse
import json
import pathlib
import shutil
import struct

import numpy as np

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("out", type=pathlib.Path)
parser.add_argument("tokenizer", type=pathlib.Path, help="a BERT directory: its config.json and tokenizer are taken over")
for name, default in (("hidden", 768), ("ffn", 3072), ("blocks", 12), ("heads", 12)):
    parser.add_argument(f"--{name}", type=int, default=default)
options = parser.parse_args()
options.out.mkdir(parents=True)
for file in options.tokenizer.iterdir():
    if file.suffix in (".json", ".txt") and not file.name.startswith("model"):
        shutil.copy(file, options.out)
config = json.loads((options.tokenizer / "config.json").read_text()) | {
    "hidden_size": options.hidden, "intermediate_size": options.ffn, "num_hidden_layers": options.blocks,
    "num_attention_heads": options.heads}
(options.out / "config.json").write_text(json.dumps(config, indent=2))

d, f = options.hidden, options.ffn
shapes = {"bert.embeddings.word_embeddings.weight": (config["vocab_size"], d),
          "bert.embeddings.position_embeddings.weight": (config["max_position_embeddings"], d),
          "bert.embeddings.token_type_embeddings.weight": (config["type_vocab_size"], d)}
linear = {"bert.pooler.dense": (d, d), "classifier": (len(config.get("id2label", {0: 0, 1: 1})), d)}
norms = ["bert.embeddings.LayerNorm"]
for b in range(options.blocks):
    block = f"bert.encoder.layer.{b}."
    linear |= {f"{block}attention.self.{n}": (d, d) for n in ("query", "key", "value")}
    linear |= {f"{block}attention.output.dense": (d, d), f"{block}intermediate.dense": (f, d),
               f"{block}output.dense": (d, f)}
    norms += [f"{block}attention.output.LayerNorm", f"{block}output.LayerNorm"]
shapes |= {f"{n}.weight": s for n, s in linear.items()} | {f"{n}.bias": s[:1] for n, s in linear.items()}
shapes |= {f"{n}.{part}": (d,) for n in norms for part in ("weight", "bias")}

random = np.random.default_rng(1)
header, offset = {}, 0
for name, shape in shapes.items():
    size = 2 * int(np.prod(shape))
    header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [offset, offset + size]}
    offset += size
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(options.out / "model.safetensors", "wb") as out:
    out.write(struct.pack("<Q", len(text)) + text)
    for name, shape in shapes.items():
        if name.endswith("LayerNorm.weight"):
            values = np.ones(shape)
        elif len(shape) == 1:
            values = np.zeros(shape)
        else:
            values = random.standard_normal(shape, np.float32) / np.sqrt(shape[-1])
        out.write(values.astype(np.float16).tobytes())
