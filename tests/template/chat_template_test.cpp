#include "lib/template/chat_template.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const std::string row = R"({"messages": [{"role": "user", "content": "hi"}]})";

std::string render(const std::string& source, const std::string& messages = row) {
    return ChatTemplate(source, "t.jinja", {}).render(messages, "chats.jsonl:3");
}

class ChatDirectory : public ::testing::Test {
protected:
    void SetUp() override {
        directory_ = fs::path(::testing::TempDir()) / ("chat_" + std::to_string(::getpid()));
        make_directories(directory_ / "additional_chat_templates");
        write_file(directory_ / "tokenizer_config.json",
                   R"({"bos_token": "<b>", "chat_template": "config {{ bos_token }}"})");
        write_file(directory_ / "tokenizer.json",
                   R"({"added_tokens": [], "model": {"type": "BPE", "vocab": {"a": 0},
                       "merges": []}})");
    }
    void TearDown() override { fs::remove_all(directory_); }

    std::string rendered(const std::string& name) const {
        return load_chat_template(directory_, name).render(row, "row");
    }

    fs::path directory_;
};

TEST(ChatTemplate, NamesTheLineOfAMistake) {
    const auto refusal = [](const std::string& source) {
        try {
            (void)render(source);
        } catch (const DataError& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    EXPECT_THAT(refusal("a\n{% for m in messages %}\n"), HasSubstr("expected {% endfor %}"));
    EXPECT_THAT(refusal("\n\n{% include 'x' %}"),
                AllOf(HasSubstr("t.jinja: line 3: the statement {% include %}"),
                      HasSubstr("supported are if, for, set")));
    EXPECT_THAT(refusal("\n{{ messages | xmlattr }}"),
                HasSubstr("chats.jsonl:3: t.jinja: line 2: the filter \"xmlattr\""));
    EXPECT_THAT(refusal("{{ 'a'.swapcase() }}"), HasSubstr("the method \"swapcase\""));
    EXPECT_THAT(refusal("{{ 1 is prime }}"), HasSubstr("the test \"prime\""));
    EXPECT_THAT(refusal("{{ missing.part }}"), HasSubstr("'missing' is undefined"));
    EXPECT_THAT(refusal("{{ 1 + }}"), HasSubstr("line 1: the expression ends too early"));
    EXPECT_THAT(refusal("{{ 'open }}"), HasSubstr("a string that does not end"));
    EXPECT_THAT(refusal("{{ raise_exception('no system') }}"),
                HasSubstr("the template refuses the chat: no system"));
    EXPECT_THAT(refusal("{% set messages.x = 1 %}"), HasSubstr("only a namespace's parts"));
    EXPECT_THAT(refusal("{% endif %}"), HasSubstr("unexpected {% endif %}"));
}

void expect_refusal(const std::string& source, const std::string& problem) {
    EXPECT_THAT([&] { (void)render(source); }, ThrowsMessage<DataError>(HasSubstr(problem)))
        << source.substr(0, 100);
}

std::string repeated(const std::string& text, std::size_t times) {
    std::string all;
    for (std::size_t i = 0; i < times; ++i) all += text;
    return all;
}

// A template is a program that comes with a model. Each of these would run for ever, fill memory or
// end the process.
TEST(ChatTemplate, ATemplateThatTakesTooMuchIsRefused) {
    const std::string too_much = "rendering takes more time or memory";
    const std::string loop = "{% for i in range(100000) %}";
    expect_refusal(loop + loop + "{% endfor %}{% endfor %}", too_much);
    expect_refusal("{% set ns = namespace(t='aaaaaaaa') %}" + loop +
                       "{% set ns.t = ns.t + ns.t %}{% endfor %}",
                   too_much);
    expect_refusal(
        "{% set ns = namespace(t=[1]) %}" + loop + "{% set ns.t = ns.t + ns.t %}{% endfor %}",
        too_much);
    expect_refusal("{{ 'a' * 9000000000000000000 }}", too_much);
    expect_refusal("{{ [1] * 9000000000000000000 }}", too_much);
    expect_refusal("{{ ('a' * 10000) | replace('a', 'b' * 10000) }}", too_much);
    expect_refusal(
        "{% set ns = namespace(x=[1]) %}{% for i in range(100) %}"
        "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
        too_much);
    expect_refusal("{{ 'a\n' | indent(9000000000000000000) }}", "at most 1000");
}

TEST(ChatTemplate, ATemplateThatGoesTooDeepIsRefused) {
    expect_refusal("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "calls itself too deeply");
    expect_refusal("{{ " + repeated("(", 100000) + "1" + repeated(")", 100000) + " }}",
                   "within one another");
    expect_refusal("{{ " + repeated("[", 100000) + repeated("]", 100000) + " }}",
                   "within one another");
    expect_refusal("{{ " + repeated("not ", 100000) + "1 }}", "within one another");
    expect_refusal("{{ 1" + repeated(" + 1", 100000) + " }}", "more than 1000 parts");
    expect_refusal("{{ 1" + repeated(" | string", 100000) + " }}", "more than 1000 parts");
    expect_refusal(repeated("{% if 1 %}", 100000), "blocks within one another");
    expect_refusal(
        "{% set ns = namespace(x=[]) %}{% for i in range(1000) %}"
        "{% set ns.x = [ns.x] %}{% endfor %}",
        "within one another");
    EXPECT_THAT([] { (void)render("x", repeated("[", 100000)); },
                ThrowsMessage<DataError>(HasSubstr("within one another")));
}

TEST(ChatTemplate, ATemplateThatIsNoUtf8IsRefused) {
    expect_refusal("{{ 'ab\xE4' | lower }}", "t.jinja: not UTF-8");
}

TEST(ChatTemplate, NothingHoldsItself) {
    expect_refusal("{% set ns = namespace() %}{% set ns.a = ns %}", "a namespace within");
    expect_refusal("{% set ns = namespace() %}{% set ns.a = [ns] %}", "a namespace within");
    expect_refusal("{% set ns = namespace() %}{% set x = dict(a=ns) %}", "a namespace within");
}

TEST(ChatTemplate, NumbersThatDoNotFitAreRefused) {
    const std::string bits = "has more than 64 bits";
    expect_refusal("{{ 9223372036854775807 + 1 }}", bits);
    expect_refusal("{{ -9223372036854775807 - 2 }}", bits);
    expect_refusal("{{ 9223372036854775807 * 2 }}", bits);
    expect_refusal("{{ -(-9223372036854775807 - 1) }}", bits);
    expect_refusal("{{ (-9223372036854775807 - 1) // -1 }}", bits);
    expect_refusal("{{ (-9223372036854775807 - 1) | abs }}", bits);
    expect_refusal("{{ 10 ** 30 }}", "no integer of 64 bits");
    expect_refusal("{{ 1e30 | int }}", "no integer of 64 bits");
    expect_refusal("{{ [1e30, 1] | map('int') | list }}", "no integer of 64 bits");
    expect_refusal("{{ 99999999999999999999 }}", "too large");
    expect_refusal("{{ messages.99999999999999999999 }}", "too large");
    expect_refusal("{{ 1e999 }}", "too large");
    expect_refusal("{{ 5 is divisibleby 0 }}", "division by zero");
    expect_refusal("{{ 5 % 0 }}", "division by zero");
    expect_refusal("{{ '\\ud800' }}", "is no character");
    expect_refusal("{{ '\\U00110000' }}", "is no character");
    EXPECT_EQ(
        render("{{ (-9223372036854775807 - 1) % -1 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ -7 // 2 }}"),
        "0 2 -2 -4");
    EXPECT_EQ(render("{{ (-9223372036854775807 - 1) is divisibleby(-1) }}"), "True");
    EXPECT_EQ(render("{{ range(9223372036854775806, 9223372036854775807, 5) | list }}"),
              "[9223372036854775806]");
    EXPECT_EQ(render("{{ 'abc'[::9223372036854775807] }}"), "a");
}

TEST(ChatTemplate, NamesWhatARowLacks) {
    const auto refuses = [](const std::string& messages, const std::string& problem) {
        EXPECT_THAT(
            [&] { (void)render("x", messages); },
            ThrowsMessage<DataError>(AllOf(HasSubstr("chats.jsonl:3: "), HasSubstr(problem))));
    };
    refuses("{\"messages\": ", "not JSON");
    refuses("[1]", "expected a JSON object");
    refuses("{\"chat\": []}", "expected \"messages\"");
    refuses("{\"messages\": []}", "\"messages\" is an empty list");
    refuses("{\"messages\": [\"hi\"]}", "a message is string, expected an object");
}

TEST(ChatTemplate, TakesShareGptsNames) {
    const std::string source = "{% for m in messages %}{{ m.role }}={{ m.content }};{% endfor %}";
    EXPECT_EQ(render(source, R"({"conversations": [{"from": "human", "value": "a"},
                               {"from": "gpt", "value": "b"}, {"from": "system", "value": "c"}]})"),
              "user=a;assistant=b;system=c;");
}

TEST_F(ChatDirectory, AFileWinsOverTheConfiguration) {
    EXPECT_EQ(rendered(""), "config <b>");
    EXPECT_THAT([&] { (void)rendered("rag"); },
                ThrowsMessage<MissingInputError>(HasSubstr("\"rag\" ; there are: default")));
    write_file(directory_ / "chat_template.jinja", "file\n");
    write_file(directory_ / "additional_chat_templates/rag.jinja",
               "rag {{ eos_token is defined }}");
    EXPECT_EQ(rendered(""), "file");
    EXPECT_EQ(rendered("rag"), "rag False");
}

TEST_F(ChatDirectory, AListOfTemplatesHasNames) {
    write_file(directory_ / "tokenizer_config.json",
               R"({"chat_template": [{"name": "default", "template": "d"},
                                     {"name": "tool_use", "template": "t"}]})");
    EXPECT_EQ(rendered(""), "d");
    EXPECT_EQ(rendered("tool_use"), "t");
}

TEST_F(ChatDirectory, SaysWhichFilesDecide) {
    write_file(directory_ / "chat_template.jinja", "x");
    write_file(directory_ / "additional_chat_templates/a.jinja", "x");
    EXPECT_THAT(chat_template_files(directory_, "true"),
                ElementsAre(directory_ / "additional_chat_templates/a.jinja",
                            directory_ / "chat_template.jinja"));
    const std::string own = (directory_ / "additional_chat_templates/a.jinja").string();
    EXPECT_THAT(chat_template_files(directory_, own), ElementsAre(fs::path(own)));
}

}  // namespace
}  // namespace lathe
