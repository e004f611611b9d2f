#include "lib/dataset/label_names.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::vector<std::uint32_t> mapped(const char* task, const std::vector<std::string>& names) {
    return map_model_labels(find_glue_task(task), names);
}

TEST(LabelNames, ByNameInAnyOrderAndSpelling) {
    EXPECT_THAT(mapped("mnli", {"CONTRADICTION", "NEUTRAL", "ENTAILMENT"}), ElementsAre(2, 1, 0));
    EXPECT_THAT(mapped("mnli", {"contradiction", "entailment", "neutral"}), ElementsAre(2, 0, 1));
    EXPECT_THAT(mapped("rte", {"Not-Entailment", "entailment"}), ElementsAre(1, 0));
    EXPECT_THAT(mapped("mrpc", {"not equivalent", "equivalent"}), ElementsAre(0, 1));
}

TEST(LabelNames, TheTasksOrderWhenNamesSayNothing) {
    EXPECT_THAT(mapped("mnli", {"LABEL_0", "LABEL_1", "LABEL_2"}), ElementsAre(0, 1, 2));
    EXPECT_THAT(mapped("sst2", {"POSITIVE", "LABEL_1"}), ElementsAre(0, 1));
    EXPECT_THAT(mapped("stsb", {"LABEL_0"}), ElementsAre(0));
}

TEST(LabelNames, Refusals) {
    EXPECT_THAT(
        [] {
            mapped("rte", {"entailment", "neutral", "contradiction"});
        },
        ThrowsMessage<DataError>(
            "the model has 3 outputs (\"entailment\", \"neutral\", \"contradiction\"), task "
            "rte needs 2 (entailment, not_entailment)"));
    EXPECT_THAT(
        [] {
            mapped("stsb", {"a", "b"});
        },
        ThrowsMessage<DataError>(HasSubstr("task stsb needs 1 (a score)")));
    EXPECT_THAT(
        [] {
            mapped("sst2", {"Positive", "positive"});
        },
        ThrowsMessage<DataError>(HasSubstr("name one label of sst2 twice")));
    EXPECT_THROW(mapped("sst2", {}), DataError);
}

}  // namespace
}  // namespace lathe
