"""Large units are cut by rows where several ranks share the work: the same candidates and the same checkpoint as in one go."""
import json

import lathe

VOCABULARY = 9000  # pieces of 4096 rows, the last with what is left: no multiple of a tile

KEYS = {"candidates": "[{method: integer, num_bits: 3, solver: admm}, {method: integer, num_bits: [2, 4], solver: rtn}, "
                      "{method: bcq, num_bits: 2, solver: gptq}]",
        "search__strategy": "homogeneous", "budget": "3x", "calibration__num_calibration_samples": 8}


def wide_model(to, tied):
    """The example model with more words: those there are, again, but for their order."""
    def widen(tensors):
        for name in ("model.embed_tokens.weight", "lm_head.weight"):
            dtype, (rows, cols), content = tensors[name]
            size = 2 * cols
            all_rows = [content[r * size:(r + 1) * size] for r in range(rows)]
            wide = all_rows + [all_rows[7 * r % rows] for r in range(VOCABULARY - rows)]
            tensors[name] = (dtype, [VOCABULARY, cols], b"".join(wide))
        if tied:
            del tensors["lm_head.weight"]
    model = lathe.copy_model(to)
    lathe.edit_tensors(model, widen)
    lathe.edit_json(model / "config.json", lambda c: c.update(vocab_size=VOCABULARY, tie_word_embeddings=tied))
    return model


def check_order(run):
    """Pieces begin after the factors alone, so that ranks make them side by side, and what joins them after all of them."""
    calls = [json.loads(line) for line in (run / "schedule.jsonl").read_text().splitlines()]
    tasks = {task["id"]: task.get("after", []) for call in calls if call.get("stage") == "compress" for task in call["tasks"]}
    pieces = [task for task in tasks if "/row_" in task]
    for piece in pieces:
        unit = piece.removeprefix("compress/").rpartition("/")[0]
        factors = [task for task in tasks if task.startswith(f"factor/{unit}/")]
        assert tasks[piece] == factors, (piece, tasks[piece])
        assert piece in tasks[f"compress/{unit}"], (piece, tasks[f"compress/{unit}"])
    assert any(task.startswith("factor/") for task in tasks), sorted(tasks)


def cut_rows_do_not_show():
    for tied in (False, True):
        with lathe.Scratch() as scratch:
            model = wide_model(scratch / "model", tied)
            made = {}
            for ranks in (0, 2, 3):
                run = scratch / f"ranks{ranks}"
                result = lathe.run_json(["run", *lathe.job(run, model=model, **KEYS)], ranks)
                candidates = {file.name: file.read_bytes() for file in (run / "candidates").iterdir()}
                made[ranks] = (result["checkpoint_hash"], candidates)
                journal = (run / "journal.jsonl").read_text()
                assert ("/row_4096" in journal) == (ranks > 0), f"{ranks} ranks: cut, or not"
                if ranks > 0:
                    check_order(run)
            for ranks in (2, 3):
                assert made[ranks][1].keys() == made[0][1].keys(), f"{ranks} ranks left {sorted(made[ranks][1])}"
                other = [name for name in made[0][1] if made[ranks][1][name] != made[0][1][name]]
                assert not other, f"{ranks} ranks, tied {tied}: other candidates in {other}"
                assert made[ranks][0] == made[0][0], f"{ranks} ranks, tied {tied}: another checkpoint"


def a_limit_of_memory_is_kept():
    """A unit that takes more than a rank may use is cut on one rank too; what cannot be cut is refused before any work."""
    with lathe.Scratch() as scratch:
        model = wide_model(scratch / "model", tied=False)
        keys = {**KEYS, "model": model}
        plan = lathe.run_json(["plan", *lathe.job(scratch / "whole", **keys)])
        stages = {entry["stage"]: entry["bytes"] for entry in plan["memory"]}
        assert plan["peak_memory_bytes_per_rank"] == stages["compress"] > stages["calibrate"], plan["memory"]
        assert plan["memory_limit_bytes_per_rank"] > stages["compress"], "this machine has more"
        whole = lathe.run_json(["run", *lathe.job(scratch / "whole", **keys)])
        limited = lathe.job(scratch / "cut", runtime__memory_limit=stages["compress"] - 1, **keys)
        planned = {entry["stage"]: entry["bytes"] for entry in lathe.run_json(["plan", *limited])["memory"]}
        assert planned["compress"] < stages["compress"] and planned["calibrate"] == stages["calibrate"], planned
        cut = lathe.run_json(["run", *limited])
        assert cut["checkpoint_hash"] == whole["checkpoint_hash"], (cut, whole)
        assert "/row_4096" in (scratch / "cut/journal.jsonl").read_text()
        assert "/row_4096" not in (scratch / "whole/journal.jsonl").read_text()
        # Less still: pieces of the head that are smaller than would pay.
        short = lathe.job(scratch / "short", runtime__memory_limit=(planned["compress"] + stages["calibrate"]) // 2, **keys)
        assert lathe.run_json(["run", *short])["checkpoint_hash"] == whole["checkpoint_hash"]
        first_rows = [int(entry["task"].rpartition("/row_")[2]) for entry in lathe.journal(scratch / "short") if "/row_" in entry["task"]]
        assert any(row % 4096 for row in first_rows), first_rows
        tight = lathe.job(scratch / "tight", runtime__memory_limit=128 << 20, **keys)
        for command in ("plan", "run"):
            done = lathe.run([command, *tight], code=69)
            said = done.stdout + done.stderr
            assert "stage " in said and "of memory of a rank, which may use" in said and "runtime.memory_limit" in said, said
        assert not (scratch / "tight").exists(), "it is refused before the work"


lathe.main([cut_rows_do_not_show, a_limit_of_memory_is_kept])
