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
