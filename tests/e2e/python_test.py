"""The Python package against the C++ reader: every tensor of every encoding, bit for bit. Exit code 77: no h5py, no NumPy."""
import json
import os
import shutil
import subprocess
import sys

import lathe

sys.path.insert(0, str(lathe.ROOT / "tests/python"))
import support  # noqa: E402  may start another Python, or skip

import h5py  # noqa: E402
import numpy as np  # noqa: E402
from lathe_checkpoint import Checkpoint, encodings, hashing, stock_model  # noqa: E402

# Widths that fill no words and no groups; float32, so that an export rounds nothing.
HIDDEN, INNER, VOCABULARY, BLOCKS = 40, 52, 67, 4
CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": INNER,
          "num_hidden_layers": BLOCKS, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 10, "hidden_act": "silu",
          "vocab_size": VOCABULARY, "rms_norm_eps": 1e-5, "max_position_embeddings": 64, "tie_word_embeddings": False,
          "bos_token_id": 0, "eos_token_id": 1, "torch_dtype": "float32"}
UNITS = [f"block_{block:04}.{unit}" for block in range(BLOCKS) for unit in ("qkv", "o", "gate_up", "down")]
STOCHASTIC = np.random.default_rng(11)


def make_model(directory, dtype="F32"):
    """A random Llama, and token ids to calibrate it with."""
    directory.mkdir()
    shapes = {"model.embed_tokens.weight": (VOCABULARY, HIDDEN), "model.norm.weight": (HIDDEN,), "lm_head.weight": (VOCABULARY, HIDDEN)}
    for block in range(BLOCKS):
        for name, shape in {"self_attn.q_proj": (40, HIDDEN), "self_attn.k_proj": (20, HIDDEN), "self_attn.v_proj": (20, HIDDEN),
                            "self_attn.o_proj": (HIDDEN, 40), "mlp.gate_proj": (INNER, HIDDEN), "mlp.up_proj": (INNER, HIDDEN),
                            "mlp.down_proj": (HIDDEN, INNER), "input_layernorm": (HIDDEN,), "post_attention_layernorm": (HIDDEN,)}.items():
            shapes[f"model.layers.{block}.{name}.weight"] = shape
    tensors = {}
    for name, shape in shapes.items():
        values = (STOCHASTIC.standard_normal(shape) / 6 + (len(shape) == 1)).astype(np.float32)
        content = values.tobytes() if dtype == "F32" else (values.view(np.uint32) >> 16).astype("<u2").tobytes()
        tensors[name] = (dtype, list(shape), content)
    lathe.write_tensors(directory / "model.safetensors", tensors)
    (directory / "config.json").write_text(json.dumps(CONFIG | {"torch_dtype": {"F32": "float32", "BF16": "bfloat16"}[dtype]}))
    with h5py.File(directory / "ids.h5", "w") as file:
        file["input_ids"] = STOCHASTIC.integers(0, VOCABULARY, (8, 32))
    return directory


def job(model, output, candidates, **changes):
    keys = {"model": model, "output": output, "calibration.data": model / "ids.h5", "calibration.num_calibration_samples": 6,
            "calibration.max_seq_length": 32, "search.strategy": "knapsack", "search.num_evaluation_samples": 2,
            "export": "[hf]", "candidates": candidates} | {k.replace("__", "."): v for k, v in changes.items()}
    return [text for key, value in keys.items() for text in ("--set", f"{key}={value}")]


def run_smallest(model, output, candidates, **changes):
    """A job in whose budget only the smallest plan fits."""
    smallest = lathe.run_json(["plan", *job(model, output, candidates, budget="0.5x", **changes)])["minimum_bytes"]
    lathe.run(["run", *job(model, output, candidates, budget=smallest, **changes)])
    return output


def each_its_own(entries):
    """Candidates that give the entries to the blocks' units, one each, and something to embedding and head."""
    entries = [entries[i % len(entries)] for i in range(len(UNITS))]
    listed = [f"{{{entry}, targets: {unit}}}" for entry, unit in zip(entries, UNITS)]
    rest = "{method: integer, num_bits: 5, group_size: 7, solver: rtn, targets: [embed_tokens, lm_head]}"
    return f"[{', '.join([*listed, rest])}]"


def rounded(values, dtype):
    """The bits of float32 values in an element type of safetensors, to nearest even."""
    if dtype == "F32":
        return values.view(np.uint32)
    if dtype == "F16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16).view(np.uint16)
    bits = values.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> np.uint64(16) & np.uint64(1))) >> np.uint64(16)).astype(np.uint16)


