#!/usr/bin/env python3
"""Tokenizers that are spread over several files, and what transformers makes of them.

    pip install transformers==5.24.0 tokenizers==0.23.3 sentencepiece==0.2.3 protobuf
    make_checkpoints.py TEXT_FILE [NAME ...]    # English text, e.g. data/kjv/train.txt; default: all

Each function below is one checkpoint directory: the files that say what its tokenizer is, with small vocabularies, most of
them those of the folders next to this file. It writes checkpoints/NAME with

    files.json       {name: content}, or {name: {"copy": "folder/file"}} for one of those folders, or {"base64": ...}
    expected.jsonl   a line for each text: {"text", "ids", "ids_special", "decoded"}, one of them with "pair", "pair_segments"

ids without special tokens, ids_special with them, pair: the ids of (text, "light <s>") with special tokens.
"""
import base64
import io
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
import sentencepiece as spm
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer

HERE = Path(__file__).resolve().parent

TEXTS = [
    "", " ", "  \n ", "And God said, Let there be light: and there was light.", "  two spaces before,  between  and behind  ",
    "tab\tand\nline\r\nends\n\n", "I'm sure they'll say WE'VE DON'T it'S", "0123456789 3.14159 1,000,000 v2.0",
    "naïve café e\u0301 \u00e9 Å \u212b", "Straße İstanbul Привет, мир!", "日本語のテキストと中文字符。한국어", "😀👍🏽 👨\u200d👩\u200d👧",
    "\x00\x01\x1b control \x7f\x85\ufffd", "½ ² Ⅷ ﬁ ㌖ ① ＡＢＣ　ｱ", "\ufeffbom a\u0300\u0301 zalgo", "<s>inside</s> text <pad> <unk>",
    "[CLS] and [SEP] or [MASK][MASK] [PAD]", "x <mask> y<mask>  z", "end of<|end|>turn <|end|> next<|endoftext|>",
    "<|im_start|>user\nlight<|im_end|>\n<|im_start|> god <|im_end|>", "  <sep>  both <sep> sides<sep>", "Unhappy unhappy UNHAPPY",
    "▁already ▁▁marked", "<0x41> antidisestablishmentarianism", "ab" * 40, " " * 20 + "x", "<extra>odd<extra> <image>",
]

PAIRED = TEXTS[15]


def read(path):
    return json.loads((HERE / path).read_text())


def copy(path):
    return {"copy": path}


def token(content, **switches):
    return {"content": content, "lstrip": False, "rstrip": False, "single_word": False, "normalized": False, "special": True, **switches}


def slow_bpe(folder, newline="\n"):
    """vocab.json and merges.txt of the model of a tokenizer.json, special tokens among the vocabulary as old programs had it."""
    content = read(f"{folder}/tokenizer.json")
    vocab = dict(content["model"]["vocab"])
    for added in content["added_tokens"]:
        vocab.setdefault(added["content"], added["id"])
    merges = [m if isinstance(m, str) else " ".join(m) for m in content["model"]["merges"]]
    return {"vocab.json": vocab, "merges.txt": "#version: 0.2" + newline + newline.join(merges) + newline}


def vocab_lines(folder):
    vocab = read(f"{folder}/tokenizer.json")["model"]["vocab"]
    names = {i: t for t, i in vocab.items()}
    return "\n".join(names.get(i, f"[unused{i}]") for i in range(max(names) + 1)) + "\n"


def edited(path, change):
    content = read(path)
    change(content)
    return content


CORPUS = []


def trained_sentencepiece(**settings):
    target = io.BytesIO()
    options = dict(vocab_size=330, character_coverage=0.999, minloglevel=2, num_threads=1)
    options.update(settings)
    spm.SentencePieceTrainer.train(sentence_iterator=iter(CORPUS), model_writer=target, **options)
    return {"base64": base64.b64encode(target.getvalue()).decode()}


