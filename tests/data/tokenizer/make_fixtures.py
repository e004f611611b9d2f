#!/usr/bin/env python3
"""Small tokenizers of every supported kind, and what the original library makes of some texts.

    pip install tokenizers==0.23.3 sentencepiece==0.2.3
    make_fixtures.py TEXT_FILE            # English text, e.g. data/kjv/train.txt

Writes next to itself one folder for each kind: tokenizer.json (or tokenizer.model) and
expected.jsonl, one object a line:

    {"text": ..., "ids": [...], "ids_special": [...], "decoded": ...}

ids without special tokens, ids_special with those of the post-processor, decoded = decode(ids).
Merges are written as "a b" in some files and as ["a", "b"] in others: both are in use.
"""
import json
import sys
import tempfile
from pathlib import Path

import sentencepiece as spm
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers,
                        processors, trainers)

HERE = Path(__file__).resolve().parent

TIKTOKEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
            r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN = TIKTOKEN.replace(r"\p{N}{1,3}", r"\p{N}")

SENTENCES = [
    "The quick brown fox jumps over the lazy dog, doesn't it?",
    "Ein schöner Tag: Bäume, Flüsse, Straßen und 1234 Häuser!",
    "Żółta łódź płynie; l'été est passé où ça ?",
    "Быстрая лиса прыгает через ленивую собаку.",
    "敏捷的棕色狐狸跳过懒狗。速い茶色の狐がのろまな犬を飛び越える。",
    "for (int i = 0; i < n; ++i) { sum += x[i] * 2.5e-3; }\t// code",
]

TEXTS = [
    "", " ", "   ", "\n", "Hello, world!", "And God said, Let there be light: and there was light.",
    "  two spaces before,  between  and behind  ", "tab\tand\nline\r\nends\n\n\nend\n",
    "I'm sure they'll say WE'VE DON'T it'S", "0123456789 3.14159 1,000,000 v2.0 x1y2",
    "for (int i = 0; i < n; ++i) { x[i] *= 2.5e-3; }", "naïve café e\u0301 \u00e9 Å \u212b o\u0308\u0323",
    "Żółta łódź, Straße, ĲSSELMEER, İstanbul, ſ", "Привет, мир! Здравствуйте",
    "日本語のテキストと中文字符。한국어 각 \u1112\u1161\u11ab", "مرحبا بالعالم שלום עולם",
    "😀👍🏽👨\u200d👩\u200d👧 🇫🇷 🏴\U000e0067\U000e007f", "zero\u200bwidth\u00a0nbsp\u3000wide\u180emvs\u2028line",
    "\x00\x01\x1b control \x7f\x85\x9f\ufffd", "½ ² Ⅷ ﬁ ㌖ ﷺ ①", "\ufeffbom and \U0010ffff\ue000",
    "a\u0300\u0301\u0302\u0303\u0304\u0305 zalgo", "…—–“quotes”‘single’ «g» ¿que? $5 <a+b=c> ^|~`",
    "<s>inside</s> text <pad>", "[CLS] and [SEP] or [MASK][MASK]", "x <mask> y<mask>  z",
    "end of<|end|>turn <|end|> ", "unhappy unhappy, UnHappy", "▁already ▁▁marked", "##pieces # #", "</w> ab</w>",
    "<0x41> <0xE2>", "antidisestablishmentarianism", "a" * 120, "ab" * 60, "12" * 40, " " * 50 + "x", "!?" * 30,
    "mixed中a文b字c 1a2b3c", "O'Neill's rock 'n' roll: don't do not .", "word_with_under_scores __init__",
]


def write_tokenizer(tokenizer, name, pair_merges=True):
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    content = json.loads(tokenizer.to_str())
    if content["model"]["type"] == "BPE":
        merges = [m.split(" ") if isinstance(m, str) else m for m in content["model"]["merges"]]
        content["model"]["merges"] = merges if pair_merges else [" ".join(m) for m in merges]
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n")

    reread = Tokenizer.from_file(str(path))
    with open(folder / "expected.jsonl", "w") as lines:
        for text in TEXTS:
            ids = reread.encode(text, add_special_tokens=False).ids
            lines.write(json.dumps({"text": text, "ids": ids, "ids_special": reread.encode(text).ids,
                                    "decoded": reread.decode(ids)}) + "\n")
    print(f"{name}: {reread.get_vocab_size()} tokens, {path.stat().st_size} bytes")


def byte_level(corpus, pre_tokenizer, size=460, special=("<s>", "</s>", "<pad>"), **settings):
    tokenizer = Tokenizer(models.BPE(**settings))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(special), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def make_gpt2(corpus):
    """Byte level; the switches of RoBERTa."""
    tokenizer = byte_level(corpus, pre_tokenizers.ByteLevel(add_prefix_space=True))
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    write_tokenizer(tokenizer, "gpt2", pair_merges=False)


