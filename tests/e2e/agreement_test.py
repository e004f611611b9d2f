"""Commands that agree: what a job may do, every command may do; what `run` refuses, `plan` refuses likewise."""
import json
import struct

import lathe

USAGE, BAD_DATA, MISSING, INFEASIBLE, IO_ERROR, STOPPED = 64, 65, 66, 69, 74, 75
TEXT = lathe.TEXTS / "validation.txt"
FAST = {"candidates": "[{method: integer, num_bits: 4, solver: rtn}]", "budget": "3x", "search.strategy": "knapsack",
        "search.num_evaluation_samples": 2, "calibration.num_calibration_samples": 8}


def job(run, **changes):
    keys = {k.replace(".", "__"): v for k, v in FAST.items()} | changes
    return lathe.job(keys.pop("output", run), **keys)


def evaluate(model, *more):
    return lathe.run_json(["eval", model, "--text", TEXT, "--seqlen", 128, "--limit", 4, *more])


def refused(arguments, code, *words):
    done = lathe.run(arguments, code=code)
    for word in words:
        assert word in done.stderr, f"'{word}' is not in the message: {done.stderr}"


def with_adapter_head(scratch):
    """The example with a tensor that no part of a Llama is, as multi-token heads are."""
    model = lathe.copy_model(scratch / "model")
    lathe.edit_tensors(model, lambda t: t.update({"mtp.weight": ("F16", [4], bytes(8))}))
    return model


def ignore_is_known_to_every_command():
    with lathe.Scratch() as scratch:
        model, run = with_adapter_head(scratch), scratch / "run"
        prompt = ["--prompt", "In the", "--max-new-tokens", 2]
        task = ["--task", "piqa", "--data", lathe.ROOT / "tests/data/dataset/piqa.jsonl", "--limit", 2]
        text = ["--text", TEXT, "--seqlen", 128, "--limit", 4]
        for command in (["eval", model, *text], ["generate", model, *prompt], ["inspect", model],
                        ["eval", model, *task], ["eval", lathe.MODEL, *text, "--kl", model],
                        ["plan", *job(run, model=model)]):
            # The remedy that the message names is there in the command that says it.
            refused(command, BAD_DATA, "mtp.weight", "--ignore")
            lathe.run([*command, "--ignore", "mtp"])
        assert evaluate(model, "--ignore", "mtp")["perplexity"] == evaluate(lathe.MODEL)["perplexity"]
        # The evaluation within the job reads the source as the job does.
        result = lathe.run_json(["run", *job(run, model=model, ignore="[mtp]", evaluate__perplexity=TEXT,
                                             evaluate__max_seq_length=128, evaluate__limit=4,
                                             evaluate__tasks=f"[{{task: piqa, data: '{task[3]}'}}]")])
        assert result["evaluation"][0]["source_perplexity"] == evaluate(lathe.MODEL)["perplexity"], result
        passed = [t for t in result["tensors"] if t["fate"] == "passed over"]
        assert passed == [{"tensor": "mtp.weight", "fate": "passed over", "reason": "named under ignore"}], passed
        lathe.run(["eval", run / "checkpoint", *text, "--kl", model, "--ignore", "mtp"])


def short_names_keep_what_they_name():
    def kept(*names):
        with lathe.Scratch() as scratch:
            plan = lathe.run_json(["plan", *job(scratch / "run", budget="0.9x", ignore=f"[{', '.join(names)}]")])
            return {t["tensor"] for t in plan["tensors"] if t.get("reason") == "named under ignore"}
    assert kept("lm_head", "embed_tokens") == {"lm_head.weight", "model.embed_tokens.weight"}
    attention = {f"model.layers.{b}.self_attn.{p}_proj.weight" for b in range(6) for p in "qkv"}
    assert kept("q_proj") == attention  # served as one, so kept as one
    assert kept("layers.3.mlp.down_proj") == {"model.layers.3.mlp.down_proj.weight"}
    assert kept("'re:.*mlp.down_proj$'") == {f"model.layers.{b}.mlp.down_proj.weight" for b in range(6)}


def names_of_nothing_are_refused():
    with lathe.Scratch() as scratch:
        run = scratch / "run"
        for command in ("plan", "run"):
            refused([command, *job(run, ignore="[lm_head, q_porj]")], USAGE, 'ignore names "q_porj"', "q_proj")
            refused([command, *job(run, ignore="[nonsense]")], USAGE, '"nonsense"', "embed_tokens")
            refused([command, *job(run, candidates="[{method: dense, targets: [downproj]}]")], USAGE,
                    'targets names "downproj"', "down_proj")
            assert not run.exists()
        for command in (["eval", lathe.MODEL, "--text", TEXT], ["generate", lathe.MODEL, "--prompt", "x"],
                        ["inspect", lathe.MODEL]):
            refused([*command, "--ignore", "lmhead"], USAGE, '--ignore names "lmhead"', "lm_head")


