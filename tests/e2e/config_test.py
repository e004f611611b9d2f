"""config.json against the weights, and planning by config.json alone."""
import json
import shutil
import struct

import lathe

FIXTURES = lathe.ROOT / "tests/data/parity"
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


class Model:
    """A copy of a fixture of one file, changed in memory and then written."""

    def __init__(self, fixture, directory):
        shutil.copytree(FIXTURES / fixture, directory)
        self.directory = directory
        self.config = json.loads((directory / "config.json").read_text())
        header, data = lathe.read_header(directory / "model.safetensors")
        header.pop("__metadata__", None)
        self.tensors = {name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])])
                        for name, entry in header.items()}

    def write(self):
        (self.directory / "config.json").write_text(json.dumps(self.config))
        header, data = {}, b""
        for name, (dtype, shape, content) in sorted(self.tensors.items(), key=lambda t: t[1][0] != "F32"):
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
            data += content
        lathe.write_header(self.directory / "model.safetensors", header, data)
        return self.directory


def perplexity(model):
    return lathe.run_json(["eval", model, "--text", model / "reference.h5", "--seqlen", "16"])["perplexity"]


def reversed_rows(tensor):
    """Another matrix of the same kind."""
    dtype, shape, content = tensor
    row = len(content) // shape[0]
    return dtype, shape, b"".join(content[i:i + row] for i in range(len(content) - row, -1, -row))


def in_float32(tensor):
    _, shape, content = tensor
    values = struct.unpack(f"<{len(content) // 2}e", content)
    return "F32", shape, struct.pack(f"<{len(values)}f", *values)


def variant(scratch, name, embedding, head, flag):
    """The tied fixture with these two tensors (none: left out) and this flag (None: left out)."""
    model = Model("llama3", scratch / name)
    own = model.tensors.pop(EMBEDDING)
    for key, make in ((EMBEDDING, embedding), (HEAD, head)):
        if make:
            model.tensors[key] = make(own)
    model.config.pop("tie_word_embeddings")
    if flag is not None:
        model.config["tie_word_embeddings"] = flag
    return model.write()


def same(tensor):
    return tensor


def every_combination_of_flag_and_matrices():
    with lathe.Scratch() as scratch:
        right = perplexity(FIXTURES / "llama3")
        # One matrix under either name, or twice: the tied model, whatever the types.
        for name, embedding, head in (("embedding", same, None), ("head", None, same), ("both", same, same),
                                      ("types", in_float32, same)):
            assert perplexity(variant(scratch, name, embedding, head, True)) == right, name
        # Twice and untied is the same function.
        assert perplexity(variant(scratch, "untied", same, same, False)) == right
        # Two matrices are two, whatever the flag says.
        untied = perplexity(variant(scratch, "different", same, reversed_rows, False))
        assert abs(untied / right - 1) > 0.01, (untied, right)
        tied = variant(scratch, "contradiction", same, reversed_rows, True)
        assert perplexity(tied) == untied
        assert "weights_win_over_config" in lathe.run(["inspect", tied]).stderr
        # One matrix where the flag asks for two.
        for name, embedding, head, words in (
                ("no head", same, None, (HEAD, "tie_word_embeddings")),
                ("no embedding", None, same, (EMBEDDING, HEAD, "tie_word_embeddings")),
                ("neither", None, None, (EMBEDDING,))):
            done = lathe.run(["inspect", variant(scratch, name, embedding, head, False)], code=65)
            assert all(word in done.stderr for word in words), done.stderr
        # Llama's flag is false where config.json says nothing.
        lathe.run(["inspect", variant(scratch, "silent", same, None, None)], code=65)


def job(model, output, budget="0.5x"):
    keys = {"model": model, "output": output, "budget": budget, "calibration.data": model / "reference.h5",
            "calibration.num_calibration_samples": 3, "calibration.max_seq_length": 16,
            "search.num_evaluation_samples": 2, "export": "[hf]",
            "candidates": "[{method: integer, num_bits: [8], group_size: 16, solver: [rtn]}]"}
    return [text for key, value in keys.items() for text in ("--set", f"{key}={value}")]


