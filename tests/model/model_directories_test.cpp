// Whole model directories: config.json and the headers of the weights beside it.

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/checkpoint/safetensors.hpp"
#include "lib/core/file.hpp"
#include "lib/model/model_spec.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;

/// Reads the directory and checks its weights against its config.json.
ModelSpec load(const fs::path& directory) {
    const fs::path config = directory / "config.json";
    ModelSpec spec = read_model_spec(read_file(config), config.string());
    const SafetensorsCheckpoint checkpoint(directory);
    std::vector<FoundTensor> found;
    for (const auto& [name, tensor] : checkpoint.tensors())
        found.push_back({name, tensor.dtype, tensor.shape});
    match_tensors(spec, found, {}, directory.string());
    return spec;
}

TEST(ModelDirectories, OwnFixtures) {
    const fs::path parity = fs::path(LATHE_SOURCE_DIR) / "tests/data/parity";
    const ModelSpec plain = load(parity / "llama");
    EXPECT_EQ(plain.n_heads / plain.n_kv_heads, 3U);
    EXPECT_FALSE(plain.tied_head);
    EXPECT_TRUE(load(parity / "llama3").tied_head);
    const ModelSpec linear = load(parity / "llama_linear");
    EXPECT_EQ(linear.head_dim, 12U);
    EXPECT_TRUE(linear.find(Role::down_proj, 1, true).has_value());
}

// The frequencies that tests/data/parity/make_parity_fixtures.py printed, from transformers 5.23.0.
TEST(ModelDirectories, FrequenciesOfTheFixtures) {
    const fs::path parity = fs::path(LATHE_SOURCE_DIR) / "tests/data/parity";
    const std::vector<double> llama3{1.0,           0.244384587,    0.0130422562,   0.00395284733,
                                     0.00124999997, 0.000395284733, 0.000125000006, 3.95284733e-05};
    const std::vector<double> linear{0.400000006,   0.0967308432, 0.0233921409,
                                     0.00565685425, 0.0013679805, 0.000330814917};
    const auto expect_same = [](const std::vector<double>& ours,
                                const std::vector<double>& theirs) {
        ASSERT_EQ(ours.size(), theirs.size());
        for (std::size_t i = 0; i < ours.size(); ++i)
            EXPECT_EQ(static_cast<float>(ours[i]), static_cast<float>(theirs[i])) << i;
    };
    expect_same(load(parity / "llama3").rope.inv_freq, llama3);
    expect_same(load(parity / "llama_linear").rope.inv_freq, linear);
}

struct SharedModel {
    std::string directory;
    std::uint64_t parameters;
};

class SharedModels : public ::testing::TestWithParam<SharedModel> {};

TEST_P(SharedModels, HeadersFitTheConfig) {
    const fs::path directory = fs::path(LATHE_SHARED_DIR) / "models" / GetParam().directory;
    if (!fs::exists(directory)) GTEST_SKIP() << directory << " is not there";
    EXPECT_EQ(load(directory).parameters(), GetParam().parameters);
}

// The first three counts are those of models/README.md there; the others: the elements of all
// tensors in the headers.
INSTANTIATE_TEST_SUITE_P(All, SharedModels,
                         ::testing::Values(SharedModel{"kjv-llama", 5475584},
                                           SharedModel{"stories260k-llama", 260032},
                                           SharedModel{"babyllama105-llama", 936448},
                                           SharedModel{"parity/llama", 139584},
                                           SharedModel{"parity/llama3", 119104}));

}  // namespace
}  // namespace lathe
