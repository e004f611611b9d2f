#include "workers/candidates/unit_factor.hpp"

#include <algorithm>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/core/upper_triangle.hpp"
#include "lib/job/run_directory.hpp"
#include "workers/candidates/unit_data.hpp"

namespace lathe {
namespace {

constexpr const char* path = "/factor";

std::filesystem::path file_of(const JobContext& context, const UnitSpec& unit,
                              const UnitFactor& factor) {
    return context.run.unit_factor(unit.name, to_string(factor.feedback));
}

}  // namespace

void run_factor(const JobContext& context, const FactorTask& task) {
    const UnitSpec& unit = context.spec().units.at(task.unit);
    std::vector<float> matrix = read_input_gram(context, unit);
    const std::size_t d = context.spec().tensors[unit.tensors.front()].shape.back();
    const MatrixView<float> view(matrix.data(), d, d);
    make_inverse_factor(view, task.factor.feedback, context.backend(), view);
    pack_upper(std::span(matrix), d);
    ArtifactWriter file(file_of(context, unit, task.factor));
    file.group("/", {{"fingerprint", task.factor.fingerprint}});
    file.dataset(path, DType::f32, {triangle_size(d)},
                 reinterpret_cast<const std::byte*>(matrix.data()));
    file.commit();
}

std::vector<float> read_unit_factor(const JobContext& context, const UnitSpec& unit,
                                    const UnitFactor& factor) {
    const ArtifactReader file(file_of(context, unit, factor));
    const std::size_t d = context.spec().tensors[unit.tensors.front()].shape.back();
    const std::size_t size = triangle_size(d);
    const std::string name = file.path().string();
    if (text_attribute(file.attributes("/"), "fingerprint", name) != factor.fingerprint ||
        file.info(path).shape != Shape{size}) {
        throw DataError(name + " is not the factor that was asked for; remove the file");
    }
    std::vector<float> whole(d * d);
    const std::span<float> packed = std::span(whole).last(size);
    file.read_into(path, reinterpret_cast<std::byte*>(packed.data()), packed.size_bytes());
    spread_upper(std::span(whole), d);
    for (std::size_t i = 0; i < d; ++i) {
        std::fill_n(whole.data() + i * d, i, 0.0F);
    }
    return whole;
}

std::string to_json(const FactorTask& task) {
    return nlohmann::json{{"unit", task.unit},
                          {"feedback", to_string(task.factor.feedback)},
                          {"fingerprint", task.factor.fingerprint}}
        .dump();
}

FactorTask factor_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    return {json.at("unit"),
            {error_feedback_from_string(json.at("feedback")), json.at("fingerprint")}};
}

}  // namespace lathe
