#!/usr/bin/env python3
"""GPTQ by llm-compressor on a checkpoint, in the setting of bench/end_to_end.py, timed.

    pip install llmcompressor
    gptq_llm_compressor.py MODEL TEXT OUTPUT BITS [THREADS]

128 samples of 256 tokens, group 64, symmetric, embeddings and head dense. Prints one JSON object:
seconds of the whole program after its imports, and of them the seconds of `oneshot`.
"""
import json
import sys
import time

import torch
from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.quantization import GPTQModifier
from transformers import AutoModelForCausalLM
from tokenizers import Tokenizer


def main():
    path, text, output, bits = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    torch.set_num_threads(int(sys.argv[5]) if len(sys.argv) > 5 else 2)
    begin = time.perf_counter()
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    ids = Tokenizer.from_file(path + "/tokenizer.json").encode(open(text).read(), add_special_tokens=False).ids
    windows = [ids[i * 256:(i + 1) * 256] for i in range(len(ids) // 256)]
    step = len(windows) / 128
    samples = [windows[int(i * step)] for i in range(128)]
    data = Dataset.from_dict({"input_ids": samples, "attention_mask": [[1] * 256] * 128})
    scheme = {"group_0": {"targets": ["Linear"], "weights": {
        "num_bits": bits, "type": "int", "symmetric": True, "strategy": "group", "group_size": 64}}}
    start = time.perf_counter()
    oneshot(model=model, dataset=data, max_seq_length=256, num_calibration_samples=128,
            recipe=GPTQModifier(config_groups=scheme, ignore=["lm_head"]))
    done = time.perf_counter()
    model.save_pretrained(output)
    print(json.dumps({"bits": bits, "oneshot_seconds": round(done - start, 2),
                      "program_seconds": round(time.perf_counter() - begin, 2)}))


if __name__ == "__main__":
    main()
