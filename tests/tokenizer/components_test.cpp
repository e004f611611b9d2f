#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/tokenizer/decoder.hpp"
#include "lib/tokenizer/normalizer.hpp"
#include "lib/tokenizer/post_processor.hpp"
#include "temporary_file.hpp"

namespace lathe::tokenizer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string file = "t.json";

Section normalize(const std::string& settings, const std::string& text) {
    const nlohmann::json value = parse_json(settings);
    Section section{text, true};
    read_normalizer(JsonPlace(value, file))->apply(section);
    return section;
}

std::string decode(const std::string& settings, std::vector<std::string> tokens) {
    const nlohmann::json value = parse_json(settings);
    read_decoder(JsonPlace(value, file))->apply(tokens);
    std::string text;
    for (const std::string& token : tokens) text += token;
    return text;
}

PostProcessor post_processor(const std::string& settings) {
    const nlohmann::json value = parse_json(settings);
    return read_post_processor(JsonPlace(value, file));
}

const std::vector<std::uint32_t> first{7, 8};
const std::vector<std::uint32_t> second{9};

std::vector<std::uint32_t> post_process(const std::string& settings) {
    return post_processor(settings).single.apply(first).ids;
}

/// Ids, and after each its segment.
std::vector<std::uint32_t> post_process_pair(const std::string& settings) {
    const EncodedText pair = post_processor(settings).pair.apply(first, second);
    std::vector<std::uint32_t> both;
    for (std::size_t i = 0; i < pair.ids.size(); ++i) {
        both.push_back(pair.ids[i]);
        both.push_back(pair.segments.at(i));
    }
    return both;
}

TEST(Normalizer, NullChangesNothing) {
    EXPECT_EQ(normalize("null", " A\u00E9").text, " A\u00E9");
}

TEST(Normalizer, SimpleKinds) {
    EXPECT_EQ(normalize(R"({"type":"NFKC"})", "\uFB01").text, "fi");
    EXPECT_EQ(normalize(R"({"type":"Lowercase"})", "A\u00C9").text, "a\u00E9");
    EXPECT_EQ(normalize(R"({"type":"StripAccents"})", "e\u0301\u0903x").text, "ex");
    EXPECT_EQ(normalize(R"({"type":"Prepend","prepend":"_"})", "a").text, "_a");
    EXPECT_EQ(normalize(R"({"type":"Prepend","prepend":"_"})", "").text, "");
    EXPECT_EQ(
        normalize(R"({"type":"Replace","pattern":{"String":" "},"content":"__"})", " a ").text,
        "__a__");
    EXPECT_EQ(
        normalize(R"({"type":"Replace","pattern":{"Regex":"(a)+"},"content":"$1"})", "baa").text,
        "b$1");
}

TEST(Normalizer, ReplacingByNothingTellsThatTheStartIsGone) {
    const std::string settings = R"({"type":"Replace","pattern":{"String":" "},"content":""})";
    EXPECT_FALSE(normalize(settings, " a").at_start);
    EXPECT_TRUE(normalize(settings, "a ").at_start);
}

TEST(Normalizer, StripTellsThatTheStartIsGone) {
    const std::string settings = R"({"type":"Strip","strip_left":true,"strip_right":true})";
    EXPECT_EQ(normalize(settings, "\t\u3000a b \u2028").text, "a b");
    EXPECT_FALSE(normalize(settings, " a").at_start);
    EXPECT_TRUE(normalize(settings, "a ").at_start);
    EXPECT_EQ(normalize(R"({"type":"Strip","strip_left":false,"strip_right":true})", " a ").text,
              " a");
}

TEST(Normalizer, BertCleansSpacesStripsAndLowers) {
    const std::string uncased =
        R"({"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,
            "strip_accents":null,"lowercase":true})";
    EXPECT_EQ(normalize(uncased, "\u0001\u00C9T\t\u4E2D\u00A0\u200D\u0085z").text, "et  \u4E2D  z");
    const std::string cased =
        R"({"type":"BertNormalizer","clean_text":false,"handle_chinese_chars":false,
            "strip_accents":null,"lowercase":false})";
    EXPECT_EQ(normalize(cased, "\u00C9\t\u4E2D").text, "\u00C9\t\u4E2D");
}