def plan_refuses_what_run_refuses():
    with lathe.Scratch() as scratch:
        run = scratch / "run"
        (scratch / "short.txt").write_text("In the beginning.")
        (scratch / "binary.parquet").write_bytes(b"PAR1\0\x80\xff" * 64)
        (scratch / "rows.jsonl").write_text("{\"txt\": 1}\n")
        (scratch / "times.json").write_text("{}")
        (scratch / "file").write_text("")
        (scratch / "other").mkdir()
        (scratch / "other/notes.txt").write_text("mine")
        for code, changes in ((BAD_DATA, {"calibration__data": scratch / "short.txt"}),
                              (BAD_DATA, {"calibration__data": scratch / "binary.parquet"}),
                              (BAD_DATA, {"calibration__data": scratch / "rows.jsonl"}),
                              (MISSING, {"calibration__data": scratch / "none.txt"}),
                              (BAD_DATA, {"search__evaluation": scratch / "short.txt"}),
                              (MISSING, {"search__kernel_times": scratch / "none.json"}),
                              (BAD_DATA, {"search__kernel_times": scratch / "times.json"}),
                              (BAD_DATA, {"evaluate__perplexity": scratch / "binary.parquet"}),
                              (INFEASIBLE, {"budget": "30x"}),
                              (USAGE, {"output": scratch / "other"}),
                              (IO_ERROR, {"output": scratch / "file/run"})):
            said = [lathe.run([command, *job(run, **changes)], code=code).stderr.splitlines()[-1:]
                    for command in ("plan", "run")]
            assert code == INFEASIBLE or said[0] == said[1], said
            assert not run.exists(), f"a run directory was made by a job that is refused: {changes}"
        # The corrected job is the first one of its directory.
        lathe.run(["run", *job(run)])
        for changes in ({"budget": "2x"}, {"calibration__max_seq_length": 64}):
            for command in ("plan", "run"):
                refused([command, *job(run, **changes)], USAGE, "another job")
        lathe.run(["plan", *job(run)])


def a_directory_in_which_nothing_was_done_is_taken_over():
    with lathe.Scratch() as scratch:
        run, changed = scratch / "run", scratch / "model"
        lathe.run(["run", *job(run, runtime__max_walltime="0.001")], code=STOPPED)
        assert (run / "manifest.json").exists() and not (run / "journal.jsonl").read_text()
        (run / "notes.txt").write_text("mine")
        lathe.run(["plan", *job(run, budget="2x")])
        assert "budget: 3x" in (run / "job.yaml").read_text(), "plan has written"
        done = lathe.run(["run", *job(run, budget="2x")])
        assert "run_directory_taken_over" in done.stderr and "budget: 2x, was 3x" in done.stderr, done.stderr
        assert "budget: 2x" in (run / "job.yaml").read_text()
        assert (run / "notes.txt").read_text() == "mine"
        refused(["run", *job(run, budget="3x")], USAGE, "another job")  # now there is something to lose
        # Another model in the same place, before any task was done.
        lathe.copy_model(changed)
        lathe.run(["run", *job(scratch / "second", model=changed, runtime__max_walltime="0.001")], code=STOPPED)
        lathe.edit_tensors(changed, lambda t: t.update({"model.norm.weight": ("F16", [256], b"\0\x3c" * 256)}))
        assert "taken_over" in lathe.run(["run", *job(scratch / "second", model=changed)]).stderr


def padded(scratch, name, row):
    """The example with 64 more rows in embedding and head; those of the embedding hold `row`'s bytes."""
    model = lathe.copy_model(scratch / name)

    def change(tensors):
        for tensor, more in (("model.embed_tokens.weight", row), ("lm_head.weight", b"\0\0")):
            dtype, (rows, cols), content = tensors[tensor]
            tensors[tensor] = (dtype, [rows + 64, cols], content + more * (64 * cols))
    lathe.edit_tensors(model, change)
    lathe.edit_json(model / "config.json", lambda c: c.update(vocab_size=2112))
    return model


