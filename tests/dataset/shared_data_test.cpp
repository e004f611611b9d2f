// The readers on the data sets themselves, where they are at hand.
#include <algorithm>
#include <filesystem>

#include <gtest/gtest.h>

#include "lib/dataset/glue.hpp"
#include "lib/dataset/multiple_choice.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;

struct GlueFile {
    const char* file;
    const char* task;
    std::size_t examples;
    std::ptrdiff_t of_label_1;
};

class SharedGlue : public ::testing::TestWithParam<GlueFile> {};

TEST_P(SharedGlue, Counts) {
    const fs::path path = fs::path(LATHE_SHARED_DIR) / "data" / GetParam().file;
    if (!fs::exists(path)) GTEST_SKIP() << path << " is not there";
    const auto examples = read_glue(path, GetParam().task);
    EXPECT_EQ(examples.size(), GetParam().examples);
    EXPECT_EQ(std::ranges::count(examples, 1U, &LabelledText::label), GetParam().of_label_1);
}

// Counts of the second column with awk.
INSTANTIATE_TEST_SUITE_P(All, SharedGlue,
                         ::testing::Values(GlueFile{"sst2/dev.tsv", "sst2", 872, 444},
                                           GlueFile{"sst2/train.tsv", "sst2", 60614, 33828},
                                           GlueFile{"cola/dev.tsv", "cola", 1043, 721},
                                           GlueFile{"cola/in_domain_train.tsv", "cola", 8551,
                                                    6023}));

struct ChoiceFile {
    const char* file;
    const char* task;
    std::size_t examples;
    std::ptrdiff_t of_answer_1;
};

class SharedChoice : public ::testing::TestWithParam<ChoiceFile> {};

TEST_P(SharedChoice, Counts) {
    const fs::path path = fs::path(LATHE_SHARED_DIR) / "data" / GetParam().file;
    if (!fs::exists(path)) GTEST_SKIP() << path << " is not there";
    const auto examples = read_multiple_choice(path, GetParam().task);
    EXPECT_EQ(examples.size(), GetParam().examples);
    EXPECT_EQ(std::ranges::count(examples, 1U, &ChoiceExample::answer), GetParam().of_answer_1);
}

// Counts of the labels with Python's json.
INSTANTIATE_TEST_SUITE_P(All, SharedChoice,
                         ::testing::Values(ChoiceFile{"piqa/test.jsonl", "piqa", 1838, 928},
                                           ChoiceFile{"arc-easy/test.jsonl", "arc_easy", 2376,
                                                      585}));

}  // namespace
}  // namespace lathe
