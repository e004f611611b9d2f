"""Packed exports in the transformers and compressed-tensors installed here (exit code 77: there is none): logits in float32
are those of the dequantised weights, every bit of them."""
import json
import sys

import lathe

try:
    import compressed_tensors  # noqa: F401
    import h5py
    import torch
    import transformers
    from safetensors.torch import load_file, save_file
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

if tuple(map(int, compressed_tensors.__version__.split(".")[:2])) < (0, 18):
    print("skipped: compressed-tensors before 0.18 packs codes of 3, 5, 6 and 7 bits in another way")
    sys.exit(77)

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)
PARITY = lathe.ROOT / "tests/data/parity"


def unpacked(export):
    """Weights in float32 under their own names: an own reading of the format, with torch."""
    tensors = load_file(export / "model.safetensors")
    config = json.loads((export / "config.json").read_text())
    for scheme in config["quantization_config"]["config_groups"].values():
        bits = scheme["weights"]["num_bits"]
        for module in scheme["targets"]:
            words = tensors.pop(f"{module}.weight_packed").to(torch.int64) & 0xFFFFFFFF
            scales = tensors.pop(f"{module}.weight_scale").float()
            rows, cols = tensors.pop(f"{module}.weight_shape").tolist()
            stream = (words[..., None] >> torch.arange(32) & 1).reshape(rows, -1)[:, :cols * bits]
            codes = (stream.reshape(rows, cols, bits) << torch.arange(bits)).sum(-1)
            difference = (codes - (1 << bits - 1)).float()
            tensors[f"{module}.weight"] = difference * scales.repeat_interleave(cols // scales.shape[1], 1)
    return {name: tensor.float() for name, tensor in tensors.items()}


def kind_of(config):
    return transformers.AutoModelForSequenceClassification if "Classification" in config["architectures"][0] \
        else transformers.AutoModelForCausalLM


def logits(directory, config, ids):
    model = kind_of(config).from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


def largest_difference(export, scratch, ids):
    config = json.loads((export / "config.json").read_text())
    assert config["quantization_config"]["config_groups"]
    found = logits(export, config, ids)
    dense = scratch / "dense"
    dense.mkdir(exist_ok=True)
    save_file(unpacked(export), dense / "model.safetensors", metadata={"format": "pt"})
    del config["quantization_config"]
    (dense / "config.json").write_text(json.dumps(config))
    expected = logits(dense, config, ids)
    assert torch.isfinite(expected).all() and expected.std() > 1e-3
    return float((found - expected).abs().max())


def job(model, output, candidates, budget):
    keys = {"model": model, "output": output, "budget": budget, "calibration.data": model / "reference.h5",
            "calibration.num_calibration_samples": 3, "calibration.max_seq_length": 16, "search.strategy": "knapsack",
            "search.num_evaluation_samples": 2, "export": "[compressed-tensors]", "candidates": candidates}
    return [text for key, value in keys.items() for text in ("--set", f"{key}={value}")]


def symmetric_codes_of_every_family_are_exact():
    for model in sorted(path.parent for path in PARITY.glob("*/config.json")):
        if model.name == "gpt2":
            continue  # refused: tests/e2e/serving_test.py
        with h5py.File(model / "reference.h5") as file:
            ids = torch.from_numpy(file["input_ids"][()].astype("int64"))[:2, :16]
        with lathe.Scratch() as scratch:
            # Both widths in one model, and one group a row.
            candidates = ("[{method: integer, num_bits: [4, 8], group_size: [4, 100000], solver: rtn}]")
            plan = lathe.run_json(["plan", *job(model, scratch / "run", candidates, "0.5x")])
            result = lathe.run_json(["run", *job(model, scratch / "run", candidates, plan["minimum_bytes"] * 21 // 20)])
            packed = result["exports"]["compressed-tensors"]["packed"]
            difference = largest_difference(scratch / "run/export-compressed-tensors", scratch, ids)
            print(f"{model.name}: {packed} packed, largest difference {difference}")
            assert packed >= 6 and difference == 0, (model.name, packed, difference)


def every_width_is_exact():
    ids = torch.arange(10, 74)[None]
    for bits in range(2, 9):
        with lathe.Scratch() as scratch:
            lathe.run(["run", *lathe.job(
                scratch / "run", candidates=f"[{{method: integer, num_bits: {bits}, group_size: 32, solver: rtn}}]",
                search__strategy="homogeneous", search__num_evaluation_samples=2, ignore="[embedding]",
                calibration__num_calibration_samples=4, export="[compressed-tensors]", budget="1.6x")])
            difference = largest_difference(scratch / "run/export-compressed-tensors", scratch, ids)
            print(f"{bits} bits: largest difference {difference}")
            assert difference == 0, (bits, difference)


def a_sliced_model_with_codes_is_a_stock_one():
    ids = torch.arange(10, 74)[None]
    with lathe.Scratch() as scratch:
        lathe.run(["run", *lathe.job(
            scratch / "run", candidates="[{method: integer, num_bits: 4, group_size: 64, solver: rtn}]", slice__sparsity=0.25,
            slice__rotation="global", slice__round_interval=64, search__strategy="homogeneous",
            search__num_evaluation_samples=2, calibration__num_calibration_samples=8, export="[compressed-tensors]",
            ignore="[embedding, head]", budget="3x")])
        export = scratch / "run/export-compressed-tensors"
        assert json.loads((export / "config.json").read_text())["hidden_size"] == 192
        difference = largest_difference(export, scratch, ids)
        print(f"sliced to 192, 4 bits: largest difference {difference}")
        assert difference == 0, difference


lathe.main([a_sliced_model_with_codes_is_a_stock_one, every_width_is_exact, symmetric_codes_of_every_family_are_exact])
