// Tokenizers that several files of a checkpoint decide, against the ids that transformers gave
// (tests/data/tokenizer/make_checkpoints.py).
#include <fstream>

#include <gtest/gtest.h>

#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "lib/tokenizer/base64.hpp"
#include "lib/tokenizer/tokenizer.hpp"
#include "temporary_file.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<std::uint32_t>;

fs::path data() {
    return fs::path(LATHE_SOURCE_DIR) / "tests/data/tokenizer";
}

std::string content_of(const nlohmann::json& file) {
    if (file.is_string()) return file.get<std::string>();
    if (file.contains("copy")) return read_file(data() / file["copy"].get<std::string>());
    if (file.contains("base64")) {
        return tokenizer::from_base64(file["base64"].get<std::string>()).value();
    }
    return file.dump();
}

class CheckpointFixture : public ::testing::TestWithParam<std::string> {};

TEST_P(CheckpointFixture, MatchesTransformers) {
    const fs::path folder = data() / "checkpoints" / GetParam();
    const tokenizer::TemporaryFile directory("unused", "");
    const nlohmann::json files = parse_json(read_file(folder / "files.json"));
    for (const auto& [name, file] : files.items()) {
        write_file(directory.directory() / name, content_of(file));
    }
    const auto tokenizer = load_tokenizer(directory.directory());

    std::ifstream lines(folder / "expected.jsonl");
    std::size_t n_texts = 0;
    for (std::string line; std::getline(lines, line); ++n_texts) {
        const nlohmann::json expected = parse_json(line);
        const auto text = expected["text"].get<std::string>();
        const Ids ids = tokenizer->encode(text, false);
        EXPECT_EQ(ids, expected["ids"].get<Ids>()) << text;
        EXPECT_EQ(tokenizer->encode(text, true), expected["ids_special"].get<Ids>()) << text;
        EXPECT_EQ(tokenizer->decode(expected["ids"].get<Ids>()),
                  expected["decoded"].get<std::string>())
            << text;
        if (!expected.contains("pair")) continue;
        const EncodedText pair = tokenizer->encode_pair(text, "light <s>", 1000);
        EXPECT_EQ(pair.ids, expected["pair"].get<Ids>());
        EXPECT_EQ(pair.segments, expected["pair_segments"].get<Ids>());
    }
    EXPECT_GE(n_texts, 20U) << folder;
}

std::vector<std::string> checkpoint_names() {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(data() / "checkpoints")) {
        names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

INSTANTIATE_TEST_SUITE_P(Own, CheckpointFixture, ::testing::ValuesIn(checkpoint_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace lathe
