"""Run directories for tests of reports: small jobs, and a large one that nobody ran."""
import json
import random
import time

import lathe

SHARED = lathe.ROOT.parent / "shared"


def example(output, ranks=0, **changes):
    """The example job, smaller and with cheap candidates; two texts of different kinds at the end."""
    texts = f"[{lathe.TEXTS / 'test.txt'}, {lathe.ROOT / 'LICENSE'}]"
    keys = {"evaluate.perplexity": texts, "evaluate.max_seq_length": 64, "evaluate.limit": 24, "search.generations": 3,
            "calibration.num_calibration_samples": 8, "candidates": "[{method: integer, num_bits: [2, 3, 4, 8], solver: rtn}]"}
    return lathe.run_json(["run", *lathe.job(output, **(keys | {k.replace("__", "."): v for k, v in changes.items()}))], ranks)


def sliced(output):
    return example(output, slice__sparsity=0.25, slice__order="sequential", budget="1.5x")


def encoder(output):
    model, data = SHARED / "models/minilm-l6-sst2", SHARED / "data/sst2"
    return example(output, model=model, budget="3x", calibration__data=data / "train.tsv",
                   search__evaluation=data / "dev.tsv", evaluate__perplexity=f"[{data / 'dev.tsv'}]",
                   candidates="[{method: integer, num_bits: [4, 8], solver: rtn}]",
                   evaluate__tasks=f"[{{task: sst2, data: {data / 'dev.tsv'}}}]")


def stopped(output):
    """By a signal, once two tasks are done."""
    process = lathe.start(["run", *lathe.job(output, calibration__num_calibration_samples=64)])
    end = time.monotonic() + 120
    while len(lathe.journal(output)) < 2:
        assert time.monotonic() < end and process.poll() is None, "no two tasks were done"
        time.sleep(0.05)
    process.terminate()
    assert process.wait(timeout=60) == 75


def with_sum(entry):
    """A line of the journal."""
    import xxhash
    body = json.dumps(entry, separators=(",", ":"), ensure_ascii=False)
    return f'{body[:-1]},"crc":"{xxhash.xxh3_64_hexdigest(body.encode())}"}}\n'


def can_make_large():
    """Whether large() has what it writes a journal with; if not, it says so."""
    try:
        import xxhash  # noqa: F401
    except ImportError:
        print("skipped: no xxhash to write a journal with")
        return False
    return True


