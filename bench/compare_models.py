#!/usr/bin/env python3
"""Prefill of whole models with random weights: lathe against transformers on PyTorch, in turns.

    bench/compare_models.py --bench build/release/bin/model_bench [--rounds 5] [--threads 2] [--seconds 4]

Run it with a Python that has torch and transformers. Both sides hold fp32 weights in memory and run the
same number of tokens; of each side the median over all passes of all rounds counts.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import torch
import transformers as tf

# name: (class, config, sequences, length)
MODELS = {
    "BERT-base, 16 x 128": (tf.BertForSequenceClassification, tf.BertConfig(), 16, 128),
    "OPT-125M, 2 x 512": (tf.OPTForCausalLM, tf.OPTConfig(), 2, 512),
    "Llama 12 blocks of 768 (12 heads, 4 key-value), 2 x 512": (tf.LlamaForCausalLM, tf.LlamaConfig(
        hidden_size=768, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=12,
        num_key_value_heads=4, vocab_size=32000, tie_word_embeddings=False), 2, 512),
}


def lathe_seconds(bench, directory, sequences, length, seconds, threads):
    done = subprocess.run([bench, directory, str(sequences), str(length), str(seconds), str(threads)],
                          capture_output=True, text=True, check=True)
    return [float(line) for line in done.stdout.split()]


def torch_seconds(model, sequences, length, seconds):
    ids = torch.randint(0, model.config.vocab_size, (sequences, length))
    times = []
    with torch.inference_mode():
        model(ids)
        begin = time.perf_counter()
        while time.perf_counter() - begin < seconds:
            start = time.perf_counter()
            model(ids)
            times.append(time.perf_counter() - start)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bench", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--only", default="", help="models whose name begins so")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    for name, (kind, config, sequences, length) in MODELS.items():
        if not name.startswith(arguments.only):
            continue
        config.use_cache = False
        model = kind(config).float().eval()
        ours, theirs = [], []
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            for _ in range(arguments.rounds):
                ours += lathe_seconds(arguments.bench, folder, sequences, length, arguments.seconds,
                                      arguments.threads)
                theirs += torch_seconds(model, sequences, length, arguments.seconds)
        tokens = sequences * length
        row = {"model": name, "lathe_tokens_per_second": round(tokens / statistics.median(ours)),
               "torch_tokens_per_second": round(tokens / statistics.median(theirs)),
               "ratio": round(statistics.median(theirs) / statistics.median(ours), 3),
               "passes": [len(ours), len(theirs)]}
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