def trained_unigram(byte_fallback):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(CORPUS, trainers.UnigramTrainer(
        vocab_size=300, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>", show_progress=False))
    content = json.loads(tokenizer.to_str())
    if byte_fallback:
        content["model"]["vocab"] += [[f"<0x{b:02X}>", 0.0] for b in range(256)]
        content["model"]["byte_fallback"] = True
        content["decoder"] = {"type": "Sequence", "decoders": [
            {"type": "ByteFallback"}, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}]}
    return content


CHAT = {"560": token("<|im_start|>"), "561": token("<|im_end|>")}
LLAMA = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def llama_class():
    return "llama", {"tokenizer.json": copy("llama2/tokenizer.json"), "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer"}}


def llama_class_legacy():
    return "llama", {"tokenizer.json": copy("llama2/tokenizer.json"),
                     "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizerFast", "legacy": True, "added_tokens_decoder": CHAT}}


def llama_class_no_prefix():
    return "llama", {"tokenizer.json": copy("llama2/tokenizer.json"),
                     "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "add_prefix_space": False, **LLAMA}}


def llama_class_byte_level():
    return "llama", {"tokenizer.json": copy("llama3/tokenizer.json"),
                     "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "add_bos_token": False}}


def llama_generic():
    return "llama", {"tokenizer.json": copy("llama2/tokenizer.json"), "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", **LLAMA}}


def code_llama():
    return "llama", {"tokenizer.json": copy("llama2/tokenizer.json"),
                     "tokenizer_config.json": {"tokenizer_class": "CodeLlamaTokenizer", "add_bos_token": False, **LLAMA}}


def mistral_ignores_the_class():
    return "mistral", {"tokenizer.json": copy("llama2/tokenizer.json"), "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "legacy": False}}


def spm_llama_chat():
    return "llama", {"tokenizer.model": copy("sentencepiece/tokenizer.model"), "added_tokens.json": {"<|im_start|>": 560, "<|im_end|>": 561},
                     "special_tokens_map.json": {"bos_token": "<s>", "eos_token": "<|im_end|>", "unk_token": "<unk>"},
                     "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "legacy": True, "add_bos_token": True, "add_eos_token": False,
                                               **LLAMA, "eos_token": "<|im_end|>", "added_tokens_decoder": {
                                                   "0": token("<unk>"), "1": token("<s>"), "2": token("</s>"), **CHAT}}}


def spm_llama_old_files():
    """As before added_tokens_decoder: the other files count, special_tokens_map.json most."""
    return "llama", {"tokenizer.model": copy("sentencepiece/tokenizer.model"), "added_tokens.json": {"<|im_end|>": 561, "<|im_start|>": 560, "<sep>": 562},
                     "special_tokens_map.json": {"bos_token": {**token("<s>"), "special": None} | {"special": True}, "eos_token": "<|im_end|>",
                                                 "unk_token": "<unk>", "pad_token": "<pad>", "additional_special_tokens": ["<|im_start|>"]},
                     "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "eos_token": "</s>", "add_eos_token": True, "legacy": False}}


def spm_generic():
    return "mistral", {"tokenizer.model": copy("sentencepiece/tokenizer.model"),
                       "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, **LLAMA,
                                                 "added_tokens_decoder": {"0": token("<unk>"), "1": token("<s>"), "2": token("</s>"),
                                                                          "300": token("<image>", normalized=True), **CHAT}}}


def spm_generic_not_legacy():
    return "mistral", {"tokenizer.model": copy("sentencepiece/tokenizer.model"),
                       "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "legacy": False, "added_tokens_decoder": CHAT}}


def spm_alone():
    return "llama", {"tokenizer.model": copy("sentencepiece/tokenizer.model")}


def spm_unigram():
    return "mistral", {"tokenizer.model": trained_sentencepiece(model_type="unigram", normalization_rule_name="nmt_nfkc",
                                                                user_defined_symbols=["<sep>", "<|im_end|>"])}


def spm_unigram_bytes():
    return "mistral", {"tokenizer.model": trained_sentencepiece(model_type="unigram", byte_fallback=True, vocab_size=560, split_digits=True,
                                                                normalization_rule_name="identity", add_dummy_prefix=False, pad_id=3)}


def spm_bpe_nfkc():
    return "phi3", {"tokenizer.model": trained_sentencepiece(model_type="bpe", normalization_rule_name="nfkc_cf"),
                    "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "add_eos_token": True}}


def spm_unigram_as_llama():
    """The class of Llama makes byte pairs of whatever pieces there are."""
    return "llama", {"tokenizer.model": trained_sentencepiece(model_type="unigram", normalization_rule_name="identity"),
                     "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer"}}


def opt_slow():
    return "opt", {**slow_bpe("gpt2"), "tokenizer_config.json": {
        "tokenizer_class": "GPT2Tokenizer", "add_prefix_space": False, "add_bos_token": True, "errors": "replace", "bos_token": token("</s>", __type="AddedToken", normalized=True),
        "eos_token": "</s>", "unk_token": "</s>", "pad_token": "<pad>"}}


def gpt2_slow():
    return "gpt2", {**slow_bpe("llama3"), "tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer"},
                    "added_tokens.json": {"<sep>": 463, "<mask>": 464, "Unhappy": 465},
                    "special_tokens_map.json": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<s>",
                                                "mask_token": token("<mask>", lstrip=True), "sep_token": token("<sep>", lstrip=True, rstrip=True)}}


