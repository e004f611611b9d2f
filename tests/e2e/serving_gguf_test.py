"""GGUF exports in gguf-py (every block, bit for bit) and, if it is there, in llama.cpp (wheel xllamacpp). Exit code 77: no gguf."""
import json
import os
import shutil
import subprocess
import sys

import lathe

try:
    import gguf
    import h5py
    import numpy as np
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

PARITY = lathe.ROOT / "tests/data/parity"
sys.path.insert(0, str(lathe.ROOT / "python"))
from lathe_checkpoint import Checkpoint  # noqa: E402


def checkpoint_values(directory):
    return Checkpoint(directory, check_hashes=False).state_dict("numpy")


def gguf_values(export):
    reader = gguf.GGUFReader(export / "model.gguf")
    return reader, {t.name: (t.tensor_type.name, gguf.quants.dequantize(t.data, t.tensor_type).reshape(tuple(t.shape)[::-1]))
                    for t in reader.tensors}


def names_in_gguf(architecture, blocks):
    """Names of gguf-py by those of the checkpoint."""
    names = gguf.get_tensor_name_map(architecture, blocks)
    find = lambda name: names.get_name(name, try_suffixes=(".weight", ".bias"))
    return lambda name: find(name) or find(name.removeprefix("transformer."))


def ours_in_their_order(config, name, values):
    """Rows as llama.cpp's own converter reorders them (conversion/llama.py, bloom.py, gptneox.py)."""
    heads = config.get("num_attention_heads", config.get("n_head"))
    kind = config["model_type"]
    if kind in ("llama", "mistral") and (".q_proj." in name or ".k_proj." in name):
        n = heads if ".q_proj." in name else config.get("num_key_value_heads", heads)
        return values.reshape(n, 2, values.shape[0] // n // 2, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)
    if kind in ("bloom", "gpt_neox") and "query_key_value" in name:
        split = values.reshape(heads, 3, values.shape[0] // heads // 3, *values.shape[1:])
        return split.swapaxes(0, 1).reshape(values.shape)
    return values


def expect_bit_for_bit(checkpoint, export):
    config = json.loads((checkpoint / "config.json").read_text())
    reader, found = gguf_values(export)
    text = reader.fields["general.architecture"].contents()
    architecture = next(a for a, n in gguf.MODEL_ARCH_NAMES.items() if n == text)
    name_of = names_in_gguf(architecture, reader.fields[f"{text}.block_count"].contents())
    source = json.loads((checkpoint / "config.json").read_text()).get("dtype", "float32")
    for name, values in checkpoint_values(checkpoint).items():
        kind, theirs = found.pop(name_of(name))
        ours = ours_in_their_order(config, name, values)
        if kind == "F16":
            ours = ours.astype(np.float16).astype(np.float32)
        if kind == "BF16":
            assert source == "bfloat16", name
            bits = ours.astype(np.float32).view(np.uint32)
            ours = ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32)
        assert ours.shape == theirs.shape, (name, ours.shape, theirs.shape)
        assert np.array_equal(ours, theirs), (name, kind, int((ours != theirs).sum()))
    assert set(found) <= {"rope_freqs.weight"}, set(found)
    return {t.tensor_type.name for t in reader.tensors}


def family_model(name, scratch):
    """A tiny model, without the window that GGUF has no key for (refused: tests/e2e/serving_test.py)."""
    model = scratch / "model"
    shutil.copytree(PARITY / name, model)

    def open_windows(config):
        if "sliding_window" in config:
            config |= {"sliding_window": None, "use_sliding_window": False}
            config.pop("layer_types", None)
    lathe.edit_json(model / "config.json", open_windows)
    return model


def family_job(model, output, candidates, budget):
    keys = {"model": model, "output": output, "budget": budget, "calibration.data": model / "reference.h5",
            "calibration.num_calibration_samples": 3, "calibration.max_seq_length": 16, "search.strategy": "knapsack",
            "search.num_evaluation_samples": 2, "export": "[gguf]", "candidates": candidates}
    return [text for key, value in keys.items() for text in ("--set", f"{key}={value}")]


def kjv_job(output, candidates, **changes):
    return lathe.job(output, **({
        "candidates": candidates, "search__strategy": "homogeneous", "search__num_evaluation_samples": 2,
        "calibration__num_calibration_samples": 8, "export": "[gguf]", "budget": "1.5x"} | changes))


def tensors_of_every_family_are_bit_for_bit():
    for name in ("llama", "llama3", "llama_linear", "mistral", "qwen2", "qwen3", "gpt2", "phi", "bloom", "gpt_neox",
                 "gpt_neox_sequential"):
        with lathe.Scratch() as scratch:
            # Tiny models: most rows fill no block of 32 columns and go dense, those that do are packed.
            candidates = "[{method: integer, num_bits: [4, 8], group_size: [32, 100000], solver: rtn}]"
            model = family_model(name, scratch)
            plan = lathe.run_json(["plan", *family_job(model, scratch / "run", candidates, "0.5x")])
            lathe.run(["run", *family_job(model, scratch / "run", candidates, plan["minimum_bytes"] * 21 // 20)])
            print(name, expect_bit_for_bit(scratch / "run/checkpoint", scratch / "run/export-gguf"))


CASES = {  # candidates, and the types of matrices of 256 and of 704 columns
    "{method: integer, num_bits: 4, group_size: 64, solver: rtn}": {"Q4_0"},
    "{method: integer, num_bits: 3, group_size: 256, solver: rtn}": {"Q3_K", "Q4_0"},
    "{method: integer, num_bits: 4, group_size: 256, symmetric: false, solver: rtn}": {"Q4_K", "Q5_0"},
    "{method: integer, num_bits: 5, group_size: 256, symmetric: false, solver: rtn}": {"Q5_K", "Q8_0"},
    "{method: integer, num_bits: 2, group_size: 256, symmetric: false, solver: rtn}": {"Q2_K", "Q4_0"},
    "{method: integer, num_bits: 6, group_size: 256, solver: rtn}": {"Q6_K", "Q8_0"},
    "{method: integer, num_bits: 5, group_size: 32, solver: rtn}": {"Q5_0"},
    "{method: integer, num_bits: 8, group_size: 32, solver: rtn}": {"Q8_0"},
    "{method: integer, num_bits: 4, group_size: 32, symmetric: false, scale_dtype: float8, solver: rtn}": {"Q4_1"},
    "{method: integer, num_bits: 5, group_size: 32, symmetric: false, scale_dtype: float8, solver: rtn}": {"Q5_1"},
}


def every_type_is_bit_for_bit():
    for candidate, expected in CASES.items():
        with lathe.Scratch() as scratch:
            lathe.run(["run", *kjv_job(scratch / "run", f"[{candidate}]")])
            types = expect_bit_for_bit(scratch / "run/checkpoint", scratch / "run/export-gguf")
            assert types - {"F32"} == expected, (candidate, types)


def the_command_writes_the_same_on_any_ranks():
    with lathe.Scratch() as scratch:
        lathe.run(["run", *kjv_job(scratch / "run", "[{method: integer, num_bits: 4, group_size: 64, solver: rtn}]")])
        for ranks in (0, 2):
            lathe.run(["export", scratch / "run/checkpoint", "--format", "gguf", "--output", scratch / f"g{ranks}"], ranks)
            assert (scratch / f"g{ranks}/model.gguf").read_bytes() == (scratch / "run/export-gguf/model.gguf").read_bytes()


def a_sliced_model_with_codes_is_a_stock_one():
    with lathe.Scratch() as scratch:
        lathe.run(["run", *kjv_job(
            scratch / "run", "[{method: integer, num_bits: 4, group_size: 64, solver: rtn}]", slice__sparsity=0.25,
            slice__rotation="global", slice__round_interval=64, budget="3x", ignore="[embedding, head]")])
        types = expect_bit_for_bit(scratch / "run/checkpoint", scratch / "run/export-gguf")
        assert types == {"Q4_0", "F16", "F32"}, types
        answers = answers_of_llama_cpp(scratch / "run/export-gguf", scratch)
        if answers is not None:
            expect_log_probabilities(scratch / "run/checkpoint", answers, scratch)


LOG_PROBABILITIES = """
import json, sys, xllamacpp as x
p = x.CommonParams()
p.model.path, p.n_ctx, p.n_parallel, p.n_gpu_layers, p.warmup, p.port = sys.argv[1], 256, 1, 0, False, 0
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = 1
server, answers = x.Server(p), []
for prompt in json.load(open(sys.argv[2])):
    said = server.handle_completions({"prompt": prompt, "n_predict": 1, "n_probs": 20, "temperature": 0, "cache_prompt": False})
    top = said["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    answers.append({"tokens": said["usage"]["prompt_tokens"], "top": {t["id"]: t["logprob"] for t in top}})
json.dump(answers, open(sys.argv[3], "w"))
"""


TEXTS = ["In the beginning God created the heaven and the earth. And the earth was",
         "12 And he said unto them, What's this? The king's son 345", "  Judges  ruled\n\nIsrael; and there was a"]


def answers_of_llama_cpp(export, scratch):
    """Likeliest next tokens after texts that llama.cpp tokenises itself; None where it is not installed."""
    if subprocess.run([sys.executable, "-c", "import xllamacpp"], capture_output=True).returncode != 0:
        print("skipped: no xllamacpp")
        return None
    (scratch / "texts.json").write_text(json.dumps(TEXTS))
    subprocess.run([sys.executable, "-c", LOG_PROBABILITIES, export / "model.gguf", scratch / "texts.json",
                    scratch / "answers.json"], check=True, capture_output=True, timeout=120, env=os.environ | {"NO_PROXY": "*"})
    return json.loads((scratch / "answers.json").read_text())


def expect_log_probabilities(checkpoint, answers, scratch):
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(str(lathe.MODEL / "tokenizer.json"))
    for text, answer in zip(TEXTS, answers):
        ids = tokenizer.encode(text).ids
        assert answer["tokens"] == len(ids), (text, answer["tokens"], len(ids))
        with h5py.File(scratch / "ids.h5", "w") as file:
            file["input_ids"] = np.array([ids])
        lathe.run(["eval", checkpoint, "--ids", scratch / "ids.h5", "--logits-out", scratch / "logits.h5"])
        with h5py.File(scratch / "logits.h5") as file:
            logits = file["logits"][()].reshape(len(ids), -1)[-1].astype(np.float64)
        logits -= logits.max()
        ours = logits - np.log(np.exp(logits).sum())
        found = {int(i): p for i, p in answer["top"].items()}
        worst = max(abs(ours[i] - p) for i, p in found.items())
        print(f"{len(ids)} tokens, largest difference of log p {worst:.4f}")
        # llama.cpp rounds activations to 8 bits: about half a per cent of logits of size 10.
        assert worst < 0.15 and len(found) == 20, worst


def llama_cpp_computes_what_lathe_does():
    with lathe.Scratch() as scratch:
        lathe.run(["run", *kjv_job(scratch / "run", "[{method: integer, num_bits: [4, 8], group_size: 64, solver: rtn}]",
                                   search__strategy="knapsack", budget="3x")])
        answers = answers_of_llama_cpp(scratch / "run/export-gguf", scratch)
        if answers is not None:
            expect_log_probabilities(scratch / "run/checkpoint", answers, scratch)


lathe.main([every_type_is_bit_for_bit, tensors_of_every_family_are_bit_for_bit, the_command_writes_the_same_on_any_ranks,
            llama_cpp_computes_what_lathe_does, a_sliced_model_with_codes_is_a_stock_one])
