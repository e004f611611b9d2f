"""Checkpoints in the formats of servers: from a job and by hand, on any ranks, interrupted, read back, refused in time."""
import json
import random
import shutil
import struct

import lathe

FORMAT = "compressed-tensors"
USAGE, BAD_DATA = 64, 65


def job(output, **changes):
    return lathe.job(output, **({
        "candidates": "[{method: integer, num_bits: [4, 8], group_size: 64, solver: rtn}]", "search__strategy": "knapsack",
        "search__num_evaluation_samples": 2, "calibration__num_calibration_samples": 8,
        "export": f"[hf, {FORMAT}]", "budget": "3.2x"} | changes))


def content(directory):
    return {str(f.relative_to(directory)): f.read_bytes() for f in sorted(directory.rglob("*")) if f.is_file()}


def values_of(module, scheme, tensors):
    """What a packed weight stands for, first row, by the rules of the format."""
    bits, weights = scheme["weights"]["num_bits"], tensors
    words = weights[f"{module}.weight_packed"]
    cols = int.from_bytes(weights[f"{module}.weight_shape"][2][8:16], "little")
    row = int.from_bytes(words[2][:words[1][1] * 4], "little")
    return [(row >> bits * j & (1 << bits) - 1) - (1 << bits - 1) for j in range(cols)]


with lathe.Scratch() as scratch:
    run = scratch / "run"
    result = lathe.run_json(["run", *job(run)])
    checkpoint, export = run / "checkpoint", run / f"export-{FORMAT}"

    def the_report_says_what_is_dense():
        report = result["exports"][FORMAT]
        fates = {d["name"]: d for d in report["dense"]}
        units = [t for t in result["tensors"] if t["fate"] == "compressed"]
        assert report["packed"] + len(fates) == len(units), (report, units)
        for name, entry in fates.items():
            assert "embed_tokens" in name and "embedding" in entry["reason"], entry
            assert entry["bytes"] == 2048 * 256 * 2 > entry["stored_bytes"], entry
        assert result["exports"]["hf"]["packed"] == 0 and not result["exports"]["hf"]["dense"]
        header, _ = lathe.read_header(export / "model.safetensors")
        assert report["tensor_bytes"] == max(e["data_offsets"][1] for n, e in header.items() if n != "__metadata__")
        size = (export / "model.safetensors").stat().st_size
        assert size < 0.5 * (run / "export/model.safetensors").stat().st_size, size

    def codes_are_those_of_the_dequantised_export():
        config = json.loads((export / "config.json").read_text())
        packed = lathe.read_tensors(export / "model.safetensors")
        dense = lathe.read_tensors(run / "export/model.safetensors")
        seen = 0
        for scheme in config["quantization_config"]["config_groups"].values():
            for module in scheme["targets"]:
                codes = values_of(module, scheme, packed)
                halves = struct.unpack(f"<{len(codes)}e", dense[f"{module}.weight"][2][:2 * len(codes)])
                # A weight is zero where its code is the middle one, and has its sign.
                assert [(c > 0) - (c < 0) for c in codes] == [(v > 0) - (v < 0) for v in halves], module
                seen += 1
        assert seen == result["exports"][FORMAT]["packed"] >= 40, seen

    def the_command_writes_the_same_on_any_ranks():
        for ranks in (0, 3):
            by_hand = scratch / f"by_hand_{ranks}"
            said = lathe.run_json(["export", checkpoint, "--format", FORMAT, "--output", by_hand], ranks)
            assert said["packed"] == result["exports"][FORMAT]["packed"], said
            assert content(by_hand) == content(export), ranks

    def a_killed_job_leaves_the_same_export():
        arguments = job(scratch / "killed")
        lathe.kill_at_random(["run", *arguments], random.Random(5), (0, 2), 0.3, 3.0)
        lathe.run_json(["run", *arguments])
        assert content(scratch / f"killed/export-{FORMAT}") == content(export)

    def a_lost_file_is_written_again():
        (export / "model.safetensors").unlink()
        (export / "config.json").unlink()
        lathe.run_json(["run", *job(run)])
        assert (export / "model.safetensors").exists() and (export / "config.json").exists()
        assert lathe.run_json(["export", checkpoint, "--format", FORMAT, "--output", export, "--check"])["ok"]

    def damage_is_found():
        copy = scratch / "damaged"
        for name in ("model.safetensors", "config.json", "tokenizer.json"):
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(export, copy)
            data = bytearray((copy / name).read_bytes())
            data[-20] ^= 1
            (copy / name).write_bytes(data)
            done = lathe.run(["export", checkpoint, "--format", FORMAT, "--output", copy, "--check", "--json"], code=BAD_DATA)
            if done.stdout.strip().startswith("{") and "ok" in json.loads(done.stdout):
                assert json.loads(done.stdout)["problems"], (name, done.stdout)

    def what_a_server_would_trip_over_is_refused_before_work():
        def refused(code, *words, **changes):
            output = scratch / "refused"
            for command in ("plan", "run"):
                done = lathe.run([command, *job(output, **changes)], code=code)
                for word in words:
                    assert word in done.stderr, (word, done.stderr)
            assert not output.exists()
        refused(USAGE, "block_0000.down", "groups of 128", "rows of 704", export=f"[{FORMAT}]",
                candidates="[{method: integer, num_bits: 4, group_size: 128, solver: rtn}]")
        refused(BAD_DATA, "slice.rotation: global", export=f"[{FORMAT}]", slice__sparsity=0.2)
        refused(BAD_DATA, "[in, out]", export=f"[{FORMAT}]", model=lathe.ROOT / "tests/data/parity/gpt2",
                calibration__data=lathe.ROOT / "tests/data/parity/gpt2/reference.h5", search__evaluation="[]",
                candidates="[{method: integer, num_bits: 4, group_size: 16, solver: rtn}]", budget="0.5x",
                calibration__max_seq_length=16)
        refused(BAD_DATA, "sliding window of 7", export="[gguf]", model=lathe.ROOT / "tests/data/parity/mistral",
                calibration__data=lathe.ROOT / "tests/data/parity/mistral/reference.h5", search__evaluation="[]",
                candidates="[{method: integer, num_bits: 4, group_size: 16, solver: rtn}]", budget="0.5x",
                calibration__max_seq_length=16)
        refused(USAGE, "unknown export format", "compressed-tensors", export="[gptq]")

    lathe.main([the_report_says_what_is_dense, codes_are_those_of_the_dequantised_export,
                the_command_writes_the_same_on_any_ranks, a_killed_job_leaves_the_same_export,
                a_lost_file_is_written_again, damage_is_found, what_a_server_would_trip_over_is_refused_before_work])
