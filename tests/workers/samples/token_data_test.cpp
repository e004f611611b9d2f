#include "workers/samples/token_data.hpp"

#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/tokenizer/post_processor.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::uint32_t> counting(std::size_t n) {
    std::vector<std::uint32_t> stream(n);
    std::iota(stream.begin(), stream.end(), 0U);
    return stream;
}

/// One token a byte; special tokens 1 before a text and 2 behind it.
class ByteTokenizer final : public Tokenizer {
public:
    std::string decode(std::span<const std::uint32_t> ids) const override {
        return {ids.begin(), ids.end()};
    }
    std::size_t id_limit() const override { return 256; }

private:
    using Form = tokenizer::TokenTemplate;

    std::vector<std::uint32_t> do_encode(std::string_view text) const override {
        return {text.begin(), text.end()};
    }
    const tokenizer::PostProcessor& post_processor() const override { return post_processor_; }

    tokenizer::PostProcessor post_processor_{Form({{Form::Kind::special_token, 0, 1},
                                                   {Form::Kind::first_text, 0, 0},
                                                   {Form::Kind::special_token, 0, 2}}),
                                             tokenizer::texts_alone().pair};
};

/// A classifier of 256 tokens with this many kinds of segments; 0: it knows none.
ModelSpec classifier(std::size_t segment_rows) {
    ModelSpec spec;
    spec.head = HeadKind::classifier;
    spec.vocab_size = 256;
    if (segment_rows > 0) {
        TensorSpec table;
        table.role = Role::segment_embedding;
        table.shape = {segment_rows, 4};
        spec.tensors.push_back(table);
    }
    return spec;
}

class TokenStream : public ::testing::Test {
protected:
    fs::path file(const std::string& name, const std::string& content) {
        const fs::path path =
            fs::path(::testing::TempDir()) / (std::to_string(::getpid()) + "_" + name);
        write_file(path, content);
        return path;
    }
    ByteTokenizer tokenizer;
};

