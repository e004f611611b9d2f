#include "lib/core/file.hpp"
#include "lib/model/generation_config.hpp"
#include "lib/model/model_facts.hpp"
#include "lib/model/model_spec.hpp"
#include "lib/model/settled_config.hpp"
#include "lib/model/stream.hpp"
#include "tests/fuzz/fuzzing.hpp"

namespace lathe::fuzz {
namespace {

std::vector<FoundTensor> tensors_of(const ModelSpec& spec) {
    std::vector<FoundTensor> found;
    for (const TensorSpec& tensor : spec.tensors) {
        found.push_back({tensor.name, DType::bf16, tensor.source_shape()});
    }
    return found;
}

/// A config.json alone, with the tensors that it asks for.
void read_config(const std::string& config) {
    std::vector<std::string> unsupported;
    refuse_or([&] { (void)model_facts(read_model_spec(config, "config.json", unsupported)); });
    refuse_or([&] {
        ModelSpec spec = read_model_spec(config, "config.json");
        (void)model_facts(spec);
        require(spec.parameters() > 0, "a model has parameters");
        std::vector<FoundTensor> found = tensors_of(spec);
        if (spec.quantisation.empty()) {
            (void)match_tensors(spec, found, {}, "model");
        }
        found.push_back({"lm_head.weight", DType::bf16, {1}});
        const auto differ = [](const std::string&, const std::string&) { return false; };
        (void)settle_config(config, found, differ, "config.json");
    });
}

}  // namespace
}  // namespace lathe::fuzz

// config.json of every family, generation_config.json and slicing.json beside it.
LATHE_FUZZ_TARGET(model_config) {
    using namespace lathe;
    const fuzz::Parts files =
        fuzz::parts_of(input, {"config.json", "generation_config.json", slicing_file});
    if (files.empty()) return fuzz::read_config(std::string(input));
    fuzz::refuse_or([&] { (void)read_model_directory(fuzz::put_directory("model", files)); });
}
