// How the files of a checkpoint directory come together, where no fixture says it: what is refused,
// and what decides. tests/tokenizer/checkpoint_fixtures_test.cpp compares the rest with
// transformers.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/tokenizer/tokenizer.hpp"
#include "temporary_file.hpp"

namespace lathe::tokenizer {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string bpe =
    R"({"added_tokens":[],"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}})";

class CheckpointDirectory : public ::testing::Test {
protected:
    void put(const std::string& name, const std::string& content) const {
        std::ofstream(directory() / name, std::ios::binary) << content;
    }
    const std::filesystem::path& directory() const { return first_.directory(); }
    std::string refusal() const {
        return message_of<DataError>([&] { (void)load_tokenizer(directory()); });
    }

private:
    TemporaryFile first_{"notes.txt", ""};
};

TEST_F(CheckpointDirectory, AModelOfAnotherKindThanTheClassMakesIsRefused) {
    put("tokenizer.json", R"({"added_tokens":[],"model":{"type":"Unigram","unk_id":0,
                              "vocab":[["<unk>",0],["a",-1]]}})");
    put("tokenizer_config.json", R"({"tokenizer_class":"LlamaTokenizer"})");
    EXPECT_THAT(refusal(), AllOf(HasSubstr("tokenizer.json: model: a model of type Unigram"),
                                 HasSubstr("LlamaTokenizer"), HasSubstr("makes a BPE")));
}

TEST_F(CheckpointDirectory, AClassThatIsNotKnownNeedsATokenizerJson) {
    put("vocab.txt", "a\nb\n");
    put("tokenizer_config.json", R"({"tokenizer_class":"BertJapaneseTokenizer"})");
    EXPECT_THAT(refusal(), AllOf(HasSubstr("found vocab.txt"), HasSubstr("BertJapaneseTokenizer")));
    put("tokenizer.json", bpe);
    EXPECT_THAT(load_tokenizer(directory())->encode("ab", false), ElementsAre(2));
}

TEST_F(CheckpointDirectory, TwoAddedTokensOfOneIdAreRefused) {
    put("tokenizer.json", bpe);
    put("added_tokens.json", R"({"<a>": 3, "<b>": 3})");
    EXPECT_THAT(refusal(), HasSubstr("added_tokens.json: <b>: id 3 is that of \"<a>\" too"));
}

TEST_F(CheckpointDirectory, WrongTypesAreRefusedByKey) {
    put("tokenizer.json", bpe);
    const auto refusal_of = [&](const std::string& config) {
        put("tokenizer_config.json", config);
        return refusal();
    };
    EXPECT_THAT(refusal_of("[]"), HasSubstr("tokenizer_config.json: found array"));
    EXPECT_THAT(refusal_of(R"({"bos_token": 5})"), HasSubstr("bos_token"));
    EXPECT_THAT(refusal_of(R"({"split_special_tokens": "yes"})"),
                HasSubstr("split_special_tokens: found \"yes\", expected true or false"));
    EXPECT_THAT(refusal_of(R"({"added_tokens_decoder": {"x": {"content": "<a>"}}})"),
                HasSubstr("added_tokens_decoder.x: expected a token id for a key"));
    put("tokenizer_config.json", "{}");
    put("added_tokens.json", R"({"<a>": -1})");
    EXPECT_THAT(refusal(), HasSubstr("added_tokens.json: <a>: found -1"));
}

TEST_F(CheckpointDirectory, SlowFilesNameTheirLines) {
    put("tokenizer_config.json", R"({"tokenizer_class":"GPT2Tokenizer","unk_token":"a",
                                     "bos_token":"a","eos_token":"a"})");
    put("vocab.json", R"({"a":0,"b":1,"ab":2})");
    EXPECT_THAT(refusal(), HasSubstr("found vocab.json"));
    put("merges.txt", "#version: 0.2\na b\nabc\n");
    EXPECT_THAT(refusal(), HasSubstr("merges.txt: line 3 is \"abc\", expected two tokens"));
    put("merges.txt", "a b\r\n\n");
    EXPECT_THAT(load_tokenizer(directory())->encode("ab", false), ElementsAre(0, 1));
    put("merges.txt", "a c\n");
    EXPECT_THAT(refusal(), HasSubstr("needs token \"c\""));
}

TEST_F(CheckpointDirectory, AnIdOfTwoTokensIsRefusedWithBoth) {
    // Two tokens in the vocabulary, so that a new one would get id 2, which "ab" has.
    put("tokenizer.json", R"({"added_tokens":[{"id":9,"content":"<x>","special":true}],
        "model":{"type":"BPE","vocab":{"a":0,"ab":2},"merges":[]}})");
    EXPECT_THAT(refusal(), AllOf(HasSubstr("token \"<x>\" gets id 2"), HasSubstr("\"ab\"")));
}

TEST_F(CheckpointDirectory, NamedTokensIncludeThoseOfTheClass) {
    put("tokenizer_config.json", R"({"tokenizer_class":"GPT2Tokenizer","eos_token":"<e>",
                                     "bos_token":null,"image_token":"<i>"})");
    put("vocab.json", R"({"a":0})");
    put("merges.txt", "");
    const std::map<std::string, std::string> expected{
        {"eos_token", "<e>"}, {"unk_token", "<|endoftext|>"}, {"image_token", "<i>"}};
    EXPECT_EQ(named_special_tokens(directory()), expected);
}

TEST_F(CheckpointDirectory, FilesThatDecideComeInOneOrder) {
    for (const char* name : {"merges.txt", "added_tokens.json", "vocab.json", "config.json",
                             "tokenizer_config.json", "weights"}) {
        put(name, "{}");
    }
    EXPECT_THAT(tokenizer_files(directory()),
                ElementsAre(directory() / "vocab.json", directory() / "merges.txt",
                            directory() / "tokenizer_config.json",
                            directory() / "added_tokens.json", directory() / "config.json"));
}

}  // namespace
}  // namespace lathe::tokenizer