def expect_equal(checkpoint, export, transposed=(), seen=None):
    """Every tensor of a checkpoint as the package decodes it, and as the C++ reader exports it."""
    expected = {}
    for file in export.glob("*.safetensors"):
        expected |= lathe.read_tensors(file)
    opened = Checkpoint(checkpoint)
    assert set(opened.names()) == set(expected), set(opened.names()) ^ set(expected)
    for name, (dtype, shape, content) in expected.items():
        values = opened.tensor(name)
        values = np.ascontiguousarray(values.T) if name.endswith(transposed) and transposed else values
        assert list(values.shape) == shape and values.dtype == np.float32, (name, values.shape, shape)
        bits = np.frombuffer(content, "<u4" if dtype == "F32" else "<u2").reshape(shape)
        different = int((rounded(values, dtype) != bits).sum())
        encoded = opened.encoded(name)
        assert different == 0, f"{name}, {encoded.encoding} {encoded.settings}: {different} of {values.size} differ"
        for piece in (encoded, *encoded.pieces, *(p for piece in encoded.pieces for p in piece.pieces)):
            if seen is not None:
                seen.append((piece.encoding, dict(piece.settings), piece.parts))
    return opened


def encodings_that_methods_make():
    integers = [f"method: integer, num_bits: {bits}, group_size: {size}, symmetric: {symmetric}, solver: rtn"
                for bits, size in zip(range(2, 9), (7, 32, 100000, 13, 40, 1, 64)) for symmetric in ("true", "false")]
    integers += [f"method: integer, num_bits: {bits}, group_size: 9, symmetric: {symmetric}, scale_dtype: float8, solver: rtn"
                 for bits, symmetric in ((3, "false"), (4, "true"))]
    sparse = [f"method: nm, pattern: '{pattern}', {more}solver: {solver}" for pattern, more, solver in [
        ("2:4", "", "sparsegpt"), ("1:4", "", "wanda"), ("2:4", "dtype: float16, ", "wanda"), ("2:4", "dtype: bfloat16, ", "magnitude"),
        ("1:2", "", "wanda"), ("3:4", "", "wanda"), ("2:4", "num_bits: 3, group_size: 12, ", "sparsegpt"),
        ("1:4", "num_bits: 5, group_size: 8, ", "wanda"), ("1:4", "num_bits: 2, ", "wanda"), ("3:4", "num_bits: 8, ", "wanda")]]
    sparse += [f"method: nm, pattern: '2:4', codes: binary, num_bits: {bits}, group_size: 12, solver: wanda" for bits in range(1, 5)]
    coded = [f"method: bcq, num_bits: {bits}, group_size: {size}, offset: {offset}, solver: {solver}"
             for bits, size in zip(range(1, 5), (7, 16, 96, 33)) for offset, solver in (("true", "gptq"), ("false", "alternating"))]
    shifted = [f"method: bct, num_bits: {bits}, block_size: {size}, scale: {scale}, solver: rtn"
               for bits, size, scale in zip((2, 3, 4, 5, 6, 7, 8, 4), (16, 17, 64, 33, 19, 1024, 16, 21),
                                            ("shift8", "shift6", "float16", "shift6", "shift8", "float16", "shift6", "shift8"))]
    ranks = ["method: low_rank, rank: 5", "method: low_rank, rank: 7, num_bits: 3, group_size: 4"]
    light = ["{method: low_rank, rank: 3, num_bits: 8}", "{method: integer, num_bits: 3, group_size: 9, solver: rtn}",
             "{method: bcq, num_bits: 2, group_size: 5, solver: greedy}", "{method: bct, num_bits: 3, block_size: 16, solver: rtn}"]
    split = [f"method: ffsplit, heavy_fraction: 0.37, round_interval: 1, heavy: {{method: integer, num_bits: 7, group_size: 11, "
             f"solver: rtn}}, light: {entry}" for entry in light]
    splits = [entry for i in range(len(light)) for entry in (ranks[0], ranks[1], split[i], split[i])]
    narrow = ["method: dense, dtype: float16", "method: dense, dtype: bfloat16"]
    dropped = ["method: ffsplit, heavy_fraction: 0.37, round_interval: 1, heavy: {method: dense}, light: dropped"] * 2
    # Not in all blocks alike: nothing leaves the export.
    dropped = {"F32": narrow + dropped + ["method: dense"] * 4, "BF16": ["method: dense"] * 2 + dropped + ["method: dense"] * 4}
    kept = {"kept_tensors": "{method: bct, num_bits: 8, block_size: 16, scale: shift6, solver: rtn}"}
    seen = []
    with lathe.Scratch() as scratch:
        for type_name in ("F32", "BF16"):
            model = make_model(scratch / type_name, type_name)
            for name, entries, changes in (("integer", integers, {}), ("nm", sparse, {}), ("bcq", coded, {}), ("bct", shifted, kept),
                                           ("split", splits, {}), ("dropped", dropped[type_name], {})):
                run = run_smallest(model, scratch / f"{name}-{type_name}", each_its_own(entries), **changes)
                opened = expect_equal(run / "checkpoint", run / "export", seen=seen)
                assert [unit.name for unit in opened.plan() if unit.name in UNITS] == UNITS
                assert not hashing.can_hash() or opened.verify() == []
    expect_all_were_seen(seen)


