"""Jobs with `serve`: only what the program takes, a budget of its format's bytes, met to the byte; refused what it cannot take."""
import json
import struct

import lathe

USAGE, INFEASIBLE = 64, 69
FORMATS = {"vllm": "compressed-tensors", "transformers": "compressed-tensors", "gguf": "gguf", "mlx": "mlx"}
INTEGER = "[{method: integer, num_bits: [3, 4, 8], group_size: [64, 128], solver: rtn}]"


def job(output, serve, **changes):
    return lathe.job(output, **({
        "serve": serve, "candidates": INTEGER, "search__strategy": "knapsack", "search__scores": "gradient",
        "search__num_evaluation_samples": 2, "calibration__num_calibration_samples": 8, "budget": "2.6x"} | changes))


def bytes_in(directory):
    return sum(f.stat().st_size for f in directory.rglob("*") if f.is_file())


def settings_of(run):
    return {unit["name"]: unit["setting"] for unit in json.loads((run / "search/plan.json").read_text())["units"]}


def plan_of(output, serve, **changes):
    return lathe.run_json(["plan", *job(output, serve, **changes)])


with lathe.Scratch() as scratch:
    def a_plan_takes_what_is_written():
        for serve, form in FORMATS.items():
            result = lathe.run_json(["run", *job(scratch / serve, serve)])
            export = scratch / serve / f"export-{form}"
            plan = json.loads((scratch / serve / "search/plan.json").read_text())
            assert result["serve"]["format"] == form and list(result["exports"]) == [form], result["serve"]
            written = bytes_in(export)
            assert plan["predicted_bytes"] == result["serve"]["predicted_bytes"] == result["serve"]["bytes"] == written, (
                serve, plan["predicted_bytes"], result["serve"], written)
            assert written <= plan["budget_bytes"], (serve, written, plan["budget_bytes"])
            # Whole settings of a tenth of a per cent of the budget would have had room.
            assert written > 0.93 * plan["budget_bytes"], (serve, written, plan["budget_bytes"])
            # What was compressed is packed there: nothing is lost on the way to the program.
            assert not result["exports"][form]["dense"], result["exports"][form]["dense"]

    def vllm_has_its_widths_groups_and_scales():
        settings = settings_of(scratch / "vllm")
        assert settings["embedding"].startswith("dense"), settings["embedding"]
        chosen = {s for s in settings.values() if not s.startswith("dense")}
        assert chosen and all("num_bits=4" in s or "num_bits=8" in s for s in chosen), chosen
        assert all("group_size=64" in settings[f"block_{b:04}.down"] or settings[f"block_{b:04}.down"].startswith("dense")
                   for b in range(6)), settings
        tensors = lathe.read_tensors(scratch / "vllm/export-compressed-tensors/model.safetensors")
        scales = [t for name, t in tensors.items() if name.endswith("weight_scale")]
        assert len(scales) > 20
        for dtype, _, data in scales:
            # Eight significant bits: of fp16's fraction the last three are 0.
            assert dtype == "F16" and all(bits & 7 == 0 for (bits,) in struct.iter_unpack("<H", data))
        others = lathe.read_tensors(scratch / "transformers/export-compressed-tensors/model.safetensors")
        assert any(bits & 7 for name, t in others.items() if name.endswith("weight_scale")
                   for (bits,) in struct.iter_unpack("<H", t[2]))

    def plan_says_what_is_dropped():
        def reasons(serve, word, **changes):
            found = [d["reason"] for d in plan_of(scratch / "none", serve, **changes)["dropped"] if word in d["setting"]]
            return " / ".join(found)
        assert "vllm has no kernel" not in reasons("vllm", "num_bits=4")
        assert "with serve.low_bits: humming only" in reasons("vllm", "num_bits=3")
        assert "groups of 128" in reasons("vllm", "num_bits=4") and "rows of 704" in reasons("vllm", "num_bits=4")
        humming = "{reader: vllm, low_bits: humming}"
        assert "humming" not in reasons(humming, "num_bits=3"), reasons(humming, "num_bits=3")
        asymmetric = "[{method: integer, num_bits: [4, 8], symmetric: false, solver: rtn}]"
        assert "no kernel for asymmetric codes of 8 bits" in reasons("vllm", "num_bits=8", candidates=asymmetric)
        assert "asymmetric codes of 4 bits" not in reasons("vllm", "num_bits=4", candidates=asymmetric)
        several = "[{method: integer, num_bits: 4}, {method: bcq, num_bits: [1, 2]}, {method: nm}, {method: low_rank}, {method: bct, scale: float16}]"
        assert "no equivalent" in reasons("gguf", "bcq", candidates=several) or "no type" in reasons("gguf", "bcq", candidates=several)
        assert "method nm" in reasons("gguf", "nm", candidates=several) and "method low_rank" in reasons("mlx", "low_rank", candidates=several)
        assert not reasons("gguf", "bct", candidates=several), reasons("gguf", "bct", candidates=several)
        text = lathe.run(["plan", *job(scratch / "none", "vllm")]).stdout
        assert "serve vllm: not for block_0000.down and 5 more: integer" in text, text
        assert "of what vllm loads" in text, text

    def shares_of_several_devices_hold_whole_groups():
        def for_down(devices):
            dropped = plan_of(scratch / "none", f"{{reader: vllm, tensor_parallel: {devices}}}", budget="1.5x",
                              candidates="[{method: integer, num_bits: 4, group_size: [32, 64], solver: rtn}]")["dropped"]
            return {d["setting"].split("group_size=")[1].split()[0]: d["reason"] for d in dropped if d["unit"] == "block_0000.down"}
        assert for_down(1) == {}, for_down(1)
        two = for_down(2)
        assert "groups of 64 do not divide rows of 352 on each of 2 devices" in two["64"], two
        assert "multiples of 64 rows and 64 columns" in two["32"], two

    def the_budget_is_that_of_the_format():
        # llama.cpp's blocks repeat a scale: groups of 128 take no fewer bytes there than groups of 32.
        smallest = {groups: plan_of(scratch / "none", "gguf", candidates=
                    f"[{{method: integer, num_bits: 4, group_size: {groups}, solver: rtn}}]")["minimum_bytes"] for groups in (32, 64)}
        assert smallest[32] == smallest[64], smallest
        done = lathe.run(["plan", *job(scratch / "none", "vllm", budget="3.9x")], code=INFEASIBLE)
        assert "infeasible" in done.stdout, done.stdout
        lathe.run(["run", *job(scratch / "none", "vllm", budget="3.9x")], code=INFEASIBLE)

    def what_it_cannot_take_is_refused_before_work():
        def refused(serve, *words, **changes):
            for command in ("plan", "run"):
                done = lathe.run([command, *job(scratch / "refused", serve, **changes)], code=USAGE)
                for word in words:
                    assert word in done.stderr, (word, done.stderr)
            assert not (scratch / "refused").exists()
        refused("vllm", "--set serve", "none of the candidates", candidates="[{method: bcq, num_bits: 2}]")
        refused("vllm", "--set serve", "embedding", "loaders take no codes there", candidates=
                "[{method: integer, num_bits: 4, solver: rtn}, {method: integer, num_bits: 8, solver: rtn, targets: embed_tokens}]")
        refused("{reader: vllm, tensor_parallel: 3}", "8 heads", "tensor_parallel: 3")
        gpt2 = lathe.ROOT / "tests/data/parity/gpt2"
        refused("vllm", "--set serve", "[in, out]", model=gpt2, calibration__data=gpt2 / "reference.h5", search__evaluation="[]",
                candidates="[{method: integer, num_bits: 4, group_size: 16, solver: rtn}]", budget="0.5x", calibration__max_seq_length=16)
        refused("sglang", "vllm, transformers, gguf, mlx")
        refused("vllm", "slice.rotation: global", slice__sparsity=0.2)
        refused("gguf", "multiples of 32", slice="{sparsity: 0.2, rotation: global, round_interval: 8}")
        refused("mlx", "kept_tensors", kept_tensors="{method: bct, solver: rtn}")

    def a_sliced_model_meets_its_budget_too():
        result = lathe.run_json(["run", *job(scratch / "sliced", "gguf", slice="{sparsity: 0.2, rotation: global}", budget="3x",
                                             candidates="[{method: integer, num_bits: [4, 8], group_size: 32, solver: rtn}]")])
        assert result["slice"]["widths"][0] % 32 == 0, result["slice"]
        assert result["serve"]["predicted_bytes"] == result["serve"]["bytes"] == bytes_in(scratch / "sliced/export-gguf")

    def neurons_are_dropped_in_all_layers_or_none():
        codes = "{method: integer, num_bits: [4, 8], group_size: 32, solver: rtn}"
        split = "{method: ffsplit, heavy_fraction: %s, round_interval: 64, heavy: %s, light: dropped}"
        for serve, form in FORMATS.items():
            run = scratch / f"fewer-{serve}"
            result = lathe.run_json(["run", *job(run, serve, budget="3x", candidates=f"[{codes}, {split % (0.75, codes)}]")])
            assert result["serve"]["predicted_bytes"] == result["serve"]["bytes"] == bytes_in(run / f"export-{form}"), result["serve"]
            assert not result["exports"][form]["dense"], result["exports"][form]["dense"]
            settings = settings_of(run)
            assert all("light.method=dropped" in settings[f"block_{b:04}.{unit}"] for b in range(6) for unit in ("gate_up", "down")), settings
            if serve != "gguf":
                assert json.loads((run / f"export-{form}/config.json").read_text())["intermediate_size"] == 512
        dropped = plan_of(scratch / "none", "vllm", candidates=f"[{codes}, {split % (0.75, codes)}]")["dropped"]
        assert any("one number of neurons" in d["reason"] and d["unit"] == "block_0000.gate_up" for d in dropped), dropped
        # Two widths; all neurons in some layers.
        for word, candidates in (("leave 384 neurons in block_0000.gate_up, 512 neurons", f"[{split % ('[0.5, 0.75]', codes)}]"),
                                 ("all neurons", f"[{codes}, {split[:-1] % (0.75, codes)}, targets: 're:block_000[0-3].(gate_up|down)'}}]")):
            done = lathe.run(["plan", *job(scratch / "none", "vllm", candidates=candidates)], code=USAGE)
            assert "all layers have one number of neurons" in done.stderr and word in done.stderr, done.stderr
        bloom = lathe.ROOT / "tests/data/parity/bloom"
        done = lathe.run(["plan", *job(scratch / "none", "transformers", model=bloom, calibration__data=bloom / "reference.h5",
                                       search__evaluation="[]", calibration__max_seq_length=16, budget="0.5x", candidates=
                                       "[{method: ffsplit, heavy_fraction: 0.5, round_interval: 36, light: dropped, heavy:"
                                       " {method: integer, num_bits: 4, group_size: 36, solver: rtn}}]")], code=USAGE)
        assert "config.json of family bloom has no key for the number of neurons" in done.stderr, done.stderr

    def a_finished_run_is_searched_in_the_same_bytes():
        found = lathe.run_json(["search", scratch / "gguf", "--budget", "2.4x"])["plans"][0]
        assert found["predicted_bytes"] <= found["budget_bytes"], found

    lathe.main([a_plan_takes_what_is_written, vllm_has_its_widths_groups_and_scales, plan_says_what_is_dropped,
                shares_of_several_devices_hold_whole_groups, the_budget_is_that_of_the_format,
                what_it_cannot_take_is_refused_before_work, a_sliced_model_meets_its_budget_too,
                neurons_are_dropped_in_all_layers_or_none,
                a_finished_run_is_searched_in_the_same_bytes])