TEST(Normalizer, SequenceAppliesInOrder) {
    EXPECT_EQ(normalize(R"({"type":"Sequence","normalizers":[{"type":"Prepend","prepend":" "},
                {"type":"Replace","pattern":{"String":" "},"content":"_"}]})",
                        "a b")
                  .text,
              "_a_b");
}

TEST(Normalizer, RefusesUnknownTypesWithTheChoices) {
    EXPECT_THAT(
        message_of<DataError>([] { (void)normalize(R"({"type":"Transliterate"})", ""); }),
        ::testing::AllOf(HasSubstr("t.json: normalizer of type \"Transliterate\""),
                         HasSubstr("supported are BertNormalizer, ByteLevel, Lowercase, NFC")));
    EXPECT_THAT(message_of<DataError>([] { (void)normalize(R"({"type":"Prepend"})", ""); }),
                HasSubstr("t.json: \"prepend\" is missing"));
}

TEST(Decoder, NullPutsSpacesBetween) {
    EXPECT_EQ(decode("null", {"a", "b"}), "a b");
}

TEST(Decoder, ByteLevelRepairsBrokenCharacters) {
    EXPECT_EQ(decode(R"({"type":"ByteLevel"})", {"\u0120a", "\u00C3", "\u00A9"}), " a\u00E9");
    EXPECT_EQ(decode(R"({"type":"ByteLevel"})", {"\u00C3", "b"}), "\uFFFDb");
    // U+65E5 stands for no byte, so the token is taken as it is.
    EXPECT_EQ(decode(R"({"type":"ByteLevel"})", {"\u0120\u65E5"}), "\u0120\u65E5");
}

TEST(Decoder, ByteFallbackJoinsBytesOrReplacesEach) {
    const std::string settings = R"({"type":"ByteFallback"})";
    EXPECT_EQ(decode(settings, {"a", "<0xC3>", "<0xA9>", "b"}), "a\u00E9b");
    EXPECT_EQ(decode(settings, {"<0xC3>", "<0xC3>", "b"}), "\uFFFD\uFFFDb");
    EXPECT_EQ(decode(settings, {"<0xG1>"}), "<0xG1>");
}

TEST(Decoder, StripCutsUpToACount) {
    const std::string settings = R"({"type":"Strip","content":"_","start":1,"stop":2})";
    EXPECT_EQ(decode(settings, {"__a___", "_"}), "_a_");
}

TEST(Decoder, MetaspaceDropsItInTheFirstToken) {
    EXPECT_EQ(
        decode(R"({"type":"Metaspace","replacement":"_","prepend_scheme":"always"})", {"_a", "_b"}),
        "a b");
    EXPECT_EQ(
        decode(R"({"type":"Metaspace","replacement":"_","prepend_scheme":"never"})", {"_a", "_b"}),
        " a b");
}

TEST(Decoder, WordPieceJoinsAndCleans) {
    const std::string clean = R"({"type":"WordPiece","prefix":"##","cleanup":true})";
    EXPECT_EQ(decode(clean, {"##do", "##es", "n't", "it", "?"}), "##doesn't it?");
    const std::string plain = R"({"type":"WordPiece","prefix":"##","cleanup":false})";
    EXPECT_EQ(decode(plain, {"it", "?"}), "it ?");
}

TEST(Decoder, SequenceOfLlama2) {
    const std::string settings =
        R"({"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"_"},"content":" "},
            {"type":"ByteFallback"},{"type":"Fuse"},
            {"type":"Strip","content":" ","start":1,"stop":0}]})";
    EXPECT_EQ(decode(settings, {"_a", "_", "_b"}), "a  b");
}

TEST(Decoder, WordEndsBecomeSpaces) {
    EXPECT_EQ(decode(R"({"type":"BPEDecoder","suffix":"</w>"})", {"a", "b</w>", "c</w>"}), "ab c");
}

TEST(PostProcessor, SurroundsTheText) {
    EXPECT_THAT(post_process("null"), ElementsAre(7, 8));
    EXPECT_THAT(post_process(R"({"type":"ByteLevel"})"), ElementsAre(7, 8));
    EXPECT_THAT(post_process(R"({"type":"BertProcessing","sep":["[SEP]",3],"cls":["[CLS]",2]})"),
                ElementsAre(2, 7, 8, 3));
    EXPECT_THAT(post_process(R"({"type":"TemplateProcessing","single":[
                    {"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}},
                    {"SpecialToken":{"id":"</s>","type_id":0}}],
                    "special_tokens":{"<s>":{"ids":[1,5]},"</s>":{"ids":[2]}}})"),
                ElementsAre(1, 5, 7, 8, 2));
}

