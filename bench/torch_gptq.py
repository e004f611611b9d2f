#!/usr/bin/env python3
"""GPTQ of one layer in plain PyTorch, in the manner of the published code (arXiv:2210.17323):
Cholesky, cholesky_inverse, upper Cholesky, then a loop over columns in blocks of 128, groups of 64,
symmetric 4-bit grids. The thing that compare_gptq.py times our program against.

    torch_gptq.py [--size 2048] [--repeat 3] [--threads 2] [--search]

Prints one time in seconds a line: factor, grids and sweep of a size x size layer. The published code
takes each group's grid from its largest magnitude; --search tries 36 shrunk ranges as ours does.
"""
import argparse
import time

import torch


def find_scale(w, max_code, search):
    """Scale of each row of a group [rows, group]."""
    full = w.abs().amax(dim=1).clamp_min(2.0**-24) / max_code
    if not search:
        return full
    best = torch.full_like(full, float("inf"))
    scale = full.clone()
    for k in range(36):
        tried = full * (1.0 - 0.02 * k)
        q = torch.clamp(torch.round(w / tried[:, None]), -max_code, max_code) * tried[:, None]
        error = (w - q).pow(2).sum(dim=1)
        better = error < best
        best[better] = error[better]
        scale[better] = tried[better]
    return scale


def gptq(weight, gram, num_bits=4, group_size=64, block_size=128, damping=0.01, search=False):
    w = weight.clone()
    rows, cols = w.shape
    max_code = 2 ** (num_bits - 1) - 1
    h = gram.clone()
    diagonal = torch.arange(cols)
    h[diagonal, diagonal] += damping * torch.mean(torch.diag(h))
    h = torch.linalg.cholesky(h)
    h = torch.cholesky_inverse(h)
    factor = torch.linalg.cholesky(h, upper=True)

    values = torch.zeros_like(w)
    for begin in range(0, cols, block_size):
        end = min(begin + block_size, cols)
        block = w[:, begin:end].clone()
        quantised = torch.zeros_like(block)
        errors = torch.zeros_like(block)
        diagonal_block = factor[begin:end, begin:end]
        for i in range(end - begin):
            column = block[:, i]
            if (begin + i) % group_size == 0:
                scale = find_scale(block[:, i : i + group_size], max_code, search)
            q = torch.clamp(torch.round(column / scale), -max_code, max_code) * scale
            quantised[:, i] = q
            error = (column - q) / diagonal_block[i, i]
            block[:, i:] -= error.unsqueeze(1).matmul(diagonal_block[i, i:].unsqueeze(0))
            errors[:, i] = error
        values[:, begin:end] = quantised
        w[:, end:] -= errors.matmul(factor[begin:end, end:])
    return values


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--search", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    d = arguments.size
    x = torch.rand(2 * d, d) * 2 - 1
    gram = x.T @ x
    weight = torch.rand(d, d) * 2 - 1
    with torch.no_grad():
        gptq(weight[:128, :128], gram[:128, :128])  # first use of each operator
        for _ in range(arguments.repeat):
            begin = time.perf_counter()
            gptq(weight, gram, search=arguments.search)
            print(f"{time.perf_counter() - begin:.4f}", flush=True)


if __name__ == "__main__":
    main()
