#include "lib/tokenizer/wordpiece.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "temporary_file.hpp"

namespace lathe::tokenizer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string file = "t.json";

std::vector<std::uint32_t> tokenize(const std::string& vocabulary, const std::string& word) {
    const nlohmann::json value =
        parse_json(R"({"type":"WordPiece","unk_token":"?","continuing_subword_prefix":"##",)"
                   R"("max_input_chars_per_word":6,"vocab":)" +
                   vocabulary + "}");
    const auto model = read_token_model(JsonPlace(value, file, "model"));
    WordCache cache;
    std::vector<std::uint32_t> ids;
    // Twice, so that the second word comes from the cache.
    model->tokenize({word + word, {{0, word.size()}, {word.size(), 2 * word.size()}}, true}, cache,
                    ids);
    const auto half = static_cast<std::ptrdiff_t>(ids.size() / 2);
    EXPECT_TRUE(std::equal(ids.begin(), ids.begin() + half, ids.begin() + half, ids.end()));
    ids.resize(ids.size() / 2);
    return ids;
}

const std::string plain = R"({"?":0,"a":1,"ab":2,"##b":3,"##bc":4,"##c":5,"##\u00e9":6})";

TEST(WordPiece, TakesTheLongestTokenEachTime) {
    EXPECT_THAT(tokenize(plain, "ab"), ElementsAre(2));
    EXPECT_THAT(tokenize(plain, "abbc"), ElementsAre(2, 4));
    EXPECT_THAT(tokenize(plain, "abc"), ElementsAre(2, 5));
    EXPECT_THAT(tokenize(plain, "a\u00E9b"), ElementsAre(1, 6, 3));
}

TEST(WordPiece, GreedyChoiceMayEndInUnknown) {
    EXPECT_THAT(tokenize(plain, "aba"), ElementsAre(0));
    EXPECT_THAT(tokenize(plain, "bc"), ElementsAre(0));  // only continues words
    EXPECT_THAT(tokenize(plain, "\u00E9"), ElementsAre(0));
}

TEST(WordPiece, TooLongIsUnknownCountedInCharacters) {
    EXPECT_THAT(tokenize(plain, "abbbbb"), ElementsAre(2, 3, 3, 3, 3));
    EXPECT_THAT(tokenize(plain, "abbbbbb"), ElementsAre(0));
    EXPECT_THAT(tokenize(plain, "ab\u00E9\u00E9\u00E9\u00E9"), ElementsAre(2, 6, 6, 6, 6));
}

TEST(WordPiece, NeedsItsUnknownToken) {
    EXPECT_THAT(message_of<DataError>([] { (void)tokenize(R"({"a":0})", "a"); }),
                HasSubstr("t.json: model.unk_token: token \"?\" is not in the vocabulary"));
}

}  // namespace
}  // namespace lathe::tokenizer