def expect_all_were_seen(seen):
    """The jobs made what they were meant to."""
    assert {encoding for encoding, _, _ in seen} == set(encodings()), {encoding for encoding, _, _ in seen}
    of = lambda encoding, *keys: {tuple(settings[k] for k in keys) for name, settings, _ in seen if name == encoding}
    assert of("integer", "num_bits", "symmetric") >= {(bits, symmetric) for bits in range(2, 9) for symmetric in (0, 1)}
    assert {settings["symmetric"] for name, settings, _ in seen if name == "integer" and "float8_scales" in settings} == {0, 1}
    assert of("bcq", "num_bits", "offset") >= {(bits, offset) for bits in range(1, 5) for offset in (0, 1)}
    assert of("block_shift", "scale_bits") == {(6,), (8,), (16,)} and len(of("block_shift", "num_bits")) == 7
    assert of("nm", "n", "m") == {(2, 4), (1, 4), (1, 2), (3, 4)}, of("nm", "n", "m")
    assert of("nm", "num_bits", "binary") >= {(0, 0), (2, 0), (8, 0), (1, 1), (2, 1), (3, 1), (4, 1)}
    for encoding in ("dense", "nm"):
        types = {parts["values"].dtype for name, _, parts in seen if name == encoding and "values" in parts}
        assert types == {"float32", "float16", "bfloat16"}, (encoding, types)
    assert of("split", "axis") == {(0,), (1,)}


def random_tensor(name, shape):
    """One of any encoding: also those that no method makes, and numbers that none would choose."""
    r = STOCHASTIC
    pick = lambda *values: values[r.integers(len(values))]
    if len(shape) == 1:
        return pick(lambda: support.dense(r, shape, pick("float32", "float16", "bfloat16")),
                    lambda: support.block_shift(r, shape, int(r.integers(2, 9)), int(r.integers(1, 50)), pick(6, 8, 16)))()
    bits, size = int(r.integers(2, 9)), int(r.integers(1, 60))
    rows, cols = shape

    def piece(shape):
        return pick(lambda: support.integer(r, shape, bits, size, False), lambda: support.bcq(r, shape, bits, size, True, True),
                    lambda: support.dense(r, shape), lambda: support.block_shift(r, shape, bits, size, 6),
                    lambda: support.low_rank(r, shape, min(shape), bits), lambda: support.joined("zeros", shape, {}, ()))()

    def split():
        axis = int(r.integers(2))
        cut = int(r.integers(1, shape[axis]))
        shapes = [(n, cols) if axis == 0 else (rows, n) for n in (cut, shape[axis] - cut)]
        return support.joined("split", shape, {"axis": axis}, [piece(s) for s in shapes])
    n = int(r.integers(1, 5))
    return pick(
        lambda: support.integer(r, shape, bits, size, pick(True, False)), split, split, lambda: piece(shape),
        lambda: support.bcq(r, shape, int(r.integers(1, 9)), pick(size, 1 << 62), pick(True, False), pick(True, False)),
        lambda: support.block_shift(r, shape, bits, size, pick(6, 8, 16), pick(-3, -127, 100)),
        lambda: support.nm(r, shape, n, 4, pick(0, bits), 4 * size, dtype=pick("float32", "float16", "bfloat16")),
        lambda: support.nm(r, shape, n, 4, int(r.integers(1, 5)), 4 * size, binary=True))()


def encodings_that_no_method_makes():
    """Written by hand over a checkpoint's tensors: wide planes, uniform codes, extreme shifts, pieces in pieces."""
    if not hashing.can_hash():
        print("skipped: no xxhash to write checkpoints with")
        return
    seen = []
    with lathe.Scratch() as scratch:
        model = make_model(scratch / "model")
        run = run_smallest(model, scratch / "run", each_its_own(["method: integer, num_bits: 4, solver: rtn"]))
        for turn in range(6):
            checkpoint, export = scratch / "checkpoint", scratch / "export"
            for path in (checkpoint, export):
                shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(run / "checkpoint", checkpoint)
            for shard in (checkpoint / "blocks").glob("*.h5"):
                with h5py.File(shard, "r+") as file:
                    for name in list(file):
                        shape = tuple(map(int, file[name].attrs["shape"].decode().split(",")))
                        support.write_tensor(file, name, random_tensor(name, shape))
            lathe.run(["export", checkpoint, "--output", export])
            expect_equal(checkpoint, export, seen=seen)
    uniform = {(s["num_bits"], s["offset"]) for e, s, _ in seen if e == "bcq" and s["uniform"]}
    assert {e for e, _, _ in seen} == set(encodings()) and len(uniform) > 3 and len(seen) > 300, (uniform, len(seen))


