"""Binary-coded weights through the whole program; what comes out runs on its codes."""
import struct

import lathe

TENSOR = "model.layers.1.mlp.up_proj.weight"


def coded_run(scratch, name, candidate, ranks=0):
    """A run whose every linear layer is coded: the smallest budget leaves nothing else."""
    options = {"export": "[hf]", "ignore": "[embedding, head]", "candidates": f"[{candidate}]"}
    plan = lathe.run_json(["plan", *lathe.job(scratch / (name + "_plan"), **(options | {"budget": "1x"}))])
    run = scratch / name
    result = lathe.run_json(["run", *lathe.job(run, **(options | {"budget": plan["minimum_bytes"]}))], ranks)
    return run, result


def mixed_hash(scratch, ranks):
    """The embedding and the head are coded too, and units differ."""
    candidates = ("[{method: bcq, num_bits: [2, 3], solver: gptq}, "
                  "{method: integer, num_bits: 4, solver: rtn}]")
    run = scratch / f"mixed{ranks}"
    result = lathe.run_json(["run", *lathe.job(run, candidates=candidates, budget="5x")], ranks)
    assert result["ratio"] >= 5, result["ratio"]
    return run, result["checkpoint_hash"]


with lathe.Scratch() as scratch:
    three, result = coded_run(scratch, "three", "{method: bcq, num_bits: 3, group_size: 128, solver: gptq}")
    offset, _ = coded_run(scratch, "offset", "{method: bcq, num_bits: 2, group_size: 96, offset: true, solver: gptq}")

    def checkpoints_verify():
        for run in (three, offset):
            assert lathe.run_json(["verify", run / "checkpoint"])["ok"]

    def inspect_prints_the_bits_that_are_on_disk():
        unit = next(u for u in lathe.run_json(["inspect", three / "checkpoint"])["units"] if "down" in u["name"])
        # down_proj has 704 columns: 22 words a plane and 6 groups, the last short; up_proj and gate_proj 256.
        assert unit["encoding"] == "bcq", unit
        expected = 3 * (22 * 32 + 6 * 16) / 704
        assert abs(unit["bits_per_weight"] / expected - 1) < 0.005, (unit, expected)

    def evaluation_on_the_codes_agrees_with_the_exported_values():
        for run in (three, offset):
            arguments = ["--text", lathe.TEXTS / "validation.txt", "--seqlen", 256, "--limit", 40]
            coded = lathe.run_json(["eval", run / "checkpoint", *arguments])["perplexity"]
            values = lathe.run_json(["eval", run / "export", *arguments])["perplexity"]
            assert abs(coded / values - 1) < 1e-3, (coded, values)

    def generation_runs_on_the_codes():
        arguments = ["--prompt", "And the LORD said unto", "--max-new-tokens", 12]
        coded = lathe.run_json(["generate", three / "checkpoint", *arguments])
        values = lathe.run_json(["generate", three / "export", *arguments])
        # The export is rounded to fp16: after some tokens two may be too close to call.
        assert coded["ids"][:4] == values["ids"][:4] and len(coded["ids"]) == 12, (coded, values)

    def the_python_package_reads_them():
        python = lathe.python_with_h5py()
        if python is None:
            print("skipped: no Python with h5py")
            return
        for run in (three, offset):
            printed = lathe.read_tensor(python, run / "checkpoint", TENSOR)
            bits = lathe.exported(run, TENSOR)
            values = struct.unpack(f"<{len(bits)}e", bits.tobytes())
            mean = float(printed.split("mean")[1].split()[0])
            assert abs(mean - sum(values) / len(values)) < 1e-5, (mean, printed)
            assert f"first bits {bits[0]:04x}" in printed, printed

    def ranks_do_not_show_and_embeddings_can_be_coded():
        run, expected = mixed_hash(scratch, 0)
        encodings = [u["encoding"] for u in lathe.run_json(["inspect", run / "checkpoint"])["units"]]
        assert "bcq" in encodings, encodings
        assert mixed_hash(scratch, 3)[1] == expected
        text = lathe.run_json(["generate", run / "checkpoint", "--prompt", "In the beginning",
                               "--max-new-tokens", 5])
        assert len(text["ids"]) == 5, text

    lathe.main([checkpoints_verify, inspect_prints_the_bits_that_are_on_disk,
                evaluation_on_the_codes_agrees_with_the_exported_values, generation_runs_on_the_codes,
                the_python_package_reads_them, ranks_do_not_show_and_embeddings_can_be_coded])
