"""Neurons of feed-forward layers put in order, heaviest first: the model stays what it is, on any ranks, interrupted,
sliced before, in another order."""
import json
import random
import time

import lathe

PARITY = lathe.ROOT / "tests/data/parity"
DENSE = "[{method: dense}]"
CODES = "[{method: integer, num_bits: [3, 4], solver: gptq}, {method: integer, num_bits: [4, 8], solver: rtn}]"


def ordered_job(output, **changes):
    keys = {"ffsplit": "{}", "budget": "0.5x", "candidates": DENSE}
    return lathe.job(output, **(keys | {k.replace("__", "."): v for k, v in changes.items()}))


def on_text(**changes):
    return {"evaluate.perplexity": lathe.TEXTS / "validation.txt", "evaluate.max_seq_length": 128,
            "evaluate.limit": 32} | changes


def layers(run):
    return lathe.run_json(["inspect", run])["neurons"]


def the_model_stays_what_it_is():
    with lathe.Scratch() as scratch:
        result = lathe.run_json(["run", *ordered_job(scratch / "run", **on_text(export="[hf]"))])
        [text] = result["evaluation"]
        assert abs(text["perplexity"] / text["source_perplexity"] - 1) < 1e-5, text
        plain = lathe.run_json(["run", *ordered_job(scratch / "plain", ffsplit="none")])
        assert result["checkpoint_hash"] != plain["checkpoint_hash"], "nothing was moved"
        assert "neurons" not in plain
        evaluate = ["--text", lathe.TEXTS / "validation.txt", "--seqlen", "128", "--limit", "32"]
        for directory in (scratch / "run/checkpoint", scratch / "run/export"):
            found = lathe.run_json(["eval", directory, *evaluate])["perplexity"]
            assert abs(found / text["source_perplexity"] - 1) < 1e-5, (directory, found)


def small_models_of_other_kinds_stay_too():
    # Plain layers with biases, transposed and fused tensors, a parallel block, an encoder.
    python = lathe.python_with_h5py()
    if python is None:
        return
    for family in ("opt", "gpt2", "phi3", "phi", "bert"):
        with lathe.Scratch() as scratch:
            config = json.loads((PARITY / family / "config.json").read_text())
            write_ids(python, scratch / "ids.h5", config["vocab_size"])
            keys = {"model": PARITY / family, "calibration.data": scratch / "ids.h5",
                    "calibration.max_seq_length": 16, "search.evaluation": scratch / "ids.h5",
                    "evaluate.perplexity": scratch / "ids.h5", "evaluate.max_seq_length": 16}
            result = lathe.run_json(["run", *ordered_job(scratch / "run", **keys)])
            [text] = result["evaluation"]
            assert abs(text["kl"]) < 1e-9 and text["top1_agreement"] == 1, (family, text)
            assert len(result["neurons"]) == len(layers(scratch / "run")) > 0


def write_ids(python, file, vocabulary):
    program = ("import h5py, random, sys\n"
               "draw = random.Random(1)\n"
               "ids = [[draw.randrange(int(sys.argv[2])) for _ in range(16)] for _ in range(32)]\n"
               "h5py.File(sys.argv[1], 'w')['input_ids'] = ids\n")
    lathe.subprocess.run([python, "-c", program, str(file), str(vocabulary)], check=True)


def ranks_do_not_show():
    with lathe.Scratch() as scratch:
        keys = {"candidates": CODES, "budget": "4x", "search.generations": 2}
        hashes = {lathe.run_json(["run", *ordered_job(scratch / f"r{ranks}", **keys)], ranks)["checkpoint_hash"]
                  for ranks in (0, 1, 2, 3)}
        assert len(hashes) == 1, hashes


def killed_and_resumed_on_other_ranks():
    seed = random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    with lathe.Scratch() as scratch:
        keys = {"candidates": CODES, "budget": "4x", "search.generations": 1, "slice.sparsity": 0.1}
        start = time.monotonic()
        expected = lathe.run_json(["run", *ordered_job(scratch / "whole", **keys)])
        whole = time.monotonic() - start
        arguments = ordered_job(scratch / "killed", **keys)
        lathe.kill_at_random(["run", *arguments], chance, [0, 1, 2, 3], 0.1, 0.7 * whole)
        result = lathe.run_json(["run", *arguments], chance.choice([1, 2, 3]))
        assert result["checkpoint_hash"] == expected["checkpoint_hash"], f"seed {seed}"


def what_is_gone_is_made_again():
    with lathe.Scratch() as scratch:
        arguments = ["run", *ordered_job(scratch / "run", candidates=CODES, budget="4x", search__generations=1)]
        expected = lathe.run_json(arguments)["checkpoint_hash"]
        for gone in ("neurons/block_0002.h5", "candidates/block_0002.down.h5"):
            (scratch / "run" / gone).unlink()
        again = lathe.run_json(arguments)
        assert again["checkpoint_hash"] == expected
        [stage] = [s for s in again["stages"] if s["name"] == "order_neurons"]
        assert (stage["tasks"], stage["tasks_reused"]) == (6, 5), stage
        found = lathe.run_json(["search", scratch / "run", "--budget", "4x", "--assemble"])
        assert found["plans"][0]["checkpoint_hash"] == expected, "search worked on another order"


