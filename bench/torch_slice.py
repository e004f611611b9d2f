#!/usr/bin/env python3
"""Slicing of a Llama directory in plain PyTorch, in the order of the published code (SliceGPT, arXiv:2401.15024): each
rotation from the already sliced predecessors, Gram matrices in fp64 sequence by sequence, two passes of every block.
The thing that `lathe run` with a slice section is timed against.

    pip install torch transformers
    torch_slice.py MODEL IDS.npy [--sparsity 0.25] [--threads 2] [--evaluate TEXT_IDS.npy] [--mean-quirk]

IDS.npy holds token ids [sequences, length]. Prints the seconds of slicing, those of the eigenproblems among them, and
with --evaluate the perplexity over the rows of another such file. --mean-quirk takes the mean off the embeddings, as the
published code does for every model. Weights are kept in fp32.
"""
import argparse
import time

import numpy as np
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM


def rms(x, size, epsilon):
    return x / torch.sqrt(x.pow(2).sum(-1, keepdim=True) / size + epsilon)


class Block:
    """The weights of one block, norms fused into the readers, and how it runs on any width."""

    def __init__(self, layer, config, rotary):
        attention, mlp = layer.self_attn, layer.mlp
        first, second = layer.input_layernorm.weight.double(), layer.post_attention_layernorm.weight.double()
        self.q, self.k, self.v = ((m.weight.double() * first).float()
                                  for m in (attention.q_proj, attention.k_proj, attention.v_proj))
        self.gate, self.up = ((m.weight.double() * second).float() for m in (mlp.gate_proj, mlp.up_proj))
        self.o, self.down = attention.o_proj.weight.float(), mlp.down_proj.weight.float()
        self.skip_attention = self.skip_mlp = None
        self.config, self.rotary = config, rotary

    def attend(self, x):
        c, (n, t, _) = self.config, x.shape
        head = self.q.shape[0] // c.num_attention_heads
        cos, sin = self.rotary(x, torch.arange(t)[None])

        def turn(y):
            half = torch.cat((-y[..., head // 2:], y[..., :head // 2]), -1)
            return y * cos[:, None] + half * sin[:, None]

        y = rms(x, c.hidden_size, c.rms_norm_eps)
        q, k, v = (F.linear(y, w).view(n, t, -1, head).transpose(1, 2) for w in (self.q, self.k, self.v))
        repeats = c.num_attention_heads // c.num_key_value_heads
        k, v = turn(k).repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
        mixed = F.scaled_dot_product_attention(turn(q), k, v, is_causal=True)
        return F.linear(x, self.skip_attention.T) + F.linear(mixed.transpose(1, 2).reshape(n, t, -1), self.o)

    def feed_forward(self, x):
        y = rms(x, self.config.hidden_size, self.config.rms_norm_eps)
        hidden = F.silu(F.linear(y, self.gate)) * F.linear(y, self.up)
        return F.linear(x, self.skip_mlp.T) + F.linear(hidden, self.down)


class Slicer:
    def __init__(self, model, width):
        self.config, self.width, self.eigen_seconds = model.config, width, 0.0
        self.embedding = model.model.embed_tokens.weight.float()
        self.head = (model.lm_head.weight.double() * model.model.norm.weight.double()).float()
        self.blocks = [Block(layer, model.config, model.model.rotary_emb) for layer in model.model.layers]

    def rotation(self, batches):
        gram = None
        for x in batches:
            x = x.double()
            product = torch.sum(x.mT @ x, dim=0)  # one matrix for each sequence, then their sum
            gram = product if gram is None else gram + product
        start = time.perf_counter()
        diagonal = torch.arange(len(gram))
        gram[diagonal, diagonal] += 0.01 * gram.diagonal().mean()
        vectors = torch.linalg.eigh(gram)[1].flip(1)
        self.eigen_seconds += time.perf_counter() - start
        return vectors

    def slice(self, batches):
        d = self.width

        def reader(w, q):
            return (w.double() @ q)[:, :d].float()

        x = [F.embedding(batch, self.embedding) for batch in batches]
        q = self.rotation(x)
        self.embedding = reader(self.embedding, q)
        for block in self.blocks:
            block.q, block.k, block.v = (reader(w, q) for w in (block.q, block.k, block.v))
            inputs = [(b.double() @ q)[..., :d].float() for b in x]
            block.skip_attention = q.T[:d].float()
            middle = [block.attend(b) for b in inputs]
            q2 = self.rotation(middle)
            block.o = (q2.T @ block.o.double())[:d].float()
            block.skip_attention = (q.T[:d] @ q2[:, :d]).float()
            block.gate, block.up = reader(block.gate, q2), reader(block.up, q2)
            block.skip_mlp = q2.T[:d].float()
            x = [block.feed_forward(block.attend(b)) for b in inputs]  # the second pass
            last = block is self.blocks[-1]
            q3 = self.rotation(x)
            kept = self.config.hidden_size if last else d
            block.down = (q3.T @ block.down.double())[:kept].float()
            block.skip_mlp = (q2.T[:d] @ q3[:, :kept]).float()
            q = q3
        self.head = (self.head.double() @ q).float()

    def perplexity(self, ids):
        total, count = 0.0, 0
        for rows in torch.split(ids, 16):
            x = F.embedding(rows, self.embedding)
            for block in self.blocks:
                x = block.feed_forward(block.attend(x))
            logits = F.linear(rms(x, self.config.hidden_size, self.config.rms_norm_eps), self.head)
            total += F.cross_entropy(logits[:, :-1].flatten(0, 1), rows[:, 1:].flatten(), reduction="sum").item()
            count += rows[:, 1:].numel()
        return float(np.exp(total / count))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("ids")
    parser.add_argument("--sparsity", type=float, default=0.25)
    parser.add_argument("--round-interval", type=int, default=8)
    parser.add_argument("--batch", type=int, default=16, help="sequences, as in the published code")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--evaluate")
    parser.add_argument("--mean-quirk", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)
    ids = torch.from_numpy(np.load(args.ids).astype(np.int64))
    width = int((1 - args.sparsity) * model.config.hidden_size)
    start = time.perf_counter()
    slicer = Slicer(model, width - width % args.round_interval)
    if args.mean_quirk:
        slicer.embedding -= slicer.embedding.mean(1, keepdim=True)
    slicer.slice(torch.split(ids, args.batch))
    print(f"width {slicer.width}  seconds {time.perf_counter() - start:.3f}  eigen {slicer.eigen_seconds:.3f}")
    if args.evaluate:
        print(f"perplexity {slicer.perplexity(torch.from_numpy(np.load(args.evaluate).astype(np.int64))):.4f}")


main()
