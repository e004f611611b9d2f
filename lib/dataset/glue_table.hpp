#pragma once

#include <span>
#include <string_view>

namespace lathe {

/// A task of GLUE (Wang et al. 2018, arXiv 1804.07461): where its columns are and what its labels
/// mean. All views are of static storage.
struct GlueTask {
    std::string_view name;
    /// Names of columns in the header of GLUE's own files. `second` is empty for tasks of one
    /// sentence.
    std::string_view first;
    std::string_view second;
    std::string_view label;
    /// Words for the labels, each at the place of its number. The order is that of the Hugging
    /// Face data set `glue`, which most fine-tuned models follow. Empty: the label is a score.
    std::span<const std::string_view> labels;
    std::span<const std::string_view> metrics;
    /// CoLA: GLUE's file has no header but the columns source, label, star, sentence.
    bool headerless = false;
};

[[nodiscard]] std::span<const GlueTask> glue_table();

/// @throws UsageError  if there is no such task, or it is none of GLUE's
[[nodiscard]] const GlueTask& find_glue_task(std::string_view name);

}  // namespace lathe