def what_is_written_is_settled():
    with lathe.Scratch() as scratch:
        for name, embedding, head, names in (("two", same, reversed_rows, {EMBEDDING, HEAD}),
                                             ("head", None, same, {EMBEDDING})):
            model = variant(scratch, name, embedding, head, True)
            run = scratch / f"{name}.run"
            smallest = lathe.run_json(["plan", *job(model, run)])["minimum_bytes"]
            result = lathe.run_json(["run", *job(model, run, smallest * 11 // 10)])
            assert lathe.run_json(["verify", result["checkpoint"]])["ok"]
            export = run / "export"
            header, _ = lathe.read_header(export / "model.safetensors")
            assert names == {EMBEDDING, HEAD} & set(header), header.keys()
            for directory in (run / "checkpoint", export):
                config = json.loads((directory / "config.json").read_text())
                assert config["tie_word_embeddings"] == (len(names) == 1), (directory, config)
            for other, most in ((result["checkpoint"], 1e-4), (model, 0.05)):  # rounding to fp16; to 8 bits
                found = lathe.run_json(["eval", export, "--text", model / "reference.h5", "--seqlen", "16", "--kl", other])
                assert found["kl"] < most, (name, other, found)


def stored_rotary_frequencies_are_compared():
    with lathe.Scratch() as scratch:
        def with_frequencies(name, base):
            model = Model("llama_linear", scratch / name)
            dims = model.config["head_dim"]
            values = [base ** (-2 * i / dims) for i in range(dims // 2)]
            for block in range(2):
                model.tensors[f"model.layers.{block}.self_attn.rotary_emb.inv_freq"] = (
                    "F32", [len(values)], struct.pack(f"<{len(values)}f", *values))
            return model.write()
        right = with_frequencies("right", 5000.0)
        assert perplexity(right) == perplexity(FIXTURES / "llama_linear")
        wrong = with_frequencies("wrong", 10000.0)
        done = lathe.run(["inspect", wrong], code=65)
        assert "inv_freq" in done.stderr and "rope_theta" in done.stderr, done.stderr
        ignored = ["--set", 'ignore=["re:.*inv_freq"]']
        lathe.run_json(["plan", *job(wrong, scratch / "run"), *ignored])


def planning_by_config_alone():
    models = lathe.ROOT / "configs/models"
    for path in (models / "llama-3.1-405b", models / "llama-3.1-405b/config.json"):
        plan = lathe.run_json(["plan", "--model", path])
        assert plan["parameters"] == 405853388800 and plan["source_bytes"] == 2 * 405853388800, plan
        assert plan["weights_read"] is False and plan["dtype"] == "bfloat16", plan
        assert len(plan["units"]) == 126 * 4 + 2, len(plan["units"])
        assert plan["switches"]["rope"] == {"kind": "llama3", "theta": 500000.0, "dims": 128}, plan["switches"]
        assert plan["refused"] == [] and plan["notes"] == [], plan
    text = lathe.run(["plan", "--model", models / "mistral-7b-v0.1"]).stdout
    for words in ("no weights were read", "32 of 32 blocks see 4096 tokens", "7241732096 parameters"):
        assert words in text, text
    # What run would refuse is named, and counted all the same; the exit code is run's.
    done = lathe.run(["plan", "--model", models / "phi-3.5-mini", "--json"], code=65)
    plan = json.loads(done.stdout)
    assert plan["parameters"] == 3821079552 and "longrope" in plan["refused"][0], plan
    with lathe.Scratch() as scratch:
        (scratch / "config.json").write_text('{"model_type": "gpt2", "torch_dtype": "float8_e4m3fn"}')
        plan = lathe.run_json(["plan", "--model", scratch])
        assert plan["parameters"] == 124439808 and plan["source_bytes"] == 4 * 124439808, plan
        assert "float8_e4m3fn" in plan["notes"][0], plan
        # A whole job on it is planned as it would run.
        for command in ("plan", "run"):
            lathe.run([command, *job(scratch, scratch / "run")], code=66)
        (scratch / "pytorch_model.bin").write_text("weights that are not read here")
        assert "weights_read" not in lathe.run(["plan", "--model", scratch, "--json"], code=64).stdout
        (scratch / "pytorch_model.bin").unlink()
        (scratch / "config.json").write_text('{"model_type": "gpt3"}')
        assert "gpt3" in lathe.run(["plan", "--model", scratch], code=65).stderr
        lathe.run(["plan", "--model", scratch / "none"], code=64)


lathe.main([every_combination_of_flag_and_matrices, what_is_written_is_settled,
            stored_rotary_frequencies_are_compared, planning_by_config_alone])
