#include "lib/dataset/multiple_choice.hpp"

#include <array>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/dataset/choice_form.hpp"
#include "lib/dataset/json_row.hpp"
#include "lib/dataset/message.hpp"
#include "lib/dataset/prompt_text.hpp"
#include "lib/dataset/task_table.hpp"
#include "lib/dataset/text_file.hpp"

namespace lathe {
namespace {

struct TaskRow {
    ChoiceTask task;
    std::vector<ChoiceForm> forms;
    ChoiceExample (*prompt)(const ChoiceQuestion& question, const JsonRow& row);
};

void add_option(ChoiceExample& example, std::string_view context, std::string_view continuation) {
    const std::size_t n_moved = trailing_space(context);
    const std::size_t border = context.size() - n_moved;
    example.contexts.emplace_back(context.substr(0, border));
    example.continuations.push_back(std::string(context.substr(border)) + " " +
                                    std::string(continuation));
    example.lengths.push_back(n_characters(continuation));
}

ChoiceExample answer_prompt(const ChoiceQuestion& question, const JsonRow& /*row*/) {
    ChoiceExample example;
    for (const std::string& option : question.options) {
        add_option(example, "Question: " + question.text + "\nAnswer:", option);
    }
    example.answer = question.answer;
    return example;
}

ChoiceExample ending_prompt(const ChoiceQuestion& question, const JsonRow& /*row*/) {
    ChoiceExample example;
    for (const std::string& ending : question.options) {
        add_option(example, without_marks(question.text), without_marks(ending));
    }
    example.answer = question.answer;
    return example;
}

ChoiceExample blank_prompt(const ChoiceQuestion& question, const JsonRow& row) {
    const std::size_t blank = question.text.find('_');
    if (blank == std::string::npos) {
        row.fail("the sentence " + in_quotes(question.text) + " has no _ for the options");
    }
    const std::string_view rest = stripped(std::string_view(question.text).substr(blank + 1));
    if (rest.empty()) row.fail("nothing follows the _ of the sentence, so nothing can be scored");
    ChoiceExample example;
    for (const std::string& option : question.options) {
        add_option(example, question.text.substr(0, blank) + option, rest);
    }
    example.answer = question.answer;
    return example;
}

constexpr std::array<std::string_view, 2> both_accuracies = {"accuracy_norm", "accuracy"};
constexpr std::array<std::string_view, 1> plain_accuracy = {"accuracy"};

const std::vector<TaskRow>& rows() {
    static const std::vector<TaskRow> table = {
        {{"piqa", both_accuracies}, {piqa_form(), simple_form()}, answer_prompt},
        {{"hellaswag", both_accuracies}, {hellaswag_form(), simple_form()}, ending_prompt},
        {{"arc_easy", both_accuracies}, {arc_form(), simple_form()}, answer_prompt},
        {{"arc_challenge", both_accuracies}, {arc_form(), simple_form()}, answer_prompt},
        {{"winogrande", plain_accuracy}, {winogrande_form(), simple_form()}, blank_prompt},
    };
    return table;
}

const TaskRow& find_row(std::string_view name) {
    for (const TaskRow& row : rows()) {
        if (row.task.name == name) return row;
    }
    throw UsageError("task " + std::string(find_task(name).name) +
                     " is a task of GLUE, expected multiple choice");
}

}  // namespace

std::span<const ChoiceTask> choice_table() {
    static const std::vector<ChoiceTask> tasks = [] {
        std::vector<ChoiceTask> all;
        for (const TaskRow& row : rows()) all.push_back(row.task);
        return all;
    }();
    return tasks;
}

std::vector<ChoiceExample> read_multiple_choice(const std::filesystem::path& file,
                                                std::string_view task) {
    const TaskRow& task_row = find_row(task);
    const TextFile text(file);
    std::vector<ChoiceExample> examples;
    for (std::size_t i = 0; i < text.lines().size(); ++i) {
        const nlohmann::json object = parse_python_json(text.lines()[i], text.place(i));
        const JsonRow row(object, text.place(i));
        const ChoiceQuestion question = find_form(task_row.forms, row).read(row);
        if (stripped(question.text).empty()) row.fail("the question is empty");
        examples.push_back(task_row.prompt(question, row));
    }
    return examples;
}

}  // namespace lathe
