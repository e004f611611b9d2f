"""The evaluations a job names: the same on any number of ranks, resumed without repetition, checked before any work."""
import json
import random
import struct
import time

import lathe

USAGE, BAD_DATA, MISSING = 64, 65, 66
DATA = lathe.ROOT / "tests/data/dataset"
PIQA, MNLI = DATA / "piqa.jsonl", DATA / "mnli.tsv"
CANDIDATES = "[{method: integer, num_bits: 4, solver: rtn, group_size: 16}]"


def classifier(to):
    """The small BERT of the fixtures with more words, random ones, so that a tokenizer of 560 fits."""
    source, words, chance = lathe.ROOT / "tests/data/parity/bert", 560, random.Random(5)
    to.mkdir()
    header, data = lathe.read_header(source / "model.safetensors")
    entry = header["bert.embeddings.word_embeddings.weight"]
    width = entry["shape"][1]
    entry.update(shape=[words, width], data_offsets=[len(data), len(data) + 4 * words * width])
    data += struct.pack(f"<{words * width}f", *(chance.gauss(0, 1) for _ in range(words * width)))
    # No holes: what the old table took up is cut out.
    old = lathe.read_header(source / "model.safetensors")[0]["bert.embeddings.word_embeddings.weight"]["data_offsets"]
    for name, other in header.items():
        if name != "__metadata__" and other["data_offsets"][0] >= old[1]:
            other["data_offsets"] = [x - (old[1] - old[0]) for x in other["data_offsets"]]
    lathe.write_header(to / "model.safetensors", header, data[:old[0]] + data[old[1]:])
    config = json.loads((source / "config.json").read_text())
    (to / "config.json").write_text(json.dumps(config | {"vocab_size": words}))
    (to / "tokenizer.json").write_text((lathe.ROOT / "tests/data/tokenizer/bert/tokenizer.json").read_text())
    return to


def decoder_job(output, *tasks, **changes):
    return lathe.job(output, budget="3x", candidates=CANDIDATES, evaluate__tasks=f"[{', '.join(tasks)}]", **changes)


def encoder_job(model, output, data, *tasks, budget="0.5x", **changes):
    return lathe.job(output, model=model, budget=budget, candidates=CANDIDATES, calibration__data=data,
                     search__evaluation=data, calibration__num_calibration_samples=30,
                     evaluate__tasks=f"[{', '.join(tasks)}]", **changes)


def task(name, data, more=""):
    return f"{{task: {name}, data: '{data}'{more}}}"


def repeated(file, data, times):
    """The rows of a file this many times, header kept once."""
    lines = data.read_text().splitlines()
    head = lines[:1] if data.suffix == ".tsv" else []
    file.write_text("\n".join(head + lines[len(head):] * times) + "\n")
    return file


def a_sentence_task_on_any_number_of_ranks():
    with lathe.Scratch() as scratch:
        model = classifier(scratch / "model")
        data = repeated(scratch / "many.tsv", MNLI, 700)  # two chunks
        plan = lathe.run_json(["plan", *encoder_job(model, scratch / "run", data, task("mnli", data))])
        stage = next(s for s in plan["stages"] if s["name"] == "evaluate")
        assert stage["tasks"] > 1 and stage["flops"] > 0, stage
        budget = plan["minimum_bytes"] * 21 // 20  # most of it at 4 bits
        results = [lathe.run_json(["run", *encoder_job(model, scratch / f"run{ranks}", data, task("mnli", data),
                                                       budget=budget, evaluate__perplexity=data)], ranks)
                   for ranks in (0, 2, 3)]
        assert len({result["checkpoint_hash"] for result in results}) == 1, results
        for result in results[1:]:
            assert result["evaluation"] == results[0]["evaluation"], result["evaluation"]
        text, found = results[0]["evaluation"]
        assert "perplexity" not in text and text["kl"] > 0 and text["windows"] == 2100, text
        assert found["task"] == "mnli" and found["file"] == str(data) and found["examples"] == 2100, found
        assert found["kl"] == text["kl"], "the same sentences"
        # As the command says of the same two models.
        alone = lathe.run_json(["eval", results[0]["checkpoint"], "--task", "mnli", "--data", data,
                                "--reference", model])
        source = lathe.run_json(["eval", model, "--task", "mnli", "--data", data])
        for key in ("metric", "value", "standard_error", "loss", "kl", "top1_agreement"):
            assert found[key] == alone[key], (key, found, alone)
        metric = found["metrics"][0]
        assert metric["source_value"] == source["value"] == alone["metrics"][0]["reference_value"], (found, source)
        assert metric["source_standard_error"] == source["standard_error"], (found, source)
        assert found["source_loss"] == source["loss"] == alone["reference_loss"], (found, source)
        # The report and the printed table have them too.
        report = json.loads((scratch / "run0/report.json").read_text())
        assert report["evaluation"] == results[0]["evaluation"], report
        table = lathe.run(["resume", scratch / "run0"]).stdout
        assert f"mnli accuracy     {source['value']:.4f} -> {found['value']:.4f} +- " in table, table


