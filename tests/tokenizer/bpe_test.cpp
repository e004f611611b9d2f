#include "lib/tokenizer/bpe.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "temporary_file.hpp"

namespace lathe::tokenizer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string file = "t.json";
using Ids = std::vector<std::uint32_t>;

Ids tokenize(const std::string& settings, const std::vector<std::string>& words) {
    const nlohmann::json value = parse_json(settings);
    const Bpe bpe(JsonPlace(value, file, "model"));
    PreTokenizedText text{"", {}, true};
    for (const std::string& word : words) {
        text.words.push_back({text.text.size(), text.text.size() + word.size()});
        text.text += word;
    }
    WordCache cache;
    Ids ids;
    bpe.tokenize(text, cache, ids);
    return ids;
}

/// Vocabulary a b c ab bc abc ? with merges in the order given.
std::string abc(const std::string& merges, const std::string& more = "") {
    return R"({"vocab":{"a":0,"b":1,"c":2,"ab":3,"bc":4,"abc":5,"?":6,"<0xC3>":7,"<0xA9>":8},)"
           R"("merges":)" +
           merges + more + "}";
}

TEST(Bpe, MergesByRankNotFromTheLeft) {
    EXPECT_THAT(tokenize(abc(R"(["a b","b c"])"), {"abc"}), ElementsAre(3, 2));
    EXPECT_THAT(tokenize(abc(R"(["b c","a b"])"), {"abc"}), ElementsAre(0, 4));
    EXPECT_THAT(tokenize(abc(R"(["b c","a bc"])"), {"abc"}), ElementsAre(5));
}

TEST(Bpe, MergesTheLeftmostOfEqualRank) {
    const std::string settings = R"({"vocab":{"a":0,"aa":1},"merges":["a a"]})";
    EXPECT_THAT(tokenize(settings, {"aaa"}), ElementsAre(1, 0));
    EXPECT_THAT(tokenize(settings, {"aaaa"}), ElementsAre(1, 1));
}

TEST(Bpe, ReadsMergesInBothForms) {
    EXPECT_EQ(tokenize(abc(R"([["a","b"],["ab","c"]])"), {"abc"}),
              tokenize(abc(R"(["#version: 0.2","a b","ab c"])"), {"abc"}));
}

TEST(Bpe, WordsDoNotMergeAcrossAndRepeatFromTheCache) {
    EXPECT_THAT(tokenize(abc(R"(["a b","b c"])"), {"a", "bc", "ab", "bc", "ab"}),
                ElementsAre(0, 4, 3, 4, 3));
}

TEST(Bpe, WholeWordsComeFirstWithIgnoreMerges) {
    EXPECT_THAT(tokenize(abc(R"(["a b"])"), {"abc"}), ElementsAre(3, 2));
    EXPECT_THAT(tokenize(abc(R"(["a b"])", R"(,"ignore_merges":true)"), {"abc"}), ElementsAre(5));
}

TEST(Bpe, UnknownCharacters) {
    const std::string merges = R"(["a b"])";
    EXPECT_THAT(tokenize(abc(merges), {"xay"}), ElementsAre(0));  // no unknown token: dropped
    EXPECT_THAT(tokenize(abc(merges, R"(,"unk_token":"?")"), {"xyaz"}), ElementsAre(6, 6, 0, 6));
    EXPECT_THAT(tokenize(abc(merges, R"(,"unk_token":"?","fuse_unk":true)"), {"xyaz"}),
                ElementsAre(6, 0, 6));
}

TEST(Bpe, ByteFallbackNeedsAllBytes) {
    const std::string settings = abc(R"(["a b"])", R"(,"unk_token":"?","byte_fallback":true)");
    EXPECT_THAT(tokenize(settings, {"\u00E9"}), ElementsAre(7, 8));
    EXPECT_THAT(tokenize(settings, {"\u00E8"}), ElementsAre(6));  // C3 A8, which has no token
}

TEST(Bpe, MarksContinuationsAndWordEnds) {
    EXPECT_THAT(tokenize(R"({"vocab":{"a":0,"##a":1,"aa":2},"merges":["a ##a"],
                    "continuing_subword_prefix":"##"})",
                         {"aaa"}),
                ElementsAre(2, 1));
    EXPECT_THAT(tokenize(R"({"vocab":{"a":0,"a</w>":1,"aa</w>":2},"merges":["a a</w>"],
                    "end_of_word_suffix":"</w>"})",
                         {"aaa", "a"}),
                ElementsAre(0, 2, 1));
}

