"""Logits of tiny random models against the transformers installed here (exit code 77: there is none): every family, each
with every key of config.json left out or spelt otherwise that leaves the shapes as they are, and with its tensors stored in
every way that programs store them."""
import json
import math
import pathlib
import subprocess
import sys

import lathe

sys.path.insert(0, str(lathe.ROOT / "tests/model"))
import transformers_defaults as defaults

try:
    import h5py
    import torch
    import transformers
    from safetensors.torch import load_file, save_file
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)
LENGTH = 60
HEADS = {"gpt_neox": ("lm_head.weight", "embed_out.weight")}  # the other families: ("lm_head.weight",)
EMBEDDINGS = {"gpt2": "transformer.wte.weight", "bloom": "transformer.word_embeddings.weight",
              "gpt_neox": "gpt_neox.embed_in.weight", "opt": "model.decoder.embed_tokens.weight"}
PREFIXES = {"gpt2": "transformer.", "bloom": "transformer.", "gpt_neox": "gpt_neox.", "opt": "model.",
            "bert": "bert.", "roberta": "roberta.", "distilbert": "distilbert."}


# What old programs stored beside the weights: names and values.
FREQUENCIES = {"model.rotary_emb.inv_freq": None, "model.layers.0.self_attn.rotary_emb.inv_freq": None,
               "model.layers.1.self_attn.rotary_emb.cos_cached": torch.ones(1, 1, 4, 4)}
MASK = torch.ones(1, 1, 8, 8, dtype=torch.bool).tril()
BUFFERS = {
    "gpt2": {"transformer.h.0.attn.bias": MASK, "transformer.h.1.attn.masked_bias": torch.tensor(-1e4)},
    "gpt_neox": {"gpt_neox.layers.0.attention.bias": MASK, "gpt_neox.layers.0.attention.masked_bias": torch.tensor(-1e9),
                 "gpt_neox.layers.0.attention.rotary_emb.inv_freq": None},
    "opt": {"model.decoder.version": torch.tensor([3.0])},
    "bloom": {},
    "bert": {"bert.embeddings.position_ids": torch.arange(100)[None]},
    "roberta": {"roberta.embeddings.position_ids": torch.arange(100)[None], "roberta.pooler.dense.bias": torch.ones(96),
                "roberta.pooler.dense.weight": torch.ones(96, 96)},
    "distilbert": {"distilbert.embeddings.position_ids": torch.arange(100)[None]},
}


def kind_of(family):
    return transformers.AutoModelForSequenceClassification if family in defaults.ENCODERS \
        else transformers.AutoModelForCausalLM


def save(family, directory):
    """A random model of the family's full config, all norms and biases random too."""
    config = transformers.AutoConfig.for_model(**json.loads(json.dumps(defaults.full_config(family))))
    torch.manual_seed(7)
    model = kind_of(family).from_config(config).eval()
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape)
            if parameter.dim() == 1:
                parameter.copy_(1.0 + 0.25 * noise if name.endswith("weight") else 0.3 * noise)
            elif any(word in name for word in ("embed", "wte", "wpe", "lm_head", "embed_out")):
                parameter.copy_(0.3 * noise)
            else:
                parameter.copy_(noise / math.sqrt(parameter.shape[-1]))
    model.save_pretrained(directory)
    (directory / "generation_config.json").unlink(missing_ok=True)
    return directory


def expected_logits(family, directory, ids):
    model = kind_of(family).from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


class Comparison:
    def __init__(self, scratch):
        self.scratch = scratch
        self.ids = torch.randint(8, 112, (2, LENGTH), generator=torch.Generator().manual_seed(3))
        with h5py.File(scratch / "ids.h5", "w") as file:
            file["input_ids"] = self.ids.numpy()
        self.cases = self.refused = 0
        self.worst = 0.0

    def expect_same(self, family, directory, what, may_refuse=None):
        """The program's logits are those of transformers, or it refuses with these words."""
        self.cases += 1
        output = self.scratch / "logits.h5"
        output.unlink(missing_ok=True)
        done = subprocess.run(lathe.command(["eval", directory, "--ids", self.scratch / "ids.h5",
                                             "--logits-out", output]), capture_output=True, text=True)
        if done.returncode != 0:
            assert may_refuse and done.returncode == 65 and may_refuse in done.stderr, (family, what, done.stderr)
            self.refused += 1
            return
        right = expected_logits(family, directory, self.ids)
        with h5py.File(output) as file:
            found = torch.from_numpy(file["logits"][()]).reshape(right.shape)
        error = float((found - right).norm() / right.norm())
        self.worst = max(self.worst, error)
        assert error < 1e-5, (family, what, error)