def a_text_that_repeats_itself_is_evaluated_once():
    with lathe.Scratch() as scratch:
        data = repeated(scratch / "same.jsonl", PIQA, 300)
        result = lathe.run_json(["run", *decoder_job(scratch / "run", task("piqa", data), task("piqa", data))])
        first, second = result["evaluation"]
        assert first == second and first["examples"] == 600, result["evaluation"]
        stage = next(s for s in result["stages"] if s["name"] == "evaluate")
        alone = lathe.run_json(["eval", result["checkpoint"], "--task", "piqa", "--data", data], 2)
        assert alone["value"] == first["value"], (alone, first)
        assert stage["tasks"] < 4, stage  # the same file twice, and chunks of equal questions


def killed_while_it_evaluates():
    with lathe.Scratch() as scratch:
        data = repeated(scratch / "many.jsonl", PIQA, 1000)
        # Questions of their own for each chunk, so that there are several.
        rows = [json.loads(line) for line in data.read_text().splitlines()]
        data.write_text("".join(json.dumps(row | {"goal": f"{row['goal']} {number}"}) + "\n"
                                for number, row in enumerate(rows)))
        job = lambda run: ["run", *decoder_job(run, task("piqa", data))]
        whole = lathe.run_json(job(scratch / "whole"))
        run = scratch / "killed"
        process = lathe.start(job(run), 2)
        while not lathe.journal(run, "evaluate"):
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.02)
        lathe.kill(process)
        done = len(lathe.journal(run, "evaluate"))
        resumed = lathe.run_json(["resume", run], 3)
        assert resumed["evaluation"] == whole["evaluation"], (resumed["evaluation"], whole["evaluation"])
        ids = [entry["task"] for entry in lathe.journal(run)]
        assert len(ids) == len(set(ids)), "a finished task was done again"
        stage = next(s for s in resumed["stages"] if s["name"] == "evaluate")
        assert done <= stage["tasks_reused"] < stage["tasks"], (done, stage)
        # Other evaluations may be asked of a finished run; what is known is not computed again.
        more = lathe.run_json(["resume", run, "--set", f"evaluate.tasks=[{task('piqa', data)}, {task('piqa', PIQA)}]"])
        stage = next(s for s in more["stages"] if s["name"] == "evaluate")
        assert stage["tasks"] == stage["tasks_reused"] + 1, stage
        assert more["evaluation"][0] == whole["evaluation"][0] and more["evaluation"][1]["examples"] == 2, more


def a_limit_is_for_texts_and_tasks():
    with lathe.Scratch() as scratch:
        job = decoder_job(scratch / "run", task("piqa", PIQA), evaluate__perplexity=lathe.TEXTS / "test.txt",
                          evaluate__max_seq_length=64, evaluate__limit=1)
        text, found = lathe.run_json(["run", *job])["evaluation"]
        assert text["windows"] == 1 and text["tokens"] == 63 and text["perplexity_standard_error"] is None, text
        assert found["examples"] == 1, found
        alone = lathe.run_json(["eval", lathe.MODEL, "--text", lathe.TEXTS / "test.txt", "--seqlen", 64, "--limit", 1])
        assert alone["perplexity"] == text["source_perplexity"] and alone["windows"] == 1, (alone, text)


def mistakes_show_before_any_work():
    with lathe.Scratch() as scratch:
        model = classifier(scratch / "model")
        (scratch / "cut.tsv").write_text("sentence1\tsentence2\tgold_label\na\tb\n")

        def refused(job, code, *words):
            for command in ("plan", "run"):
                done = lathe.run([command, *job], code=code)
                for word in words:
                    assert word in done.stderr, f"'{word}' is not in the message: {done.stderr}"
            assert not (scratch / "run").exists(), "work was begun"

        def decoder(*tasks, **changes):
            return decoder_job(scratch / "run", *tasks, **changes)

        def encoder(*tasks):
            return encoder_job(model, scratch / "run", MNLI, *tasks)

        refused(decoder(task("piqa", scratch / "none.jsonl")), MISSING, "none.jsonl")
        refused(decoder(task("piqua", PIQA)), USAGE, "evaluate.tasks", "piqua", "known", "hellaswag")
        refused(decoder(task("mnli", MNLI)), BAD_DATA, "mnli", "sequence classifier", "llama")
        refused(decoder(task("piqa", MNLI)), BAD_DATA, "mnli.tsv", "line 1")
        refused(decoder("{task: piqa}"), USAGE, "evaluate.tasks[0]", "data")
        refused(decoder(evaluate__perplexity=scratch / "none.txt"), MISSING, "none.txt")
        refused(decoder(calibration__data=scratch / "none.txt"), MISSING, "none.txt")
        refused(decoder(search__evaluation=scratch / "none.txt"), MISSING, "none.txt")
        refused(encoder(task("piqa", PIQA)), BAD_DATA, "piqa", "language model", "bert")
        refused(encoder(task("sst2", DATA / "sst2.tsv")), BAD_DATA, "sst2", "3 outputs")
        refused(encoder(task("mnli", scratch / "cut.tsv")), BAD_DATA, "cut.tsv", "line 2")
        refused(encoder(task("mnli", MNLI, ", max_seq_length: 2")), USAGE, "special tokens")


lathe.main([a_sentence_task_on_any_number_of_ranks, a_text_that_repeats_itself_is_evaluated_once,
            killed_while_it_evaluates, a_limit_is_for_texts_and_tasks, mistakes_show_before_any_work])
