"""Feed-forward layers split by heavy hitters: candidates, plans, products as stored, exports, refusals."""
import json
import random
import subprocess
import time

import lathe

FEED_FORWARD = '["re:.*gate_up", "re:.*down"]'
PARTS = "heavy: {method: integer, num_bits: 8, solver: rtn}"
LIGHT = "[{method: low_rank, rank_fraction: 0.25, num_bits: 8}, {method: integer, num_bits: 3, solver: gptq}, dropped]"
OTHERS = "{method: integer, num_bits: [4, 8], solver: gptq}, {method: integer, num_bits: 4, solver: rtn}"


def split_job(output, light=LIGHT, parts=PARTS, more="", **changes):
    """All feed-forward layers are split; the budget leaves a choice of the light part."""
    entry = f"{{method: ffsplit, heavy_fraction: [0.125, 0.25], {parts}, light: {light}, targets: {FEED_FORWARD}{more}}}"
    keys = {"candidates": f"[{OTHERS}, {entry}]", "budget": "4x", "search.generations": 2, "search.offspring": 4}
    return lathe.job(output, **(keys | {k.replace("__", "."): v for k, v in changes.items()}))


def units_of(run):
    units = json.loads((run / "search/plan.json").read_text())["units"]
    return {unit["name"]: unit["setting"] for unit in units if unit["name"].endswith(("gate_up", "down"))}


def evaluate(directory):
    return lathe.run_json(["eval", directory, "--text", lathe.TEXTS / "validation.txt", "--seqlen", "128", "--limit", "64",
                           "--kl", lathe.MODEL])


def every_command_reads_a_split_checkpoint():
    with lathe.Scratch() as scratch:
        run = scratch / "run"
        result = lathe.run_json(["run", *split_job(run, export="[hf]")])
        assert all(setting.startswith("ffsplit ") for setting in units_of(run).values()), units_of(run)
        assert result["checkpoint_bytes"] <= result["source_bytes"] / 4
        assert lathe.run_json(["verify", run / "checkpoint"])["ok"]
        # Products of pieces, and products of what they decode to: fp16 rounding of the export apart.
        stored, exported = evaluate(run / "checkpoint"), evaluate(run / "export")
        assert abs(stored["perplexity"] / exported["perplexity"] - 1) < 1e-3, (stored, exported)
        assert 0 < stored["kl"] < 1, stored
        text = lathe.run(["generate", run / "checkpoint", "--prompt", "In the beginning", "--max-new-tokens", "8"]).stdout
        assert len(text) > len("In the beginning"), text
        found = lathe.run_json(["inspect", run / "checkpoint"])
        split = [t for t in json.dumps(found).split('"') if t == "split"]
        assert len(split) >= 12, found
        table = lathe.run_json(["inspect", run])["neurons"]
        assert len(table) == 6, table
        python = lathe.python_with_h5py()
        if python:
            name = "model.layers.0.mlp.down_proj.weight"
            printed = lathe.read_tensor(python, run / "checkpoint", name)
            header, data = lathe.read_header(run / "export/model.safetensors")
            begin = header[name]["data_offsets"][0]
            first = int.from_bytes(data[begin:begin + 2], "little")
            assert f"first bits {first:04x}" in printed, (printed, hex(first))


def ranks_do_not_show_and_a_killed_job_goes_on():
    seed = random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    with lathe.Scratch() as scratch:
        start = time.monotonic()
        expected = lathe.run_json(["run", *split_job(scratch / "whole")])["checkpoint_hash"]
        whole = time.monotonic() - start
        assert lathe.run_json(["run", *split_job(scratch / "three")], 3)["checkpoint_hash"] == expected
        arguments = ["run", *split_job(scratch / "killed")]
        lathe.kill_at_random(arguments, chance, [0, 2, 3], 0.2 * whole, 0.8 * whole, times=2)
        assert lathe.run_json(arguments, chance.choice([1, 2]))["checkpoint_hash"] == expected, f"seed {seed}"


SIZES = """
import h5py, sys
for share in map(float, sys.argv[2:]):
    for block in range(6):
        file = h5py.File(f"{sys.argv[1]}/neurons/block_{block:04}.h5")
        energy = file["second_moment"][:][file["order"][:]]
        total, held, count = sum(energy), 0.0, 0
        while held < share * total:
            held, count = held + energy[count], count + 1
        print((count + 63) // 64 * 64)
"""