def gpt2_prefix_space():
    return "gpt2", {**slow_bpe("gpt2", "\r\n"), "tokenizer_config.json": {"add_prefix_space": True, "unk_token": "<s>", "bos_token": "<s>", "eos_token": "</s>"}}


def gpt2_json_without_its_prefix():
    return "gpt2", {"tokenizer.json": copy("gpt2/tokenizer.json"), "tokenizer_config.json": {
        "tokenizer_class": "GPT2Tokenizer", "unk_token": "<s>", "bos_token": "<s>", "eos_token": "</s>"}}


def codegen():
    return "phi", {"tokenizer.json": copy("llama3/tokenizer.json"), "tokenizer_config.json": {
        "tokenizer_class": "CodeGenTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<s>"}}


def gpt_neox_slow():
    return "gpt_neox", {**slow_bpe("llama3"), "tokenizer_config.json": {
        "tokenizer_class": "GPTNeoXTokenizer", "add_prefix_space": True, "add_bos_token": True, "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<s>"}}


def gpt_neox_json():
    return "gpt_neox", {"tokenizer.json": copy("gpt2/tokenizer.json"), "tokenizer_config.json": {
        "tokenizer_class": "GPTNeoXTokenizerFast", "add_bos_token": True, "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<s>"}}


def bloom():
    return "bloom", {"tokenizer.json": copy("llama3/tokenizer.json"), "tokenizer_config.json": {
        "tokenizer_class": "BloomTokenizerFast", "pad_token": "<pad>", "additional_special_tokens": ["<sep>", "<image>"]}}


def qwen2_slow():
    return "qwen2", {**slow_bpe("qwen2"), "tokenizer_config.json": {
        "tokenizer_class": "Qwen2Tokenizer", "pad_token": "<pad>", "eos_token": "<|im_end|>", "bos_token": None, "unk_token": None,
        "added_tokens_decoder": {"460": token("<|endoftext|>"), "461": token("<|im_start|>"), "462": token("<|im_end|>", lstrip=True)},
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"]}}


def qwen2_json_of_another_kind():
    return "qwen2", {"tokenizer.json": copy("gpt2/tokenizer.json"), "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>"}}


def qwen3_generic():
    return "qwen3", {"tokenizer.json": copy("gpt2/tokenizer.json"), "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>"}}


def roberta_slow():
    return "roberta", {**slow_bpe("gpt2"), "special_tokens_map.json": {"mask_token": token("<mask>", lstrip=True)}}


def roberta_json():
    return "roberta", {"tokenizer.json": copy("gpt2/tokenizer.json"), "tokenizer_config.json": {"add_prefix_space": False}}


BERT = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}


def bert_lines():
    return "bert", {"vocab.txt": vocab_lines("bert"), "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "do_lower_case": True, **BERT},
                    "added_tokens.json": {"<sep>": 600, "Unhappy": 601}}


