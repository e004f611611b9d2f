#!/usr/bin/env python3
"""Compresses a real language model in many ways and judges all results alike, beside what other programs reach.

    real_model.py LATHE MODEL OUTPUT --calibration IDS --text wikitext2=IDS:32 --text c4=IDS:16 \\
                  [--task piqa=FILE:300] [--peers FILE] [--rows NAME...] [--ranks N] [--list]

A text is anything that `lathe eval --text` takes, with the number of windows to read; the first one is also judged by the divergence
from the model. Rows stand in real_model_rows.py; NAME+guided and so on add what VARIANTS says. Each row has a folder of its own below
OUTPUT. What is there is not done again, so a table that was stopped goes on where it was. Embedding and head stay dense.
"""
import argparse
import json
import os
import pathlib
import subprocess

from real_model_rows import ROWS

SHARED = {"budget": "1.1x", "calibration.max_seq_length": 512, "search.strategy": "homogeneous",
          "search.num_evaluation_samples": 8, "ignore": "[lm_head, embed_tokens]"}
VARIANTS = {"refined": {"refine": "sequential"}, "guided": {"calibration.weighting": "loss"}}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lathe", type=pathlib.Path)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--calibration", required=True, help="texts or ids of calibration")
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--text", action="append", default=[], metavar="NAME=FILE:WINDOWS")
    parser.add_argument("--task", action="append", default=[], metavar="NAME=FILE:EXAMPLES")
    parser.add_argument("--peers", type=pathlib.Path, help="JSON file with a list `rows` of other programs' results")
    parser.add_argument("--rows", nargs="+", default=list(ROWS))
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="print the names of the rows")
    return parser.parse_args()


def answer(words, ranks=1):
    launcher = [] if ranks == 1 else ["mpirun", "--bind-to", "none", "-np", str(ranks)]
    words = [*launcher, *map(str, words), "--json"]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_WAIT_POLICY": "passive"})
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)}: exit code {done.returncode}")
    return json.loads(done.stdout)


def settings_of(name):
    row, *variants = name.split("+")
    keys = SHARED | ROWS[row]
    for variant in variants:
        keys |= VARIANTS[variant]
    return keys


def compressed(args, name):
    """The row's checkpoint; a finished run answers at once."""
    keys = settings_of(name) | {"model": args.model, "output": args.output / name / "run", "calibration.data": args.calibration,
                                "calibration.num_calibration_samples": args.samples}
    words = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
    return answer([args.lathe, "run", *words], args.ranks)


def measures(args):
    """Name and arguments of each evaluation."""
    for number, text in enumerate(args.text):
        name, _, rest = text.partition("=")
        file, _, windows = rest.rpartition(":")
        reference = ["--kl", args.model] if number == 0 else []
        yield name, ["--text", file, "--seqlen", 512, "--limit", windows, *reference]
    for task in args.task:
        name, _, rest = task.partition("=")
        file, _, examples = rest.rpartition(":")
        yield name, ["--task", name, "--data", file, "--limit", examples]


def judged(args, name, model, identity):
    """All figures of a model, kept in a file as they come."""
    file = args.output / name / "judged.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    if known.get("identity") != identity:
        known = {"identity": identity, "figures": {}}
    for measure, words in measures(args):
        key = " ".join(map(str, (measure, *words)))
        if key not in known["figures"]:
            known["figures"][key] = answer([args.lathe, "eval", model, *words], args.ranks)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(known, indent=1))
    return {measure: known["figures"][" ".join(map(str, (measure, *words)))] for measure, words in measures(args)}


def block_bits(args, checkpoint):
    """Bits on disk for each weight of the blocks' matrices."""
    units = [u for u in answer([args.lathe, "inspect", checkpoint])["units"] if u["name"].startswith("block_")]
    weights = sum(8 * unit["bytes"] / unit["bits_per_weight"] for unit in units)
    return sum(8 * unit["bytes"] for unit in units) / weights


def cells(args, figures):
    found = []
    for number, (measure, _) in enumerate(measures(args)):
        one = figures[measure]
        if number == 0:
            found.append(f"{one['kl']:.4f} +- {one['kl_standard_error']:.4f}" if "kl" in one else "0")
        found.append(f"{one['perplexity']:.2f}" if "perplexity" in one else f"{one['value']:.3f}")
    return found


def peer_cells(args, peer):
    names = {"wikitext2": "wikitext2_ppl_32_windows", "c4": "c4_ppl_16_windows"}
    found = [f"{peer['kl_nats_per_token']:.4f}"]
    for measure, _ in measures(args):
        value = peer.get(names.get(measure, f"{measure}_acc_accnorm_300"))
        found.append("" if value is None else f"{value[0]:.3f}" if isinstance(value, list) else f"{value:.2f}")
    return found


def print_row(name, bits, size, found, note=""):
    bits = "" if bits is None else f"{bits:.3f}"
    print(f"| {name} | {bits} | {size / 1e6:.1f} | {' | '.join(found)} | {note} |", flush=True)


def main():
    args = arguments()
    if args.list:
        print("\n".join([*ROWS, *("NAME+" + variant for variant in VARIANTS)]))
        return
    titles = [measure for measure, _ in measures(args)]
    titles.insert(0, "KL on " + titles[0])
    print(f"| blocks | bits a weight | MB | {' | '.join(titles)} | stages, seconds |\n|{'---|' * (4 + len(titles))}")
    if args.peers:
        for peer in json.loads(args.peers.read_text())["rows"]:
            print_row(f"{peer['program']}: {peer['setting']}", peer["block_bits_per_weight"], 1e6 * peer["total_MB"], peer_cells(args, peer))
    for name in args.rows:
        run = compressed(args, name)
        stages = ", ".join(f"{stage['name']} {stage['seconds']:.0f}" for stage in run["stages"] if stage["seconds"] >= 1)
        figures = judged(args, name, run["checkpoint"], run["checkpoint_hash"])
        print_row(name, block_bits(args, run["checkpoint"]), run["checkpoint_bytes"], cells(args, figures), stages)


if __name__ == "__main__":
    main()
