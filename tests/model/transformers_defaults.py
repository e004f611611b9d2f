#!/usr/bin/env python3
"""What transformers makes of a config.json with one key absent, null or otherwise spelt, for every key and family.

    transformers_defaults.py --write    writes tests/data/config/transformers.json
    transformers_defaults.py            compares that file with the transformers installed here (exit code 77: there is none)

For each family there is a config with every key that Lathe reads, none of them at its default, and the same config without
each key and with each key null. What counts is what the model does, so most figures are taken from the modules that
transformers builds (on the meta device, without memory), not from its configuration objects. A case that transformers
refuses is recorded as such; there is no answer to agree with. config_defaults_test.cpp compares Lathe's reader with the file.
"""
import argparse
import json
import pathlib
import sys
import tempfile

FILE = pathlib.Path(__file__).resolve().parents[1] / "data/config/transformers.json"

DROP = "(left out)"

ROPE = {"rope_theta": 5000.0, "rope_scaling": {"rope_type": "linear", "factor": 2.0}, "rope_parameters": None,
        "partial_rotary_factor": None, "original_max_position_embeddings": 96}
LLAMA = {"vocab_size": 112, "hidden_size": 128, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 8,
         "num_key_value_heads": 2, "head_dim": 12, "max_position_embeddings": 192, "hidden_act": "gelu",
         "rms_norm_eps": 3e-5, "tie_word_embeddings": True, "eos_token_id": 7, **ROPE}
QWEN = {**LLAMA, "num_attention_heads": 64, "use_sliding_window": True, "sliding_window": 24, "max_window_layers": 1, "layer_types": None}
ENCODER = {"vocab_size": 112, "tie_word_embeddings": False, "eos_token_id": 7, "position_embedding_type": "absolute",
           "is_decoder": False, "num_labels": 4, "id2label": None, "max_position_embeddings": 100}
BERT = {**ENCODER, "hidden_size": 96, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 8,
        "type_vocab_size": 5, "hidden_act": "relu", "layer_norm_eps": 3e-5}