def bert_lines_cased():
    lines = vocab_lines("bert").split("\n")
    return "bert", {"vocab.txt": "\r\n".join(lines[:200]) + "\r\nGod  \r\nlight\r\nLight\t\r\nand\r\n" + "\n".join(lines[200:]),
                    "tokenizer_config.json": {"do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False}}


def bert_json_cased():
    return "bert", {"tokenizer.json": copy("bert/tokenizer.json"), "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "do_lower_case": False, **BERT}}


def bert_json_generic():
    return "bert", {"tokenizer.json": copy("bert/tokenizer.json"), "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": False, **BERT}}


def distilbert_json_lower_by_default():
    cased = edited("bert/tokenizer.json", lambda t: t["normalizer"].update(lowercase=False, strip_accents=None))
    return "distilbert", {"tokenizer.json": cased, "tokenizer_config.json": {"tokenizer_class": "DistilBertTokenizer", **BERT}}


def electra_class():
    return "bert", {"tokenizer.json": copy("bert/tokenizer.json"), "tokenizer_config.json": {"tokenizer_class": "ElectraTokenizerFast", "strip_accents": False, **BERT}}


def config_names_the_class():
    return "llama", {"tokenizer.json": copy("gpt2/tokenizer.json"), "config.json": {"model_type": "llama", "tokenizer_class": "GPT2Tokenizer"},
                     "tokenizer_config.json": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<s>"}}


def added_switches():
    """Every switch of an added token, ids with gaps, tokens of the vocabulary, and one beyond it."""
    return "llama", {"tokenizer.json": copy("llama3/tokenizer.json"), "tokenizer_config.json": {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "pad_token": "<extra>", "image_token": "<image>",
        "added_tokens_decoder": {
            "0": token("<s>"), "463": token("<sep>", lstrip=True, rstrip=True), "470": token("Unhappy", single_word=True, special=False, normalized=True),
            "480": token("<mask>", lstrip=True, special=False), "900": token("light", special=False, normalized=True)},
        "additional_special_tokens": ["<|im_start|>", token("<|im_end|>", __type="AddedToken", rstrip=True)]}}


def added_in_order():
    """The ids that a tokenizer.json states do not count, nor does the order of them."""
    def change(content):
        content["added_tokens"] += [{"id": 700, **token("<sep>", rstrip=True)}, {"id": 650, **token("<image>")},
                                    {"id": 460, **token("<mask>", normalized=True, special=False)}]
    return "llama", {"tokenizer.json": edited("llama3/tokenizer.json", change), "added_tokens.json": {"<|im_end|>": 900}}


def special_as_text():
    return "llama", {"tokenizer.json": copy("llama3/tokenizer.json"), "tokenizer_config.json": {"split_special_tokens": True, "bos_token": "<s>", "pad_token": "<pad>"}}


def map_wins_over_config():
    return "llama", {"tokenizer.json": copy("llama2/tokenizer.json"), "tokenizer_config.json": {"eos_token": "</s>", "sep_token": "<sep>"},
                     "special_tokens_map.json": {"eos_token": "<|im_end|>", "sep_token": None}}


def unigram_json():
    return "llama", {"tokenizer.json": trained_unigram(False), "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", **LLAMA}}


def unigram_json_bytes():
    return "llama", {"tokenizer.json": trained_unigram(True), "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", **LLAMA, "pad_token": "<pad>"}}


def t5_slow():
    return "gpt_neox", {"spiece.model": trained_sentencepiece(model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, user_defined_symbols=["<sep>"]),
                        "tokenizer_config.json": {"tokenizer_class": "T5Tokenizer", "extra_ids": 3, "bos_token": "<s>"}}


def t5_json():
    content = trained_unigram(False)
    content["normalizer"] = None
    return "gpt2", {"tokenizer.json": content, "tokenizer_config.json": {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "eos_token": "</s>"},
                    "special_tokens_map.json": {"additional_special_tokens": ["<|im_end|>"]}}


def roles_share_a_token():
    """The switches of the last role count."""
    return "llama", {"tokenizer.json": copy("llama3/tokenizer.json"), "tokenizer_config.json": {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "sep_token": token("<sep>", __type="AddedToken", lstrip=True, rstrip=True),
        "cls_token": "<sep>", "mask_token": token("<mask>", __type="AddedToken", lstrip=True, normalized=True), "pad_token": "<pad>"},
        "added_tokens.json": {"<mask>": 463}}


def added_again():
    """added_tokens_decoder gives tokens of tokenizer.json other switches."""
    return "mistral", {"tokenizer.json": copy("llama2/tokenizer.json"), "tokenizer_config.json": {"added_tokens_decoder": {
        "2": token("</s>", normalized=True, special=False), "1": token("<s>", lstrip=True, rstrip=True), "560": token("Unhappy", normalized=True, single_word=True)}}}


def code_llama_slow():
    return "llama", {"tokenizer.model": copy("sentencepiece/tokenizer.model"), "tokenizer_config.json": {
        "tokenizer_class": "CodeLlamaTokenizer", "add_bos_token": None, "image_token": "<image>", "suffix_token": "<sep>", "add_prefix_space": False}}


def word_level():
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.CharDelimiterSplit("o"), pre_tokenizers.Whitespace()])
    tokenizer.train_from_iterator(CORPUS, trainers.WordLevelTrainer(vocab_size=200, special_tokens=["<unk>", "<s>"], show_progress=False))
    return "llama", {"tokenizer.json": json.loads(tokenizer.to_str())}


