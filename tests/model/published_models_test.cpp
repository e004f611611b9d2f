// Configs of published models (configs/models, with their sources): the number of parameters and
// the switches that the forward pass takes from them.

#include <cctype>
#include <filesystem>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "lib/model/model_facts.hpp"
#include "lib/model/model_spec.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct PublishedModel {
    std::string folder;
    std::uint64_t parameters;  ///< as in configs/models/README.md, where the sources are
    json switches;             ///< of model_facts()
    std::string refused{};     ///< a part of what run() would refuse; "": nothing
};

fs::path config_of(const std::string& folder) {
    return fs::path(LATHE_SOURCE_DIR) / "configs/models" / folder / "config.json";
}

json rope(double theta, std::size_t dims, const char* kind = "default") {
    return {{"kind", kind}, {"theta", theta}, {"dims", dims}};
}

json all_blocks(std::size_t n, std::size_t window) {
    return std::vector<std::size_t>(n, window);
}

std::vector<PublishedModel> decoders_of_the_llama_kind() {
    const json none = json::array();
    return {
        {"llama-2-7b",
         6738415616,
         {{"kv_heads", 32},
          {"rope", rope(1e4, 128)},
          {"windows", none},
          {"norm_epsilon", 1e-5},
          {"eos_ids", {2}}}},
        {"llama-2-70b", 68976648192, {{"kv_heads", 8}, {"max_positions", 4096}}},
        {"llama-3-8b", 8030261248, {{"rope", rope(5e5, 128)}, {"tied_head", false}}},
        {"llama-3.1-70b", 70553706496, {{"rope", rope(5e5, 128, "llama3")}}},
        {"llama-3.1-405b", 405853388800, {{"blocks", 126}, {"max_positions", 131072}}},
        {"llama-3.2-1b", 1235814400, {{"rope", rope(5e5, 64, "llama3")}, {"tied_head", true}}},
        {"mistral-7b-v0.1",
         7241732096,
         {{"windows", all_blocks(32, 4096)}, {"rope", rope(1e4, 128)}}},
        {"mistral-7b-v0.2", 7241732096, {{"windows", none}, {"rope", rope(1e6, 128)}}},
        {"mistral-7b-v0.3", 7248023552, {{"windows", none}, {"vocab_size", 32768}}},
        {"mistral-large-2407", 122610069504, {{"head_dim", 128}, {"windows", none}}},
        {"qwen2-7b", 7615616512, {{"windows", none}, {"norm_epsilon", 1e-6}}},
        {"qwen2.5-72b", 72706203648, {{"windows", none}, {"norm_epsilon", 1e-5}}},
        {"qwen3-8b", 8190735360, {{"windows", none}, {"head_dim", 128}, {"rope", rope(1e6, 128)}}},
        {"phi-3-mini-4k", 3821079552, {{"windows", all_blocks(32, 2047)}, {"rope", rope(1e4, 96)}}},
        {"phi-3.5-mini",
         3821079552,
         {{"windows", all_blocks(32, 262144)}},
         "\"rope_scaling.type\" is \"longrope\"; expected the supported kind: default"},
    };
}

std::vector<PublishedModel> others() {
    return {
        {"phi-2",
         2779683840,
         {{"block_form", "parallel"}, {"rope", rope(1e4, 32)}, {"activation", "gelu_tanh"}}},
        {"opt-350m", 331196416, {{"block_form", "post_norm"}, {"embedding_size", 512}}},
        {"opt-66b", 65719701504, {{"tied_head", true}, {"activation", "relu"}, {"rope", nullptr}}},
        {"opt-175b", 174604468224, {{"norm_epsilon", 1e-5}, {"block_form", "pre_norm"}}},
        {"gpt2", 124439808, {{"tied_head", true}, {"intermediate_size", 3072}}},
        {"gpt2-xl", 1557611200, {{"heads", 25}, {"activation", "gelu_tanh"}}},
        {"pythia-6.9b",
         6857302016,
         {{"block_form", "parallel"},
          {"rope", rope(1e4, 32)},
          {"activation", "gelu"},
          {"tied_head", false}}},
        {"gpt-neox-20b", 20554567680, {{"activation", "gelu_tanh"}, {"rope", rope(1e4, 24)}}},
        {"bloom-176b", 176247271424, {{"alibi", true}, {"heads", 112}, {"tied_head", true}}},
        {"bert-base-uncased",
         109483778,
         {{"norm_epsilon", 1e-12}, {"causal", false}},
         "the architecture BertForMaskedLM is not supported"},
        {"roberta-base",
         124647170,
         {{"norm_epsilon", 1e-5}, {"max_positions", 512}},
         "the architecture RobertaForMaskedLM is not supported"},
        {"distilbert-base-uncased",
         66955010,
         {{"norm_epsilon", 1e-12}, {"blocks", 6}},
         "the architecture DistilBertForMaskedLM is not supported"},
    };
}

std::vector<PublishedModel> all_models() {
    std::vector<PublishedModel> models = decoders_of_the_llama_kind();
    for (PublishedModel& model : others()) models.push_back(std::move(model));
    return models;
}

class PublishedModels : public ::testing::TestWithParam<PublishedModel> {};

TEST_P(PublishedModels, ParametersAndSwitches) {
    const PublishedModel& model = GetParam();
    const fs::path file = config_of(model.folder);
    std::vector<std::string> refused;
    const ModelSpec spec = read_model_spec(read_file(file), file.string(), refused);
    EXPECT_EQ(spec.parameters(), model.parameters);
    const json facts = parse_json(model_facts(spec));
    for (const auto& [name, value] : model.switches.items()) EXPECT_EQ(facts.at(name), value);
    if (model.refused.empty()) {
        EXPECT_THAT(refused, IsEmpty());
        EXPECT_EQ(read_model_spec(read_file(file), file.string()).parameters(), model.parameters);
    } else {
        EXPECT_THAT(refused, ElementsAre(HasSubstr(model.refused)));
        EXPECT_THROW((void)read_model_spec(read_file(file), file.string()), DataError);
    }
}

INSTANTIATE_TEST_SUITE_P(All, PublishedModels, ::testing::ValuesIn(all_models()),
                         [](const auto& test) {
                             std::string name = test.param.folder;
                             for (char& c : name) c = std::isalnum(c) != 0 ? c : '_';
                             return name;
                         });

TEST(PublishedModelFolders, EachIsInTheTable) {
    std::set<std::string> tested;
    for (const PublishedModel& model : all_models()) tested.insert(model.folder);
    for (const auto& entry : fs::directory_iterator(config_of("").parent_path()))
        if (entry.is_directory()) {
            EXPECT_TRUE(tested.contains(entry.path().filename().string()));
        }
    EXPECT_GE(tested.size(), 20U);
}

}  // namespace
}  // namespace lathe
