#!/usr/bin/env python3
"""An encoder in turns: fp32 and whole numbers of Lathe, float32 and dynamic int8 of PyTorch. Medians, ratios, memory.

    pip install torch transformers
    compare_integers.py --bench build/release/bin/model_bench MODEL [--sequences 1] [--length 128] [--threads 1] [--rounds 5]
                        [--seconds 2] [--instructions avx2]
MODEL is a Hugging Face directory of a BERT-like classifier (bench/make_random_bert.py makes one).
"""
import argparse
import os
import statistics
import subprocess
import sys
import time


def run_torch(model, sequences, length, seconds, threads, kind):
    import torch
    from transformers import AutoModelForSequenceClassification

    torch.set_num_threads(threads)
    network = AutoModelForSequenceClassification.from_pretrained(model, dtype=torch.float32).eval()
    if kind == "int8":
        network = torch.ao.quantization.quantize_dynamic(network, {torch.nn.Linear}, dtype=torch.qint8)
    ids = torch.randint(0, network.config.vocab_size, (sequences, length))
    with torch.inference_mode():
        network(ids)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            network(ids)
            print(time.perf_counter() - start)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model")
parser.add_argument("--bench")
parser.add_argument("--sequences", type=int, default=1)
parser.add_argument("--length", type=int, default=128)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--seconds", type=float, default=2.0)
parser.add_argument("--instructions", default="auto")
parser.add_argument("--torch", choices=["fp32", "int8"], help=argparse.SUPPRESS)
options = parser.parse_args()
sizes = [options.sequences, options.length, options.seconds, options.threads]
if options.torch:
    run_torch(options.model, *sizes, options.torch)
    sys.exit()

lathe = [options.bench, options.model, *map(str, sizes)]
own = [sys.executable, __file__, options.model, "--sequences", str(options.sequences), "--length", str(options.length),
       "--threads", str(options.threads), "--seconds", str(options.seconds), "--torch"]
commands = {
    "Lathe fp32": [*lathe, "weights", options.instructions],
    "Lathe whole numbers": [*lathe, "all", options.instructions],
    "PyTorch float32": [*own, "fp32"],
    "PyTorch dynamic int8": [*own, "int8"],
}
environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), "OMP_WAIT_POLICY": "passive"}
times = {name: [] for name in commands}
memory = {name: "" for name in commands}
for _ in range(options.rounds):
    for name, command in commands.items():
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        times[name] += [float(line) for line in done.stdout.split()]
        memory[name] = next((line for line in done.stderr.splitlines() if "beside the weights" in line), "")
first = statistics.median(times["Lathe fp32"])
print("| | median s | passes | fp32 / this | memory |\n|---|---|---|---|---|")
for name, found in times.items():
    middle = statistics.median(found)
    print(f"| {name} | {middle:.4f} | {len(found)} | {first / middle:.2f} | {memory[name]} |")
