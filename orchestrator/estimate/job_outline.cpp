#include "orchestrator/estimate/job_outline.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include <fmt/format.h>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "lib/model/config_reader.hpp"
#include "orchestrator/serving.hpp"
#include "workers/job/job_candidates.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

/// The type that config.json names, `dtype` or the older `torch_dtype`; float32, torch's own, if it
/// names none. Adds a line to `notes` where the file's word is not taken.
DType dtype_of(const ConfigReader& config, std::vector<std::string>& notes) {
    for (const char* key : {"dtype", "torch_dtype"}) {
        auto text = config.optional_string(key);
        if (!text || *text == "auto") {
            continue;
        }
        constexpr std::string_view module = "torch.";
        if (text->starts_with(module)) {
            text->erase(0, module.size());
        }
        for (const DType dtype : {DType::bf16, DType::f16, DType::f32, DType::f64}) {
            if (*text == name(dtype)) {
                return dtype;
            }
        }
        notes.push_back(fmt::format("\"{}\" is \"{}\": bytes are counted as float32", key, *text));
        return DType::f32;
    }
    notes.emplace_back("config.json names no dtype: bytes are counted as float32");
    return DType::f32;
}

/// Stages of which only a run knows what they come to.
void require_listed(const JobContext& context) {
    if (context.job.slice || context.orders_neurons()) {
        throw UsageError(std::string("the tasks of a job with ") +
                         (context.job.slice ? "slice" : "ffsplit") +
                         " are not known before it runs; simulate the run directory of one that "
                         "is done");
    }
}

/// Of the model in job.model, and its bytes.
std::uint64_t read_model(const JobConfig& job, ModelOutline& model) {
    if (const auto config = config_without_weights(job.model)) {
        ConfigOutline outline = read_config_outline(*config);
        model.directory = config->parent_path();
        model.spec = std::move(outline.spec);
        model.dtypes.assign(model.spec.tensors.size(), outline.dtype);
        return model.spec.parameters() * size_bytes(outline.dtype);
    }
    const auto source = SourceModel::open(job.model, job.reading);
    model = *source;
    return source->weights.tensor_bytes();
}

}  // namespace

std::optional<fs::path> config_without_weights(const fs::path& model) {
    std::error_code error;
    if (fs::is_regular_file(model, error)) {
        return model.extension() == ".json" ? std::optional(model) : std::nullopt;
    }
    const fs::path config = model / "config.json";
    if (!fs::is_regular_file(config, error)) {
        return std::nullopt;
    }
    constexpr std::array<std::string_view, 8> weights{".safetensors", ".bin", ".pt",      ".pth",
                                                      ".gguf",        ".h5",  ".msgpack", ".onnx"};
    for (const auto& entry : fs::directory_iterator(model, error)) {
        if (std::ranges::count(weights, entry.path().extension().string()) > 0 ||
            entry.path().filename() == "model.safetensors.index.json") {
            return std::nullopt;
        }
    }
    return config;
}

ConfigOutline read_config_outline(const fs::path& config) {
    const std::string text = read_file(config);
    ConfigOutline outline;
    outline.spec = read_model_spec(text, config.string(), outline.refused);
    const nlohmann::json parsed = parse_json(text);
    outline.dtype = dtype_of(ConfigReader(parsed, config.string()), outline.notes);
    if (!outline.spec.quantisation.empty()) {
        outline.notes.push_back("config.json has " + outline.spec.quantisation +
                                ": run would refuse weights that are quantised");
    }
    return outline;
}

std::size_t JobOutline::length() const {
    return std::min<std::size_t>(job.calibration.max_seq_length, model.spec.max_positions);
}

std::uint64_t JobOutline::budget_bytes() const {
    return std::min(source_bytes, job.budget.limit_bytes(source_bytes, model.spec.parameters()));
}

JobOutline outline_job(JobConfig job) {
    JobOutline outline;
    outline.source_bytes = read_model(job, outline.model);
    complete_candidates(job, outline.source_bytes, outline.model.spec.parameters());
    JobContext context;  // of which candidates are for a unit: the job says it
    context.job = job;
    std::set<Setting> distinct;
    for (std::size_t u = 0; u < outline.model.spec.units.size(); ++u) {
        outline.settings.push_back(settings_of_unit(context, outline.model, u));
        distinct.insert(outline.settings.back().begin(), outline.settings.back().end());
    }
    context.settings.assign(distinct.begin(), distinct.end());
    require_listed(context);
    outline.n_settings = distinct.size();
    outline.job = std::move(job);
    return outline;
}

}  // namespace lathe