def write_config(directory, config):
    (directory / "config.json").write_text(json.dumps(config, indent=1))


def every_key_of_every_family():
    with lathe.Scratch() as scratch:
        comparison = Comparison(scratch)
        recorded = json.loads(defaults.FILE.read_text())["families"]
        for family, block in recorded.items():
            directory = save(family, scratch / family)
            architectures = json.loads((directory / "config.json").read_text())["architectures"]
            for row in block["cases"]:
                shapes = {"parameters", "tied_head", "hidden_size", "vocab_size", "blocks", "outputs", "heads", "head_dim"}
                if "refused" in row or shapes & set(row["facts"]) - {"tied_head"}:
                    continue
                if family in ("bert", "roberta", "distilbert") and row["facts"].get("max_positions"):
                    continue  # the table of positions has another size
                if family in ("opt", "gpt2") and row["facts"].get("max_positions"):
                    continue
                if row["facts"].get("block_form"):
                    continue  # other tensors
                config = defaults.applied(defaults.full_config(family), row["changes"]) | {"architectures": architectures}
                write_config(directory, config)
                comparison.expect_same(family, directory, row["case"])
        print(f"{comparison.cases} configs, largest error {comparison.worst:.1e}")
        assert comparison.cases > 200


def tensors_stored_in_other_ways(family, directory, comparison):
    file = directory / "model.safetensors"
    stored = load_file(file)
    config = json.loads((directory / "config.json").read_text())
    heads = HEADS.get(family, ("lm_head.weight",))
    embedding = EMBEDDINGS.get(family, "model.embed_tokens.weight")
    matrix = stored[embedding]
    without = {k: v for k, v in stored.items() if k != embedding and k not in heads}
    other = matrix.flip(0).contiguous() * 0.5

    def expect(what, tensors, flag, refusal=None):
        save_file({k: v.clone().contiguous() for k, v in tensors.items()}, file, metadata={"format": "pt"})
        write_config(directory, config | {"tie_word_embeddings": flag})
        comparison.expect_same(family, directory, what, refusal)

    tied_refusal = "this head has a bias" if family == "phi" else None
    for head in heads:
        expect(f"{head} beside the embedding, untied", {**without, embedding: matrix, head: other}, False)
        expect(f"equal {head} beside the embedding, untied", {**without, embedding: matrix, head: matrix}, False)
        expect(f"{head} alone, tied", {**without, head: matrix}, True, tied_refusal)
        expect(f"equal {head}, tied", {**without, embedding: matrix, head: matrix}, True, tied_refusal)
        expect(f"different {head}, tied", {**without, embedding: matrix, head: other}, True, tied_refusal)
        expect(f"{head} alone, untied", {**without, head: matrix}, False, "no embedding")
    expect("embedding alone, tied", {**without, embedding: matrix}, True, tied_refusal)
    expect("embedding alone, untied", {**without, embedding: matrix}, False, "no head of their own")
    whole = {**without, embedding: matrix, heads[0]: other}
    for dtype in (torch.float16, torch.bfloat16):
        expect(f"{dtype}", {k: v.to(dtype) for k, v in whole.items()}, False)
    expect("mixed types", {k: v.to(torch.bfloat16) if v.dim() == 2 else v for k, v in whole.items()}, False)
    prefix = PREFIXES.get(family, "model.")
    expect("no prefix", {k.removeprefix(prefix): v for k, v in whole.items()}, False)


def with_buffers(family, directory, comparison):
    file = directory / "model.safetensors"
    stored = load_file(file)
    frequencies = json.loads(defaults.FILE.read_text())["families"][family]["facts"].get("inv_freq")
    buffers = {name: torch.tensor(frequencies) if value is None else value.contiguous()
               for name, value in BUFFERS.get(family, FREQUENCIES).items()}
    save_file(stored | buffers, file, metadata={"format": "pt"})
    comparison.expect_same(family, directory, "buffers")


def tensors_of_every_family():
    with lathe.Scratch() as scratch:
        comparison = Comparison(scratch)
        for family in defaults.FULL:
            with_buffers(family, save(family, scratch / family), comparison)
            if family not in defaults.ENCODERS:
                tensors_stored_in_other_ways(family, save(family, scratch / family), comparison)
        print(f"{comparison.cases} files, {comparison.refused} refused by name, largest error {comparison.worst:.1e}")
        assert comparison.cases > 100


lathe.main([every_key_of_every_family, tensors_of_every_family])
