// Templates against what transformers makes of them (tests/data/template/make_templates.py).
#include <fstream>

#include <gtest/gtest.h>

#include "lib/core/json.hpp"
#include "lib/template/chat_template.hpp"

namespace lathe {
namespace {

struct Case {
    std::string name;
    std::string source;
    std::string row;
    std::string text;
};

void PrintTo(const Case& one, std::ostream* out) {
    *out << one.name;
}

std::vector<Case> read_cases() {
    std::ifstream lines(std::filesystem::path(LATHE_SOURCE_DIR) /
                        "tests/data/template/cases.jsonl");
    std::vector<Case> cases;
    for (std::string line; std::getline(lines, line);) {
        // In the order of the file, which tojson shows.
        const auto json = nlohmann::ordered_json::parse(line);
        cases.push_back({json["name"].get<std::string>(), json["template"].get<std::string>(),
                         json["row"].dump(), json["text"].get<std::string>()});
    }
    return cases;
}

class TemplateCase : public ::testing::TestWithParam<Case> {};

TEST_P(TemplateCase, IsRenderedAsByTransformers) {
    const ChatTemplate chat(GetParam().source, "template",
                            {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}});
    EXPECT_EQ(chat.render(GetParam().row, "row"), GetParam().text);
}

INSTANTIATE_TEST_SUITE_P(Own, TemplateCase, ::testing::ValuesIn(read_cases()),
                         [](const auto& test) { return test.param.name; });

TEST(TemplateCases, AreThere) {
    EXPECT_GE(read_cases().size(), 20U);
}

}  // namespace
}  // namespace lathe
