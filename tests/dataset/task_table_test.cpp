#include "lib/dataset/task_table.hpp"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/dataset/choice_metrics.hpp"
#include "lib/dataset/metrics.hpp"

namespace lathe {
namespace {

using ::testing::ElementsAre;
using ::testing::ThrowsMessage;

TEST(TaskTable, NamesAreUnique) {
    std::set<std::string_view> names;
    for (const DatasetTask& task : task_table()) EXPECT_TRUE(names.insert(task.name).second);
    EXPECT_EQ(names.size(), 15U);
}

TEST(TaskTable, EveryMetricCanBeComputed) {
    const std::vector<std::uint32_t> labels = {0, 1, 1, 0};
    const std::vector<double> scores = {0.0, 1.0, 2.5};
    ChoiceExample example;
    example.lengths = {1, 1};
    const std::vector<std::vector<double>> sums = {{1.0, 0.0}};
    for (const DatasetTask& task : task_table()) {
        SCOPED_TRACE(task.name);
        std::vector<Metric> metrics;
        switch (task.kind) {
            case TaskKind::sentence_classification:
                metrics = label_metrics(task.metrics, labels, labels);
                break;
            case TaskKind::sentence_regression:
                metrics = score_metrics(task.metrics, scores, scores);
                break;
            case TaskKind::multiple_choice:
                metrics = choice_metrics(task.metrics, std::span(&example, 1), sums);
                break;
        }
        ASSERT_FALSE(metrics.empty());
        for (const Metric& metric : metrics) EXPECT_NEAR(metric.value, 1.0, 1e-15) << metric.name;
    }
}

TEST(TaskTable, Lookup) {
    EXPECT_EQ(find_task("stsb").kind, TaskKind::sentence_regression);
    EXPECT_THAT(find_task("stsb").metrics, ElementsAre("pearson", "spearman"));
    EXPECT_THAT(find_task("cola").metrics, ElementsAre("matthews"));
    EXPECT_THAT(find_task("mrpc").metrics, ElementsAre("f1", "accuracy"));
    EXPECT_EQ(find_task("mnli-mm").kind, TaskKind::sentence_classification);
    EXPECT_EQ(find_task("winogrande").kind, TaskKind::multiple_choice);
    EXPECT_THAT(
        [] { (void)find_task("glue"); },
        ThrowsMessage<UsageError>(
            "unknown task \"glue\"; known: cola, sst2, mrpc, stsb, qqp, mnli, mnli-mm, qnli, "
            "rte, wnli, piqa, hellaswag, arc_easy, arc_challenge, winogrande"));
}

}  // namespace
}  // namespace lathe
