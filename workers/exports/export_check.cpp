#include "workers/exports/export_check.hpp"

#include <bit>

#include "lib/core/errors.hpp"
#include "lib/core/half.hpp"
#include "lib/core/json.hpp"

namespace lathe {
namespace {

/// Differences of a tensor that are described; the rest is counted.
bool is_same(float a, float b) {
    return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) ||
           (a == 0.0F && b == 0.0F);
}

/// Whether every number of `narrow` is one of `wide`.
bool holds(DType wide, DType narrow) {
    return wide == narrow || wide == DType::f32;
}

std::string compare(const ExportedModel& model, const ExportReader& reader, std::size_t t) {
    const TensorSpec& spec = model.spec().tensors[t];
    const ReadTensor found = reader.read(model, t);
    if (found.shape != model.shape(t)) {
        return spec.name + " has shape " + to_string(found.shape) + ", expected " +
               to_string(model.shape(t));
    }
    std::vector<float> expected = model.values(t);
    if (found.dense) {
        if (!holds(*found.dense, model.dtype(t))) {
            return spec.name + " is " + std::string(name(*found.dense)) + ", the source had " +
                   std::string(name(model.dtype(t)));
        }
        std::vector<std::byte> rounded(expected.size() * size_bytes(*found.dense));
        from_float(expected, *found.dense, rounded.data());
        to_float(rounded.data(), *found.dense, expected);
    }
    std::size_t n_different = 0;
    std::size_t first = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        if (!is_same(expected[i], found.values[i]) && n_different++ == 0) {
            first = i;
        }
    }
    if (n_different == 0) {
        return "";
    }
    return spec.name + ": " + std::to_string(n_different) + " of " +
           std::to_string(expected.size()) + " values differ, the first at " +
           std::to_string(first) + ": " + std::to_string(found.values[first]) + ", expected " +
           std::to_string(expected[first]);
}

}  // namespace

std::vector<std::string> run_export_check(const ExportCheckTask& task) {
    const ExportedModel model(task.checkpoint);
    const auto reader = find_export_format(task.format).reader(task.directory);
    std::vector<std::string> problems;
    if (!task.block) {
        problems = reader->problems(model);
    }
    for (std::size_t t = 0; t < model.spec().tensors.size(); ++t) {
        if (model.spec().tensors[t].block != task.block) {
            continue;
        }
        try {
            if (std::string problem = compare(model, *reader, t); !problem.empty()) {
                problems.push_back(std::move(problem));
            }
        } catch (const DataError& error) {
            problems.emplace_back(error.what());
        }
    }
    return problems;
}

std::string to_json(const ExportCheckTask& task) {
    nlohmann::json json{{"format", task.format},
                        {"checkpoint", task.checkpoint.string()},
                        {"directory", task.directory.string()}};
    if (task.block) {
        json["block"] = *task.block;
    }
    return json.dump();
}

ExportCheckTask export_check_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    ExportCheckTask task{json.at("format").get<std::string>(),
                         json.at("checkpoint").get<std::string>(),
                         json.at("directory").get<std::string>(),
                         {}};
    if (json.contains("block")) {
        task.block = json.at("block").get<std::size_t>();
    }
    return task;
}

}  // namespace lathe
