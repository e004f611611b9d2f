// Whole tokenizers against the ids that the original libraries gave: the project's own small
// fixtures (made by tests/data/tokenizer/make_fixtures.py), and larger ones where they are at hand.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/json.hpp"
#include "lib/tokenizer/tokenizer.hpp"

namespace lathe {
namespace {

using Ids = std::vector<std::uint32_t>;

/// Control symbols written out in a text are plain text to SentencePiece itself. transformers takes
/// them for what they look like, and so do we (the checkpoint fixtures have that).
bool writes_control_symbols(const std::string& text) {
    return text.find("<s>") != std::string::npos || text.find("</s>") != std::string::npos ||
           text.find("<unk>") != std::string::npos;
}

void expect_parity(const std::filesystem::path& tokenizer_file,
                   const std::filesystem::path& expected_file) {
    const auto tokenizer = load_tokenizer_file(tokenizer_file);
    std::ifstream lines(expected_file);
    std::size_t n_texts = 0;
    for (std::string line; std::getline(lines, line); ++n_texts) {
        const nlohmann::json expected = parse_json(line);
        const auto text = expected["text"].get<std::string>();
        if (tokenizer_file.extension() == ".model" && writes_control_symbols(text)) continue;
        const Ids ids = tokenizer->encode(text, false);
        EXPECT_EQ(ids, expected["ids"].get<Ids>()) << text;
        EXPECT_EQ(tokenizer->decode(ids), expected["decoded"].get<std::string>()) << text;
        if (expected.contains("ids_special")) {
            EXPECT_EQ(tokenizer->encode(text, true), expected["ids_special"].get<Ids>()) << text;
        }
        for (const std::uint32_t id : ids) EXPECT_LT(id, tokenizer->id_limit());
    }
    EXPECT_GE(n_texts, 20U) << expected_file;
}

/// Texts and pairs cut to a length, as transformers cut them (tests/data/tokenizer/make_pairs.py).
void expect_cut_parity(const std::filesystem::path& tokenizer_file,
                       const std::filesystem::path& expected_file) {
    const auto tokenizer = load_tokenizer_file(tokenizer_file);
    std::ifstream lines(expected_file);
    std::size_t n_cases = 0;
    for (std::string line; std::getline(lines, line); ++n_cases) {
        const nlohmann::json expected = parse_json(line);
        const auto first = expected["first"].get<std::string>();
        const auto max_length = expected["max_length"].get<std::size_t>();
        const EncodedText found =
            expected["second"].is_null()
                ? tokenizer->encode_within(first, max_length)
                : tokenizer->encode_pair(first, expected["second"].get<std::string>(), max_length);
        EXPECT_EQ(found.ids, expected["ids"].get<Ids>()) << line;
        EXPECT_EQ(found.segments, expected["segments"].get<Ids>()) << line;
    }
    EXPECT_GE(n_cases, 40U) << expected_file;
}

class Fixture : public ::testing::TestWithParam<const char*> {};

TEST_P(Fixture, MatchesTheOriginal) {
    const std::filesystem::path folder =
        std::filesystem::path(LATHE_SOURCE_DIR) / "tests/data/tokenizer" / GetParam();
    const bool is_json = exists(folder / "tokenizer.json");
    expect_parity(folder / (is_json ? "tokenizer.json" : "tokenizer.model"),
                  folder / "expected.jsonl");
    if (is_json) expect_cut_parity(folder / "tokenizer.json", folder / "pairs.jsonl");
}

INSTANTIATE_TEST_SUITE_P(Own, Fixture,
                         ::testing::Values("bert", "cased", "gpt2", "llama2", "llama3", "metaspace",
                                           "qwen2", "sentencepiece", "word_end"),
                         [](const auto& test) { return std::string(test.param); });

class SharedFixture : public ::testing::TestWithParam<const char*> {};

TEST_P(SharedFixture, MatchesTheOriginal) {
    const std::filesystem::path folder =
        std::filesystem::path(LATHE_SHARED_DIR) / "models/tokenizers" / GetParam();
    if (!exists(folder)) GTEST_SKIP() << folder << " is not there";
    expect_parity(folder / "tokenizer.json", folder / "expected.jsonl");
    if (exists(folder / "expected_model.jsonl")) {
        expect_parity(folder / "tokenizer.model", folder / "expected_model.jsonl");
    }
}

INSTANTIATE_TEST_SUITE_P(Shared, SharedFixture,
                         ::testing::Values("bert", "gpt2", "llama2", "llama3", "qwen2"),
                         [](const auto& test) { return std::string(test.param); });

class SharedPairs : public ::testing::TestWithParam<const char*> {};

TEST_P(SharedPairs, AreCutLikeTheOriginals) {
    const std::filesystem::path folder =
        std::filesystem::path(LATHE_SHARED_DIR) / "models" / GetParam();
    if (!exists(folder)) GTEST_SKIP() << folder << " is not there";
    expect_cut_parity(folder / "tokenizer.json", std::filesystem::path(LATHE_SOURCE_DIR) /
                                                     "tests/data/tokenizer/shared" /
                                                     (folder.filename().string() + ".jsonl"));
}

INSTANTIATE_TEST_SUITE_P(Shared, SharedPairs,
                         ::testing::Values("tokenizers/bert", "tokenizers/llama3",
                                           "minilm-l6-sst2"));

}  // namespace
}  // namespace lathe