TEST(Windows, TheLastShortOneIsDropped) {
    const TokenSequences windows = all_windows(counting(11), 4);
    EXPECT_EQ(windows.count(), 2U);
    EXPECT_THAT(windows.ids, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
    EXPECT_EQ(all_windows(counting(3), 4).count(), 0U);
}

TEST(Windows, SpreadEvenlyAndWithAnOffsetElsewhere) {
    // 10 windows of 2; 3 of them: numbers floor(w * 10 / 3) = 0, 3, 6, and with half a step more
    // floor((w + 0.5) * 10 / 3) = 1, 5, 8.
    EXPECT_THAT(spread_windows(counting(20), 2, 3, 0.0, "text").ids,
                ElementsAre(0, 1, 6, 7, 12, 13));
    EXPECT_THAT(spread_windows(counting(20), 2, 3, 0.5, "text").ids,
                ElementsAre(2, 3, 10, 11, 16, 17));
}

TEST(Windows, TooShortATextNamesBothNumbers) {
    try {
        (void)spread_windows(counting(19), 4, 5, 0.0, "the calibration text");
        FAIL();
    } catch (const DataError& e) {
        EXPECT_THAT(e.what(), AllOf(HasSubstr("the calibration text is too short"),
                                    HasSubstr("19 tokens make 4 samples"), HasSubstr("5 were")));
    }
}

TEST_F(TokenStream, JoinsFilesOfAllKinds) {
    const std::vector<fs::path> files{file("a.txt", "ab"),
                                      file("b.jsonl", "{\"text\": \"cd\"}\n\n{\"text\": \"e\"}\n")};
    EXPECT_THAT(read_token_stream(files, &tokenizer, 256), ElementsAre('a', 'b', 'c', 'd', 'e'));
}

TEST_F(TokenStream, LineEndsAreThoseOfPythonsTextMode) {
    const std::vector<fs::path> files{file("ends.txt", "a\r\nb\rc\n\r\r\nd\r")};
    EXPECT_THAT(read_token_stream(files, &tokenizer, 256),
                ElementsAre('a', '\n', 'b', '\n', 'c', '\n', '\n', '\n', 'd', '\n'));
    EXPECT_THAT(read_texts(files, &tokenizer, classifier(0), 5).lengths, ElementsAre(3, 3, 3, 3));
}

TEST_F(TokenStream, TextsLoseTheirEndButNoSpecialTokens) {
    const std::vector<fs::path> files{file("lines.txt", "abcd\n\nef\n")};
    const TokenSequences texts = read_texts(files, &tokenizer, classifier(0), 5);
    EXPECT_THAT(texts.ids, ElementsAre(1, 'a', 'b', 'c', 2, 1, 'e', 'f', 2));
    EXPECT_THAT(texts.lengths, ElementsAre(5, 4));
}

TEST_F(TokenStream, PairsOfASentenceFileHaveSegmentsWhereTheModelHasThem) {
    const std::vector<fs::path> files{
        file("pairs.tsv", "id\tsentence1\tsentence2\tlabel\n1\tab\tc\t0\n2\td\tefgh\t1\n")};
    const TokenSequences pairs = read_texts(files, &tokenizer, classifier(2), 4);
    EXPECT_THAT(pairs.ids, ElementsAre('a', 'b', 'c', 'd', 'e', 'f', 'g'));
    EXPECT_THAT(pairs.lengths, ElementsAre(3, 4));
    EXPECT_THAT(pairs.segments, ElementsAre(0, 0, 1, 0, 1, 1, 1));
    for (const std::size_t rows : {0U, 1U}) {
        const TokenSequences plain = read_texts(files, &tokenizer, classifier(rows), 4);
        EXPECT_EQ(plain.ids, pairs.ids);
        EXPECT_TRUE(plain.segments.empty()) << rows;
    }
}

TEST_F(TokenStream, SingleSentencesAndPairsMix) {
    const std::vector<fs::path> files{file("one.tsv", "sentence\tlabel\nab\t0\n"),
                                      file("two.tsv", "question\tsentence\tlabel\nc\td\tx\n")};
    const TokenSequences texts = read_texts(files, &tokenizer, classifier(2), 8);
    EXPECT_THAT(texts.ids, ElementsAre(1, 'a', 'b', 2, 'c', 'd'));
    EXPECT_THAT(texts.segments, ElementsAre(0, 0, 0, 0, 0, 1));
}

TEST_F(TokenStream, RowsOfIdsKeepTheirSegments) {
    const fs::path ids = file("rows.h5", "");
    ArtifactWriter writer(ids);
    const auto write = [&](const std::string& name, const std::vector<std::int64_t>& values) {
        writer.dataset("/" + name, DType::i64, {2, 3},
                       reinterpret_cast<const std::byte*>(values.data()));
    };
    write("input_ids", {7, 8, 9, 4, 5, 6});
    write("attention_mask", {1, 1, 1, 1, 0, 0});
    write("token_type_ids", {0, 1, 1, 0, 0, 0});
    writer.commit();
    const std::vector<fs::path> files{ids};
    const TokenSequences rows = read_texts(files, nullptr, classifier(2), 2);
    EXPECT_THAT(rows.ids, ElementsAre(7, 8, 4));
    EXPECT_THAT(rows.lengths, ElementsAre(2, 1));
    EXPECT_THAT(rows.segments, ElementsAre(0, 1, 0));
    EXPECT_TRUE(read_texts(files, nullptr, classifier(1), 2).segments.empty());
}

TEST_F(TokenStream, TokenTypesAreTheFirstTextOrTheSecond) {
    for (const std::int64_t type : {std::int64_t{2}, std::int64_t{-1}, std::int64_t{1} << 32}) {
        const fs::path ids = file("types.h5", "");
        ArtifactWriter writer(ids);
        const std::vector<std::int64_t> values{7, 8};
        const std::vector<std::int64_t> types{0, type};
        writer.dataset("/input_ids", DType::i64, {1, 2},
                       reinterpret_cast<const std::byte*>(values.data()));
        writer.dataset("/token_type_ids", DType::i64, {1, 2},
                       reinterpret_cast<const std::byte*>(types.data()));
        writer.commit();
        EXPECT_THAT([&] { (void)read_token_rows(ids, 10); },
                    ThrowsMessage<DataError>(HasSubstr(
                        "token_type_ids has " + std::to_string(type) + ", expected 0 or 1")));
    }
}

TEST_F(TokenStream, AFileWithAnotherEndingIsPlainTextOrRefused) {
    for (const char* name : {"corpus.train", "noending", "wiki.text", "a.TXT"}) {
        const std::vector<fs::path> files{file(name, "ab\n\ncd\n")};
        EXPECT_THAT(read_token_stream(files, &tokenizer, 256),
                    ElementsAre('a', 'b', '\n', '\n', 'c', 'd', '\n'))
            << name;
        EXPECT_THAT(read_texts(files, &tokenizer, classifier(0), 5).lengths, ElementsAre(4, 4));
    }
    for (const std::string& content : {std::string("PAR1\0ab", 7), std::string("gr\xFCn")}) {
        const std::vector<fs::path> files{file("data.bin", content)};
        const auto refuses = ::testing::ThrowsMessage<DataError>(
            AllOf(HasSubstr("data.bin: unknown kind of text file"), HasSubstr(".jsonl")));
        EXPECT_THAT([&] { (void)read_token_stream(files, &tokenizer, 256); }, refuses);
        EXPECT_THAT([&] { (void)read_texts(files, &tokenizer, classifier(0), 5); }, refuses);
    }
}

TEST_F(TokenStream, SentencesAreNoRunningText) {
    const std::vector<fs::path> files{file("a.tsv", "sentence\tlabel\nab\t0\n")};
    EXPECT_THAT([&] { (void)read_token_stream(files, &tokenizer, 256); },
                ::testing::ThrowsMessage<DataError>(HasSubstr("for a classifier")));
}

TEST_F(TokenStream, RowsAreRefusedForTheirTrueCause) {
    const auto refusal = [&](const std::string& row) {
        const std::vector<fs::path> files{file("row.jsonl", "{\"text\": \"a\"}\n" + row + "\n")};
        try {
            (void)read_token_stream(files, &tokenizer, 256);
        } catch (const DataError& e) {
            EXPECT_THAT(e.what(), HasSubstr("row.jsonl:2: "));
            return std::string(e.what());
        }
        return std::string();
    };
    EXPECT_THAT(refusal("{\"text\": \"x \\ud83d\"}"), HasSubstr("surrogate"));
    EXPECT_THAT(refusal("{\"text\": \"x\"} y"), HasSubstr("not JSON, byte 15"));
    EXPECT_THAT(refusal("[1]"), HasSubstr("found array, expected a JSON object"));
    EXPECT_THAT(refusal("{\"text\": null}"), HasSubstr("\"text\" is null, expected a string"));
    EXPECT_THAT(refusal("{\"txt\": \"b\", \"id\": 1}"),
                HasSubstr("no field \"text\"; fields: id, txt"));
    EXPECT_THAT(refusal("{\"messages\": []}"), HasSubstr("calibration.chat_template: true"));
}

TEST_F(TokenStream, NumbersThatOnlyPythonWritesDoNotMatterElsewhere) {
    const std::vector<fs::path> files{
        file("nan.jsonl", "{\"text\": \"NaN\", \"score\": NaN, \"x\": [Infinity, -Infinity]}\n")};
    EXPECT_THAT(read_token_stream(files, &tokenizer, 256), ElementsAre('N', 'a', 'N'));
}

TEST_F(TokenStream, ChatsBecomeTextsByTheReader) {
    const std::vector<fs::path> files{
        file("chat.jsonl", "{\"messages\": [{}]}\n{\"text\": \"t\"}\n{\"conversations\": []}\n")};
    const TextReader reader(&tokenizer, [](const std::string& row, const std::string& where) {
        return std::to_string(row.size()) + where.substr(where.rfind(':'));
    });
    // The lengths of the first and the last row with their numbers, the text between them.
    EXPECT_THAT(read_token_stream(files, reader, 256),
                ElementsAre('1', '8', ':', '1', 't', '2', '1', ':', '3'));
}

TEST_F(TokenStream, OtherKindsOfFilesAreRefusedWithWhatConvertsThem) {
    const auto refusal = [&](const std::string& name) {
        const std::vector<fs::path> files{file(name, "x")};
        EXPECT_THROW((void)read_texts(files, &tokenizer, classifier(0), 4), DataError);
        try {
            (void)read_token_stream(files, &tokenizer, 256);
        } catch (const DataError& e) {
            return std::string(e.what());
        }
        return std::string();
    };
    const std::string parquet = refusal("a.parquet");
    EXPECT_THAT(parquet, HasSubstr("parquet is not read; convert it: python3 -c"));
    EXPECT_THAT(parquet, HasSubstr("a.parquet.jsonl"));
    EXPECT_THAT(refusal("a.json"), HasSubstr("json is not read; convert it"));
    EXPECT_THAT(refusal("a.jsonl.gz"), HasSubstr("gunzip -k "));
}

TEST_F(TokenStream, TextsInOtherEncodingsAreConvertedOrRefused) {
    const std::vector<fs::path> marked{file("wide.txt", std::string("\xFF\xFE"
                                                                    "a\0\n\0",
                                                                    6))};
    EXPECT_THAT(read_token_stream(marked, &tokenizer, 256), ElementsAre('a', '\n'));
    const std::vector<fs::path> latin{file("latin.txt", "caf\xE9")};
    EXPECT_THAT([&] { (void)read_token_stream(latin, &tokenizer, 256); },
                ::testing::ThrowsMessage<DataError>(HasSubstr("byte 0xE9 at offset 3")));
}

TEST_F(TokenStream, NamesFileAndLineOfABadRow) {
    const std::vector<fs::path> files{file("bad.jsonl", "{\"text\": \"a\"}\n{\"txt\": \"b\"}\n")};
    try {
        (void)read_token_stream(files, &tokenizer, 256);
        FAIL();
    } catch (const DataError& e) {
        EXPECT_THAT(e.what(), HasSubstr("bad.jsonl:2"));
    }
}

TEST_F(TokenStream, RefusesWhatItCannotRead) {
    const auto refused = [&](const fs::path& path, const Tokenizer* with, std::size_t vocab) {
        const std::vector<fs::path> files{path};
        EXPECT_THROW((void)read_token_stream(files, with, vocab), DataError) << path;
    };
    refused(file("a.csv", "\xFF"), &tokenizer, 256);
    refused(file("a.txt", "x"), nullptr, 256);
    refused(file("a.txt", "x"), &tokenizer, 'x');  // the id is not below the vocabulary
    refused(file("a.h5", "not HDF5"), nullptr, 256);
}

}  // namespace
}  // namespace lathe