def a_share_of_the_energy_sets_the_size_of_each_layer():
    with lathe.Scratch() as scratch:
        def energy_job(name, shares="[0.3, 0.6]", targets=FEED_FORWARD, **changes):
            entry = f"{{method: ffsplit, heavy_energy: {shares}, {PARTS}, light: {LIGHT}, targets: {targets}}}"
            return split_job(scratch / name, candidates=f"[{OTHERS}, {entry}]", **changes)
        plan = lathe.run_json(["plan", *energy_job("whole")])
        assert plan["minimum_is_lower_bound"] and plan["feasible"], plan
        start = time.monotonic()
        whole = lathe.run_json(["run", *energy_job("whole")])
        seconds = time.monotonic() - start
        assert whole["checkpoint_bytes"] <= whole["source_bytes"] / 4, whole
        units = units_of(scratch / "whole")
        python = lathe.python_with_h5py()
        if python:
            done = subprocess.run([python, "-c", SIZES, scratch / "whole", "0.3", "0.6"], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            sizes = done.stdout.split()
            assert len(set(sizes)) > 2, sizes  # not the same in all layers
            for name, setting in units.items():
                block = int(name.partition("block_")[2][:4])
                values = dict(word.split("=") for word in setting.split()[1:])
                share = ["0.3", "0.6"].index(values["heavy_energy"])
                assert values["heavy"] == sizes[6 * share + block], (name, setting, sizes)
        # Neither ranks nor a restart change them.
        seed = random.SystemRandom().randrange(1 << 32)
        arguments = ["run", *energy_job("killed")]
        lathe.kill_at_random(arguments, random.Random(seed), [0, 2], 0.2 * seconds, 0.8 * seconds, times=2)
        assert lathe.run_json(arguments, 2)["checkpoint_hash"] == whole["checkpoint_hash"], f"seed {seed}"


def a_layer_that_spreads_its_energy_has_no_such_candidate():
    with lathe.Scratch() as scratch:
        # 0.97 of the energy takes almost all neurons in some layers, and 0.999999 in all of them.
        entry = f"{{method: ffsplit, heavy_energy: [0.97, 0.999999], heavy: dense, light: dropped, targets: {FEED_FORWARD}}}"
        done = lathe.run(["run", *split_job(scratch / "run", candidates=f"[{OTHERS}, {entry}]", budget="1.3x")])
        assert done.stderr.count("candidate_of_no_use") == 1, done.stderr
        [line] = [line for line in done.stderr.splitlines() if "candidate_of_no_use" in line]
        for word in ("--set candidates", "heavy_energy=0.999999", "704 of the 704 neurons"):
            assert word in line, line
        dense = [name for name, setting in units_of(scratch / "run").items() if setting.startswith("dense")]
        assert 0 < len(dense) < 12, dense


def a_low_rank_by_error_is_counted_exactly_by_the_search():
    with lathe.Scratch() as scratch:
        targets = '["re:.*[.](o|down)$"]'
        entry = f"{{method: low_rank, error: [0.1, 0.3], targets: {targets}}}"
        arguments = split_job(scratch / "run", candidates=f"[{OTHERS}, {entry}]", budget="2x", refine="sequential")
        plan = lathe.run_json(["plan", *arguments])
        assert plan["minimum_is_lower_bound"] and plan["feasible"], plan
        result = lathe.run_json(["run", *arguments])
        assert result["checkpoint_bytes"] <= result["source_bytes"] / 2, result
        found = json.loads((scratch / "run/search/plan.json").read_text())
        low_rank = [unit["setting"] for unit in found["units"] if unit["setting"].startswith("low_rank")]
        assert len(low_rank) == 12, found["units"]
        ranks = {setting.partition(" rank=")[2] for setting in low_rank}
        assert len(ranks) > 3 and all(ranks), low_rank
        assert lathe.run_json(["verify", scratch / "run/checkpoint"])["ok"]
        assert lathe.run_json(["run", *arguments], 2)["checkpoint_hash"] == result["checkpoint_hash"]


def layers_that_drop_neurons_drop_the_same():
    with lathe.Scratch() as scratch:
        run = scratch / "run"
        lathe.run_json(["run", *split_job(run, budget="5x")])
        units = units_of(run)
        for block in range(6):
            drops = {units[f"block_{block:04}.{name}"].partition(" heavy=")[2].split()[0]
                     if "light.method=dropped" in units[f"block_{block:04}.{name}"] else "none"
                     for name in ("gate_up", "down")}
            assert len(drops) == 1, units


def dropped_neurons_leave_a_smaller_stock_model():
    with lathe.Scratch() as scratch:
        run = scratch / "run"
        arguments = split_job(run, light="dropped", parts="heavy: dense", budget="1.1x", export="[hf]",
                              candidates="[{method: ffsplit, heavy_fraction: 0.5, heavy: dense, light: dropped, targets: "
                                         f"{FEED_FORWARD}}}, {{method: dense, targets: [\"re:.*qkv\"]}}]")
        result = lathe.run_json(["run", *arguments])
        assert all("light.method=dropped" in setting for setting in units_of(run).values()), units_of(run)
        config = json.loads((run / "export/config.json").read_text())
        assert config["intermediate_size"] == 384, config  # half of 704, rounded to a multiple of 64
        header, _ = lathe.read_header(run / "export/model.safetensors")
        assert header["model.layers.0.mlp.down_proj.weight"]["shape"] == [256, config["intermediate_size"]]
        stored, exported = evaluate(run / "checkpoint"), evaluate(run / "export")
        assert abs(stored["perplexity"] / exported["perplexity"] - 1) < 1e-3, (stored, exported, result)


def refinement_slicing_and_speed_apply():
    with lathe.Scratch() as scratch:
        refined = lathe.run_json(["run", *split_job(scratch / "refined", refine="sequential")])["refine"]
        assert refined["kl"] < refined["plan_kl"], refined
        sliced = lathe.run_json(["run", *split_job(scratch / "sliced", slice__sparsity=0.1)])
        assert sliced["slice"]["widths"], sliced
        assert lathe.run_json(["verify", scratch / "sliced/checkpoint"])["ok"]
        fast = lathe.run_json(["run", *split_job(scratch / "fast", search__speedup=1.05)])
        assert fast["speedup"] >= 1.05, fast


def what_cannot_be_is_refused():
    with lathe.Scratch() as scratch:
        def refused(candidates, *words):
            done = lathe.run(["run", *lathe.job(scratch / "run", candidates=candidates)], code=64)
            for word in ("--set candidates", *words):
                assert word in done.stderr, (word, done.stderr)
            assert not (scratch / "run").exists()
        refused("[{method: ffsplit, heavy_fraction: 0.01}]", "0 of the 704 neurons")
        refused("[{method: ffsplit, heavy_fraction: 1.5}]", "expected a number above 0 and below 1")
        refused("[{method: ffsplit, heavy_energy: [0.5, 1]}]", "heavy_energy", "expected a number above 0 and below 1")
        refused("[{method: ffsplit, heavy_energy: 0.5, heavy_fraction: 0.5}]", "heavy_fraction and heavy_energy both", "give one")
        refused("[{method: ffsplit, heavy_energy: 0.5, round_interval: 704}]", "leave no size for the heavy part")
        refused("[{method: ffsplit, heavy: dropped}]", "cannot be dropped")
        refused("[{method: ffsplit, light: [{method: low_rank, rank: 9000}]}]", "light part", "rank 9000")
        refused("[{method: ffsplit, light: [{method: integer, bits: 2}]}]", 'unknown key "bits" of method integer')
        refused("[{method: ffsplit, targets: [\"re:.*qkv\"]}]", "no part of a feed-forward layer")
        refused("[{method: low_rank, error: 0.1, rank: 8}]", "error of low_rank decides the rank", "give one")
        refused("[{method: ffsplit, light: [{method: low_rank, error: 0.1}]}]", "cannot have a rank by error")
        refused("[{method: low_rank, rank: 257}]", "rank 257 is above the smaller side")


lathe.main([every_command_reads_a_split_checkpoint, ranks_do_not_show_and_a_killed_job_goes_on,
            a_share_of_the_energy_sets_the_size_of_each_layer, a_layer_that_spreads_its_energy_has_no_such_candidate,
            a_low_rank_by_error_is_counted_exactly_by_the_search,
            layers_that_drop_neurons_drop_the_same, dropped_neurons_leave_a_smaller_stock_model,
            refinement_slicing_and_speed_apply, what_cannot_be_is_refused])
