"""Texts and tokenizers as people have them: encodings, JSON lines, chats, and the files beside a tokenizer.json."""
import json
import os
import shutil

import lathe

BAD_DATA, MISSING = 65, 66
LINES = [line for line in (lathe.TEXTS / "test.txt").read_text().splitlines() if len(line) > 30][:200]
TEXT = "\n".join(LINES) + "\n"


def model_with(to, **files):
    """The example model in a directory of its own; `files` are contents of further files, None for one that goes."""
    to.mkdir()
    for file in lathe.MODEL.iterdir():
        if file.name == "model.safetensors":
            os.symlink(file, to / file.name)
        else:
            shutil.copy(file, to / file.name)
    for name, content in files.items():
        target = to / name.replace("__", ".")
        target.unlink(missing_ok=True)
        if content is not None:
            target.write_text(content if isinstance(content, str) else json.dumps(content))
    return to


def perplexity(model, text, *more):
    return lathe.run_json(["eval", model, "--text", text, "--seqlen", 64, "--limit", 8, *more])["perplexity"]


def refusal(arguments, code=BAD_DATA):
    return lathe.run(arguments, code=code).stderr


def encodings():
    with lathe.Scratch() as scratch:
        plain = scratch / "plain.txt"
        plain.write_text(TEXT)
        right = perplexity(lathe.MODEL, plain)
        for encoding in ("utf-8-sig", "utf-16", "utf-32"):
            other = scratch / f"{encoding}.txt"
            other.write_bytes(TEXT.encode(encoding))
            assert perplexity(lathe.MODEL, other) == right, encoding
        for content, words in ((TEXT.encode("utf-16-le"), "byte 0x00 at offset 1"), (b"Caf\xe9 " + TEXT.encode(), "byte 0xE9 at offset 3")):
            bad = scratch / "bad.txt"
            bad.write_bytes(content)
            assert words in refusal(["eval", lathe.MODEL, "--text", bad])
        rows = scratch / "rows.parquet"
        rows.write_bytes(b"PAR1")
        assert "parquet is not read; convert it: python3" in refusal(["eval", lathe.MODEL, "--text", rows])


def json_lines():
    with lathe.Scratch() as scratch:
        joined = scratch / "joined.txt"
        joined.write_text("".join(LINES))
        right = perplexity(lathe.MODEL, joined)
        rows = scratch / "rows.jsonl"
        rows.write_text("".join(json.dumps({"text": line, "score": float("nan") if i == 7 else 1.0}) + "\n" for i, line in enumerate(LINES)))
        assert perplexity(lathe.MODEL, rows) == right
        rows.write_text('{"text": "fine"}\n{"text": "broken \\ud83d"}\n')
        assert "rows.jsonl:2: not JSON" in refusal(["eval", lathe.MODEL, "--text", rows])


def chats():
    template = "{% for m in messages %}{{ bos_token }}{{ m.role }}: {{ m.content | trim }}{{ eos_token }}\n{% endfor %}"
    with lathe.Scratch() as scratch:
        chat = scratch / "chat.jsonl"
        pairs = list(zip(LINES[::2], LINES[1::2]))
        chat.write_text("".join(json.dumps({"messages": [{"role": "user", "content": f" {a} "}, {"role": "assistant", "content": b}]}) + "\n" for a, b in pairs))
        written = scratch / "written.txt"
        written.write_text("".join(f"<s>user: {a}</s>\n<s>assistant: {b}</s>\n" for a, b in pairs))
        model = model_with(scratch / "model", chat_template__jinja=template)
        right = perplexity(model, written)
        assert perplexity(model, chat, "--chat-template", "true") == right
        own = scratch / "own.jinja"
        own.write_text(template)
        assert perplexity(lathe.MODEL, chat, "--chat-template", own) == right
        assert "calibration.chat_template: true" in refusal(["eval", model, "--text", chat])
        assert "no chat template" in refusal(["eval", lathe.MODEL, "--text", chat, "--chat-template", "true"], MISSING)
        small = {"model": model, "budget": "3x", "calibration__data": chat, "search__evaluation": chat, "search__strategy": "homogeneous",
                 "candidates": "[{method: integer, num_bits: 4, solver: rtn}]", "calibration__num_calibration_samples": 4,
                 "calibration__max_seq_length": 64}
        lathe.run(["run", *lathe.job(scratch / "run", calibration__chat_template="true", **small)])
        assert "no field" in refusal(["run", *lathe.job(scratch / "other", **small)])


def tokens_beyond_the_model():
    with lathe.Scratch() as scratch:
        text = scratch / "text.txt"
        text.write_text(TEXT)
        config = json.loads((lathe.MODEL / "tokenizer_config.json").read_text())
        model = model_with(scratch / "model", tokenizer_config__json=config | {"pad_token": "<extra_pad>"})
        assert perplexity(model, text) == perplexity(lathe.MODEL, text)
        text.write_text("<extra_pad>" + TEXT)
        assert "token id 2048 is not below the model's vocabulary of 2048" in refusal(["eval", model, "--text", text])
        assert "the prompt: token id 2048" in refusal(["generate", model, "--prompt", "<extra_pad>"])


def end_tokens():
    with lathe.Scratch() as scratch:
        prompt = ["--prompt", "In the beginning", "--max-new-tokens", 12]
        free = lathe.run_json(["generate", model_with(scratch / "none", generation_config__json={}), *prompt])
        assert free["stop"] == "new_tokens" and len(free["ids"]) == 12, free
        last = free["ids"][5]
        first = free["ids"].index(last)
        for name, ends in (("list", [1, last]), ("one", last)):
            model = model_with(scratch / name, generation_config__json={"eos_token_id": ends})
            stopped = lathe.run_json(["generate", model, *prompt])
            assert stopped["stop"] == "end_of_text" and stopped["ids"] == free["ids"][:first], stopped


def files_of_the_fingerprint():
    with lathe.Scratch() as scratch:
        model = model_with(scratch / "model")
        job = lathe.job(scratch / "run", model=model, budget="3x", candidates="[{method: integer, num_bits: 4, solver: rtn}]", search__strategy="homogeneous",
                        calibration__num_calibration_samples=4, calibration__max_seq_length=64)
        lathe.run(["run", *job])
        (model / "added_tokens.json").write_text(json.dumps({"light": 2048}))
        assert "the tokenizer, are not those this run began with" in refusal(["run", *job])


lathe.main([encodings, json_lines, chats, tokens_beyond_the_model, end_tokens, files_of_the_fingerprint])
