"""Bad input: the right exit code, a message that names what is wrong and where, nothing half-written."""
import json
import os
import shutil
import struct
import subprocess

import lathe

USAGE, BAD_DATA, MISSING, INFEASIBLE, IO_ERROR = 64, 65, 66, 69, 74


def refused(arguments, code, *words):
    done = lathe.run(arguments, code=code)
    for word in words:
        assert word in done.stderr, f"'{word}' is not in the message: {done.stderr}"
    assert "core dumped" not in done.stderr and "terminate" not in done.stderr, done.stderr


def with_model(change, code, *words, **changes):
    """A job on a copy of the model that `change` has spoilt."""
    with lathe.Scratch() as scratch:
        model = lathe.copy_model(scratch / "model")
        change(model)
        refused(["run", *lathe.job(scratch / "run", model=model, **changes)], code, *words)
        assert not (scratch / "run/checkpoint").exists(), "a checkpoint was begun"


def with_header(change):
    def spoil(model):
        header, data = lathe.read_header(model / "model.safetensors")
        data = change(header, data) or data
        lathe.write_header(model / "model.safetensors", header, data)
    return spoil


NAME = "model.layers.1.mlp.up_proj.weight"


def missing_directory():
    with lathe.Scratch() as scratch:
        refused(["run", *lathe.job(scratch / "run", model=scratch / "none")], MISSING, "none")


def missing_weights():
    with_model(lambda m: (m / "model.safetensors").unlink(), MISSING, "model.safetensors")


def missing_shard():
    def spoil(model):
        (model / "model.safetensors").rename(model / "model-00001-of-00002.safetensors")
        header, _ = lathe.read_header(model / "model-00001-of-00002.safetensors")
        names = [n for n in header if n != "__metadata__"]
        weight_map = {n: "model-00001-of-00002.safetensors" for n in names}
        weight_map[NAME] = "model-00002-of-00002.safetensors"
        (model / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    with_model(spoil, MISSING, "model-00002-of-00002.safetensors")


def weights_that_changed_under_a_run():
    """A shard that is fetched again has the same name, size and header; what the run has made is of the old one."""
    with lathe.Scratch() as scratch:
        model = lathe.copy_model(scratch / "model")
        arguments = lathe.job(scratch / "run", model=model)
        lathe.run(["run", *arguments])
        file = model / "model.safetensors"
        whole = file.read_bytes()
        middle = len(whole) * 5 // 8
        file.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1:])
        for command in (["resume", scratch / "run"], ["run", *arguments], ["plan", *arguments]):
            refused(command, BAD_DATA, "model.safetensors", "has changed", str(scratch / "run"))
        file.write_bytes(whole)  # other times, the same bytes
        lathe.run(["resume", scratch / "run"])


def truncated_file():
    def spoil(model):
        file = model / "model.safetensors"
        file.write_bytes(file.read_bytes()[:5_000_000])
    with_model(spoil, BAD_DATA, "model.safetensors")


def header_longer_than_the_file():
    def spoil(model):
        file = model / "model.safetensors"
        file.write_bytes(struct.pack("<Q", 1 << 62) + file.read_bytes()[8:])
    with_model(spoil, BAD_DATA, "model.safetensors", "header")


def header_of_100_megabytes():
    def spoil(model):
        with open(model / "model.safetensors", "wb") as file:
            file.write(struct.pack("<Q", 101_000_000))
            file.truncate(120_000_000)
    with_model(spoil, BAD_DATA, "model.safetensors", "header")


def offsets_beyond_the_file():
    def change(header, data):
        header[NAME]["data_offsets"] = [len(data), len(data) + 360448]
    with_model(with_header(change), BAD_DATA, "model.safetensors", "model.layers.1.")


def overlapping_tensors():
    def change(header, data):
        header[NAME]["data_offsets"] = header["model.layers.0.mlp.up_proj.weight"]["data_offsets"]
    with_model(with_header(change), BAD_DATA, "up_proj")


def dtype_that_does_not_fit_the_bytes():
    with_model(with_header(lambda h, d: h[NAME].update(dtype="F32")), BAD_DATA, NAME)


def shape_that_the_config_does_not_imply():
    with_model(with_header(lambda h, d: h[NAME].update(shape=[256, 704])), BAD_DATA, NAME, "[704, 256]")


def missing_tensor():
    def change(header, data):
        last = max((n for n in header if n != "__metadata__"), key=lambda n: header[n]["data_offsets"][1])
        begin = header.pop(last)["data_offsets"][0]
        return data[:begin]
    with_model(with_header(change), BAD_DATA, "model.")


