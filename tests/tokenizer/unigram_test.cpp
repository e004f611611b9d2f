#include "lib/tokenizer/unigram.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/tokenizer/base64.hpp"
#include "lib/tokenizer/precompiled_map.hpp"
#include "lib/tokenizer/wire_reader.hpp"
#include "temporary_file.hpp"

namespace lathe::tokenizer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Ids = std::vector<std::uint32_t>;

const std::string file = "t.json";

Ids tokenize(const nlohmann::json& model, const std::string& text) {
    const Unigram unigram(JsonPlace(model, file, "model"));
    WordCache cache;
    Ids ids;
    unigram.tokenize({text, {{0, text.size()}}, true}, cache, ids);
    return ids;
}

/// "abcd" is worth more than its parts together, "ab" less than "abc".
nlohmann::json example() {
    return parse_json(R"({"unk_id": 0, "vocab": [["<unk>", 0], ["a", 0], ["b", 0], ["c", 0],
        ["d", 0], ["cd", 1], ["ab", 2], ["abc", 5], ["abcd", 10]]})");
}

TEST(UnigramModel, TakesTheHighestSumOfScores) {
    EXPECT_THAT(tokenize(example(), "abcd"), ElementsAre(8));
    EXPECT_THAT(tokenize(example(), "acd"), ElementsAre(1, 5));
    EXPECT_THAT(tokenize(example(), "abcabcd"), ElementsAre(7, 8));
}

TEST(UnigramModel, UnknownNeighboursAreOneToken) {
    EXPECT_THAT(tokenize(example(), "a\u00e9xbx"), ElementsAre(1, 0, 2, 0));
}

TEST(UnigramModel, UnknownCharactersBecomeBytesWhereAllAreThere) {
    nlohmann::json model = example();
    model["byte_fallback"] = true;
    model["vocab"].push_back(parse_json(R"(["<0xC3>", -5])"));
    EXPECT_THAT(tokenize(model, "a\u00e9"), ElementsAre(1, 0));  // <0xA9> is missing
    model["vocab"].push_back(parse_json(R"(["<0xA9>", -5])"));
    EXPECT_THAT(tokenize(model, "a\u00e9"), ElementsAre(1, 9, 10));
}

TEST(UnigramModel, WithoutAnUnknownTokenAnUnknownCharacterIsRefused) {
    nlohmann::json model = example();
    model.erase("unk_id");
    EXPECT_THAT(tokenize(model, "ab"), ElementsAre(6));
    EXPECT_THAT(message_of<DataError>([&] { (void)tokenize(model, "ax"); }),
                HasSubstr("model.unk_id"));
}

TEST(UnigramModel, RefusesABrokenVocabulary) {
    nlohmann::json model = example();
    model["vocab"].push_back("x");
    EXPECT_THAT(message_of<DataError>([&] { (void)tokenize(model, "a"); }),
                HasSubstr("t.json: model.vocab: entry 9 is \"x\", expected [token, score]"));
    model = example();
    model["unk_id"] = 9;
    EXPECT_THAT(message_of<DataError>([&] { (void)tokenize(model, "a"); }),
                HasSubstr("unk_id 9 is not in the vocabulary of 9 tokens"));
}

TEST(Base64, ThereAndBack) {
    // The examples of RFC 4648, section 10.
    const std::pair<const char*, const char*> examples[] = {
        {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}};
    for (const auto& [bytes, text] : examples) {
        EXPECT_EQ(to_base64(bytes), text);
        EXPECT_EQ(from_base64(text), bytes);
    }
    EXPECT_EQ(from_base64("Zm9"), "fo");
    EXPECT_EQ(from_base64("Zm9v!"), std::nullopt);
    EXPECT_EQ(from_base64("Z"), std::nullopt);
}

TEST(PrecompiledMap, RefusesBytesThatAreCutShort) {
    for (const std::string& bytes : {std::string(), std::string("\x08\0\0\0abcd", 8)}) {
        EXPECT_THROW(PrecompiledMap{bytes}, DataError);
    }
}

TEST(WireReader, ReadsFieldsAndRefusesWhatIsCutShort) {
    // Field 1 the number 300, field 2 the text "ab", field 3 a float 1.0.
    const std::string message(
        "\x08\xAC\x02\x12\x02"
        "ab\x1D\0\0\x80\x3F",
        12);
    WireReader reader(message);
    EXPECT_EQ(reader.next()->value, 300U);
    EXPECT_EQ(reader.next()->bytes, "ab");
    EXPECT_EQ(reader.next()->value, 0x3F800000U);
    EXPECT_FALSE(reader.next().has_value());
    for (const std::size_t size : {1U, 4U, 6U, 9U}) {
        const auto read = [&] {
            WireReader part(std::string_view(message).substr(0, size));
            while (part.next()) {
            }
        };
        EXPECT_THROW(read(), DataError) << size;
    }
}

}  // namespace
}  // namespace lathe::tokenizer
