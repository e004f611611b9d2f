#include "lib/config/evaluate_reader.hpp"

namespace lathe {
namespace {

constexpr std::uint64_t most = 10000000;  // tokens of a sequence, examples of a text

TaskEntry read_task(const YamlValue& value, std::size_t index) {
    const std::string path = "evaluate.tasks[" + std::to_string(index) + "]";
    TaskEntry entry;
    entry.place = value.place;
    MapReader map(&value, path);
    map.read_text("task", entry.task);
    map.read_path("data", entry.data);
    map.read_whole("max_seq_length", entry.max_seq_length, 0, most);
    map.finish();
    for (const auto& [key, is_missing] :
         {std::pair("task", entry.task.empty()), std::pair("data", entry.data.empty())}) {
        if (is_missing) {
            refuse_at(value.place,
                      path + " has no key \"" + key + "\"; expected {task: NAME, data: FILE}");
        }
    }
    return entry;
}

std::vector<TaskEntry> read_tasks(const YamlValue* value) {
    if (value == nullptr) {
        return {};
    }
    if (value->kind != YamlValue::Kind::list) {
        refuse_at(value->place, "evaluate.tasks is " + describe(*value) +
                                    "; expected a list of {task: NAME, data: FILE}");
    }
    std::vector<TaskEntry> tasks;
    for (const YamlValue& item : value->items) {
        tasks.push_back(read_task(item, tasks.size()));
    }
    return tasks;
}

}  // namespace

EvaluateConfig read_evaluate(const YamlValue* value) {
    EvaluateConfig evaluate;
    MapReader map(value, "evaluate");
    map.read_paths("perplexity", evaluate.perplexity);
    evaluate.tasks = read_tasks(map.find("tasks"));
    map.read_whole("max_seq_length", evaluate.max_seq_length, 2, most);
    map.read_whole("limit", evaluate.limit, 0, most);
    map.finish();
    return evaluate;
}

}  // namespace lathe
