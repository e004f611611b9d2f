#include "lib/dataset/glue.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <system_error>

#include "lib/core/errors.hpp"
#include "lib/dataset/glue_table.hpp"
#include "lib/dataset/message.hpp"
#include "lib/dataset/text_file.hpp"

namespace lathe {
namespace {

using Fields = std::vector<std::string_view>;

/// Of a file without header: source, label, star, sentence.
constexpr std::size_t headerless_columns = 4;

/// Where things stand in a line.
struct Columns {
    std::size_t first;
    std::optional<std::size_t> second;
    std::size_t label;
    std::size_t count;
    std::size_t first_line;  ///< index of the first example
};

Fields split(std::string_view line) {
    Fields fields;
    while (true) {
        const std::size_t tab = line.find('\t');
        fields.push_back(line.substr(0, tab));
        if (tab == std::string_view::npos) return fields;
        line.remove_prefix(tab + 1);
    }
}

/// Names of columns, in the order sentences, label: GLUE's own, and the plain form if it differs.
std::vector<Fields> layouts(const GlueTask& task) {
    Fields own = {task.first, task.second, task.label};
    Fields plain = {"sentence1", "sentence2", "label"};
    if (task.second.empty()) {
        own = {task.first, task.label};
        plain = {"sentence", "label"};
    }
    if (own == plain) return {own};
    return {own, plain};
}

/// Places of `names` in the header; none if one is absent.
std::optional<std::vector<std::size_t>> find_names(const Fields& header, const Fields& names) {
    std::vector<std::size_t> places;
    for (const std::string_view name : names) {
        const auto place = std::ranges::find(header, name);
        if (place == header.end()) return std::nullopt;
        places.push_back(static_cast<std::size_t>(place - header.begin()));
    }
    return places;
}

[[noreturn]] void refuse_unlabelled(const std::string& where, const std::string& what) {
    throw DataError(where + ": " + what +
                    ": this looks like one of GLUE's test files, whose labels are not public; "
                    "evaluate on the development set");
}

[[noreturn]] void refuse_header(const GlueTask& task, const Fields& header,
                                const std::string& where) {
    std::string expected;
    for (const Fields& names : layouts(task)) {
        expected += (expected.empty() ? "" : " or ") + listed(names);
    }
    if (task.headerless) expected += ", or no header and 4 columns source, label, star, sentence";
    constexpr std::size_t longest = 160;
    throw DataError(where + ": task " + std::string(task.name) + ": the header has " +
                    std::to_string(header.size()) + " columns " +
                    in_quotes(listed(header), longest) + "; expected among them " + expected +
                    ", separated by tabs");
}

Columns find_columns(const GlueTask& task, const TextFile& file) {
    const Fields header = split(file.lines().front());
    for (const Fields& names : layouts(task)) {
        const auto places = find_names(header, names);
        if (!places) continue;
        Columns columns{places->front(), std::nullopt, places->back(), header.size(), 1};
        if (!task.second.empty()) columns.second = (*places)[1];
        return columns;
    }
    for (Fields names : layouts(task)) {
        const std::string label(names.back());
        names.pop_back();
        if (find_names(header, names)) {
            refuse_unlabelled(file.place(0), "there is no column \"" + label + "\"");
        }
    }
    if (task.headerless && header.size() == headerless_columns) {
        return {3, std::nullopt, 1, headerless_columns, 0};
    }
    refuse_header(task, header, file.place(0));
}

/// Where the sentences stand in a file of any task; `label` and `count` say nothing.
Columns find_sentences(const TextFile& file) {
    const Fields header = split(file.lines().front());
    // Names of a pair first: QNLI's "question" and "sentence" hold the one name of SST-2.
    for (const bool in_pairs : {true, false}) {
        for (const GlueTask& task : glue_table()) {
            if (task.second.empty() == in_pairs) continue;
            for (Fields names : layouts(task)) {
                names.pop_back();  // the label
                const auto places = find_names(header, names);
                if (!places) continue;
                Columns columns{places->front(), std::nullopt, 0, 0, 1};
                if (in_pairs) columns.second = places->back();
                return columns;
            }
        }
    }
    if (header.size() == headerless_columns && (header[1] == "0" || header[1] == "1")) {
        return {headerless_columns - 1, std::nullopt, 0, 0, 0};  // CoLA
    }
    constexpr std::size_t longest = 160;
    throw DataError(file.place(0) + ": the header has " + std::to_string(header.size()) +
                    " columns " + in_quotes(listed(header), longest) +
                    "; expected the names of a task of GLUE, such as sentence, or sentence1 and "
                    "sentence2, separated by tabs");
}

/// The whole field as a number; none if it is anything else.
template <class Number>
std::optional<Number> number(std::string_view field) {
    Number value{};
    const char* const end = field.data() + field.size();
    const auto [rest, error] = std::from_chars(field.data(), end, value);
    if (error != std::errc{} || rest != end) return std::nullopt;
    return value;
}

std::uint32_t read_label(std::string_view field, const GlueTask& task, const std::string& where) {
    if (field.empty() || field == "-1") {
        refuse_unlabelled(where, "the label is " + in_quotes(field));
    }
    const auto word = std::ranges::find(task.labels, field);
    if (word != task.labels.end()) return static_cast<std::uint32_t>(word - task.labels.begin());
    const auto index = number<std::uint32_t>(field);
    if (index && *index < task.labels.size()) return *index;
    throw DataError(where + ": label " + in_quotes(field) + ", expected " +
                    listed({task.labels.begin(), task.labels.end()}) + " or 0 to " +
                    std::to_string(task.labels.size() - 1));
}

double read_score(std::string_view field, const std::string& where) {
    constexpr double highest = 5.0;
    if (field.empty() || field == "-1") {
        refuse_unlabelled(where, "the score is " + in_quotes(field));
    }
    const auto score = number<double>(field);
    // Written so that "nan", which from_chars reads, is refused as well.
    if (score && *score >= 0.0 && *score <= highest) return *score;
    throw DataError(where + ": score " + in_quotes(field) + ", expected a number from 0 to 5");
}

std::string read_sentence(std::string_view field, const std::string& where) {
    if (field.empty()) throw DataError(where + ": a sentence is empty");
    return std::string(field);
}

LabelledText read_example(std::string_view line, const Columns& columns, const GlueTask& task,
                          const std::string& where) {
    const Fields fields = split(line);
    if (fields.size() != columns.count) {
        throw DataError(where + ": " + std::to_string(fields.size()) + " columns, expected " +
                        std::to_string(columns.count) + " as in line 1");
    }
    LabelledText example;
    example.first = read_sentence(fields[columns.first], where);
    if (columns.second) example.second = read_sentence(fields[*columns.second], where);
    const std::string_view label = fields[columns.label];
    if (task.labels.empty()) {
        example.score = read_score(label, where);
    } else {
        example.label = read_label(label, task, where);
    }
    return example;
}

}  // namespace

std::vector<LabelledText> read_glue(const std::filesystem::path& file, std::string_view task) {
    const GlueTask& row = find_glue_task(task);
    const TextFile text(file);
    const Columns columns = find_columns(row, text);
    std::vector<LabelledText> examples;
    for (std::size_t i = columns.first_line; i < text.lines().size(); ++i) {
        examples.push_back(read_example(text.lines()[i], columns, row, text.place(i)));
    }
    if (examples.empty()) throw DataError(file.string() + ": only a header, no example");
    return examples;
}

std::vector<TextPair> read_sentences(const std::filesystem::path& file) {
    const TextFile text(file);
    const Columns columns = find_sentences(text);
    const std::size_t last = std::max(columns.first, columns.second.value_or(0));
    std::vector<TextPair> sentences;
    for (std::size_t i = columns.first_line; i < text.lines().size(); ++i) {
        const Fields fields = split(text.lines()[i]);
        if (fields.size() <= last || fields[columns.first].empty()) continue;
        TextPair pair{std::string(fields[columns.first]), ""};
        if (columns.second) {
            pair.second = fields[*columns.second];
            if (pair.second.empty()) continue;
        }
        sentences.push_back(std::move(pair));
    }
    if (sentences.empty()) throw DataError(file.string() + ": no sentence in it");
    return sentences;
}

}  // namespace lathe