def rows_that_nothing_reads_may_be_nan():
    nan = struct.pack("<H", 0x7E00)
    with lathe.Scratch() as scratch:
        sound, broken, run = padded(scratch, "sound", b"\0\0"), padded(scratch, "broken", nan), scratch / "run"
        assert evaluate(broken)["perplexity"] == evaluate(sound)["perplexity"]
        done = lathe.run(["eval", broken, "--text", TEXT, "--seqlen", 128, "--limit", 4, "-q"])
        assert "model.embed_tokens.weight rows 2048 to 2111 (64 of 2112)" in done.stderr, done.stderr
        # A job writes the rows, so it asks first; what it made is read like the source.
        refused(["run", *job(run, model=broken)], BAD_DATA, "rows 2048 to 2111", "allow_nan_rows")
        for changes in ({}, {"candidates": "[{method: dense}]", "budget": "0.9x"}):
            result = lathe.run_json(["run", *job(run, model=broken, allow_nan_rows="true", evaluate__perplexity=TEXT,
                                                 evaluate__max_seq_length=128, evaluate__limit=4, **changes)])
            assert result["evaluation"][0]["source_perplexity"] == evaluate(sound)["perplexity"]
            assert evaluate(run / "checkpoint")["perplexity"] == result["evaluation"][0]["perplexity"]
            run = scratch / "dense"
        # A row that a text reads, and rows of the head, are another matter.
        def break_row(model, tensor, row):
            def change(tensors):
                dtype, shape, content = tensors[tensor]
                begin = row * 256 * 2
                tensors[tensor] = (dtype, shape, content[:begin] + nan + content[begin + 2:])
            lathe.edit_tensors(model, change)
        prompt = lathe.run_json(["generate", sound, "--prompt", "In the beginning", "--max-new-tokens", 1])
        break_row(broken, "model.embed_tokens.weight", prompt["ids"][0])
        refused(["generate", broken, "--prompt", "In the beginning", "--max-new-tokens", 2], BAD_DATA,
                f"row {prompt['ids'][0]} of tensor model.embed_tokens.weight")
        break_row(sound, "lm_head.weight", 2100)
        refused(["eval", sound, "--text", TEXT], BAD_DATA, "lm_head.weight", "row 2100 (1 of 2112)")


def a_quantisation_that_was_undone_does_no_harm():
    with lathe.Scratch() as scratch:
        model, run = lathe.copy_model(scratch / "model"), scratch / "run"
        section = {"quant_method": "bitsandbytes", "load_in_4bit": True}
        lathe.edit_json(model / "config.json", lambda c: c.update(quantization_config=section))
        assert evaluate(model)["perplexity"] == evaluate(lathe.MODEL)["perplexity"]
        done = lathe.run(["run", *job(run, model=model, export="[hf]")])
        assert "quantisation_left_over" in done.stderr and "bitsandbytes" in done.stderr, done.stderr
        # A loader would quantise the export by it.
        assert "quantization_config" not in json.loads((run / "export/config.json").read_text())
        evaluate(run / "export")


def an_index_with_an_entry_too_many_is_taken():
    with lathe.Scratch() as scratch:
        model = lathe.copy_model(scratch / "model")
        shard = "model-00001-of-00001.safetensors"
        (model / "model.safetensors").rename(model / shard)
        names = {name: shard for name in lathe.read_tensors(model / shard)}
        stale = "model.layers.0.self_attn.rotary_emb.inv_freq"
        (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names | {stale: shard}}))
        assert evaluate(model)["perplexity"] == evaluate(lathe.MODEL)["perplexity"]
        assert stale in lathe.run(["inspect", model, "-q"]).stderr
        # One that the model needs is missing all the same.
        lathe_tensors = lathe.read_tensors(model / shard)
        del lathe_tensors["model.norm.weight"]
        lathe.write_tensors(model / shard, lathe_tensors)
        refused(["inspect", model], BAD_DATA, "model.norm.weight")


def an_adapter_is_named():
    with lathe.Scratch() as scratch:
        (scratch / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "b"}))
        for command in (["plan", *job(scratch / "run", model=scratch)], ["eval", scratch, "--text", TEXT],
                        ["generate", scratch, "--prompt", "x"], ["inspect", scratch]):
            refused(command, BAD_DATA, "adapter", "LORA", "merged model")


lathe.main([ignore_is_known_to_every_command, short_names_keep_what_they_name, names_of_nothing_are_refused,
            plan_refuses_what_run_refuses, a_directory_in_which_nothing_was_done_is_taken_over,
            rows_that_nothing_reads_may_be_nan, a_quantisation_that_was_undone_does_no_harm,
            an_index_with_an_entry_too_many_is_taken, an_adapter_is_named])
