"""MLX exports in MLX (every weight, bit for bit) and mlx-lm (logits). Exit code 77: they are not installed."""
import json
import pathlib
import shutil
import sys

import lathe

try:
    import h5py
    import mlx.core as mx
    import numpy as np
    from mlx_lm.utils import load_model
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

mx.set_default_device(mx.cpu)
PARITY = lathe.ROOT / "tests/data/parity"
sys.path.insert(0, str(lathe.ROOT / "python"))
from lathe_checkpoint import Checkpoint  # noqa: E402


def expect_bit_for_bit(checkpoint, export):
    """mx.dequantize() of each module, in float32, against the checkpoint. Returns how many there were."""
    section = json.loads((export / "config.json").read_text())["quantization"]
    tensors = mx.load(str(export / "model.safetensors"))
    modules = {name: own for name, own in section.items() if isinstance(own, dict)}
    opened = Checkpoint(checkpoint, check_hashes=False)
    for name, own in modules.items():
        found = mx.dequantize(tensors[f"{name}.weight"], tensors[f"{name}.scales"].astype(mx.float32),
                              tensors[f"{name}.biases"].astype(mx.float32), own["group_size"], own["bits"])
        assert np.array_equal(np.array(found), opened.tensor(f"{name}.weight")), (name, own)
    return len(modules)


def expect_logits(checkpoint, export, ids, scratch):
    model, _ = load_model(pathlib.Path(export))
    model.set_dtype(mx.float32)
    found = np.array(model(mx.array([ids]))[0])
    with h5py.File(scratch / "ids.h5", "w") as file:
        file["input_ids"] = np.array([ids])
    lathe.run(["eval", checkpoint, "--ids", scratch / "ids.h5", "--logits-out", scratch / "logits.h5"])
    with h5py.File(scratch / "logits.h5") as file:
        ours = file["logits"][()].reshape(found.shape)
    error = np.linalg.norm(found - ours) / np.linalg.norm(ours)
    # Two programs in float32; MLX's SiLU and softmax are not rounded as ours are.
    assert error < 1e-4, error
    return error


def every_width_is_bit_for_bit():
    for bits in (2, 3, 4, 5, 6, 8):
        for symmetric in ("true", "false"):
            with lathe.Scratch() as scratch:
                candidate = f"{{method: integer, num_bits: {bits}, group_size: 64, symmetric: {symmetric}, solver: rtn}}"
                lathe.run(["run", *lathe.job(
                    scratch / "run", candidates=f"[{candidate}]", search__strategy="homogeneous", budget="1.6x",
                    search__num_evaluation_samples=2, calibration__num_calibration_samples=4, export="[mlx]")])
                checkpoint, export = scratch / "run/checkpoint", scratch / "run/export-mlx"
                n = expect_bit_for_bit(checkpoint, export)
                error = expect_logits(checkpoint, export, list(range(10, 60)), scratch)
                print(f"{bits} bits, symmetric {symmetric}: {n} modules, logits {error:.1e}")
                assert n == 44, n  # embedding and head too


def every_family_has_its_logits():
    for name in ("llama", "llama3", "llama_linear", "mistral", "qwen2", "qwen3"):
        with lathe.Scratch() as scratch:
            model = scratch / "model"
            shutil.copytree(PARITY / name, model)

            def open_windows(config):
                if "sliding_window" in config:
                    config |= {"sliding_window": None, "use_sliding_window": False}
                    config.pop("layer_types", None)
            lathe.edit_json(model / "config.json", open_windows)
            with h5py.File(model / "reference.h5") as file:
                ids = file["input_ids"][()][0].tolist()
            keys = {"model": model, "output": scratch / "run", "budget": "0.5x", "calibration.data": model / "reference.h5",
                    "calibration.num_calibration_samples": 3, "calibration.max_seq_length": 16, "search.strategy": "knapsack",
                    "search.num_evaluation_samples": 2, "export": "[mlx]",
                    "candidates": "[{method: dense}]"}  # rows of 48 fill no group; names, norms and positions count here
            lathe.run(["run", *[text for key, value in keys.items() for text in ("--set", f"{key}={value}")]])
            error = expect_logits(scratch / "run/checkpoint", scratch / "run/export-mlx", ids, scratch)
            print(f"{name}: logits {error:.1e}")


lathe.main([every_width_is_bit_for_bit, every_family_has_its_logits])
