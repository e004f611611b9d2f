"""The whole job on a tiny model of every family: any number of ranks, then read back and exported."""
import json
import pathlib

import lathe

FIXTURES = lathe.ROOT / "tests/data/parity"


def job(model, output, budget):
    # The fixtures have no tokenizer; the ids their reference was made from serve as text.
    keys = {"model": model, "output": output, "budget": budget, "calibration.data": model / "reference.h5",
            "calibration.num_calibration_samples": 3, "calibration.max_seq_length": 16,
            "search.num_evaluation_samples": 2, "export": "[hf]", "evaluate.perplexity": model / "reference.h5",
            "evaluate.max_seq_length": 16,
            "candidates": "[{method: integer, num_bits: [4, 8], group_size: 16, solver: [gptq, rtn]}]"}
    return [text for key, value in keys.items() for text in ("--set", f"{key}={value}")]


def every_family_goes_all_the_way():
    models = sorted(path.parent for path in FIXTURES.glob("*/config.json"))
    families = {json.loads((model / "config.json").read_text())["model_type"] for model in models}
    assert len(families) >= 13, families
    with lathe.Scratch() as scratch:
        for number, model in enumerate(models):
            # Between everything at 4 bits and everything at 8; such small models are mostly container.
            plan = lathe.run_json(["plan", *job(model, scratch / model.name, "0.5x")])
            budget = plan["minimum_bytes"] * 21 // 20
            result = lathe.run_json(["run", *job(model, scratch / model.name, budget)])
            # The launcher takes a second to start: every other model is enough.
            ranks = (3, 2)[number % 2]
            again = lathe.run_json(["run", *job(model, scratch / f"{model.name}.ranks", budget)], ranks)
            assert again["checkpoint_hash"] == result["checkpoint_hash"], f"{model.name}: {ranks} ranks differ"
            assert lathe.run_json(["verify", result["checkpoint"]])["ok"], model.name
            fates = {tensor["fate"] for tensor in result["tensors"]}
            assert "compressed" in fates and "kept" in fates, (model.name, fates)

            # The export is a model of the same family.
            exported = lathe.run_json(["inspect", scratch / model.name / "export"])
            assert exported["parameters"] == result["parameters"], (model.name, exported)
            if "Classification" not in json.loads((model / "config.json").read_text())["architectures"][0]:
                same = lathe.run_json(["eval", scratch / model.name / "export", "--text", model / "reference.h5",
                                       "--seqlen", "16", "--kl", result["checkpoint"]])
                # What rounding to the source's 16-bit type leaves.
                assert same["kl"] < 1e-4, (model.name, same)
            evaluation = result["evaluation"][0]
            assert 0 < evaluation["kl"] < 0.5, (model.name, evaluation)
            print(f"{model.name}: {result['ratio']:.2f}x, KL {evaluation['kl']:.5f}, {result['checkpoint_hash']}")


lathe.main([every_family_goes_all_the_way])
