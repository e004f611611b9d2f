#include "workers/candidates/refined_weights.hpp"

#include "lib/checkpoint/encoded_tensor_io.hpp"
#include "methods/dense.hpp"

namespace lathe {

bool is_refined(const ModelSpec& spec, const UnitSpec& unit, const Setting& setting) {
    const bool feeds_itself = spec.tensors[unit.tensors.front()].role == Role::token_embedding;
    return setting.method != source_setting().method && unit.input != Signal::token_ids &&
           unit.input != Signal::classifier_in && !feeds_itself;
}

RefinedError read_refined_error(const std::filesystem::path& file, const std::string& unit) {
    const std::string group = "/units/" + unit;
    const std::string where = file.string() + ": " + group;
    const Attributes attributes = ArtifactReader(file).attributes(group);
    return {real_attribute(attributes, "error", where),
            real_attribute(attributes, "relative_error", where)};
}

PartlyRefined::PartlyRefined(const JobContext& context, const std::vector<Setting>& choice)
    : context_(context), plan_(context, choice), is_open_(context.spec().tensors.size(), false) {
    const ModelSpec& spec = context.spec();
    for (std::size_t u = 0; u < spec.units.size(); ++u) {
        for (const std::size_t t : spec.units[u].tensors) {
            is_open_[t] = is_refined(spec, spec.units[u], choice.at(u));
        }
    }
}

EncodedTensor PartlyRefined::read(std::size_t index) const {
    const auto found = solved_.find(index);
    if (found != solved_.end()) {
        return found->second;
    }
    return is_open_.at(index) ? source_tensor(*context_.source, index) : plan_.read(index);
}

void PartlyRefined::take(std::size_t unit, std::vector<EncodedTensor> tensors,
                         const RefinedError& error) {
    const std::vector<std::size_t>& places = context_.spec().units.at(unit).tensors;
    for (std::size_t t = 0; t < places.size(); ++t) {
        solved_.insert_or_assign(places[t], std::move(tensors.at(t)));
    }
    errors_[unit] = error;
}

void PartlyRefined::write(const std::filesystem::path& file, const std::string& fingerprint) const {
    ArtifactWriter writer(file);
    writer.group("/", {{"fingerprint", fingerprint}});
    writer.group("/tensors", {});
    writer.group("/units", {});
    for (const auto& [index, tensor] : solved_) {
        write_encoded(writer, "/tensors/" + context_.spec().tensors[index].name, tensor);
    }
    for (const auto& [unit, error] : errors_) {
        writer.group("/units/" + context_.spec().units[unit].name,
                     {{"error", error.error}, {"relative_error", error.relative_error}});
    }
    writer.commit();
}

}  // namespace lathe
