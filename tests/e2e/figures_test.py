"""Figures of real models that their own programs gave (../shared/models/README.md), from the command line."""
import lathe

SHARED = lathe.ROOT.parent / "shared"
# Model, text, perplexity and predicted tokens by transformers in float32 over windows of 256 tokens, the first 64 of
# them at most. The models' other figures are in checkpoint_test.py, tasks_test.py and docs/performance.md.
PERPLEXITIES = (
    ("stories260k-llama", "tinystories-sample/tinystories_sample.txt", 5.80375, 1785),
    ("stories260k-llama", "wikitext2-raw-test/wiki.test.raw", 111.5598, 16320),
    ("stories260k-llama", "shakespeare/tinyshakespeare.txt", 107.1905, 16320),
    ("babyllama105-llama", "tinystories-sample/tinystories_sample.txt", 2.68204, 3570),
    ("babyllama105-llama", "wikitext2-raw-test/wiki.test.raw", 21.7883, 16320),
    ("babyllama105-llama", "shakespeare/tinyshakespeare.txt", 16.7633, 16320),
)


def perplexities_are_those_of_the_models_own_programs():
    if not (SHARED / "models").exists():
        print("skipped: no models here")
        return
    for model, text, perplexity, tokens in PERPLEXITIES:
        found = lathe.run_json(["eval", SHARED / "models" / model, "--text", SHARED / "data" / text,
                                "--seqlen", 256, "--limit", 64])
        print(f"{model}, {text}: {found['perplexity']:.6f} +- {found['perplexity_standard_error']:.6f}")
        assert found["tokens"] == tokens, (model, text, found)
        assert abs(found["perplexity"] / perplexity - 1) < 1e-4, (model, text, found)


lathe.main([perplexities_are_those_of_the_models_own_programs])
