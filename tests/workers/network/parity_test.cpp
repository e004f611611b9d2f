#include <algorithm>
#include <cmath>
#include <filesystem>

#include <gtest/gtest.h>
#include <unistd.h>

#include "kernels/backends.hpp"
#include "lib/checkpoint/artifact.hpp"
#include "lib/core/parallel.hpp"
#include "workers/checkpoint/model_to_run.hpp"
#include "workers/evaluation/evaluation.hpp"
#include "workers/evaluation/logits_file.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;

/// A model directory with a reference.h5 made by transformers in float32, and a backend.
struct Case {
    fs::path model;
    kernels::BackendKind backend;
};

std::vector<Case> all_cases() {
    std::vector<fs::path> models;
    for (const fs::path& folder : {fs::path(LATHE_SOURCE_DIR) / "tests/data/parity",
                                   fs::path(LATHE_SHARED_DIR) / "models/parity"}) {
        std::error_code absent;
        for (const auto& entry : fs::directory_iterator(folder, absent)) {
            if (entry.is_directory()) {
                models.push_back(entry.path());
            }
        }
    }
    std::ranges::sort(models);
    std::vector<Case> cases;
    for (const auto& backend : kernels::available_backends()) {
        for (const fs::path& model : models) {
            cases.push_back({model, backend});
        }
    }
    return cases;
}

/// Sets to 0 what belongs to masked tokens: nobody reads it. values [states, tokens, width]
void mask(const ArtifactReader& reference, std::vector<float>& values) {
    const auto names = reference.children("/");
    if (std::ranges::find(names, "attention_mask") == names.end()) {
        return;
    }
    const std::vector<std::int64_t> keep = reference.read_integers("/attention_mask");
    const std::size_t width = reference.info("/hidden").shape.back();
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (keep[i / width % keep.size()] == 0) {
            values[i] = 0.0F;
        }
    }
}

double relative_l2(const std::vector<float>& found, const std::vector<float>& expected) {
    double difference = 0.0;
    double norm = 0.0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        difference += (double{found[i]} - expected[i]) * (double{found[i]} - expected[i]);
        norm += double{expected[i]} * expected[i];
    }
    return std::sqrt(difference / norm);
}

class Parity : public ::testing::TestWithParam<Case> {};

// 1e-5: what float32 rounding over a few blocks leaves between two programs.
TEST_P(Parity, LogitsAndHiddenStatesAgreeWithTransformers) {
    const fs::path reference_file = GetParam().model / "reference.h5";
    ThreadPool pool(2);
    const auto backend = kernels::make_backend(GetParam().backend, pool);
    const fs::path output =
        fs::path(::testing::TempDir()) / ("parity_" + std::to_string(::getpid()) + ".h5");
    write_logits(ModelToRun(GetParam().model), *backend, reference_file, output, true);

    const ArtifactReader reference(reference_file);
    const ArtifactReader found(output);
    for (const std::string& dataset : reference.children("/")) {
        if (dataset != "logits" && dataset != "hidden") {
            continue;
        }
        const std::string name = "/" + dataset;
        std::vector<float> expected = reference.read_floats(name);
        const std::vector<float> values = found.read_floats(name);
        if (dataset == "hidden") {
            mask(reference, expected);
        }
        ASSERT_EQ(values.size(), expected.size()) << name;
        EXPECT_LT(relative_l2(values, expected), 1e-5) << name;
    }
    fs::remove(output);
}

INSTANTIATE_TEST_SUITE_P(Models, Parity, ::testing::ValuesIn(all_cases()), [](const auto& test) {
    const bool shared = test.param.model.string().find("tests/data") == std::string::npos;
    ThreadPool pool(1);
    return test.param.model.filename().string() + (shared ? "_shared_" : "_") +
           std::string(kernels::make_backend(test.param.backend, pool)->name());
});

}  // namespace
}  // namespace lathe
