"""N:M sparse weights, plain and with codes, through the whole program."""
import struct

import lathe


def sparse_run(scratch, name, keys):
    """A run whose every linear layer is sparse: the smallest budget leaves nothing else."""
    candidates = f"[{{method: nm, {keys}}}]"
    options = {"export": "[hf]", "ignore": "[embedding, head]", "candidates": candidates}
    plan = lathe.run_json(["plan", *lathe.job(scratch / (name + "_plan"), **(options | {"budget": "1x"}))])
    run = scratch / name
    lathe.run_json(["run", *lathe.job(run, **(options | {"budget": plan["minimum_bytes"]}))])
    size = sum(f.stat().st_size for f in (run / "checkpoint").rglob("*") if f.is_file())
    assert plan["minimum_bytes"] * 0.97 < size <= plan["minimum_bytes"], (name, size, plan["minimum_bytes"])
    return run


with lathe.Scratch() as scratch:
    runs = {name: sparse_run(scratch, name, keys) for name, keys in {
        "plain": "pattern: '2:4', solver: sparsegpt", "codes": "pattern: '2:4', num_bits: 4, solver: sparsegpt",
        "one": "pattern: '1:4', num_bits: 4, solver: wanda",
        "binary": "pattern: '2:4', num_bits: 2, codes: binary, solver: wanda", "mask": "pattern: '4:8', solver: wanda"}.items()}
    kept = {"plain": (2, 4), "codes": (2, 4), "one": (1, 4), "binary": (2, 4), "mask": (4, 8)}
    tensor = "model.layers.1.mlp.up_proj.weight"

    def every_group_has_at_most_n_weights():
        for name, (n, m) in kept.items():
            bits = lathe.exported(runs[name], tensor)
            full = 0
            for begin in range(0, len(bits), m):
                present = sum(value & 0x7FFF != 0 for value in bits[begin:begin + m])
                assert present <= n, (name, begin, present)
                full += present == n
            assert full > 0.4 * len(bits) / m, (name, full)  # codes may round to zero

    def reductions_are_those_of_the_paper():
        # 2:4 with 4 bits against 32: NxMiFormer counts 2 bits a weight; with places and scales 3.25.
        found = lathe.run_json(["inspect", runs["codes"] / "checkpoint"])["block_matrices"]
        assert found["reduction_of_values"] == 0.9375, found
        assert found["reduction"] == 1 - 3.25 / 32, found

    def targets_name_the_units_a_candidate_is_for():
        run = sparse_run(scratch, "targets", "pattern: '2:4', num_bits: 4, solver: wanda}, "
                         "{method: integer, num_bits: 8, solver: rtn, targets: ['re:.*down', block_0001.qkv]")
        units = lathe.run_json(["inspect", run / "checkpoint"])["units"]
        for unit in units:
            named = unit["name"].endswith("down") or unit["name"] == "block_0001.qkv"
            expected = "dense" if unit["name"] in ("embedding", "head") else "integer" if named else "nm"
            assert unit["encoding"] == expected, unit

    def checkpoints_verify():
        for run in runs.values():
            assert lathe.run_json(["verify", run / "checkpoint"])["ok"]

    def eval_and_generate_read_what_is_stored():
        text = ["--text", lathe.TEXTS / "validation.txt", "--seqlen", "128", "--limit", "16"]
        for name, run in runs.items():
            stored, exported = (lathe.run_json(["eval", run / folder, *text])["perplexity"]
                                for folder in ("checkpoint", "export"))
            assert abs(stored / exported - 1) < 1e-3, (name, stored, exported)  # the export rounds values of codes
            prompt = ["--prompt", "In the beginning", "--max-new-tokens", "8"]
            ids = lathe.run_json(["generate", run / "checkpoint", *prompt])["ids"]
            assert len(ids) == 8, (name, ids)
            if name in ("plain", "mask"):
                assert ids == lathe.run_json(["generate", run / "export", *prompt])["ids"], name

    def the_python_package_reads_them():
        python = lathe.python_with_h5py()
        if python is None:
            print("skipped: no Python with h5py")
            return
        for name, run in runs.items():
            printed = lathe.read_tensor(python, run / "checkpoint", tensor)
            bits = lathe.exported(run, tensor)
            values = struct.unpack(f"<{len(bits)}e", bits.tobytes())
            mean = float(printed.split("mean")[1].split()[0])
            expected = sum(values) / len(values)
            assert abs(mean - expected) < 1e-6, (name, mean, expected)
            assert f"first bits {bits[0]:04x}" in printed, (name, printed)

    lathe.main([every_group_has_at_most_n_weights, reductions_are_those_of_the_paper,
                targets_name_the_units_a_candidate_is_for, checkpoints_verify, eval_and_generate_read_what_is_stored,
                the_python_package_reads_them])