def tensor_that_no_role_claims():
    def change(header, data):
        header["model.layers.0.extra.weight"] = {"dtype": "F16", "shape": [4],
                                                 "data_offsets": [len(data), len(data) + 8]}
        return data + bytes(8)
    with_model(with_header(change), BAD_DATA, "model.layers.0.extra.weight")


def unknown_architecture():
    with_model(lambda m: lathe.edit_json(m / "config.json", lambda c: c.update(model_type="mamba9")),
               BAD_DATA, "mamba9", "llama")


def unknown_activation():
    with_model(lambda m: lathe.edit_json(m / "config.json", lambda c: c.update(hidden_act="tanhshrink")),
               BAD_DATA, "tanhshrink")


def weights_that_are_not_finite():
    def change(header, data):
        begin = header[NAME]["data_offsets"][0]
        return data[:begin] + struct.pack("<H", 0x7E00) + data[begin + 2:]  # NaN in float16
    with_model(with_header(change), BAD_DATA, NAME)


def activations_that_are_not_finite():
    def change(header, data):  # 3e38 in a float32 norm: finite itself, but not what follows from it
        name = "model.layers.3.post_attention_layernorm.weight"
        header[name].update(dtype="F32", data_offsets=[len(data), len(data) + 1024])
        return data + struct.pack("<256f", *[3e38] * 256)

    def spoil(model):
        header, data = lathe.read_header(model / "model.safetensors")
        begin, end = header["model.layers.3.post_attention_layernorm.weight"]["data_offsets"]
        data = change(header, data)
        header = shift_out(header, begin, end)
        lathe.write_header(model / "model.safetensors", header, data[:begin] + data[end:])
    with_model(spoil, BAD_DATA, "activations", "block_0003")


def shift_out(header, begin, end):
    """The header after data bytes [begin, end) are cut out."""
    for name, entry in header.items():
        if name != "__metadata__" and entry["data_offsets"][0] >= end:
            entry["data_offsets"] = [x - (end - begin) for x in entry["data_offsets"]]
    return header


def a_text_with_a_token_beyond_the_model():
    def change(tokenizer):
        tokenizer["added_tokens"].append({"id": 2048, "content": "<far>", "single_word": False, "lstrip": False,
                                          "rstrip": False, "normalized": False, "special": True})
    with lathe.Scratch() as scratch:
        text = scratch / "far.txt"
        text.write_text("<far>" + (lathe.TEXTS / "validation.txt").read_text())
        with_model(lambda m: lathe.edit_json(m / "tokenizer.json", change), BAD_DATA, "far.txt", "token id 2048",
                   "vocabulary of 2048", calibration__data=text)


def calibration_text_too_short():
    with lathe.Scratch() as scratch:
        (scratch / "short.txt").write_text("In the beginning God created the heaven and the earth.")
        refused(["run", *lathe.job(scratch / "run", calibration__data=scratch / "short.txt")], BAD_DATA, "too short")


def job_file_mistakes():
    good = f"model: {lathe.MODEL}\noutput: OUT\nbudget: 4x\ncalibration: {{data: {lathe.TEXTS}/train.txt}}\n"
    for text, words in (
            (good + "budgte: 3x\n", ("budgte", "job.yaml:5:1", "budget")),
            (good + "budget: 3x\n", ("budget", "job.yaml:5:1")),
            (good.replace("budget: 4x", "budget: [1, 2]"), ("budget", "job.yaml:3")),
            (good + "seed: many\n", ("seed", "job.yaml:5")),
            (good + "candidates:\n  - {method: integer, num_bit: 4}\n", ("num_bit", "job.yaml:6")),
            (good + "candidates:\n  - {method: magic}\n", ("magic", "integer")),
            ("model: [unclosed\n", ("job.yaml",))):
        with lathe.Scratch() as scratch:
            (scratch / "job.yaml").write_text(text.replace("OUT", str(scratch / "run")))
            refused(["run", scratch / "job.yaml"], USAGE, *words)
            assert not (scratch / "run").exists(), "a run directory was begun"


def infeasible_budget_names_the_smallest_feasible():
    with lathe.Scratch() as scratch:
        done = lathe.run(["run", *lathe.job(scratch / "run", budget="20x")], code=INFEASIBLE)
        assert not (scratch / "run").exists(), "work was begun"
        smallest = done.stderr.split("smallest feasible one is ")[1].split(" ")[0]
        plan = lathe.run_json(["plan", *lathe.job(scratch / "run", budget=smallest)])
        assert plan["feasible"], plan


