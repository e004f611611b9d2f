#include "workers/exports/hf.hpp"

#include "lib/core/errors.hpp"
#include "workers/exports/safetensors_export.hpp"

namespace lathe {
namespace {

std::vector<TensorExport> plan_all_dense(const ExportedModel& model) {
    std::vector<TensorExport> plan;
    for (std::size_t t = 0; t < model.spec().tensors.size(); ++t) {
        plan.push_back(dense_export(model, t));
    }
    return plan;
}

class HfExport final : public SafetensorsExport {
public:
    HfExport(std::shared_ptr<const ExportedModel> model, std::uint64_t max_shard_bytes)
        : SafetensorsExport(model, plan_all_dense(*model), max_shard_bytes) {}

private:
    [[nodiscard]] std::vector<std::vector<std::byte>> pack(std::size_t tensor) const override {
        throw InternalError("tensor " + std::to_string(tensor) + " of a dense export has no codes");
    }
    void complete(nlohmann::json& /*config*/) const override {}
};

}  // namespace

std::unique_ptr<ExportWriter> make_hf_writer(std::shared_ptr<const ExportedModel> model,
                                             std::uint64_t max_shard_bytes) {
    return std::make_unique<HfExport>(std::move(model), max_shard_bytes);
}

std::string hf_refuses(const ModelSpec& /*spec*/) {
    return "";
}

}  // namespace lathe
