"""load_transformers() of the Python package: the parameters are those of the export, every bit of them. Exit code 77: no torch,
transformers, h5py or NumPy."""
import json
import sys

import lathe

sys.path.insert(0, str(lathe.ROOT / "python"))
sys.dont_write_bytecode = True

try:
    import h5py  # noqa: F401
    import torch
    import transformers
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

from lathe_checkpoint import Checkpoint, NoStockModelError, load_transformers  # noqa: E402

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)
PARITY = lathe.ROOT / "tests/data/parity"
CANDIDATES = "[{method: integer, num_bits: [4, 8], group_size: 32, solver: rtn}]"


def job(model, output, candidates=CANDIDATES, budget="0.5x", **changes):
    keys = {"model": model, "output": output, "budget": budget, "calibration.data": model / "reference.h5",
            "calibration.num_calibration_samples": 3, "calibration.max_seq_length": 16, "search.strategy": "knapsack",
            "search.num_evaluation_samples": 2, "export": "[hf]", "candidates": candidates}
    keys |= {k.replace("__", "."): v for k, v in changes.items()}
    return [text for key, value in keys.items() for text in ("--set", f"{key}={value}")]


def expect_the_exports_parameters(run):
    """In the type that the export's weights have, and in float32 the logits of a model that computes."""
    whole = load_transformers(run / "checkpoint")
    assert not whole.training and {p.dtype for p in whole.parameters()} == {torch.float32}
    kind = type(whole)
    exported = kind.from_pretrained(run / "export", dtype=torch.float32).eval()
    types = {name: dtype for file in (run / "export").glob("*.safetensors") for name, (dtype, _, _) in lathe.read_tensors(file).items()}
    to_type = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    [stored] = {to_type[dtype] for dtype in types.values()}
    expected = exported.state_dict()
    found = whole.state_dict()
    assert found.keys() == expected.keys()
    for name, values in found.items():
        assert torch.equal(values.to(stored).to(torch.float32), expected[name]), (run, name)
    ids = torch.arange(3, 19)[None]
    with torch.no_grad():
        logits, rounded = whole(input_ids=ids).logits, exported(input_ids=ids).logits
    assert torch.isfinite(logits).all() and (logits - rounded).abs().max() < 0.05 * rounded.abs().max()
    return kind.__name__


def every_family_is_its_stock_class():
    for model in sorted(path.parent for path in PARITY.glob("*/config.json")):
        with lathe.Scratch() as scratch:
            lathe.run(["run", *job(model, scratch / "run")])
            expected = json.loads((model / "config.json").read_text())["architectures"][0]
            assert expect_the_exports_parameters(scratch / "run") == expected


def a_split_model_is_the_sources_class():
    def run(scratch, light):
        entry = (f"{{method: ffsplit, heavy_fraction: 0.4, round_interval: 1, heavy: {{method: integer, num_bits: 8, solver: rtn}}, "
                 f"light: [{light}], targets: ['re:.*gate_up', 're:.*down']}}")
        lathe.run(["run", *job(PARITY / "llama", scratch / "run", f"[{CANDIDATES[1:-1]}, {entry}]")])
        checkpoint = Checkpoint(scratch / "run/checkpoint")
        assert "split" in {checkpoint.encoded(name).encoding for name in checkpoint.names()}
        return scratch / "run"
    with lathe.Scratch() as scratch:
        expect_the_exports_parameters(run(scratch, "{method: low_rank, rank: 4}"))
    with lathe.Scratch() as scratch:
        # The export leaves dropped neurons out, here they are zeros.
        directory = run(scratch, "dropped")
        whole = load_transformers(directory / "checkpoint", dtype=torch.bfloat16)
        exported = transformers.AutoModelForCausalLM.from_pretrained(directory / "export", dtype=torch.bfloat16)
        kept = exported.config.intermediate_size
        assert kept < whole.config.intermediate_size, kept
        for mine, others in zip(whole.model.layers, exported.model.layers, strict=True):
            gate, down = mine.mlp.gate_proj.weight, mine.mlp.down_proj.weight
            assert torch.equal(gate[:kept], others.mlp.gate_proj.weight) and not gate[kept:].any()
            assert torch.equal(down[:, :kept], others.mlp.down_proj.weight) and not down[:, kept:].any()


def a_model_sliced_with_one_rotation_is_a_smaller_one():
    with lathe.Scratch() as scratch:
        lathe.run(["run", *job(PARITY / "llama", scratch / "run", slice__sparsity=0.25, slice__rotation="global",
                               slice__round_interval=12)])
        expect_the_exports_parameters(scratch / "run")
        assert load_transformers(scratch / "run/checkpoint").config.hidden_size == 36


def others_are_refused_with_the_reason():
    def refused(directory, *words):
        try:
            load_transformers(directory)
        except NoStockModelError as error:
            assert all(word in str(error) for word in (str(directory), *words)), error
            return
        raise AssertionError(f"not refused: {words}")
    with lathe.Scratch() as scratch:
        lathe.run(["run", *job(PARITY / "llama", scratch / "run", slice__sparsity=0.25)])
        refused(scratch / "run/checkpoint", "sliced with a rotation for each boundary", "shortcut matrices")
        lathe.run(["run", *job(PARITY / "llama", scratch / "whole")])
        config = scratch / "whole/checkpoint/config.json"
        lathe.edit_json(config, lambda content: content.update(architectures=["NoSuchForCausalLM"]))
        refused(scratch / "whole/checkpoint", "has no model class 'NoSuchForCausalLM'")
        lathe.edit_json(config, lambda content: content.update(architectures=["LlamaForCausalLM"], num_hidden_layers=3))
        refused(scratch / "whole/checkpoint", "does not fit", "lacks model.layers.2.")
        lathe.edit_json(config, lambda content: content.update(num_hidden_layers=1))
        refused(scratch / "whole/checkpoint", "has besides model.layers.1.")
        lathe.edit_json(config, lambda content: content.update(num_hidden_layers=2, intermediate_size=80))
        refused(scratch / "whole/checkpoint", "in another shape", "[72, 48]")


def the_documented_example_runs():
    with lathe.Scratch() as scratch:
        lathe.run(["run", *lathe.job(scratch / "runs/example", budget="3x", calibration__num_calibration_samples=4, search__strategy="knapsack",
                                     search__num_evaluation_samples=2, candidates="[{method: integer, num_bits: 4, solver: rtn}]")])
        found = lathe.run_python_example(sys.executable, 2, scratch)
        assert found == "LlamaForCausalLM torch.Size([1, 3, 2048])\n", found


lathe.main([the_documented_example_runs, every_family_is_its_stock_class, a_split_model_is_the_sources_class,
            a_model_sliced_with_one_rotation_is_a_smaller_one, others_are_refused_with_the_reason])
