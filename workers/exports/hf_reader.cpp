#include "workers/exports/hf_reader.hpp"

#include <algorithm>

#include "lib/core/json.hpp"
#include "workers/exports/directory_reader.hpp"

namespace lathe {
namespace {

class HfReader final : public ExportReader {
public:
    explicit HfReader(const std::filesystem::path& directory)
        : directory_(directory), files_(directory) {}

    [[nodiscard]] std::vector<std::string> problems(const ExportedModel& model) const override {
        std::set<std::string> names;
        for (const TensorSpec& tensor : model.spec().tensors) {
            names.insert(tensor.name);
        }
        std::vector<std::string> all = wrong_names(files_, names);
        const nlohmann::json config = read_config(directory_);
        for (const auto& more : {wrong_metadata(files_), wrong_side_files(model, directory_),
                                 wrong_config(model, config, {})}) {
            all.insert(all.end(), more.begin(), more.end());
        }
        if (config.contains("quantization_config")) {
            all.emplace_back(
                "config.json has a section quantization_config, by which loaders would quantise "
                "the weights anew");
        }
        return all;
    }

    [[nodiscard]] ReadTensor read(const ExportedModel& model, std::size_t tensor) const override {
        return read_dense(files_, model, tensor);
    }

private:
    std::filesystem::path directory_;
    SafetensorsCheckpoint files_;
};

}  // namespace

std::unique_ptr<ExportReader> make_hf_reader(const std::filesystem::path& directory) {
    return std::make_unique<HfReader>(directory);
}

}  // namespace lathe