def every_family():
    """Names, types, transposed weights and tied heads are those of the export."""
    for model in sorted(path.parent for path in (lathe.ROOT / "tests/data/parity").glob("*/config.json")):
        with lathe.Scratch() as scratch:
            lathe.run(["run", *job(model, scratch / "run", "[{method: integer, num_bits: [4, 8], group_size: 32, solver: rtn}, "
                                   "{method: bcq, num_bits: 3, solver: greedy}]", budget="0.5x",
                                   **{"calibration.data": model / "reference.h5", "calibration.max_seq_length": 16,
                                      "calibration.num_calibration_samples": 3})])
            turned = ("c_attn.weight", "c_proj.weight", "c_fc.weight") if model.name == "gpt2" else ()
            expect_equal(scratch / "run/checkpoint", scratch / "run/export", turned)


def sliced_models():
    with lathe.Scratch() as scratch:
        model = make_model(scratch / "model")
        for rotation in ("per_boundary", "global"):
            run = scratch / rotation
            lathe.run(["run", *job(model, run, "[{method: integer, num_bits: 6, group_size: 12, solver: rtn}]", budget="0.5x",
                                   slice__sparsity=0.2, slice__rotation=rotation, slice__round_interval=4)])
            opened = expect_equal(run / "checkpoint", run / "export")
            assert (opened.slicing is not None) == (rotation == "per_boundary")
        lathe.edit_json(model / "config.json", lambda config: config.update(tie_word_embeddings=True))
        lathe.edit_tensors(model, lambda tensors: tensors.pop("lm_head.weight"))
        for rotation in ("per_boundary", "global"):
            run = scratch / f"tied_{rotation}"
            lathe.run(["run", *job(model, run, "[{method: integer, num_bits: 6, group_size: 12, solver: rtn}]", budget="0.5x",
                                   slice__sparsity=0.2, slice__rotation=rotation, slice__tables="shared", slice__round_interval=4)])
            opened = expect_equal(run / "checkpoint", run / "export")
            assert opened.slicing["shared_table"] is True
            reason = stock_model.reason_without_stock_model(opened)
            assert ("projections" if rotation == "global" else "shortcut matrices") in reason, reason


def the_documented_examples_run():
    with lathe.Scratch() as scratch:
        lathe.run(["run", *lathe.job(scratch / "runs/example", budget="3x", calibration__num_calibration_samples=4, search__strategy="knapsack",
                                     search__num_evaluation_samples=2, candidates="[{method: integer, num_bits: 4, solver: rtn}]")])
        first = lathe.run_python_example(sys.executable, 0, scratch)
        assert first.startswith("(256, 704) float32 integer") and "embedding" in first, first
        second = lathe.run_python_example(sys.executable, 1, scratch)
        assert second.count("bits a weight") == 7, second


def pip_installs_it_from_the_tree():
    """With what is here: nothing is downloaded."""
    if subprocess.run([sys.executable, "-c", "import setuptools, pip"], capture_output=True).returncode != 0:
        print("skipped: no pip, or no setuptools")
        return
    with lathe.Scratch() as scratch:
        shutil.copytree(lathe.ROOT / "python", scratch / "python", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
        done = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps", "--no-index",
                               "--target", scratch / "site", scratch / "python"], capture_output=True, text=True, cwd=scratch)
        assert done.returncode == 0, done.stderr
        for name in ("__init__.py", "py.typed", "encodings.py"):
            assert (scratch / "site/lathe_checkpoint" / name).exists(), name
        done = subprocess.run([sys.executable, "-c", "import lathe_checkpoint; print(lathe_checkpoint.__file__)"], capture_output=True,
                              text=True, cwd="/", env=os.environ | {"PYTHONPATH": str(scratch / "site")})
        assert done.stdout.startswith(str(scratch / "site")), (done.stdout, done.stderr)


def it_is_typed():
    if subprocess.run([sys.executable, "-c", "import mypy"], capture_output=True).returncode != 0:
        print("skipped: no mypy")
        return
    done = subprocess.run([sys.executable, "-m", "mypy", "--cache-dir", os.devnull], capture_output=True, text=True, cwd=lathe.ROOT / "python")
    assert done.returncode == 0, done.stdout


lathe.main([the_documented_examples_run, pip_installs_it_from_the_tree, it_is_typed, encodings_that_methods_make,
            encodings_that_no_method_makes, every_family, sliced_models])