def byte_level_normalizer():
    def change(content):
        content["normalizer"] = {"type": "ByteLevel"}
        content["pre_tokenizer"] = {"type": "Split", "pattern": {"Regex": "Ġ?[^Ġ]+"}, "behavior": "Isolated", "invert": False}
    return "llama", {"tokenizer.json": edited("llama3/tokenizer.json", change)}


CHECKPOINTS = [
    llama_class, llama_class_legacy, llama_class_no_prefix, llama_class_byte_level, llama_generic, code_llama, mistral_ignores_the_class,
    spm_llama_chat, spm_llama_old_files, spm_generic, spm_generic_not_legacy, spm_alone, spm_unigram, spm_unigram_bytes, spm_bpe_nfkc,
    spm_unigram_as_llama, opt_slow, gpt2_slow, gpt2_prefix_space, gpt2_json_without_its_prefix, codegen, gpt_neox_slow, gpt_neox_json, bloom,
    qwen2_slow, qwen2_json_of_another_kind, qwen3_generic, roberta_slow, roberta_json, bert_lines, bert_lines_cased, bert_json_cased,
    bert_json_generic, distilbert_json_lower_by_default, electra_class, config_names_the_class, added_switches, added_in_order,
    special_as_text, map_wins_over_config, unigram_json, unigram_json_bytes, t5_slow, t5_json, roles_share_a_token, added_again, code_llama_slow, word_level, byte_level_normalizer]


def write_into(directory, files):
    for name, content in files.items():
        target = Path(directory) / name
        if isinstance(content, dict) and "copy" in content:
            target.write_bytes((HERE / content["copy"]).read_bytes())
        elif isinstance(content, dict) and "base64" in content:
            target.write_bytes(base64.b64decode(content["base64"]))
        elif isinstance(content, str):
            target.write_bytes(content.encode())
        else:
            target.write_text(json.dumps(content, ensure_ascii=False))


def write_checkpoint(make):
    model_type, files = make()
    files.setdefault("config.json", {"model_type": model_type})
    folder = HERE / "checkpoints" / make.__name__
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "files.json").write_text(json.dumps(files, ensure_ascii=False, separators=(",", ":")) + "\n")
    with tempfile.TemporaryDirectory() as directory:
        write_into(directory, files)
        tokenizer = AutoTokenizer.from_pretrained(directory)
    with open(folder / "expected.jsonl", "w") as lines:
        for text in TEXTS:
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            line = {"text": text, "ids": ids, "ids_special": tokenizer(text)["input_ids"],
                    "decoded": tokenizer.backend_tokenizer.decode(ids, skip_special_tokens=True)}
            if text == PAIRED:
                pair = tokenizer([text], ["light <s>"], return_token_type_ids=True)
                line.update(pair=pair["input_ids"][0], pair_segments=pair["token_type_ids"][0])
            lines.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(f"{make.__name__}: {type(tokenizer).__name__}, {len(tokenizer)} tokens")


def main():
    CORPUS.extend(line for line in Path(sys.argv[1]).read_text()[:150_000].split("\n") if line.strip())
    for make in CHECKPOINTS:
        if len(sys.argv) < 3 or make.__name__ in sys.argv[2:]:
            write_checkpoint(make)


if __name__ == "__main__":
    main()