TEST(Bpe, EmptyTextHasNoIds) {
    EXPECT_THAT(tokenize(abc("[]"), {}), IsEmpty());
}

TEST(Bpe, AgreesWithAPlainLoopOnRandomWords) {
    // Merges of a two-letter alphabet up to length 4, in a scrambled order; the loop below is the
    // definition: find the pair of lowest rank, leftmost, merge it, start again.
    std::vector<std::string> tokens{"a", "b"};
    std::vector<std::pair<std::string, std::string>> merges;
    for (std::size_t i = 0; i < 14; ++i) {
        const std::string left = tokens[(i * 5 + 1) % tokens.size()];
        const std::string right = tokens[(i * 3) % tokens.size()];
        const std::string token = left + right;
        if (token.size() > 6 || std::find(tokens.begin(), tokens.end(), token) != tokens.end()) {
            continue;
        }
        tokens.push_back(token);
        merges.emplace_back(left, right);
    }
    nlohmann::json model;
    for (std::size_t id = 0; id < tokens.size(); ++id) model["vocab"][tokens[id]] = id;
    model["merges"] = merges;
    ASSERT_GE(merges.size(), 5U);

    std::uint32_t state = 1;
    for (int round = 0; round < 200; ++round) {
        std::string word;
        for (int i = 0; i < 1 + round % 40; ++i) {
            state = state * 1664525U + 1013904223U;
            word.push_back(state >> 31 == 0 ? 'a' : 'b');
        }
        std::vector<std::string> parts;
        for (const char c : word) parts.emplace_back(1, c);
        for (bool merged = true; merged;) {
            merged = false;
            for (std::size_t rank = 0; rank < merges.size() && !merged; ++rank) {
                for (std::size_t i = 0; i + 1 < parts.size() && !merged; ++i) {
                    if (std::pair(parts[i], parts[i + 1]) != merges[rank]) continue;
                    parts[i] += parts[i + 1];
                    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(i) + 1);
                    merged = true;
                }
            }
        }
        Ids expected;
        for (const std::string& part : parts) expected.push_back(model["vocab"][part]);
        EXPECT_EQ(tokenize(model.dump(), {word}), expected) << word;
    }
}

TEST(Bpe, Refusals) {
    const auto refusal = [](const std::string& settings) {
        return message_of<DataError>([&] { (void)tokenize(settings, {"x"}); });
    };
    EXPECT_THAT(refusal(R"({"vocab":{"a":0,"b":0},"merges":[]})"),
                HasSubstr("t.json: model.vocab: id 0 belongs to two tokens, \"a\" and \"b\""));
    EXPECT_THAT(refusal(R"({"vocab":{"a":-1},"merges":[]})"),
                HasSubstr("the id of token \"a\" is -1"));
    EXPECT_THAT(refusal(abc(R"(["a c"])")),
                HasSubstr("model.merges: merge \"a c\" needs token \"ac\""));
    EXPECT_THAT(refusal(abc(R"(["abc"])")), HasSubstr("entry 0 is \"abc\", expected"));
    EXPECT_THAT(refusal(abc("[]", R"(,"dropout":0.1)")),
                HasSubstr("model.dropout: dropout is not supported"));
    EXPECT_THAT(refusal(R"({"vocab":{"a":0}})"), HasSubstr("model: \"merges\" is missing"));
    EXPECT_THAT(refusal(abc("[]", R"(,"unk_token":"<unk>")")),
                HasSubstr("the unknown token \"<unk>\" is not in the tokenizer's vocabulary"));
}

}  // namespace
}  // namespace lathe::tokenizer
