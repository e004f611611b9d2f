#!/usr/bin/env python3
"""The cases of forward_bench.cpp in plain PyTorch: float32, no gradients, fused attention.

Prints one JSON object: case name -> [mean seconds, mean processor seconds of all threads].
"""
import argparse
import json
import math
import time

import torch
import torch.nn.functional as F

N_TOKENS = 2048
HEAD_DIM = 64
SHAPES = {1024: (2816, 16, 8), 2048: (5632, 32, 8)}  # hidden: intermediate, heads, key-value heads


def rotate(x, cos, sin):
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class Block:
    """Weights and activations of one Llama block; sequences are [n, length, hidden]."""

    def __init__(self, hidden, length):
        self.intermediate, self.heads, self.kv_heads = SHAPES[hidden]
        self.hidden, self.length = hidden, length
        kv_width = self.kv_heads * HEAD_DIM
        weight = lambda rows, cols: torch.randn(rows, cols) / math.sqrt(hidden)
        self.norm = torch.randn(hidden)
        self.q_w, self.k_w = weight(hidden, hidden), weight(kv_width, hidden)
        self.v_w, self.o_w = weight(kv_width, hidden), weight(hidden, hidden)
        self.gate_w, self.up_w = weight(self.intermediate, hidden), weight(self.intermediate, hidden)
        self.down_w = weight(hidden, self.intermediate)
        self.cos, self.sin = torch.randn(length, HEAD_DIM), torch.randn(length, HEAD_DIM)
        self.x = torch.randn(N_TOKENS // length, length, hidden)
        self.q = torch.randn(N_TOKENS // length, self.heads, length, HEAD_DIM)
        self.k = torch.randn(N_TOKENS // length, self.kv_heads, length, HEAD_DIM)
        self.v = torch.randn(N_TOKENS // length, self.kv_heads, length, HEAD_DIM)
        self.repeat = False
        self.repeat = self._repeating_is_faster()

    def attend(self, q, k, v):
        if self.repeat:
            n = self.heads // self.kv_heads
            k, v = k.repeat_interleave(n, dim=1), v.repeat_interleave(n, dim=1)
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)

    def _repeating_is_faster(self):
        """PyTorch has two ways to share key-value heads; it gets the better one."""
        best = {}
        for repeat in (False, True, False, True, False, True):
            self.repeat = repeat
            start = time.perf_counter()
            self.attend(self.q, self.k, self.v)
            seconds = time.perf_counter() - start
            best[repeat] = min(best.get(repeat, seconds), seconds)
        return best[True] < best[False]

    def split(self, x, n_heads):
        return x.view(x.shape[0], self.length, n_heads, HEAD_DIM).transpose(1, 2)

    def run(self):
        normed = F.rms_norm(self.x, (self.hidden,), self.norm, 1e-5)
        q = rotate(self.split(F.linear(normed, self.q_w), self.heads), self.cos, self.sin)
        k = rotate(self.split(F.linear(normed, self.k_w), self.kv_heads), self.cos, self.sin)
        v = self.split(F.linear(normed, self.v_w), self.kv_heads)
        mixed = self.attend(q, k, v).transpose(1, 2).reshape(self.x.shape)
        out = self.x + F.linear(mixed, self.o_w)
        normed = F.rms_norm(out, (self.hidden,), self.norm, 1e-5)
        gated = F.silu(F.linear(normed, self.gate_w)) * F.linear(normed, self.up_w)
        return out + F.linear(gated, self.down_w)


def cases():
    for hidden in SHAPES:
        for length in (512, 2048):
            block = Block(hidden, length)
            yield f"BM_Block/hidden:{hidden}/length:{length}", block.run
            yield (f"BM_Attention/hidden:{hidden}/length:{length}",
                   lambda b=block: b.attend(b.q, b.k, b.v))
    for length in (128, 512):
        q, k, v = (torch.randn(N_TOKENS // length, 12, length, HEAD_DIM) for _ in range(3))
        yield (f"BM_BidirectionalAttention/length:{length}",
               lambda q=q, k=k, v=v: F.scaled_dot_product_attention(q, k, v))
    narrow, weight = torch.randn(N_TOKENS, 768), torch.randn(768)
    yield "BM_LayerNorm/width:768", lambda: F.layer_norm(narrow, (768,), weight, weight, 1e-5)
    wide = torch.randn(N_TOKENS, 3072)
    yield "BM_Activate/kind:1/width:3072", lambda: F.gelu(wide)
    yield "BM_Activate/kind:3/width:3072", lambda: F.relu(wide)
    for tokens, inputs, outputs in ((2048, 1024, 1024), (2048, 1024, 2816), (2048, 2816, 1024),
                                    (2048, 768, 768), (2048, 768, 3072), (2048, 3072, 768),
                                    (2048, 2048, 2048), (64, 2048, 2048), (1, 2048, 5632)):
        x, w = torch.randn(tokens, inputs), torch.randn(outputs, inputs)
        yield (f"BM_Linear/tokens:{tokens}/in:{inputs}/out:{outputs}",
               lambda x=x, w=w: F.linear(x, w))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.5, help="time for each case")
    parser.add_argument("--filter", default="", help="cases whose name contains this")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    times = {}
    with torch.no_grad():
        for name, run in cases():
            if arguments.filter not in name:
                continue
            run()
            repetitions = 0
            wall, processor = time.perf_counter(), time.process_time()
            while not repetitions or time.perf_counter() < wall + arguments.seconds:
                run()
                repetitions += 1
            times[name] = [(time.perf_counter() - wall) / repetitions,
                           (time.process_time() - processor) / repetitions]
    print(json.dumps(times))


if __name__ == "__main__":
    main()