def sliced_before():
    with lathe.Scratch() as scratch:
        for order in ("dense", "sequential"):
            keys = {"slice.sparsity": 0.25, "slice.order": order} | on_text()
            cut = lathe.run_json(["run", *ordered_job(scratch / f"{order}_cut", ffsplit="none", **keys)])
            both = [lathe.run_json(["run", *ordered_job(scratch / f"{order}_both_{ranks}", **keys)], ranks)
                    for ranks in (1, 2)]
            found, expected = (r["evaluation"][0]["perplexity"] for r in (both[0], cut))
            assert abs(found / expected - 1) < 1e-5, (order, found, expected)
            assert both[0]["checkpoint_hash"] == both[1]["checkpoint_hash"] != cut["checkpoint_hash"]
            assert len(both[0]["neurons"]) == 6


def the_order_is_by_the_score_asked_for():
    with lathe.Scratch() as scratch:
        def ordered(score, run="run", **keys):
            result = lathe.run_json(["run", *ordered_job(scratch / run, ffsplit__score=score, **keys)])
            return result["checkpoint_hash"], layers(scratch / run)
        hashes = {}
        for score in ("second_moment", "mean", "frequency", "removal", "random"):
            hashes[score], found = ordered(score)
            energy = [layer["energy"]["top_10"] for layer in found]
            if score == "second_moment":
                first, by_moment = found, energy
            assert energy == by_moment, "the concentration is the model's, not the order's"
            heaviest = [layer["heaviest"] for layer in found]
            assert (heaviest == [layer["heaviest"] for layer in first]) == (score == "second_moment"), score
        assert len(set(hashes.values())) == 5, hashes
        # The same directory once more, another one, another seed.
        assert ordered("second_moment")[0] == hashes["second_moment"]
        assert ordered("random", "again")[0] == hashes["random"]
        assert ordered("random", "seed", seed=5)[0] != hashes["random"]


def a_preset_removes_neurons():
    with lathe.Scratch() as scratch:
        def removed(name, ranks=0):
            keys = {"calibration.num_calibration_samples": 16, "calibration.max_seq_length": 128, "search.num_evaluation_samples": 4}
            words = ["--preset", "fewer-neurons", "--model", lathe.MODEL, "--output", scratch / name,
                     "--calibration", lathe.TEXTS / "train.txt", "--budget", "1.3x"]
            words += [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
            return lathe.run_json(["run", *words], ranks)
        found = removed("one")
        assert found["ratio"] >= 1.3 and found["checkpoint_hash"] == removed("two", 2)["checkpoint_hash"]
        # Nothing but neurons is gone, in both units of a layer alike; not as many in each.
        units = {u["name"]: round(u["bits_per_weight"], 3) for u in lathe.run_json(["inspect", scratch / "one/checkpoint"])["units"]}
        pairs = [(units[f"block_{b:04}.gate_up"], units[f"block_{b:04}.down"]) for b in range(6)]
        assert all(up == down <= 16 for up, down in pairs) and len(set(pairs)) > 1, pairs
        assert all(bits == 16 for name, bits in units.items() if name.split(".")[-1] not in ("gate_up", "down")), units


def concentration_is_reported():
    with lathe.Scratch() as scratch:
        result = lathe.run_json(["run", *ordered_job(scratch / "run")])
        found = layers(scratch / "run")
        assert found == result["neurons"] == json.loads((scratch / "run/report.json").read_text())["neurons"]
        for layer in found:
            shares = [layer["energy"][f"top_{percent}"] for percent in (1, 5, 10, 25)]
            assert 0.01 < shares[0] < shares[1] < shares[2] < shares[3] < 1, layer
            assert layer["worth_splitting"] == (shares[2] >= 0.25)
            assert len(set(layer["heaviest"])) == 8 and max(layer["heaviest"]) < layer["neurons"]
        text = lathe.run(["inspect", scratch / "run"]).stdout
        assert "top 10 %" in text and "block_0005" in text, text
        python = lathe.python_with_h5py()
        if python is None:
            return
        program = ("import h5py, json, sys\n"
                   "f = h5py.File(sys.argv[1])\n"
                   "print(json.dumps([f[k][:].tolist() for k in ('order', 'second_moment')]))\n")
        for layer in found:
            file = scratch / f"run/neurons/block_{layer['block']:04d}.h5"
            done = lathe.subprocess.run([python, "-c", program, str(file)], capture_output=True, text=True, check=True)
            order, energy = json.loads(done.stdout)
            assert order == sorted(range(len(energy)), key=lambda i: (-energy[i], i))
            assert order[:8] == layer["heaviest"]
            top = sum(energy[i] for i in order[:-(-len(energy) // 10)]) / sum(energy)
            assert abs(top - layer["energy"]["top_10"]) < 1e-12, (top, layer)


def refinement_works_on_the_ordered_model():
    with lathe.Scratch() as scratch:
        keys = {"candidates": CODES, "budget": "4.3x", "search.generations": 1, "refine": "sequential"}
        result = lathe.run_json(["run", *ordered_job(scratch / "run", **keys)])
        assert result["refine"]["kl"] < result["refine"]["plan_kl"], result["refine"]


if __name__ == "__main__":
    lathe.main([the_model_stays_what_it_is, small_models_of_other_kinds_stay_too, ranks_do_not_show,
                killed_and_resumed_on_other_ranks, what_is_gone_is_made_again, sliced_before,
                the_order_is_by_the_score_asked_for, a_preset_removes_neurons, concentration_is_reported,
                refinement_works_on_the_ordered_model])
