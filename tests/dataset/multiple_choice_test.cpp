#include "lib/dataset/multiple_choice.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "tests/dataset/dataset_files.hpp"

namespace lathe {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using Examples = std::vector<ChoiceExample>;

TEST(MultipleChoice, Piqa) {
    const Examples examples = read_multiple_choice(fixture("piqa.jsonl"), "piqa");
    ASSERT_EQ(examples.size(), 2U);
    EXPECT_THAT(examples[0].contexts, Each("Question: How to keep a door open\nAnswer:"));
    EXPECT_THAT(examples[0].continuations,
                ElementsAre(" Put a wedge under it.", " Put a feather under it."));
    EXPECT_EQ(examples[0].answer, 0U);
    EXPECT_EQ(examples[1].contexts.size(), 2U);
    EXPECT_EQ(examples[1].answer, 1U);
    // "Add salt." and "Add ice, très froid.": characters, not bytes, without the space in front.
    EXPECT_THAT(examples[1].lengths, ElementsAre(9, 20));
}

TEST(MultipleChoice, HellaSwag) {
    const Examples examples = read_multiple_choice(fixture("hellaswag.jsonl"), "hellaswag");
    ASSERT_EQ(examples.size(), 2U);
    EXPECT_THAT(examples[0].contexts, Each("Washing windows: A man fills a bucket. He"));
    // What a mark leaves behind is not stripped again, as in the harness.
    EXPECT_THAT(examples[0].continuations,
                ElementsAre(" wipes the glass.", " eats the bucket.", "  sings.", " flies away."));
    EXPECT_THAT(examples[0].lengths, ElementsAre(16, 16, 7, 11));
    EXPECT_EQ(examples[0].answer, 0U);  // written "0"
    EXPECT_THAT(examples[1].contexts,
                Each("Home: How to oil a hinge. Find the oil. Look in the shed."));
    EXPECT_THAT(examples[1].continuations,
                ElementsAre(" Open the can.", " Eat it.", " Sell it. Run.", " Throw it away."));
    EXPECT_EQ(examples[1].answer, 3U);  // written 3
}

TEST(MultipleChoice, ArcKeysAreLettersOrDigits) {
    for (const char* const task : {"arc_easy", "arc_challenge"}) {
        const Examples examples = read_multiple_choice(fixture("arc.jsonl"), task);
        ASSERT_EQ(examples.size(), 3U);
        EXPECT_THAT(examples[0].contexts, Each("Question: What melts ice?\nAnswer:"));
        EXPECT_THAT(examples[0].continuations, ElementsAre(" cold", " heat", " dark"));
        EXPECT_EQ(examples[0].answer, 1U);
        EXPECT_EQ(examples[1].answer, 2U);  // key 3 of 1 2 3 4
        EXPECT_EQ(examples[2].answer, 1U);  // key 2 of A B
    }
}

TEST(MultipleChoice, WinograndeScoresTheRestAfterEachOption) {
    const Examples examples = read_multiple_choice(fixture("winogrande.jsonl"), "winogrande");
    ASSERT_EQ(examples.size(), 1U);
    EXPECT_THAT(examples[0].contexts, ElementsAre("The ball broke the window because the ball",
                                                  "The ball broke the window because the window"));
    EXPECT_THAT(examples[0].continuations, ElementsAre(" was thin.", " was thin."));
    EXPECT_EQ(examples[0].answer, 1U);
}

TEST(MultipleChoice, SimpleForm) {
    for (const char* const task : {"piqa", "arc_easy", "arc_challenge"}) {
        const Examples examples = read_multiple_choice(fixture("simple.jsonl"), task);
        EXPECT_THAT(examples.at(0).contexts, Each("Question: What is wet?\nAnswer:"));
        EXPECT_THAT(examples.at(0).continuations, ElementsAre(" fire", " water", " stone"));
        EXPECT_EQ(examples.at(0).answer, 1U);
    }
    EXPECT_THAT(read_multiple_choice(fixture("simple.jsonl"), "hellaswag").at(0).contexts,
                Each("What is wet?"));
}

class ChoiceFiles : public DatasetFiles {
protected:
    /// What read_multiple_choice() says about these lines.
    void expect(std::string_view content, std::string_view task, const std::string& message) {
        const std::filesystem::path path = written(content);
        SCOPED_TRACE(content.substr(0, 200));
        EXPECT_THAT([&] { (void)read_multiple_choice(path, task); },
                    ThrowsMessage<DataError>(AllOf(HasSubstr(path.string()), HasSubstr(message))));
    }
};

TEST_F(ChoiceFiles, SpaceAtTheEndOfAContextBeginsTheContinuation) {
    const auto path = written(
        R"({"activity_label": "A", "ctx_a": "one [end]", "ctx_b": "", "endings": ["x", "y"], "label": 0})");
    const ChoiceExample example = read_multiple_choice(path, "hellaswag").at(0);
    EXPECT_THAT(example.contexts, Each("A: one"));
    EXPECT_THAT(example.continuations, ElementsAre("  x", "  y"));
    EXPECT_THAT(example.lengths, Each(1));
}

TEST_F(ChoiceFiles, Keys) {
    expect(R"({"question": "q", "answer": 1})", "piqa",
           "line 1: the keys are \"answer, question\", expected goal, sol1, sol2, label or "
           "question, choices, label");
    expect("{}", "hellaswag", "expected activity_label, ctx_a, ctx_b, endings, label or question");
    // The other task's form is not taken: the name decides.
    expect(R"({"goal": "g", "sol1": "a", "sol2": "b", "label": 0})", "arc_easy",
           "expected question, choices, answerKey or question, choices, label");
}

TEST_F(ChoiceFiles, TestFilesHaveNoLabels) {
    const std::string reason = "an unlabelled test file cannot be evaluated";
    expect(R"({"goal": "g", "sol1": "a", "sol2": "b"})", "piqa",
           "there is no \"label\": " + reason);
    expect(R"({"goal": "g", "sol1": "a", "sol2": "b", "label": -1})", "piqa",
           "\"label\" is \"-1\": " + reason);
    expect(R"({"sentence": "_ x", "option1": "a", "option2": "b", "answer": ""})", "winogrande",
           "\"answer\" is \"\": " + reason);
}

TEST_F(ChoiceFiles, Labels) {
    const auto simple = [](const std::string& label) {
        return R"({"question": "q", "choices": ["a", "b", "c"], "label": )" + label + "}";
    };
    expect(simple("3"), "piqa", "line 1: \"label\" is \"3\", expected 0 to 2");
    expect(simple("-2"), "piqa", "\"label\" is \"-2\", expected 0 to 2");
    expect(simple("\"b\""), "piqa", "\"label\" is \"b\", expected 0 to 2");
    expect(simple("1.0"), "piqa", "\"label\" is 1.0, expected a string or a whole number");
    expect(simple("null"), "piqa", "\"label\" is null");
    expect(simple("99999999999999999999"), "piqa", "\"label\" is");
    expect(R"({"sentence": "_ x", "option1": "a", "option2": "b", "answer": "0"})", "winogrande",
           "\"answer\" is \"0\", expected 1 to 2");
    expect(
        R"({"question": "q", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "C"})",
        "arc_easy", "\"answerKey\" is \"C\", expected one of A, B");
}

TEST_F(ChoiceFiles, Values) {
    expect(R"({"question": "q", "choices": ["a"], "label": 0})", "piqa",
           "the number of options is 1, expected 2 or more");
    expect(R"({"question": "q", "choices": ["a", ""], "label": 0})", "piqa", "option 2 is empty");
    expect(R"({"question": "q", "choices": ["a", 7], "label": 0})", "piqa",
           "\"choices\" has the element 7, expected a string");
    expect(R"({"question": "q", "choices": {"a": 1}, "label": 0})", "piqa",
           "\"choices\" is an object, expected a list of strings");
    expect(R"({"question": "q", "choices": ["a", "b"], "answerKey": "A"})", "arc_easy",
           "\"choices\" is a list, expected an object");
    expect(
        R"({"question": "q", "choices": {"text": ["a", "b"], "label": ["A"]}, "answerKey": "A"})",
        "arc_easy", "line 1: \"choices\": 2 texts but 1 labels");
    expect(R"({"question": "q", "choices": {"text": ["a", "b"]}, "answerKey": "A"})", "arc_easy",
           "\"choices\": \"label\" is missing");
    expect(R"({"question": 5, "choices": ["a", "b"], "label": 0})", "piqa",
           "\"question\" is 5, expected a string");
    expect(R"({"question": " ", "choices": ["a", "b"], "label": 0})", "piqa",
           "the question is empty");
    expect(R"({"sentence": "no blank", "option1": "a", "option2": "b", "answer": "1"})",
           "winogrande", "the sentence \"no blank\" has no _");
    expect(R"({"sentence": "the end is _ ", "option1": "a", "option2": "b", "answer": "1"})",
           "winogrande", "nothing follows the _");
}

TEST_F(ChoiceFiles, Lines) {
    const std::string good = R"({"question": "q", "choices": ["a", "b"], "label": 0})";
    expect("", "piqa", "is empty");
    expect(good + "\n{\"question\": ", "piqa", "line 2: not JSON, byte 14: ");
    expect(good + "\n\n" + good, "piqa", "line 2: not JSON");
    expect(good + "\n[1, 2]\n", "piqa", "line 2: found a list, expected a JSON object");
    expect("[" + good + "]", "piqa", "line 1: found a list");
    expect("{\"question\": \"\xFF\"}", "piqa", "byte 0xFF at offset 14 (line 1) is not UTF-8");
    EXPECT_EQ(read_multiple_choice(written(good + "\r\n" + good + "\r\n\r\n"), "piqa").size(), 2U);
}

TEST_F(ChoiceFiles, LongLinesAreReadAndMessagesStayShort) {
    const std::string text(1 << 20, 'x');
    const auto path =
        written(R"({"question": ")" + text + R"(", "choices": ["a", "b"], "label": 0})");
    EXPECT_GT(read_multiple_choice(path, "piqa").at(0).contexts.at(0).size(), text.size());
    for (const std::string& bad :
         {"{\"" + text + "\": 1}", "{\"a\": " + text, "\"" + text + "\"",
          "{\"question\": \"q\", \"choices\": \"" + text + "\", \"label\": 0}"}) {
        try {
            (void)read_multiple_choice(written(bad), "piqa");
            ADD_FAILURE() << bad.substr(0, 40);
        } catch (const DataError& error) {
            EXPECT_LT(std::string_view(error.what()).size(), 600U) << bad.substr(0, 40);
        }
    }
}

TEST(MultipleChoice, UnknownTasks) {
    EXPECT_THAT([] { (void)read_multiple_choice("any", "arc"); },
                ThrowsMessage<UsageError>(HasSubstr("unknown task \"arc\"; known: ")));
    EXPECT_THAT([] { (void)read_multiple_choice("any", "cola"); },
                ThrowsMessage<UsageError>("task cola is a task of GLUE, expected multiple choice"));
}

}  // namespace
}  // namespace lathe