def make_llama3(corpus):
    """Split by an expression, byte level, ignore_merges, tokens in two classes."""
    tokenizer = byte_level(corpus, pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(TIKTOKEN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]), ignore_merges=True)
    tokenizer.add_special_tokens(["<|end|>"])
    tokenizer.add_tokens(["unhappy", "un"])
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 0)])])
    write_tokenizer(tokenizer, "llama3")


def make_qwen2(corpus):
    """NFC, then as Llama 3 with single digits."""
    tokenizer = byte_level(corpus, pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.post_processor = processors.ByteLevel()
    write_tokenizer(tokenizer, "qwen2")


def make_sentencepiece(corpus):
    """A .model of SentencePiece with byte fallback, and the tokenizer.json equal to it (Llama 2)."""
    folder = HERE / "sentencepiece"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "train.txt"
        source.write_text("\n".join(line for line in corpus if line.strip()))
        spm.SentencePieceTrainer.train(
            input=str(source), model_prefix=str(Path(scratch) / "tokenizer"), vocab_size=560, model_type="bpe",
            byte_fallback=True, character_coverage=0.999, normalization_rule_name="identity", split_digits=True,
            remove_extra_whitespaces=False, user_defined_symbols=["<|end|>"], minloglevel=2)
        (folder / "tokenizer.model").write_bytes((Path(scratch) / "tokenizer.model").read_bytes())
    model = spm.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    with open(folder / "expected.jsonl", "w") as lines:
        for text in TEXTS:
            ids = model.encode(text)
            # A model alone puts nothing around a text: tokenizer_config.json says whether a BOS is wanted.
            lines.write(json.dumps({"text": text, "ids": ids, "ids_special": ids, "decoded": model.decode(ids)}) + "\n")
    print(f"sentencepiece: {model.get_piece_size()} tokens")

    vocabulary = {model.id_to_piece(i): i for i in range(model.get_piece_size())}
    merges = []
    for piece, i in vocabulary.items():
        if model.is_byte(i) or model.is_control(i) or model.is_unknown(i) or piece == "<|end|>":
            continue
        for cut in range(1, len(piece)):
            if piece[:cut] in vocabulary and piece[cut:] in vocabulary:
                merges.append((-model.get_score(i), vocabulary[piece[:cut]], vocabulary[piece[cut:]],
                               piece[:cut], piece[cut:]))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[m[3:] for m in sorted(merges)],
                                     unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(),
                                           decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    write_tokenizer(tokenizer, "llama2", pair_merges=False)


def make_metaspace(corpus):
    """Metaspace of the newer Llama 2 files; unknown characters, fused."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<unk>", "<s>", "</s>"], limit_alphabet=70, show_progress=False))
    tokenizer.normalizer = normalizers.Strip()
    write_tokenizer(tokenizer, "metaspace")


def make_word_end(corpus):
    """Word ends marked by a suffix, as in CLIP; several normalizers; no post-processor."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(),
        normalizers.Replace(Regex(r"\s+"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.BPEDecoder()
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=420, special_tokens=["<unk>"], limit_alphabet=60, end_of_word_suffix="</w>",
        show_progress=False))
    write_tokenizer(tokenizer, "word_end")


def make_bert(corpus):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(corpus, trainers.WordPieceTrainer(
        vocab_size=560, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], limit_alphabet=120,
        show_progress=False))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    write_tokenizer(tokenizer, "bert")


def make_cased(corpus):
    """WordPiece with other pre-tokenizers, added tokens with every switch, and no decoder."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=30))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("contiguous"),
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.Split("_", "merged_with_previous"), pre_tokenizers.Split(Regex("x+"), "merged_with_next")])
    tokenizer.train_from_iterator(corpus, trainers.WordPieceTrainer(
        vocab_size=420, special_tokens=["[UNK]"], limit_alphabet=80, show_progress=False))
    tokenizer.add_tokens([AddedToken("UnHappy", normalized=True, single_word=True),
                          AddedToken("<mask>", lstrip=True, rstrip=True),
                          AddedToken("1234", single_word=True, normalized=False),
                          AddedToken("don't"), AddedToken("do", single_word=True, rstrip=True)])
    write_tokenizer(tokenizer, "cased")


def main():
    corpus = Path(sys.argv[1]).read_text()[:400_000].split("\n") + SENTENCES * 200
    for make in (make_gpt2, make_llama3, make_qwen2, make_sentencepiece, make_metaspace, make_word_end,
                 make_bert, make_cased):
        make(corpus)


if __name__ == "__main__":
    main()