def large(output, blocks=96, ranks=64):
    """A run of a model of 96 blocks on 64 ranks, by hand: what it would have left of figures, and no weights."""
    chance = random.Random(7)
    kinds = ("qkv", "o", "gate_up", "down")
    names = ["embedding", *(f"block_{b:04}.{k}" for b in range(blocks) for k in kinds), "head"]
    settings = [f"integer group_size=64 num_bits={bits} solver={solver} symmetric=true" for bits in (2, 3, 4, 8)
                for solver in ("gptq", "admm")]
    (output / "search").mkdir(parents=True)
    weights = 10**8
    units = [{"name": n, "setting": chance.choice(settings), "bytes": chance.randrange(2 * 10**7, 10**8), "error": chance.random(),
              "relative_error": 10**chance.uniform(-4, -1), "weights": weights, "score": 10**chance.uniform(-5, -2)} for n in names]
    plans = [{"origin": f"homogeneous {s}" if i < len(settings) else f"evolution, generation {i}", "kl": 10**chance.uniform(-3, 0),
              "kl_standard_error": 1e-4, "perplexity": 5 + chance.random(), "predicted_bytes": chance.randrange(10**10, 4 * 10**10)}
             for i, s in enumerate(settings * 40)]
    plan = plans[-1] | {"budget": "4x", "budget_bytes": 4 * 10**10, "units": units, "score": "measured divergence", "considered": plans,
                        "kept_tensors": {"setting": "dense dtype=source", "bytes": 10**6},
                        "generations": [{"generation": g, "screened": 64, "measured": 2, "kl": 0.1 / (1 + g)} for g in range(200)],
                        "proxies": [{"score": s, "rank_correlation": 0.9, "predicted": [p["kl"] * chance.uniform(0.5, 2) for p in plans]}
                                    for s in ("measured divergence", "relative error", "absolute error")]}
    (output / "search/plan.json").write_text(json.dumps(plan))
    windows = [{"file": f"/texts/{name}.txt", "tokens": [2048] * 256, **{k: [abs(chance.gauss(0.1, 0.02)) * 2048 for _ in range(256)]
                                                                        for k in ("kl", "nll", "reference_nll", "agree")}}
               for name in ("wiki", "code")]
    (output / "windows.json").write_text(json.dumps(windows))
    tensors = [{"tensor": f"model.layers.{b}.{t}.weight", "fate": "compressed", "unit": f"block_{b:04}.{t}"}
               for b in range(blocks) for t in ("q", "k", "v", "o", "gate", "up", "down", "norm1", "norm2")]
    (output / "report.json").write_text(json.dumps({
        "status": "done", "run": str(output), "checkpoint": f"{output}/checkpoint", "parameters": weights * len(names),
        "source_bytes": 16 * 10**10, "checkpoint_bytes": 4 * 10**10, "ratio": 4.0, "bits_per_weight": 4.1, "plan_origin": plan["origin"],
        "checkpoint_hash": "0123456789abcdef", "tensors": tensors, "evaluation": [], "stages": [
            {"name": s, "seconds": 1000.0, "tasks": 100, "tasks_reused": 0} for s in ("calibrate", "compress", "search")]}))
    (output / "manifest.json").write_text(json.dumps({"format_version": 1, "instruction_set": "avx512", "model_fingerprint": "m",
                                                     "program_version": "0.1.0", "samples_fingerprint": "s"}))
    (output / "status.json").write_text(json.dumps({"status": "done", "ranks": ranks}))
    (output / "job.yaml").write_text("model: /models/large\noutput: /runs/large\n")
    start, lines, calls, free = 1.8e9, [], [], [0.0] * ranks
    for stage, n_tasks, seconds in (("calibrate", blocks + 1, 60), ("compress", len(names), 400), ("search", 30000, 8)):
        tasks = []
        began = max(free)
        for t in range(n_tasks):
            rank = min(range(ranks), key=free.__getitem__)
            took = chance.uniform(0.5, 1.5) * seconds
            free[rank] = max(free[rank], began) + took
            tasks.append({"id": f"{stage}/{t}", "cost": took, "rank": -1})
            lines.append((free[rank], with_sum({"task": f"{stage}/{t}", "stage": stage, "seconds": took, "rank": rank, "size_bytes": 0,
                                                "artifact": "", "text": "x" * 400, "ended": start + free[rank]})))
        calls.append({"stage": stage, "began": began, "ended": max(free), "reused": 0, "tasks": tasks})
    (output / "journal.jsonl").write_text("".join(line for _, line in sorted(lines)))
    first = {"ranks": ranks, "batches": 8, "parts": 8, "started": start, "where": f"{ranks} ranks on 8 hosts"}
    (output / "schedule.jsonl").write_text("\n".join(map(json.dumps, [first, *calls])) + "\n")
    add_rotations(output / "rotation/sweep_0", blocks, 4096)


def add_rotations(folder, blocks, size):
    import h5py
    import numpy
    import xxhash
    folder.mkdir(parents=True)
    for block in range(blocks):
        with h5py.File(folder / f"block_{block:04}.h5", "w", libver="latest") as file:
            for boundary in range(2):
                values = numpy.arange(1, size + 1, dtype=numpy.float64)**(-1 - block / blocks)
                dataset = file.create_dataset(f"{boundary}/values", data=values)
                dataset.attrs["dtype"] = numpy.bytes_("float64")
                dataset.attrs["hash"] = numpy.bytes_(xxhash.xxh3_64_hexdigest(values.tobytes()))


def damaged(whole):
    """What may have become of a run's files; a name each, and what does it."""
    def cut(name, keep):
        path = whole / name
        path.write_bytes(path.read_bytes()[:keep])

    def edit_manifest(**changes):
        path = whole / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return {
        "a plan cut off": (lambda: cut("search/plan.json", 700), "plan.json is damaged"),
        "a report cut off": (lambda: cut("report.json", 300), "report.json is damaged"),
        "no report": (lambda: (whole / "report.json").unlink(), "no report.json"),
        "windows of nothing": (lambda: (whole / "windows.json").write_text('[{"tokens": "x", "kl": [1e999]}, 7]'), ""),
        "a torn journal": (lambda: (whole / "journal.jsonl").write_bytes(b"\x00\xff{]\n" + (whole / "journal.jsonl").read_bytes()[:-20]),
                           "lines of journal.jsonl are damaged"),
        "no schedule": (lambda: (whole / "schedule.jsonl").unlink(), "no schedule.jsonl"),
        "of a newer version": (lambda: edit_manifest(format_version=2, program_version="9.0"), "format version 2"),
        "a manifest of nothing": (lambda: (whole / "manifest.json").write_text("{"), "manifest.json is damaged"),
        "a job that is none": (lambda: (whole / "job.yaml").write_text("a: [b\n"), "job.yaml"),
        "a plan of other things": (lambda: (whole / "search/plan.json").write_text(json.dumps(
            {"units": [7, {"name": 3}, {"name": "block_x.y", "bytes": -1}], "considered": [{"kl": "x"}, None], "proxies": {"a": 1}})), ""),
    }
