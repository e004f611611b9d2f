#!/usr/bin/env python3
"""Whole jobs, timed: GPTQ at 4 and 3 bits on the example, or every solver, and memory against the number of blocks.

    bench/end_to_end.py LATHE_BINARY [--solvers] [--python PYTHON_WITH_TRANSFORMERS]

Prints one JSON object. With a Python that has transformers the exported directory is evaluated there too.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples"

EVALUATE = """
import json, math, sys, torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM
ids = Tokenizer.from_file(sys.argv[1] + "/tokenizer.json").encode(open(sys.argv[2]).read(), add_special_tokens=False).ids
windows = torch.tensor(ids[:len(ids) // 256 * 256]).view(-1, 256)
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
total = 0.0
with torch.no_grad():
    for part in windows.split(8):
        logits = model(part).logits.double()
        total += torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), part[:, 1:].flatten(), reduction="sum").item()
print(math.exp(total / (windows.numel() - len(windows))))
"""


def run(binary, output, settings, command="run"):
    arguments = [binary, command, "--json", "--quiet", "--output", output]
    for key, value in settings.items():
        arguments += ["--set", f"{key}={value}"]
    done = subprocess.run(list(map(str, arguments)), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


SOLVERS = {
    **{f"int{bits} {solver}": f"{{method: integer, num_bits: {bits}, group_size: 64, solver: {solver}}}"
       for bits in (4, 3, 2) for solver in ("rtn", "gptq", "admm")},
    # Groups so wide that a scale for each plane takes no more than the integer grids' one for each 64, in rows of 256
    # and of 704; 192 in rows of 192 and of 768.
    **{f"bcq{bits} g{size} {solver}": f"{{method: bcq, num_bits: {bits}, group_size: {size}, solver: {solver}}}"
       for bits, size in ((4, 352), (3, 256), (2, 144), (3, 192), (2, 192)) for solver in ("alternating", "gptq", "admm")},
    **{f"{pattern} {solver}": f"{{method: nm, pattern: '{pattern}', solver: {solver}}}"
       for pattern in ("2:4", "4:8") for solver in ("magnitude", "wanda", "sparsegpt", "admm_fixed", "admm")},
    **{f"2:4+int4 {solver}": f"{{method: nm, num_bits: 4, group_size: 64, solver: {solver}}}"
       for solver in ("sparsegpt", "admm")},
}


def uniform(options, scratch, name, candidate):
    """128 x 256 calibration tokens, every layer the same, embeddings and head kept dense."""
    binary, python = options.binary, options.python
    output = scratch / "".join(c if c.isalnum() else "_" for c in name)
    settings = {
        "model": options.model, "calibration.data": EXAMPLE / "kjv/train.txt",
        "calibration.num_calibration_samples": 128, "calibration.max_seq_length": 256,
        "search.num_evaluation_samples": 4, "ignore": "[embedding, head]", "export": "[hf]",
        "candidates": f"[{candidate}]"}
    # The smallest feasible budget leaves the search one plan: every layer under this candidate.
    plan = run(binary, output, settings | {"budget": "1x"}, "plan")
    result = run(binary, output, settings | {"budget": plan["minimum_bytes"]})
    evaluated = json.loads(subprocess.run(
        [binary, "eval", result["checkpoint"], "--text", EXAMPLE / "kjv/test.txt", "--seqlen", "256", "--json",
         "--quiet"], capture_output=True, text=True).stdout)
    row = {"candidate": name, "bytes": result["checkpoint_bytes"], "perplexity": evaluated["perplexity"],
           "seconds": {s["name"]: round(s["seconds"], 2) for s in result["stages"]}}
    units = json.loads(subprocess.run([binary, "inspect", result["checkpoint"], "--json"], capture_output=True,
                                      text=True).stdout)["units"]
    errors = [unit["relative_error"] for unit in units if unit["relative_error"] > 0]
    row["mean_relative_error"] = sum(errors) / max(len(errors), 1)
    row["job_seconds"] = round(sum(row["seconds"].values()), 2)
    if python:
        row["perplexity_of_export_in_transformers"] = float(subprocess.run(
            [python, "-c", EVALUATE, output / "export", EXAMPLE / "kjv/test.txt"], capture_output=True, text=True,
            check=True).stdout)
    return row


def peak_memory(binary, scratch, blocks):
    """Peak resident bytes of a job on a random model of this many blocks."""
    model = scratch / f"random{blocks}"
    subprocess.run([sys.executable, ROOT / "bench/make_random_llama.py", model, "--hidden", "512", "--ffn", "1408",
                    "--blocks", str(blocks), "--heads", "8", "--kv-heads", "8", "--vocab", "512"], check=True,
                   capture_output=True)
    text = scratch / "text.txt"
    text.write_bytes((EXAMPLE / "kjv/train.txt").read_bytes()[:200_000])
    script = ("import resource, subprocess, sys; code = subprocess.run(sys.argv[1:], capture_output=True).returncode; "
              "print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)")
    arguments = [binary, "run", "--output", scratch / f"run{blocks}", "--set", f"model={model}", "--set", "budget=4x",
                 "--set", f"calibration.data={text}", "--set", "calibration.num_calibration_samples=16", "--set",
                 "calibration.max_seq_length=256", "--set", "search.num_evaluation_samples=2", "--set",
                 # GPTQ: the other solvers need no more memory, but ten times the seconds.
                 "candidates=[{method: dense}, {method: integer, num_bits: [2, 3, 4, 8], solver: [gptq, rtn]}]"]
    done = subprocess.run([sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True)
    code, peak = map(int, done.stdout.split())
    if code != 0:
        sys.exit(f"job with {blocks} blocks failed: {done.stdout} {done.stderr}")
    return peak


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--solvers", action="store_true",
                        help="every solver instead of GPTQ at 4 and 3 bits, and no memory")
    parser.add_argument("--memory", action="store_true", help="only peak memory with 6 and with 24 blocks")
    parser.add_argument("--only", help="with --solvers: those whose name contains this")
    parser.add_argument("--model", type=pathlib.Path, default=EXAMPLE / "kjv-llama",
                        help="a model with its tokenizer that knows the texts of examples/kjv")
    parser.add_argument("--python", help="a Python with transformers and torch")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lathe-bench-") as folder:
        scratch = pathlib.Path(folder)
        report = {}
        if not options.memory:
            names = [n for n in SOLVERS if (options.only or "") in n] if options.solvers else ("int4 gptq", "int3 gptq")
            report["uniform"] = [uniform(options, scratch, n, SOLVERS[n]) for n in names]
        if not options.solvers:
            memory = {n: peak_memory(options.binary, scratch, n) for n in (6, 24)}
            report |= {"peak_memory_bytes": memory, "memory_ratio_24_to_6_blocks": memory[24] / memory[6]}
        print(json.dumps(report, indent=1))
