#!/usr/bin/env python3
"""What transformers makes of texts that are cut, alone and in pairs, with the tokenizers next to this file.

    pip install transformers==5.23.0 tokenizers==0.23.3
    make_pairs.py [FOLDER ...]            # default: every folder here with a tokenizer.json

Writes pairs.jsonl into each folder (those in shared/ were made so, for tokenizers that are not here), one object a line:

    {"first": ..., "second": ... or null, "max_length": ..., "ids": [...], "segments": [...]}
"""
import json
import sys
from pathlib import Path

from transformers import PreTrainedTokenizerFast

HERE = Path(__file__).resolve().parent

LONG = "And God said, Let there be light."
CASES = [(LONG, None), ("", None), (LONG, "It was good"), ("It was good", LONG), ("one two", "one two"),
         ("", "light"), ("light", ""), ("Straße 1234 😀", "naïve\tcafé <s>[SEP]")]


def encode(tokenizer, first, second, **settings):
    """As a batch of one: given two strings, transformers takes an empty second one for none at all."""
    batch = tokenizer([first], None if second is None else [second], return_token_type_ids=True, **settings)
    return batch["input_ids"][0], batch["token_type_ids"][0]


def write_pairs(folder):
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    n_lines = 0
    with open(folder / "pairs.jsonl", "w") as lines:
        for first, second in CASES:
            whole = len(encode(tokenizer, first, second)[0])
            least = tokenizer.num_special_tokens_to_add(pair=second is not None)
            lengths = sorted({least, least + 1, least + 2, least + 5, whole // 2, whole - 2, whole - 1, whole, whole + 3})
            for max_length in (n for n in lengths if n >= max(least, 1)):
                ids, segments = encode(tokenizer, first, second, truncation=True, max_length=max_length)
                lines.write(json.dumps({"first": first, "second": second, "max_length": max_length,
                                        "ids": ids, "segments": segments}) + "\n")
                n_lines += 1
    print(f"{folder.name}: {n_lines} lines")


for folder in map(Path, sys.argv[1:]) if len(sys.argv) > 1 else sorted(p.parent for p in HERE.glob("*/tokenizer.json")):
    write_pairs(folder)