TEST(PostProcessor, PutsTwoTextsIntoOneSequence) {
    EXPECT_THAT(post_process_pair("null"), ElementsAre(7, 0, 8, 0, 9, 1));
    EXPECT_THAT(
        post_process_pair(R"({"type":"BertProcessing","sep":["[SEP]",3],"cls":["[CLS]",2]})"),
        ElementsAre(2, 0, 7, 0, 8, 0, 3, 0, 9, 1, 3, 1));
    EXPECT_THAT(
        post_process_pair(R"({"type":"RobertaProcessing","sep":["</s>",3],"cls":["<s>",2]})"),
        ElementsAre(2, 0, 7, 0, 8, 0, 3, 0, 3, 0, 9, 0, 3, 0));
    EXPECT_THAT(post_process_pair(R"({"type":"TemplateProcessing",
                    "single":[{"Sequence":{"id":"A","type_id":0}}],
                    "pair":[{"Sequence":{"id":"B","type_id":1}},
                            {"SpecialToken":{"id":"<s>","type_id":1}},
                            {"Sequence":{"id":"A","type_id":0}}],
                    "special_tokens":{"<s>":{"ids":[1,5]}}})"),
                ElementsAre(9, 1, 1, 1, 5, 1, 7, 0, 8, 0));
}

TEST(PostProcessor, SequenceKeepsTheSegmentsOfItsTemplate) {
    EXPECT_THAT(post_process_pair(R"({"type":"Sequence","processors":[{"type":"ByteLevel"},
                    {"type":"TemplateProcessing","single":[{"Sequence":{"id":"A"}}],
                     "pair":[{"Sequence":{"id":"A"}},{"Sequence":{"id":"B"}}],
                     "special_tokens":{}}]})"),
                ElementsAre(7, 0, 8, 0, 9, 0));
    const std::string bert = R"({"type":"BertProcessing","sep":["[SEP]",3],"cls":["[CLS]",2]})";
    EXPECT_THAT(
        message_of<DataError>([&] {
            (void)post_process(R"({"type":"Sequence","processors":[)" + bert + "," + bert + "]}");
        }),
        HasSubstr("processors[1]: a second processor"));
}

TEST(CutLongestFirst, CutsTheLongerTextThenBoth) {
    const auto lengths = [](std::size_t a, std::size_t b, std::size_t room) {
        const PairLengths kept = cut_longest_first(a, b, room);
        return std::pair(kept.first, kept.second);
    };
    EXPECT_EQ(lengths(3, 4, 7), std::pair(3UL, 4UL));
    EXPECT_EQ(lengths(9, 2, 7), std::pair(5UL, 2UL));
    EXPECT_EQ(lengths(2, 9, 7), std::pair(2UL, 5UL));
    EXPECT_EQ(lengths(9, 8, 7), std::pair(4UL, 3UL));
    EXPECT_EQ(lengths(8, 8, 7), std::pair(3UL, 4UL));
    EXPECT_EQ(lengths(1, 0, 0), std::pair(0UL, 0UL));
}

TEST(PostProcessor, RefusesTemplatesItCannotApply) {
    const auto refusal = [](const std::string& single) {
        return message_of<DataError>([&] {
            (void)post_process(R"({"type":"TemplateProcessing","special_tokens":{},"single":)" +
                               single + "}");
        });
    };
    EXPECT_THAT(refusal(R"([{"Sequence":{"id":"B"}}])"),
                HasSubstr("single[0].Sequence: sequence \"B\"; expected \"A\", and only once"));
    EXPECT_THAT(refusal("[]"), HasSubstr("single: the template leaves out the text itself"));
    EXPECT_THAT(refusal(R"([{"SpecialToken":{"id":"<s>"}}])"),
                HasSubstr("\"<s>\" is not among the special_tokens"));
    const std::string sequence_a = R"([{"Sequence":{"id":"A"}}])";
    EXPECT_THAT(refusal(sequence_a + ",\"pair\":" + sequence_a),
                HasSubstr("pair: the template leaves out one of the texts"));
    EXPECT_THAT(refusal(sequence_a + R"(,"pair":[{"Sequence":{"id":"C"}}])"),
                HasSubstr("sequence \"C\"; expected \"A\" and \"B\", each only once"));
}

}  // namespace
}  // namespace lathe::tokenizer
