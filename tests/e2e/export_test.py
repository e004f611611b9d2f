"""Nothing lost on the way out: element types, programs and templates; and nothing overwritten."""
import json
import struct

import lathe

USAGE = 64


def job(output, model, **changes):
    return lathe.job(output, model=model, **({
        "budget": "2x", "candidates": "[{method: integer, num_bits: 8, solver: rtn}]", "search__strategy": "knapsack",
        "search__num_evaluation_samples": 2, "calibration__num_calibration_samples": 8} | changes))


def refused(arguments, *words):
    done = lathe.run(arguments, code=USAGE)
    for word in words:
        assert word in done.stderr, f"'{word}' is not in the message: {done.stderr}"


def widened(tensor):
    dtype, shape, content = tensor
    assert dtype == "F16"
    values = struct.unpack(f"<{len(content) // 2}e", content)
    return ("F32", shape, struct.pack(f"<{len(values)}f", *values))


def mixed_model(to):
    """The example with norms, one matrix and the head in float32, and files that loading needs."""
    lathe.copy_model(to)

    def change(tensors):
        for name in tensors:
            if "norm" in name or name in ("lm_head.weight", "model.layers.2.mlp.down_proj.weight"):
                tensors[name] = widened(tensors[name])
    lathe.edit_tensors(to, change)
    for name in SIDE_FILES:
        (to / name).parent.mkdir(exist_ok=True)
        (to / name).write_text("{}\n" if name.endswith(".json") else f"# {name}\n")
    for name in LEFT_BEHIND:
        (to / name).parent.mkdir(exist_ok=True)
        (to / name).write_text("{}")
    return to


SIDE_FILES = ("modeling_mine.py", "configuration_mine.py", "custom_generate/generate.py", "chat_template.jinja",
              "chat_template.json", "additional_chat_templates/tool.jinja", "preprocessor_config.json",
              "processor_config.json", "special_tokens_map.json", "added_tokens.json", "spiece.model", "words.tiktoken",
              "LICENSE")
LEFT_BEHIND = ("trainer_state.json", "optimizer.pt", "README.md", ".gitattributes", "checkpoint-10/config.json",
               "checkpoint-10/modeling_mine.py")


def types(model):
    return {name: (dtype, shape) for name, (dtype, shape, _) in lathe.read_tensors(model / "model.safetensors").items()}


with lathe.Scratch() as scratch:
    source = mixed_model(scratch / "model")
    run = scratch / "run"
    lathe.run(["run", *job(run, source, export="[hf]")])
    dense = scratch / "dense"
    lathe.run(["run", *job(dense, source, candidates="[{method: dense}]", budget="0.9x", export="[hf]")])

    def every_tensor_keeps_its_type():
        assert types(source) == types(run / "export"), "after 8 bits"
        # And, where nothing is compressed, every bit.
        files = [lathe.read_tensors(d / "model.safetensors") for d in (source, dense / "export")]
        assert files[0] == files[1]

    def what_loading_needs_goes_along():
        for place in (run / "checkpoint", run / "export"):
            for name in SIDE_FILES:
                assert (place / name).read_bytes() == (source / name).read_bytes(), (place, name)
            for name in LEFT_BEHIND:
                assert not (place / name).exists(), (place, name)
        assert lathe.run_json(["verify", run / "checkpoint"])["ok"]

    def a_directory_in_use_is_refused():
        used = scratch / "used"
        used.mkdir()
        stale = ("model.safetensors.index.json", "model-00001-of-00002.safetensors", "pytorch_model.bin",
                 "adapter_config.json", "modeling_old.py")
        for name in (*stale, "notes.md"):
            (used / name).write_text("{}")
        refused(["export", run / "checkpoint", "--output", used], "not empty", "adapter_config.json", "--overwrite")
        assert sorted(f.name for f in used.iterdir()) == sorted((*stale, "notes.md"))
        lathe.run(["export", run / "checkpoint", "--output", used, "--overwrite"])
        assert not [name for name in stale if (used / name).exists()]
        assert (used / "notes.md").exists()
        assert types(used) == types(source)
        assert not list(used.glob("*.lathe-tmp"))

    def a_stopped_export_goes_on():
        target = scratch / "stopped"
        target.mkdir()
        (target / "export_unfinished.lathe-tmp").write_text("")
        (target / "model-00001-of-00009.safetensors").write_text("half")
        lathe.run(["export", run / "checkpoint", "--output", target])
        assert [f.name for f in target.glob("*.safetensors")] == ["model.safetensors"]
        refused(["export", run / "checkpoint", "--output", target], "not empty")

    def source_and_checkpoints_are_never_overwritten():
        before = (source / "model.safetensors").read_bytes()
        link = scratch / "link"
        link.symlink_to(source)
        for more in ([], ["--overwrite"]):
            for target in (source, link):
                refused(["export", run / "checkpoint", "--output", target, *more], "never overwritten")
            for target in (run / "checkpoint", run / "checkpoint/hf", run, dense / "checkpoint"):
                refused(["export", run / "checkpoint", "--output", target, *more], "expected another directory")
        assert (source / "model.safetensors").read_bytes() == before
        assert lathe.run_json(["verify", run / "checkpoint"])["ok"]

    lathe.main([every_tensor_keeps_its_type, what_loading_needs_goes_along, a_directory_in_use_is_refused,
                a_stopped_export_goes_on, source_and_checkpoints_are_never_overwritten])
