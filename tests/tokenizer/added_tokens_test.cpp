#include "lib/tokenizer/added_tokens.hpp"

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

class AddedTokensTest : public ::testing::Test {
protected:
    AddedTokens read(const std::string& tokens) const {
        const nlohmann::json value = parse_json(tokens);
        return {JsonPlace(value, file, "added_tokens"), vocabulary_, *normalizer_};
    }

    /// The parts as text, tokens in brackets.
    static std::vector<std::string> show(const std::string& text,
                                         const std::vector<TextPart>& parts) {
        std::vector<std::string> out;
        for (const TextPart& part : parts) {
            const std::string content = text.substr(part.begin, part.end - part.begin);
            out.push_back(part.id ? "[" + content + "]" : content);
        }
        return out;
    }

    nlohmann::json words_ = parse_json(R"({"a":0,"b":1})");
    Vocabulary vocabulary_{JsonPlace(words_, file)};
    nlohmann::json lower_ = parse_json(R"({"type":"Lowercase"})");
    std::unique_ptr<Normalizer> normalizer_ = read_normalizer(JsonPlace(lower_, file));
};

TEST_F(AddedTokensTest, LongestAtAPlaceCounts) {
    const AddedTokens tokens = read(R"([{"id":2,"content":"<s","special":true},
                                        {"id":3,"content":"<s>","special":true}])");
    const std::string text = "x<s><s y<";
    EXPECT_THAT(show(text, tokens.cut_raw(text)), ElementsAre("x", "[<s>]", "[<s]", " y<"));
    EXPECT_THAT(tokens.cut_raw(""), IsEmpty());
    EXPECT_EQ(tokens.id_limit(), 4U);
}

TEST_F(AddedTokensTest, StripsTakeSpaceAlong) {
    const AddedTokens tokens = read(R"([{"id":2,"content":"<l>","special":true,"lstrip":true},
                 {"id":3,"content":"<r>","special":true,"rstrip":true}])");
    const std::string text = "a \t<l> <r> \u3000b";
    EXPECT_THAT(show(text, tokens.cut_raw(text)),
                ElementsAre("a", "[ \t<l>]", " ", "[<r> \u3000]", "b"));
}

TEST_F(AddedTokensTest, SpaceIsTakenOnlyOnce) {
    // The first pair of spaces takes the whole run along, so that nothing is left of the others.
    const AddedTokens tokens =
        read(R"([{"id":2,"content":"  ","normalized":false,"lstrip":true,"rstrip":true}])");
    const std::string text = "a     b";
    EXPECT_THAT(show(text, tokens.cut_raw(text)), ElementsAre("a", "[     ]", "b"));
}

TEST_F(AddedTokensTest, SingleWordsStandAlone) {
    const AddedTokens tokens =
        read(R"([{"id":2,"content":"un","normalized":false,"single_word":true}])");
    const std::string text = "un, unun un_ (un) \u00E9un un\u0301";
    EXPECT_THAT(show(text, tokens.cut_raw(text)),
                ElementsAre("[un]", ", unun un_ (", "[un]", ") \u00E9un un\u0301"));
}

TEST_F(AddedTokensTest, NormalizedTokensAreFoundInNormalizedText) {
    const AddedTokens tokens = read(R"([{"id":2,"content":"Up","normalized":true},
                                        {"id":3,"content":"Raw","normalized":false}])");
    const std::string text = "Up up Raw raw";
    EXPECT_THAT(show(text, tokens.cut_raw(text)), ElementsAre("Up up ", "[Raw]", " raw"));
    EXPECT_THAT(show(text, tokens.cut_normalized(text)), ElementsAre("Up ", "[up]", " Raw raw"));
    EXPECT_EQ(tokens.find(2)->text, "up");
    EXPECT_EQ(tokens.find(7), nullptr);
}

TEST_F(AddedTokensTest, IdsFollowOneAnotherWhateverTheFileStates) {
    // As in the original library, whose ids for the same list these are.
    const AddedTokens tokens = read(R"([{"id":9,"content":"<x>","special":true},
        {"id":1,"content":"b","special":true},{"id":4,"content":"<y>"},{"content":"<z>"}])");
    EXPECT_EQ(tokens.find(2)->content, "<x>");
    EXPECT_EQ(tokens.find(1)->content, "b");
    EXPECT_EQ(tokens.find(3)->content, "<y>");
    EXPECT_EQ(tokens.find(4)->content, "<z>");
    EXPECT_EQ(tokens.id_limit(), 5U);
}

TEST_F(AddedTokensTest, ATokenThatIsAddedAgainTakesItsNewSwitches) {
    const AddedTokens tokens = read(R"([{"id":2,"content":"<x>","special":true},
        {"id":2,"content":"<x>","normalized":false,"lstrip":true}])");
    const std::string text = "a  <x>";
    EXPECT_THAT(show(text, tokens.cut_raw(text)), ElementsAre("a", "[  <x>]"));
    EXPECT_TRUE(tokens.find(2)->special);  // once special, always left out by decode
    EXPECT_EQ(tokens.id_limit(), 3U);
}

TEST_F(AddedTokensTest, SpecialTokensMayBeLeftInTheText) {
    const nlohmann::json list = parse_json(R"([{"id":2,"content":"<x>","special":true},
                                               {"id":3,"content":"<y>","normalized":false}])");
    const AddedTokens tokens(JsonPlace(list, file, "added_tokens"), vocabulary_, *normalizer_,
                             SpecialTokensInText::plain_text);
    const std::string text = "<x><y>";
    EXPECT_THAT(show(text, tokens.cut_raw(text)), ElementsAre("<x>", "[<y>]"));
}

TEST_F(AddedTokensTest, RefusesContradictions) {
    const auto refusal = [&](const std::string& tokens) {
        return message_of<DataError>([&] { (void)read(tokens); });
    };
    EXPECT_THAT(refusal(R"([{"id":5,"content":"a"}])"),
                HasSubstr("added_tokens[0]: token \"a\" has id 5 here and 0 in the vocabulary"));
    EXPECT_THAT(refusal(R"([{"id":99999999,"content":"x"}])"),
                HasSubstr("id 99999999 is too large"));
    EXPECT_EQ(refusal(R"([{"id":5,"content":""}])"), "");
}

}  // namespace
}  // namespace lathe::tokenizer
