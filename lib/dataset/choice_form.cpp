#include "lib/dataset/choice_form.hpp"

#include <algorithm>
#include <charconv>
#include <span>
#include <system_error>
#include <utility>

#include "lib/dataset/message.hpp"
#include "lib/dataset/prompt_text.hpp"

namespace lathe {
namespace {

[[noreturn]] void refuse_unlabelled(const JsonRow& row, const std::string& what) {
    row.fail(what + ": an unlabelled test file cannot be evaluated; use the validation file");
}

/// The label as text; files without labels leave it empty or write -1.
std::string read_key(const JsonRow& row, std::string_view key) {
    std::string label = row.text_or_integer(key);
    if (label.empty() || label == "-1") {
        refuse_unlabelled(row, "\"" + std::string(key) + "\" is " + in_quotes(label));
    }
    return label;
}

/// A number from `lowest` to `lowest + n_options - 1`, returned from 0 on.
std::size_t read_index(const JsonRow& row, std::string_view key, std::size_t lowest,
                       std::size_t n_options) {
    const std::string label = read_key(row, key);
    std::size_t value = 0;
    const char* const end = label.data() + label.size();
    const auto [rest, error] = std::from_chars(label.data(), end, value);
    if (error == std::errc{} && rest == end && value >= lowest && value - lowest < n_options) {
        return value - lowest;
    }
    row.fail("\"" + std::string(key) + "\" is " + in_quotes(label) + ", expected " +
             std::to_string(lowest) + " to " + std::to_string(lowest + n_options - 1));
}

/// At least two options, none empty.
std::vector<std::string> checked(std::vector<std::string> options, const JsonRow& row) {
    if (options.size() < 2) {
        row.fail("the number of options is " + std::to_string(options.size()) +
                 ", expected 2 or more");
    }
    const auto empty = std::ranges::find(options, std::string());
    if (empty != options.end()) {
        row.fail("option " + std::to_string(empty - options.begin() + 1) + " is empty");
    }
    return options;
}

ChoiceQuestion read_simple(const JsonRow& row) {
    std::vector<std::string> options = checked(row.texts("choices"), row);
    const std::size_t answer = read_index(row, "label", 0, options.size());
    return {row.text("question"), std::move(options), answer};
}

ChoiceQuestion read_piqa(const JsonRow& row) {
    return {row.text("goal"), checked({row.text("sol1"), row.text("sol2")}, row),
            read_index(row, "label", 0, 2)};
}

ChoiceQuestion read_hellaswag(const JsonRow& row) {
    std::vector<std::string> endings = checked(row.texts("endings"), row);
    const std::size_t answer = read_index(row, "label", 0, endings.size());
    return {row.text("activity_label") + ": " + row.text("ctx_a") + " " +
                capitalised(row.text("ctx_b")),
            std::move(endings), answer};
}

/// Some of ARC's questions name their choices A, B, ..., others 1, 2, ...; copies of the data set
/// that changed only one of key and choices are around.
std::string other_naming(const std::string& key) {
    if (key.size() != 1) return key;
    const char c = key.front();
    if (c >= '1' && c <= '9') return {static_cast<char>(c - '1' + 'A')};
    if (c >= 'A' && c <= 'I') return {static_cast<char>(c - 'A' + '1')};
    return key;
}

ChoiceQuestion read_arc(const JsonRow& row) {
    const JsonRow choices = row.object("choices");
    std::vector<std::string> options = checked(choices.texts("text"), row);
    const std::vector<std::string> names = choices.texts("label");
    if (names.size() != options.size()) {
        choices.fail(std::to_string(options.size()) + " texts but " + std::to_string(names.size()) +
                     " labels");
    }
    const std::string key = read_key(row, "answerKey");
    auto name = std::ranges::find(names, key);
    if (name == names.end()) name = std::ranges::find(names, other_naming(key));
    if (name == names.end()) {
        row.fail("\"answerKey\" is " + in_quotes(key) + ", expected one of " +
                 listed({names.begin(), names.end()}));
    }
    return {row.text("question"), std::move(options),
            static_cast<std::size_t>(name - names.begin())};
}

ChoiceQuestion read_winogrande(const JsonRow& row) {
    return {row.text("sentence"), checked({row.text("option1"), row.text("option2")}, row),
            read_index(row, "answer", 1, 2)};
}

bool has_all(const JsonRow& row, std::span<const std::string_view> keys) {
    return std::ranges::all_of(keys, [&](std::string_view key) { return row.has(key); });
}

}  // namespace

const ChoiceForm& simple_form() {
    static const ChoiceForm form = {{"question", "choices", "label"}, read_simple};
    return form;
}

const ChoiceForm& piqa_form() {
    static const ChoiceForm form = {{"goal", "sol1", "sol2", "label"}, read_piqa};
    return form;
}

const ChoiceForm& hellaswag_form() {
    static const ChoiceForm form = {{"activity_label", "ctx_a", "ctx_b", "endings", "label"},
                                    read_hellaswag};
    return form;
}

const ChoiceForm& arc_form() {
    static const ChoiceForm form = {{"question", "choices", "answerKey"}, read_arc};
    return form;
}

const ChoiceForm& winogrande_form() {
    static const ChoiceForm form = {{"sentence", "option1", "option2", "answer"}, read_winogrande};
    return form;
}

const ChoiceForm& find_form(const std::vector<ChoiceForm>& forms, const JsonRow& row) {
    std::string expected;
    for (const ChoiceForm& form : forms) {
        if (has_all(row, form.keys)) return form;
        expected += (expected.empty() ? "" : " or ") + listed(form.keys);
    }
    for (const ChoiceForm& form : forms) {
        if (has_all(row, std::span(form.keys).first(form.keys.size() - 1))) {
            refuse_unlabelled(row, "there is no \"" + std::string(form.keys.back()) + "\"");
        }
    }
    constexpr std::size_t longest = 160;
    row.fail("the keys are " + in_quotes(row.keys(), longest) + ", expected " + expected);
}

}  // namespace lathe
