#!/usr/bin/env python3
"""ADMM on 2:4 in plain PyTorch, to compare with BM_SparseAdmm of compression_bench.

    bench/torch_admm.py [--size 4096] [--threads 2] [--rounds 2]

A round is what BM_SparseAdmm times: after a change of the penalty the inverse of the damped Gram matrix, then three
iterations (one matrix product, projection on 2:4, dual) and the count of places that changed. Prints a JSON object.
"""
import argparse
import json
import time

import torch


def project(t):
    """Keeps the two largest of each four."""
    groups = t.view(-1, 4)
    places = groups.abs().topk(2, dim=1).indices
    mask = torch.zeros_like(groups, dtype=torch.bool).scatter_(1, places, True)
    return (groups * mask).view_as(t), mask.view_as(t)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    d = options.size
    inputs = torch.rand(4096, d) * 2 - 1
    gram = inputs.T @ inputs
    gram += 0.01 * gram.diagonal().mean() * torch.eye(d)
    scale = gram.diagonal().sqrt()
    gram = gram / scale[:, None] / scale[None, :]  # unit diagonal
    weight = (torch.rand(d, d) * 2 - 1) * scale
    target = weight @ gram
    rho = 0.3
    d_matrix, mask = project(weight)
    dual = torch.zeros_like(weight)
    seconds = []
    for _ in range(options.rounds):
        begin = time.perf_counter()
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram + rho * torch.eye(d)))
        before = mask
        for _ in range(3):
            b = (target - dual + rho * d_matrix) @ inverse
            d_matrix, mask = project(b + dual / rho)
            dual += rho * (b - d_matrix)
        changed = (mask != before).sum().item()
        seconds.append(time.perf_counter() - begin)
    print(json.dumps({"size": d, "threads": options.threads, "seconds": seconds, "changed": changed,
                      "gflops": 7 * d**3 / min(seconds) / 1e9}))


if __name__ == "__main__":
    main()