FULL = {
    "llama": {**LLAMA, "attention_bias": True, "mlp_bias": True},
    # With layer_types it is another class.
    "mistral": {**LLAMA, "sliding_window": 24, "layer_types": DROP},
    "qwen2": QWEN,
    "qwen3": {**QWEN, "attention_bias": True},
    "phi3": {**LLAMA, "sliding_window": 24, "rope_scaling": None, "partial_rotary_factor": 0.5},
    "opt": {"vocab_size": 112, "hidden_size": 96, "ffn_dim": 80, "num_hidden_layers": 3, "num_attention_heads": 8,
            "max_position_embeddings": 100, "activation_function": "gelu", "tie_word_embeddings": False,
            "eos_token_id": 7, "word_embed_proj_dim": 40, "do_layer_norm_before": False,
            "_remove_final_layer_norm": True, "enable_bias": False, "layer_norm_elementwise_affine": True},
    "phi": {**{k: v for k, v in LLAMA.items() if k != "rms_norm_eps"}, "layer_norm_eps": 3e-5, "qk_layernorm": False,
            "tie_word_embeddings": False, "partial_rotary_factor": 0.75, "hidden_act": "relu", "head_dim": 16},
    "gpt2": {"vocab_size": 112, "n_positions": 100, "n_embd": 96, "n_layer": 3, "n_head": 8, "n_inner": 80,
             "activation_function": "relu", "layer_norm_epsilon": 3e-5, "tie_word_embeddings": False, "eos_token_id": 7,
             "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "add_cross_attention": False},
    "gpt_neox": {"vocab_size": 112, "hidden_size": 1024, "intermediate_size": 80, "num_hidden_layers": 3,
                 "num_attention_heads": 16, "max_position_embeddings": 192, "hidden_act": "relu",
                 "layer_norm_eps": 3e-5, "tie_word_embeddings": True, "eos_token_id": 7, "use_parallel_residual": False,
                 "attention_bias": False, "rotary_emb_base": 5000.0, "rotary_pct": 0.5,
                 "rope_scaling": {"rope_type": "linear", "factor": 2.0}, "rope_parameters": None,
                 "original_max_position_embeddings": 96},
    "bloom": {"vocab_size": 112, "hidden_size": 96, "n_layer": 3, "n_head": 4, "layer_norm_epsilon": 3e-5,
              "tie_word_embeddings": False, "eos_token_id": 7, "seq_length": 100,
              "apply_residual_connection_post_layernorm": False},
    "bert": BERT,
    "roberta": {**BERT, "pad_token_id": 5},
    "distilbert": {**ENCODER, "dim": 96, "hidden_dim": 80, "n_layers": 3, "n_heads": 8, "activation": "relu"},
}

# Not read by Lathe, but the library's own default must lie in the small vocabulary.
ALWAYS = {"phi3": {"pad_token_id": 2}}

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}
# Ways to say the same, and keys that a family does not look at.
VARIANTS = {
    "rope in one object": (("llama", "mistral", "qwen2", "qwen3", "phi"), {
        "rope_theta": DROP, "rope_scaling": DROP, "original_max_position_embeddings": DROP,
        "rope_parameters": {"rope_type": "linear", "rope_theta": 700.0, "factor": 3.0}}),
    "rope in one object, with a share": (("phi", "phi3"), {
        "rope_scaling": None, "rope_parameters": {"rope_type": "default", "rope_theta": 700.0, "partial_rotary_factor": 0.5}}),
    "rope in one object, GPT-NeoX": (("gpt_neox",), {
        "rope_scaling": None, "rope_parameters": {"rope_type": "default", "rope_theta": 700.0, "partial_rotary_factor": 0.75}}),
    "an unused base": (("gpt_neox",), {"rope_theta": 77.0, "partial_rotary_factor": 1.0}),
    "llama3 by older keys": (("llama", "mistral", "qwen2", "qwen3"), {
        "rope_scaling": LLAMA3, "original_max_position_embeddings": DROP}),
    "llama3, numbers written as floats": (("llama", "qwen2"), {
        "rope_scaling": {**LLAMA3, "factor": 8, "low_freq_factor": 1, "original_max_position_embeddings": 64.0},
        "original_max_position_embeddings": DROP}),
    "llama3, original positions outside": (("llama",), {"rope_scaling": LLAMA3}),
    "base as an integer": (("llama", "gpt_neox"), {"rope_theta": 5000, "rotary_emb_base": 5000}),
    "type, the older word": (("llama",), {"rope_scaling": {"type": "linear", "factor": 2}}),
    "scaling that is empty": (("llama",), {"rope_scaling": {}}),
    "one window for all": (("mistral", "phi3"), {"use_sliding_window": False, "max_window_layers": 2}),
    "a list that is not looked at": (("phi3",), {"layer_types": ["full_attention"] * 3}),
    "windows by a list": (("mistral", "qwen2", "qwen3"), {
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}),
    "a list without windows": (("qwen2", "qwen3"), {"use_sliding_window": False, "layer_types": ["full_attention"] * 3}),
    "windows off": (("qwen2", "qwen3"), {"use_sliding_window": False}),
    "windows beyond the blocks": (("qwen2", "qwen3"), {"max_window_layers": 3}),
    "other names": (("gpt2",), {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
                                "max_position_embeddings": 90}),
    "other names ": (("bloom",), {"n_embed": 64, "num_hidden_layers": 2, "num_attention_heads": 8}),
    "other names  ": (("distilbert",), {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}),
    "sizes that are not looked at": (("opt", "gpt2", "bloom", "bert", "roberta", "distilbert"), {
        "num_key_value_heads": 2, "head_dim": 10, "rms_norm_eps": 0.5}),
    "an epsilon that is not looked at": (("opt", "distilbert"), {"layer_norm_eps": 0.5, "layer_norm_epsilon": 0.5}),
    "no norms first": (("opt",), {"do_layer_norm_before": True, "_remove_final_layer_norm": False}),
    "labels by name": (("bert", "roberta", "distilbert"), {"id2label": {"0": "a", "1": "b", "2": "c"}, "num_labels": DROP}),
    "labels by name and number": (("bert",), {"id2label": {"0": "a", "1": "b", "2": "c"}, "num_labels": 5}),
    "labels with a gap": (("bert",), {"id2label": {"0": "a", "2": "c"}, "num_labels": DROP}),
    "several ends": (("llama", "qwen2"), {"eos_token_id": [3, 9]}),
    **{f"activation {name}": (("llama", "gpt2", "opt", "distilbert"), {
        "hidden_act": name, "activation_function": name, "activation": name})
       for name in ("silu", "swish", "gelu", "gelu_new", "gelu_fast", "gelu_python", "gelu_pytorch_tanh",
                    "gelu_python_tanh", "gelu_accurate", "relu")},
}

ACTIVATIONS = {"SiLUActivation": "silu", "SiLU": "silu", "GELUActivation": "gelu", "NewGELUActivation": "gelu_tanh",
               "FastGELUActivation": "gelu_tanh", "GELUTanh": "gelu_tanh", "AccurateGELUActivation": "gelu_tanh",
               "BloomGelu": "gelu_tanh", "ReLU": "relu"}
GROUPED = ("llama", "mistral", "qwen2", "qwen3", "phi3", "phi")
ENCODERS = ("bert", "roberta", "distilbert")


def first(model, *names):
    """The first module below block 0 with an attribute of one of these names, and the attribute."""
    for module in model.modules():
        if type(module).__name__.lower().endswith(("layer", "block")):
            for inner in module.modules():
                for name in names:
                    if getattr(inner, name, None) is not None:
                        return getattr(inner, name)
    return None


