#include "lib/dataset/glue.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/dataset/glue_table.hpp"
#include "tests/dataset/dataset_files.hpp"

namespace lathe {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using Texts = std::vector<LabelledText>;

TEST(Glue, ColaWithoutHeader) {
    EXPECT_EQ(read_glue(fixture("cola.tsv"), "cola"),
              (Texts{{"The kettle whistled until somebody moved it.", "", 1, 0.0},
                     {"The kettle moved somebody it whistled.", "", 0, 0.0},
                     {"He said \"wait\" and left.", "", 1, 0.0}}));
}

TEST(Glue, Sst2KeepsQuotesAndSpaces) {
    EXPECT_EQ(read_glue(fixture("sst2.tsv"), "sst2"),
              (Texts{{"a slow start , but a \"grand finish ", "", 1, 0.0},
                     {"the plot leaks like an old roof", "", 0, 0.0}}));
}

TEST(Glue, MrpcHasAByteOrderMarkAndCarriageReturns) {
    EXPECT_EQ(read_glue(fixture("mrpc.tsv"), "mrpc"),
              (Texts{{"The bridge opened on Monday.", "On Monday the bridge was opened.", 1, 0.0},
                     {"Rain fell in the north.", "The north had snow, not rain.", 0, 0.0}}));
}

TEST(Glue, StsbHasScores) {
    EXPECT_EQ(read_glue(fixture("stsb.tsv"), "stsb"),
              (Texts{{"A dog sleeps.", "A dog is asleep.", 0, 5.0},
                     {"A dog sleeps.", "Two boats race.", 0, 0.25}}));
}

TEST(Glue, MnliTakesTheGoldLabel) {
    for (const char* const task : {"mnli", "mnli-mm"}) {
        const Texts texts = read_glue(fixture("mnli.tsv"), task);
        ASSERT_EQ(texts.size(), 3U);
        EXPECT_EQ(texts[0], (LabelledText{"The hall was full.", "The hall was empty.", 2, 0.0}));
        EXPECT_EQ(texts[1].label, 0U);
        EXPECT_EQ(texts[2].label, 1U);
    }
}

struct Pair {
    const char* task;
    const char* second;  ///< of the first example
    std::uint32_t first_label;
    std::uint32_t second_label;
};

class PairTasks : public ::testing::TestWithParam<Pair> {};

TEST_P(PairTasks, ColumnsAndLabels) {
    const Texts texts = read_glue(fixture(std::string(GetParam().task) + ".tsv"), GetParam().task);
    ASSERT_EQ(texts.size(), 2U);
    EXPECT_EQ(texts[0].second, GetParam().second);
    EXPECT_EQ(texts[0].label, GetParam().first_label);
    EXPECT_EQ(texts[1].label, GetParam().second_label);
}

INSTANTIATE_TEST_SUITE_P(All, PairTasks,
                         ::testing::Values(Pair{"qqp", "How is bread baked?", 1, 0},
                                           Pair{"qnli", "The mill was built in 1801.", 0, 1},
                                           Pair{"rte", "The mill still stands.", 1, 0},
                                           Pair{"wnli", "The cup was round.", 1, 0}),
                         [](const auto& test) { return std::string(test.param.task); });

class GlueFiles : public DatasetFiles {};

TEST_F(GlueFiles, PlainForm) {
    EXPECT_EQ(read_glue(written("label\tsentence\n1\tone\nunacceptable\ttwo"), "cola"),
              (Texts{{"one", "", 1, 0.0}, {"two", "", 0, 0.0}}));
    EXPECT_EQ(
        read_glue(written("sentence1\tsentence2\tlabel\na\tb\t2\nc\td\tneutral\n\n\n"), "mnli"),
        (Texts{{"a", "b", 2, 0.0}, {"c", "d", 1, 0.0}}));
    EXPECT_EQ(read_glue(written("sentence1\tsentence2\tlabel\na\tb\t1.5\n"), "stsb"),
              (Texts{{"a", "b", 0, 1.5}}));
}

/// What read_glue() says about a file that begins with its own path.
class GlueRefusals : public DatasetFiles {
protected:
    void expect(std::string_view content, std::string_view task, const std::string& message) {
        const std::filesystem::path path = written(content);
        SCOPED_TRACE(content.substr(0, 200));
        EXPECT_THAT([&] { (void)read_glue(path, task); },
                    ThrowsMessage<DataError>(AllOf(HasSubstr(path.string()), HasSubstr(message))));
    }
};

TEST_F(GlueRefusals, Files) {
    expect("", "sst2", "is empty");
    expect("\xEF\xBB\xBF\n\n", "sst2", "is empty");
    expect("sentence\tlabel\n", "sst2", "only a header");
    EXPECT_THROW((void)read_glue(dir / "absent", "sst2"), MissingInputError);
}

TEST_F(GlueRefusals, Headers) {
    expect("text\tlabel\nx\t1\n", "sst2",
           "line 1: task sst2: the header has 2 columns \"text, label\"; expected among them "
           "sentence, label, separated by tabs");
    expect("a,b\n", "mrpc", "#1 String, #2 String, Quality or sentence1, sentence2, label");
    expect("one\ttwo\tthree\n", "cola", "or no header and 4 columns source, label, star, sentence");
    expect(std::string(100000, 'x'), "sst2", "xxx...\"; expected");
}

TEST_F(GlueRefusals, TestFilesHaveNoLabels) {
    const std::string reason = "one of GLUE's test files, whose labels are not public";
    expect("index\tsentence\n0\tx\n", "sst2",
           "line 1: there is no column \"label\": this looks like " + reason);
    expect("index\tsentence\n0\tx\n", "cola", reason);
    expect("index\t#1 ID\t#2 ID\t#1 String\t#2 String\n", "mrpc", "no column \"Quality\"");
    expect("index\tsentence1\tsentence2\n0\tx\ty\n", "mnli", "no column \"gold_label\"");
    expect("sentence\tlabel\nx\t-1\n", "sst2",
           "line 2: the label is \"-1\": this looks like " + reason);
    expect("sentence1\tsentence2\tscore\nx\ty\t\n", "stsb", "line 2: the score is \"\"");
}

TEST_F(GlueRefusals, Rows) {
    expect("sentence\tlabel\nx\t1\nx\n", "sst2", "line 3: 1 columns, expected 2 as in line 1");
    expect("sentence\tlabel\nx\t1\t1\n", "sst2", "line 2: 3 columns, expected 2");
    expect("sentence\tlabel\n\nx\t1\n", "sst2", "line 2: 1 columns");
    expect("sentence\tlabel\nx\t2\n", "sst2",
           "line 2: label \"2\", expected negative, positive or 0 to 1");
    expect("sentence\tlabel\nx\t1 \n", "sst2", "label \"1 \"");
    expect("sentence1\tsentence2\tgold_label\nx\ty\t-\n", "mnli",
           "label \"-\", expected entailment, neutral, contradiction or 0 to 2");
    expect("sentence\tlabel\n\t1\n", "sst2", "line 2: a sentence is empty");
    expect("s\t1\t\tfine\ns\tx\t*\tbad\n", "cola", "line 2: label \"x\"");
    for (const char* const score : {"5.01", "-0.1", "nan", "inf", "4,5", "high"}) {
        expect(std::string("sentence1\tsentence2\tscore\nx\ty\t") + score + "\n", "stsb",
               "expected a number from 0 to 5");
    }
    expect("sentence\tlabel\nx\t\xFF\n", "sst2", "byte 0xFF at offset 17 (line 2) is not UTF-8");
}

/// Every file of the project's own, by its columns alone.
TEST(Sentences, AreFoundWhateverTheTask) {
    const auto second = [](const char* file) { return read_sentences(fixture(file)).at(0).second; };
    EXPECT_EQ(read_sentences(fixture("sst2.tsv")).at(1),
              (TextPair{"the plot leaks like an old roof", ""}));
    EXPECT_EQ(read_sentences(fixture("cola.tsv")).at(1),
              (TextPair{"The kettle moved somebody it whistled.", ""}));
    EXPECT_EQ(read_sentences(fixture("cola.tsv")).size(), 3U);
    EXPECT_EQ(read_sentences(fixture("mrpc.tsv")).at(0),
              (TextPair{"The bridge opened on Monday.", "On Monday the bridge was opened."}));
    EXPECT_EQ(second("mnli.tsv"), "The hall was empty.");
    EXPECT_EQ(second("qnli.tsv"), "The mill was built in 1801.");
    EXPECT_EQ(second("qqp.tsv"), "How is bread baked?");
    EXPECT_EQ(second("rte.tsv"), "The mill still stands.");
    EXPECT_EQ(second("stsb.tsv"), "A dog is asleep.");
    EXPECT_EQ(second("wnli.tsv"), "The cup was round.");
}

TEST_F(GlueFiles, SentencesNeedNoLabels) {
    EXPECT_EQ(read_sentences(written("index\tsentence\n0\tone\n1\ttwo\n")),
              (std::vector<TextPair>{{"one", ""}, {"two", ""}}));
    EXPECT_EQ(read_sentences(written("index\tquestion\tsentence\n0\ta\tb\n")),
              (std::vector<TextPair>{{"a", "b"}}));
}

TEST_F(GlueFiles, RowsThatAreCutShortArePassedOver) {
    EXPECT_EQ(read_sentences(written("id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
                                     "1\t2\t3\ta\tb\t0\n4\t5\t6\tc\n7\t8\t9\td\t\t0\n")),
              (std::vector<TextPair>{{"a", "b"}}));
}

TEST_F(GlueFiles, FilesWithoutSentencesAreRefused) {
    const auto refuses = [&](std::string_view content, const char* message) {
        const std::filesystem::path path = written(content);
        EXPECT_THAT([&] { (void)read_sentences(path); },
                    ThrowsMessage<DataError>(AllOf(HasSubstr(path.string()), HasSubstr(message))));
    };
    refuses("text\tlabel\nx\t1\n", "line 1: the header has 2 columns \"text, label\"; expected");
    refuses("a\tb\tc\td\n", "the header has 4 columns");  // no label of CoLA
    refuses("sentence\tlabel\n", "no sentence");
    EXPECT_THROW((void)read_sentences(dir / "absent"), MissingInputError);
}

TEST(Glue, UnknownTasks) {
    EXPECT_THAT([] { (void)read_glue("any", "sst-2"); },
                ThrowsMessage<UsageError>(HasSubstr("unknown task \"sst-2\"; known: cola, sst2")));
    EXPECT_THAT([] { (void)read_glue("any", "piqa"); },
                ThrowsMessage<UsageError>("task piqa is multiple choice, expected a task of GLUE"));
}

// The order of the labels in Hugging Face's data set; WNLI differs from RTE on purpose.
TEST(Glue, OrderOfLabels) {
    const auto labels = [](const char* task) {
        const auto words = find_glue_task(task).labels;
        return std::vector<std::string_view>(words.begin(), words.end());
    };
    EXPECT_THAT(labels("mnli"), ElementsAre("entailment", "neutral", "contradiction"));
    EXPECT_THAT(labels("rte"), ElementsAre("entailment", "not_entailment"));
    EXPECT_THAT(labels("qnli"), ElementsAre("entailment", "not_entailment"));
    EXPECT_THAT(labels("wnli"), ElementsAre("not_entailment", "entailment"));
    EXPECT_THAT(labels("cola"), ElementsAre("unacceptable", "acceptable"));
}

}  // namespace
}  // namespace lathe
