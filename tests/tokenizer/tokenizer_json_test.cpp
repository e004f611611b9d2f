#include "lib/tokenizer/tokenizer_json.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "temporary_file.hpp"

namespace lathe::tokenizer {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string model = R"("model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]})";
const std::string added =
    R"("added_tokens":[{"id":3,"content":"<s>","special":true},{"id":4,"content":"x"}])";

std::string refusal(const std::string& content) {
    const TemporaryFile file("tokenizer.json", content);
    const std::string message =
        message_of<DataError>([&] { (void)load_tokenizer_file(file.path()); });
    EXPECT_THAT(message, HasSubstr(file.path().string()));
    return message;
}

TEST(JsonTokenizer, EncodesAndDecodesAroundAddedTokens) {
    const TemporaryFile file("tokenizer.json", "{" + model + "," + added + "}");
    const auto tokenizer = load_tokenizer(file.directory());
    EXPECT_THAT(tokenizer->encode("ab<s>xa", true), ElementsAre(2, 3, 4, 0));
    EXPECT_EQ(tokenizer->decode(std::vector<std::uint32_t>{2, 3, 4, 0}), "ab x a");
    EXPECT_THAT(tokenizer->encode("", true), IsEmpty());
    EXPECT_EQ(tokenizer->decode({}), "");
    EXPECT_EQ(tokenizer->id_limit(), 5U);
}

TEST(JsonTokenizer, RefusesALengthWithoutRoomForItsSpecialTokens) {
    const std::string bert =
        R"("post_processor":{"type":"BertProcessing","sep":["</s>",0],"cls":["<s>",4]})";
    const TemporaryFile file("tokenizer.json", "{" + model + "," + added + "," + bert + "}");
    const auto tokenizer = load_tokenizer_file(file.path());
    EXPECT_THAT(tokenizer->encode_within("ab", 2).ids, ElementsAre(4, 0));
    EXPECT_THAT(tokenizer->encode_pair("ab", "a", 3).ids, ElementsAre(4, 0, 0));
    EXPECT_THAT(message_of<UsageError>([&] { (void)tokenizer->encode_pair("ab", "a", 2); }),
                HasSubstr("at most 2 tokens leave no room for the tokenizer's 3 special tokens"));
}

// Found by the fuzzer: such an id stands in neither the vocabulary nor the added tokens.
TEST(JsonTokenizer, IdsOfThePostProcessorCountForTheLimit) {
    for (const std::string processor :
         {R"({"type":"RobertaProcessing","sep":["</s>",9],"cls":["<s>",0]})",
          R"({"type":"TemplateProcessing","single":[{"Sequence":{"id":"A"}}],
              "pair":[{"Sequence":{"id":"A"}},{"SpecialToken":{"id":"x"}},{"Sequence":{"id":"B"}}],
              "special_tokens":{"x":{"ids":[1,9]}}})"}) {
        const TemporaryFile file(
            "tokenizer.json", "{" + model + "," + added + ",\"post_processor\":" + processor + "}");
        EXPECT_EQ(load_tokenizer_file(file.path())->id_limit(), 10U) << processor;
    }
}

TEST(JsonTokenizer, DecodePassesOverIdsWithoutAToken) {
    const TemporaryFile file("tokenizer.json", "{" + model + "," + added + "}");
    const auto tokenizer = load_tokenizer_file(file.path());
    EXPECT_EQ(tokenizer->decode(std::vector<std::uint32_t>{0, 5, 4000000000U, 1}), "a b");
}

TEST(JsonTokenizer, OldFilesNameNoModelType) {
    const TemporaryFile file("tokenizer.json",
                             R"({"added_tokens":[],"model":{"vocab":{"[UNK]":0,"a":1},)"
                             R"("unk_token":"[UNK]","max_input_chars_per_word":9}})");
    EXPECT_THAT(load_tokenizer_file(file.path())->encode("a", false), ElementsAre(1));
}

TEST(JsonTokenizer, RefusalsNameThePlace) {
    EXPECT_THAT(refusal("{\"model\": "), HasSubstr("not JSON, byte 11: "));
    EXPECT_THAT(refusal("[]"), HasSubstr("expected an object"));
    EXPECT_THAT(refusal("{" + added + "}"), HasSubstr("\"model\" is missing"));
    EXPECT_THAT(refusal("{" + model + "}"), HasSubstr("\"added_tokens\" is missing"));
    EXPECT_THAT(refusal(R"({"added_tokens":[],"model":{"type":"Markov","vocab":[]}})"),
                AllOf(HasSubstr("model: model of type \"Markov\" is not supported"),
                      HasSubstr("BPE, Unigram, WordLevel, WordPiece")));
    EXPECT_THAT(refusal("{" + model + "," + added + R"(,"decoder":{"type":"CTC"}})"),
                HasSubstr("decoder: decoder of type \"CTC\" is not supported"));
    EXPECT_THAT(refusal("{" + model + "," + added +
                        R"(,"normalizer":{"type":"Sequence","normalizers":[{"type":1}]}})"),
                HasSubstr("normalizer.normalizers[0].type: found 1, expected a string"));
}

TEST(LoadTokenizer, NamesWhatIsMissing) {
    const TemporaryFile file("notes.txt", "");
    EXPECT_THAT(message_of<MissingInputError>([&] { (void)load_tokenizer(file.directory()); }),
                HasSubstr("found no tokenizer.json, tokenizer.model, vocab.json with merges.txt"));
    EXPECT_THAT(message_of<DataError>([&] { (void)load_tokenizer_file(file.path()); }),
                HasSubstr("ends in .json or .model, not in \".txt\""));
    EXPECT_THROW((void)load_tokenizer_file(file.directory() / "tokenizer.json"), MissingInputError);
}

TEST(LoadTokenizer, NamesAFileThatIsNotRead) {
    for (const char* name : {"tekken.json", "spm.model", "qwen.tiktoken"}) {
        const TemporaryFile file(name, "x");
        EXPECT_THAT(
            message_of<DataError>([&] { (void)load_tokenizer(file.directory()); }),
            AllOf(HasSubstr(name), HasSubstr("not supported"), HasSubstr("save_pretrained")));
    }
}

TEST(LoadTokenizer, RefusesAFileThatIsNoModel) {
    const TemporaryFile file("tokenizer.model", "this is no model");
    EXPECT_THAT(message_of<DataError>([&] { (void)load_tokenizer_file(file.path()); }),
                HasSubstr("not a SentencePiece model"));
}

}  // namespace
}  // namespace lathe::tokenizer
