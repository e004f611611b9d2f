"""Evaluation tasks and generated text, from the command line."""
import subprocess

import lathe

USAGE, BAD_DATA = 64, 65
SHARED = lathe.ROOT.parent / "shared"
PIQA = lathe.ROOT / "tests/data/dataset/piqa.jsonl"
SST2 = lathe.ROOT / "tests/data/dataset/sst2.tsv"
CLASSIFIER = lathe.ROOT / "tests/data/parity/bert"


def refused(arguments, code, *words):
    done = lathe.run(arguments, code=code)
    for word in words:
        assert word in done.stderr, f"'{word}' is not in the message: {done.stderr}"


def generate(*arguments, ranks=0):
    return lathe.run_json(["generate", lathe.MODEL, "--prompt", "And God said", *arguments], ranks)


def sst2_is_that_of_the_models_own_program():
    model, data = SHARED / "models/minilm-l6-sst2", SHARED / "data/sst2/dev.tsv"
    if not (model.exists() and data.exists()):
        print("skipped: no model and data of SST-2 here")
        return
    # 735 of 872 right, mean loss 0.351851: transformers in float32, texts cut to 128 tokens.
    found = lathe.run_json(["eval", model, "--task", "sst2", "--data", data], 2)
    assert found["metric"] == "accuracy" and found["examples"] == 872, found
    assert round(found["value"] * 872, 6) == 735, found
    assert abs(found["loss"] - 0.351851) < 1e-6, found
    assert abs(found["standard_error"] - 0.012330) < 1e-6, found  # sqrt(p (1 - p) / 871)


def ranks_do_not_show():
    with lathe.Scratch() as scratch:  # 300 questions of about 60 tokens: two chunks
        (scratch / "many.jsonl").write_text(PIQA.read_text() * 150)
        keys = ("metric", "value", "standard_error", "examples", "metrics", "kl", "top1_agreement")
        found = [lathe.run_json(["eval", lathe.MODEL, "--task", "piqa", "--data", scratch / "many.jsonl",
                                 "--reference", lathe.MODEL], ranks) for ranks in (0, 2, 3)]
    assert found[0]["examples"] == 300 and found[0]["kl"] == 0 and found[0]["top1_agreement"] == 1, found[0]
    assert [m["name"] for m in found[0]["metrics"]] == ["accuracy_norm", "accuracy"], found[0]
    for other in found[1:]:
        for key in keys:
            assert other[key] == found[0][key], (key, other, found[0])


def a_limit_takes_the_first_examples():
    found = lathe.run_json(["eval", lathe.MODEL, "--task", "piqa", "--data", PIQA, "--limit", 1])
    assert found["examples"] == 1 and found["value"] == 1.0, found
    assert found["standard_error"] is None, found  # a single example says nothing of others


def wrong_tasks_are_refused():
    refused(["eval", lathe.MODEL, "--task", "sst3", "--data", SST2], USAGE, "sst3", "known", "mnli-mm", "hellaswag")
    refused(["eval", lathe.MODEL, "--task", "piqa"], USAGE, "--data")
    refused(["eval", lathe.MODEL, "--data", PIQA], USAGE, "--task")
    refused(["eval", lathe.MODEL, "--task", "piqa", "--data", PIQA, "--text", PIQA], USAGE, "--text")
    refused(["eval", lathe.MODEL, "--task", "sst2", "--data", SST2], BAD_DATA, "classifier", "llama")
    refused(["eval", lathe.MODEL, "--task", "piqa", "--data", SST2], BAD_DATA, "sst2.tsv", "line 1")
    refused(["eval", CLASSIFIER, "--text", CLASSIFIER / "reference.h5"], BAD_DATA, "classifier", "--task")


def text_comes_as_it_is_made():
    options = ["--prompt", "In the beginning", "--max-new-tokens", "20"]
    found = lathe.run_json(["generate", lathe.MODEL, *options])
    # transformers, greedy, float32.
    assert found["ids"] == [14, 270, 289, 261, 1101, 299, 306, 394, 1184, 322, 397, 14, 270, 292, 371, 599, 14, 270,
                            292, 371], found
    assert found["text"] == (", and in the night that I have spoken unto thee, and to thy sons, and to thy"), found
    assert found["prompt_tokens"] == 3 and found["stop"] == "new_tokens", found
    assert lathe.run(["generate", lathe.MODEL, *options]).stdout == found["text"] + "\n"
    assert lathe.run_json(["generate", lathe.MODEL, *options], 2)["text"] == found["text"]
    process = subprocess.Popen(lathe.command(["generate", lathe.MODEL, "--prompt", "In the beginning",
                                              "--max-new-tokens", "900"]), stdout=subprocess.PIPE)
    assert process.stdout.read(5) == b", and" and process.poll() is None, "the text came only at the end"
    lathe.kill(process)


def sampled_text_depends_on_the_seed():
    sampled = ["--temperature", "1", "--top-p", "0.95", "--max-new-tokens", "20"]
    texts = [generate(*sampled, "--seed", seed)["text"] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2], texts
    greedy = generate("--max-new-tokens", "20")["text"]
    nearly = ["--temperature", "1", "--top-p", "0.000001", "--max-new-tokens", "20", "--seed", "3"]
    assert generate(*nearly)["text"] == greedy


def wrong_prompts_are_refused():
    refused(["generate", CLASSIFIER, "--prompt", "x"], BAD_DATA, "classifier", "bert")
    refused(["generate", lathe.MODEL, "--prompt", ""], USAGE, "prompt")
    refused(["generate", lathe.MODEL, "--prompt", "and " * 1100], USAGE, "1024")
    for option, value in (("--temperature", "-1"), ("--temperature", "nan"), ("--top-p", "0"), ("--top-p", "1.5"),
                          ("--max-new-tokens", "0"), ("--seed", "x")):
        refused(["generate", lathe.MODEL, "--prompt", "x", option, value], USAGE, option[2:])


def a_compressed_checkpoint_does_it_too():
    with lathe.Scratch() as scratch:
        lathe.run_json(["run", *lathe.job(scratch / "run", export="[hf]", budget="3x",
                                          candidates="[{method: integer, num_bits: 4, solver: rtn}, {method: dense}]")])
        checkpoint, export = scratch / "run/checkpoint", scratch / "run/export"
        found, exported = (lathe.run_json(["eval", model, "--task", "piqa", "--data", PIQA, "--reference", lathe.MODEL])
                           for model in (checkpoint, export))
        assert found["kl"] > 0 and abs(found["kl"] / exported["kl"] - 1) < 1e-2, (found, exported)
        assert found["weights_bytes_read"] < exported["weights_bytes_read"] / 2.5, (found, exported)
        options = ["--prompt", "In the beginning", "--max-new-tokens", "12"]
        texts = [lathe.run_json(["generate", model, *options])["text"] for model in (checkpoint, export)]
        assert texts[0] == texts[1] and len(texts[0]) > 12, texts


lathe.main([sst2_is_that_of_the_models_own_program, ranks_do_not_show, a_limit_takes_the_first_examples,
            wrong_tasks_are_refused, text_comes_as_it_is_made, sampled_text_depends_on_the_seed,
            wrong_prompts_are_refused, a_compressed_checkpoint_does_it_too])
