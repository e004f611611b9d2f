#!/usr/bin/env python3
"""Perplexity of a served model as its own program computes it, on windows of token ids.

    reader_perplexity.py vllm DIRECTORY --ids IDS.h5 --limit 32 [--dtype float16]
    reader_perplexity.py transformers DIRECTORY --ids IDS.h5 --limit 32
    reader_perplexity.py llama.cpp FILE.gguf --ids IDS.h5 --limit 32 --headers INCLUDE INCLUDE [--reference FILE.gguf]

IDS.h5 has a dataset input_ids [windows, tokens]. With --reference, another model for the same program, the mean divergence from it is
given too. llama.cpp needs the wheel xllamacpp, whose library exports the C interface, and its headers (include and ggml/include of a
source tree of about that age). vLLM computes on the CPU.
"""
import argparse
import ctypes
import glob
import importlib.util
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

import h5py
import numpy as np


def log_probabilities(logits):
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


class LlamaCpp:
    def __init__(self, args):
        package = pathlib.Path(importlib.util.find_spec("xllamacpp").origin).parent
        ctypes.CDLL(glob.glob(str(package / "xllamacpp*.so"))[0], mode=ctypes.RTLD_GLOBAL)
        self.folder = tempfile.TemporaryDirectory()
        library = pathlib.Path(self.folder.name) / "reader.so"
        source = pathlib.Path(__file__).with_name("llama_cpp_logits.c")
        includes = [word for folder in args.headers for word in ("-I", folder)]
        subprocess.run(["cc", "-O2", "-fPIC", "-shared", *includes, source, "-o", library], check=True)
        self.library = ctypes.CDLL(str(library))
        self.library.reader_open.restype = ctypes.c_void_p
        self.threads = args.threads

    def open(self, file, length):
        reader = self.library.reader_open(str(file).encode(), length, self.threads)
        if not reader:
            sys.exit(f"llama.cpp does not read {file}")
        self.reader = ctypes.c_void_p(reader)
        return self

    def logits(self, ids):
        found = np.empty((len(ids), self.library.reader_vocab(self.reader)), np.float32)
        code = self.library.reader_logits(self.reader, (ctypes.c_int * len(ids))(*ids), len(ids),
                                          found.ctypes.data_as(ctypes.c_void_p))
        if code != 0:
            sys.exit(f"llama_decode: {code}")
        return found


class Transformers:
    def __init__(self, args):
        import torch
        torch.set_num_threads(args.threads)

    def open(self, directory, _length):
        import torch
        import transformers
        self.model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
        return self

    def logits(self, ids):
        import torch
        with torch.no_grad():
            return self.model(torch.tensor([ids])).logits[0].numpy()


def vllm_losses(args, windows):
    """Negative log-likelihoods; vLLM gives those of the prompt, and no logits."""
    os.environ.update(HF_HUB_OFFLINE="1", VLLM_CPU_KVCACHE_SPACE="1", VLLM_CPU_OMP_THREADS_BIND="nobind", VLLM_NO_USAGE_STATS="1",
                      VLLM_ENABLE_V1_MULTIPROCESSING="0", VLLM_TARGET_DEVICE="cpu", OMP_NUM_THREADS=str(args.threads))
    from vllm import LLM, SamplingParams
    model = LLM(model=str(args.model), dtype=args.dtype, enforce_eager=True, max_model_len=windows.shape[1] + 8, max_num_seqs=2,
                disable_log_stats=True, gpu_memory_utilization=0.1)
    answers = model.generate([{"prompt_token_ids": ids} for ids in windows.tolist()],
                             SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=1))
    return [[-answer.prompt_logprobs[t][ids[t]].logprob for t in range(1, len(ids))]
            for answer, ids in zip(answers, windows.tolist())]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", choices=["vllm", "transformers", "llama.cpp"])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--ids", required=True)
    parser.add_argument("--limit", type=int, default=32)
    parser.add_argument("--reference", type=pathlib.Path)
    parser.add_argument("--dtype", default="float16", help="of vLLM's activations")
    parser.add_argument("--headers", nargs="*", default=[])
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    with h5py.File(args.ids) as file:
        windows = file["input_ids"][:args.limit].astype(np.int64)
    divergences = []
    if args.program == "vllm":
        losses = vllm_losses(args, windows)
    else:
        make = LlamaCpp if args.program == "llama.cpp" else Transformers
        model = make(args).open(args.model, windows.shape[1])
        reference = make(args).open(args.reference, windows.shape[1]) if args.reference else None
        losses = []
        for ids in windows.tolist():
            found = log_probabilities(model.logits(ids))
            losses.append([-found[t - 1, ids[t]] for t in range(1, len(ids))])
            if reference:
                expected = log_probabilities(reference.logits(ids))
                divergences.append(float((np.exp(expected) * (expected - found)).sum(-1)[:-1].mean()))
    losses = np.array(losses)
    size = sum(f.stat().st_size for f in args.model.rglob("*") if f.is_file()) if args.model.is_dir() else args.model.stat().st_size
    result = {"program": args.program, "bytes": size, "perplexity": math.exp(losses.mean()), "tokens": losses.size}
    if divergences:
        result["kl"] = float(np.mean(divergences))
    print(json.dumps(result))


main()
