// The defaults of every key of every family, against what transformers makes of the same
// config.json: tests/data/config/transformers.json, written by transformers_defaults.py, which also
// compares that file with an installed transformers.

#include "lib/model/config_defaults.hpp"

#include <filesystem>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "lib/model/family.hpp"
#include "lib/model/model_facts.hpp"
#include "lib/model/model_spec.hpp"

namespace lathe {
namespace {

using nlohmann::json;

const json& recorded() {
    static const json file = parse_json(
        read_file(std::filesystem::path(LATHE_SOURCE_DIR) / "tests/data/config/transformers.json"));
    return file;
}

/// The facts of a config.json as the file has them.
json facts_of(const json& config) {
    const ModelSpec spec = read_model_spec(config.dump(), "config.json");
    json facts = parse_json(model_facts(spec));
    if (facts["windows"].empty()) facts["windows"] = std::vector<std::size_t>(spec.n_blocks, 0);
    facts["inv_freq"] = spec.rope.inv_freq;
    return facts;
}

json changed(json config, const json& changes) {
    for (const auto& [key, value] : changes.items()) {
        if (value == recorded()["left_out"]) {
            config.erase(key);
        } else {
            config[key] = value;
        }
    }
    return config;
}

void expect_facts(const json& config, const json& expected, const std::string& which) {
    SCOPED_TRACE(which + ": " + config.dump());
    json found;
    ASSERT_NO_THROW(found = facts_of(config));
    for (const auto& [name, value] : expected.items()) {
        if (name != "inv_freq") {
            EXPECT_EQ(found.at(name), value) << name;
            continue;
        }
        ASSERT_EQ(found.at(name).size(), value.size());
        for (std::size_t i = 0; i < value.size(); ++i) {
            const double right = value[i];  // a float32 from torch's own power function
            EXPECT_NEAR(found.at(name)[i].get<double>(), right, 2e-7 * right) << name << " " << i;
        }
    }
}

class ConfigDefaults : public ::testing::TestWithParam<std::string_view> {
protected:
    const std::string family{GetParam()};
    const json& block = recorded()["families"].at(family);
};

TEST_P(ConfigDefaults, TheTableHasTheKeysThatAreCompared) {
    std::set<std::string> compared = block["keys"];
    std::set<std::string> in_table;
    for (const auto& [key, value] : config_defaults(family).items()) in_table.insert(key);
    EXPECT_EQ(in_table, compared);
}

TEST_P(ConfigDefaults, EveryConfigIsUnderstoodAsByTransformers) {
    expect_facts(block["config"], block["facts"], "as it is");
    for (const json& row : block["cases"]) {
        const json config = changed(block["config"], row["changes"]);
        if (row.contains("refused")) continue;  // no answer to agree with
        json expected = block["facts"];
        expected.update(row["facts"]);
        expect_facts(config, expected, row["case"]);
    }
}

// What the table says is what applies: a key that is there with that value changes nothing.
TEST_P(ConfigDefaults, AnAbsentKeyIsTheDefaultWrittenOut) {
    for (const auto& [key, value] : config_defaults(family).items()) {
        json absent = block["config"];
        absent.erase(key);
        json written = absent;
        written[key] = value;
        EXPECT_EQ(facts_of(absent), facts_of(written)) << key;
    }
}

// A null where transformers takes none is refused too, or read as what it stands for in Python:
// false, or "follow the rule".
TEST_P(ConfigDefaults, ANullSizeIsRefused) {
    for (const auto& [key, value] : config_defaults(family).items()) {
        if (!value.is_number() || key == "eos_token_id" || key == "head_dim" ||
            key == "num_key_value_heads" || key == "sliding_window" || key == "max_window_layers" ||
            key == "partial_rotary_factor" || key == "rotary_pct" ||
            key == "original_max_position_embeddings")
            continue;
        const json config = changed(block["config"], {{key, nullptr}});
        EXPECT_THROW((void)facts_of(config), DataError) << key;
    }
}

INSTANTIATE_TEST_SUITE_P(Families, ConfigDefaults, ::testing::ValuesIn([] {
                             std::vector<std::string_view> names;
                             for (const FamilyRow& row : family_table())
                                 names.push_back(row.model_type);
                             return names;
                         }()),
                         [](const auto& test) { return std::string(test.param); });

TEST(ConfigDefaultsTable, AnUnknownFamilyIsABug) {
    EXPECT_THROW((void)config_defaults("mamba"), InternalError);
    EXPECT_EQ(other_name("gpt2", "n_embd"), "hidden_size");
    EXPECT_EQ(other_name("llama", "hidden_size"), "");
}

}  // namespace
}  // namespace lathe
