#include <fmt/format.h>

#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "lib/core/whole_number.hpp"
#include "lib/job/run_directory.hpp"
#include "orchestrator/commands.hpp"
#include "orchestrator/neuron_concentration.hpp"
#include "orchestrator/stages.hpp"
#include "workers/checkpoint/compressed_checkpoint.hpp"

namespace lathe {
using nlohmann::json;

namespace {

/// What some tensors take: all of it, and the bits of values alone, without places and scales,
/// which is what papers count (beside 32 bits a weight).
class CountedBits {
public:
    void add(const EncodedTensor& tensor) {
        weights_ += element_count(tensor.shape);
        bytes_ += stored_bytes(tensor);
        for (const TensorPart& part : tensor.parts) {
            const bool holds_values =
                part.name == "values" || part.name == "codes" || part.name == "planes";
            value_bytes_ += holds_values ? stored_bytes(part) : 0;
        }
    }
    [[nodiscard]] json to_json() const {
        const double full = 4.0 * static_cast<double>(weights_);
        const auto share = [&](std::uint64_t bytes) {
            return weights_ == 0 ? 0.0 : 1.0 - static_cast<double>(bytes) / full;
        };
        const auto ratio = [&](std::uint64_t bytes) {
            return bytes == 0 ? 0.0 : full / static_cast<double>(bytes);
        };
        return {{"weights", weights_},
                {"reduction", share(bytes_)},
                {"reduction_of_values", share(value_bytes_)},
                {"ratio", ratio(bytes_)},
                {"ratio_of_values", ratio(value_bytes_)}};
    }

private:
    std::uint64_t weights_ = 0;
    std::uint64_t bytes_ = 0;
    std::uint64_t value_bytes_ = 0;
};

json inspect_checkpoint(const std::filesystem::path& directory) {
    const CompressedCheckpoint checkpoint(directory);
    const ModelSpec& spec = checkpoint.spec();
    const std::string where = directory.string();
    const auto source_bytes = integer_attribute(checkpoint.attributes(), "source_bytes", where);
    const std::uint64_t bytes = directory_bytes(directory);
    const std::vector<std::byte> text = ArtifactReader(directory / "checkpoint.h5").read("/plan");
    const auto* plan_text = reinterpret_cast<const char*>(text.data());
    const json plan = parse_json({plan_text, text.size()});
    json units = json::array();
    CountedBits matrices;  // of the blocks
    CountedBits tensors;   // of the blocks, norms and biases too
    for (std::size_t t = 0; t < spec.tensors.size(); ++t) {
        if (spec.tensors[t].block) {
            tensors.add(checkpoint.read_header(t));
        }
    }
    for (std::size_t u = 0; u < spec.units.size(); ++u) {
        const UnitSpec& unit = spec.units[u];
        std::uint64_t weights = 0;
        std::string encoding;
        for (std::size_t t : unit.tensors) {
            const EncodedTensor tensor = checkpoint.read_header(t);
            encoding = encoding.empty() ? tensor.encoding : encoding;
            weights += element_count(tensor.shape);
            if (unit.block) {
                matrices.add(tensor);
            }
        }
        const auto unit_bytes = whole_number<std::uint64_t>(plan.at(u).at("bytes"));
        units.push_back({{"name", unit.name},
                         {"encoding", encoding},
                         {"settings", plan.at(u).at("setting")},
                         {"bits_per_weight",
                          8.0 * static_cast<double>(unit_bytes) / static_cast<double>(weights)},
                         {"bytes", unit_bytes},
                         {"error", plan.at(u).at("error")},
                         {"relative_error", plan.at(u).at("relative_error")}});
    }
    return {{"format_version", integer_attribute(checkpoint.attributes(), "format_version", where)},
            {"kind", "checkpoint"},
            {"family", spec.family},
            {"parameters", spec.parameters()},
            {"source_bytes", source_bytes},
            {"checkpoint_bytes", bytes},
            {"ratio", static_cast<double>(source_bytes) / static_cast<double>(bytes)},
            {"bits_per_weight",
             8.0 * static_cast<double>(bytes) / static_cast<double>(spec.parameters())},
            {"checkpoint_hash", text_attribute(checkpoint.attributes(), "checkpoint_hash", where)},
            {"block_matrices", matrices.to_json()},
            {"block_tensors", tensors.to_json()},
            {"units", units}};
}

json inspect_model(const std::filesystem::path& directory, const ModelReading& reading) {
    const auto model = SourceModel::open(directory, reading);
    KnownNames known;
    known.add(model->spec);
    known.add(model->passed_over);
    known.require(reading.ignore, "--ignore");
    const std::uint64_t bytes = model->weights.tensor_bytes();
    json units = json::array();
    for (const UnitSpec& unit : model->spec.units) {
        std::uint64_t weights = 0;
        std::uint64_t unit_bytes = 0;
        for (std::size_t t : unit.tensors) {
            weights += element_count(model->spec.tensors[t].shape);
            unit_bytes += element_count(model->spec.tensors[t].shape) * size_bytes(model->dtype(t));
        }
        units.push_back({{"name", unit.name},
                         {"encoding", "dense"},
                         {"settings", std::string(name(model->dtype(unit.tensors.front())))},
                         {"bits_per_weight",
                          8.0 * static_cast<double>(unit_bytes) / static_cast<double>(weights)},
                         {"bytes", unit_bytes},
                         {"error", 0.0}});
    }
    const std::uint64_t parameters = model->spec.parameters();
    return {{"format_version", 0},
            {"kind", "source"},
            {"family", model->spec.family},
            {"parameters", parameters},
            {"source_bytes", bytes},
            {"checkpoint_bytes", bytes},
            {"ratio", 1.0},
            {"bits_per_weight", 8.0 * static_cast<double>(bytes) / static_cast<double>(parameters)},
            {"units", units}};
}

std::string table_of(const json& found) {
    std::string text = fmt::format(
        "{} ({}): {} parameters, {} -> {} bytes, {:.3f}x, {:.3f} bits per weight\n",
        found["kind"].get<std::string>(), found["family"].get<std::string>(),
        found["parameters"].get<std::uint64_t>(), found["source_bytes"].get<std::uint64_t>(),
        found["checkpoint_bytes"].get<std::uint64_t>(), found["ratio"].get<double>(),
        found["bits_per_weight"].get<double>());
    if (found.contains("block_matrices")) {
        const json& matrices = found["block_matrices"];
        text += fmt::format(
            "  matrices of the blocks beside 32 bits a weight: {:.2f} % less; {:.2f} % counting "
            "bits "
            "of values alone, as papers do\n",
            100.0 * matrices["reduction"].get<double>(),
            100.0 * matrices["reduction_of_values"].get<double>());
    }
    if (found.contains("block_tensors")) {
        const json& tensors = found["block_tensors"];
        text += fmt::format(
            "  all tensors of the blocks beside 32 bits an element: {:.3f}x; {:.3f}x counting bits "
            "of values alone\n",
            tensors["ratio"].get<double>(), tensors["ratio_of_values"].get<double>());
    }
    for (const json& unit : found["units"]) {
        text +=
            fmt::format("  {:<22} {:>7.3f} bits {:>12} bytes  {}\n",
                        unit["name"].get<std::string>(), unit["bits_per_weight"].get<double>(),
                        unit["bytes"].get<std::uint64_t>(), unit["settings"].get<std::string>());
    }
    return text;
}

}  // namespace

CommandOutput run_inspect(const CommandContext& context) {
    std::filesystem::path path = context.line.path;
    std::error_code ignored;
    std::vector<NeuronConcentration> neurons;
    if (std::filesystem::exists(RunDirectory(path).manifest(), ignored)) {
        neurons = read_concentration(RunDirectory(path));
        path = RunDirectory(path).checkpoint();
    }
    json found = CompressedCheckpoint::is_one(path) ? inspect_checkpoint(path)
                                                    : inspect_model(path, context.line.reading);
    if (!neurons.empty()) {
        found["neurons"] = to_json(neurons);
    }
    return {found.dump(), table_of(found) + to_text(neurons), 0};
}

}  // namespace lathe