def facts_of(config):
    import torch
    import transformers
    config = dict(config)
    family = config["model_type"]
    with tempfile.TemporaryDirectory() as directory:  # as from a file: some keys choose another class
        (pathlib.Path(directory) / "config.json").write_text(json.dumps(config))
        config = transformers.AutoConfig.from_pretrained(directory)
    kind = transformers.AutoModelForSequenceClassification if family in ENCODERS else transformers.AutoModelForCausalLM
    config._attn_implementation = "eager"
    with torch.device("meta"):
        model = kind.from_config(config)
    n_blocks = config.num_hidden_layers
    heads = config.num_attention_heads
    facts = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "hidden_size": config.hidden_size, "blocks": n_blocks, "heads": heads,
        "kv_heads": config.num_key_value_heads if family in GROUPED else heads,
        "vocab_size": model.get_input_embeddings().weight.shape[0],
        "embedding_size": model.get_input_embeddings().weight.shape[1],
        "norm_epsilon": first(model, "eps", "variance_epsilon"),
        "outputs": config.num_labels if family in ENCODERS else config.vocab_size,
    }
    act = first(model, "activation_fn", "act_fn", "act", "intermediate_act_fn", "gelu_impl", "activation")
    facts["activation"] = ACTIVATIONS[type(act).__name__]
    head_dim = first(model, "head_dim", "head_size", "attention_head_size")
    facts["head_dim"] = head_dim if head_dim is not None else config.hidden_size // heads
    if family not in ENCODERS:
        facts["tied_head"] = bool(model.all_tied_weights_keys)
        ends = config.eos_token_id
        facts["eos_ids"] = ends if isinstance(ends, list) else [] if ends is None else [ends]
    if family != "bloom":
        offset = config.pad_token_id + 1 if family == "roberta" else 0
        facts["max_positions"] = config.max_position_embeddings - offset
    if config.model_type in ("mistral", "phi3"):
        facts["windows"] = [config.sliding_window or 0] * n_blocks
    elif family in ("mistral", "qwen2", "qwen3"):
        facts["windows"] = [layer.self_attn.sliding_window or 0 for layer in model.model.layers]
    else:
        facts["windows"] = [0] * n_blocks
    if family == "gpt_neox":
        facts["block_form"] = "parallel" if model.gpt_neox.layers[0].use_parallel_residual else "pre_norm"
    if family == "opt":
        facts["block_form"] = "pre_norm" if model.model.decoder.layers[0].do_layer_norm_before else "post_norm"
    rotary = [module for module in model.modules() if type(module).__name__.endswith("RotaryEmbedding")]
    if rotary:
        facts["inv_freq"] = [float(f) for f in type(rotary[0])(config).inv_freq]
    return facts


def applied(full, changes):
    config = {**full, **changes}
    return {key: value for key, value in config.items() if value != DROP}


def full_config(family):
    return applied({"model_type": family, **ALWAYS.get(family, {})}, FULL[family])


def changes_of(family):
    """(name, changes of the full config) of each case of a family."""
    for key in FULL[family]:
        yield f"without {key}", {key: DROP}
        yield f"{key} null", {key: None}
    for name, (families, changes) in VARIANTS.items():
        if family in families:
            yield name.strip(), {k: v for k, v in changes.items()
                                 if not name.startswith("activation") or k in FULL[family]}


def answer(config):
    try:
        return {"facts": json.loads(json.dumps(facts_of(json.loads(json.dumps(config)))))}
    except Exception as error:  # whatever the library throws at a config it does not take
        return {"refused": type(error).__name__}


def answers():
    """Of each family its config, what transformers makes of it, and for each case what differs from that."""
    families = {}
    for family, keys in FULL.items():
        full = full_config(family)
        base = answer(full)["facts"]
        rows = []
        for name, changes in changes_of(family):
            found = answer(applied(full, changes))
            if "facts" in found:
                found["facts"] = {k: v for k, v in found["facts"].items() if v != base[k]}
            rows.append({"case": name, "changes": changes, **found})
        families[family] = {"config": full, "keys": list(keys), "facts": base, "cases": rows}
    return families


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    try:
        import torch
        import transformers
    except ImportError as error:
        print(f"skipped: {error}")
        return 77
    transformers.logging.set_verbosity_error()
    found = answers()
    count = sum(len(family["cases"]) for family in found.values())
    if write:
        FILE.parent.mkdir(parents=True, exist_ok=True)
        blocks = []
        for family, block in found.items():
            rows = ",\n   ".join(json.dumps(row) for row in block.pop("cases"))
            blocks.append(f' "{family}": {json.dumps(block)[:-1]},\n  "cases": [\n   {rows}]}}')
        text = ",\n".join(blocks)
        FILE.write_text(f'{{"transformers": "{transformers.__version__}", "left_out": "{DROP}", "families": {{\n{text}\n}}}}\n')
        print(f"{count} cases written")
        return 0
    recorded = json.loads(FILE.read_text())
    wrong = 0
    for family, block in found.items():
        before = recorded["families"][family]
        for was, now in zip([{"case": "as it is", "facts": before["facts"]}, *before["cases"]],
                            [{"case": "as it is", "facts": block["facts"]}, *block["cases"]], strict=True):
            if was != now:
                wrong += 1
                print(f"{family}, {now['case']}: recorded {was}, now {now}")
    print(f"{count} cases, {wrong} differ; recorded with transformers {recorded['transformers']},"
          f" compared with {transformers.__version__}, torch {torch.__version__}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