def two_runs_at_once():
    with lathe.Scratch() as scratch:
        first = lathe.start(["run", *lathe.job(scratch / "run", calibration__num_calibration_samples=512)])
        try:
            while not (scratch / "run/journal.jsonl").exists():
                assert first.poll() is None, "the first run ended"
            refused(["resume", scratch / "run"], USAGE, "another lathe process")
        finally:
            lathe.kill(first)


def run_directory_of_another_job():
    with lathe.Scratch() as scratch:
        lathe.run(["run", *lathe.job(scratch / "run")])
        refused(["run", *lathe.job(scratch / "run", budget="3x")], USAGE, "budget", "4x", "3x")


def output_that_is_no_run_directory():
    with lathe.Scratch() as scratch:
        (scratch / "precious.txt").write_text("mine")
        refused(["run", *lathe.job(scratch)], USAGE, "precious.txt")
        assert (scratch / "precious.txt").read_text() == "mine"


def model_changed_under_a_run():
    with lathe.Scratch() as scratch:
        model = lathe.copy_model(scratch / "model")
        lathe.run(["run", *lathe.job(scratch / "run", model=model)])
        file = model / "model.safetensors"
        content = bytearray(file.read_bytes())
        content[-100] ^= 1
        file.write_bytes(content)
        refused(["resume", scratch / "run"], BAD_DATA, "not those this run began with")


def run_of_another_version():
    with lathe.Scratch() as scratch:
        lathe.run(["run", *lathe.job(scratch / "run")])
        assert "another_version" not in lathe.run(["resume", scratch / "run"]).stderr
        manifest = scratch / "run/manifest.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"program_version": "0.0.1"}))
        for _ in range(2):  # the run stays one that another version began
            assert 'run_of_another_version began="0.0.1"' in lathe.run(["resume", scratch / "run"]).stderr


def disk_full():
    with lathe.Scratch() as scratch:
        disk = scratch / "disk"
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", disk],
                          capture_output=True).returncode != 0:
            print("skipped: cannot mount a small file system")
            return
        try:
            refused(["run", *lathe.job(disk / "run")], IO_ERROR, "cannot write")
            # With room again the run continues.
            subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
            lathe.run(["resume", disk / "run"])
        finally:
            subprocess.run(["umount", disk])


def directory_that_cannot_be_written():
    with lathe.Scratch() as scratch:
        (scratch / "file").write_text("")
        refused(["run", *lathe.job(scratch / "file/run")], IO_ERROR, "file/run")


def paths_that_are_not_utf8():
    with lathe.Scratch() as scratch:
        strange = scratch / os.fsdecode(b"caf\xe9")
        strange.mkdir()
        for arguments in (["run", *lathe.job(strange / "run")], ["plan", *lathe.job(strange / "run")],
                          ["export", strange, "--output", scratch / "out"], ["status", strange]):
            refused(arguments, USAGE, "not UTF-8", "caf\ufffd")
        assert not (strange / "run").exists(), "a run directory was begun"
        # Also one that only the working directory brings in.
        done = subprocess.run(lathe.command(["run", *lathe.job("run")]), capture_output=True, text=True, cwd=strange)
        assert done.returncode == USAGE and "output is not UTF-8" in done.stderr, (done.returncode, done.stderr)
        (scratch / "job.yaml").write_bytes(b"model: " + os.fsencode(lathe.MODEL) + b"\noutput: caf\xe9\nbudget: 4x\n")
        refused(["run", scratch / "job.yaml"], USAGE, "job.yaml is not UTF-8")


def foreign_files_in_the_checkpoint():
    with lathe.Scratch() as scratch:
        lathe.run(["run", *lathe.job(scratch / "run")])
        foreign = scratch / "run/checkpoint/notes.txt"
        foreign.write_bytes(bytes(1_000_000))
        refused(["resume", scratch / "run"], INFEASIBLE, "run/checkpoint", "bytes, the budget is")
        foreign.rename(foreign.with_name(os.fsdecode(b"caf\xe9")))
        refused(["resume", scratch / "run"], BAD_DATA, "the name of a file is not UTF-8", "caf\ufffd")


def command_line_mistakes():
    refused(["run", "--frobnicate"], USAGE, "frobnicate")
    refused([], USAGE)
    refused(["eval", lathe.MODEL], USAGE, "--text")
    refused(["status", "/nonexistent-run"], MISSING, "nonexistent-run")
    refused(["verify", lathe.MODEL], MISSING, "checkpoint.h5")


lathe.main([f for name, f in list(globals().items())
            if callable(f) and getattr(f, "__module__", "") == "__main__"
            and name not in ("refused", "with_model", "with_header", "shift_out")])
