#include "workers/candidates/candidate_files.hpp"

#include "lib/checkpoint/encoded_tensor_io.hpp"
#include "lib/core/errors.hpp"
#include "methods/dense.hpp"

namespace lathe {

namespace {

std::string find_candidate(const ArtifactReader& file, const Setting& setting) {
    const std::string wanted = to_string(setting);
    for (const std::string& number : file.children("/")) {
        const std::string group = "/" + number;
        if (text_attribute(file.attributes(group), "setting", file.path().string()) == wanted) {
            return group;
        }
    }
    throw DataError(file.path().string() + ": no candidate '" + wanted + "'");
}

}  // namespace

std::vector<Candidate> read_candidates(const std::filesystem::path& file, std::size_t unit) {
    const ArtifactReader reader(file);
    std::vector<Candidate> candidates;
    for (const std::string& number : reader.children("/")) {
        const Attributes a = reader.attributes("/" + number);
        const std::string where = file.string() + ": /" + number;
        candidates.push_back({unit, setting_from_string(text_attribute(a, "setting", where)),
                              static_cast<std::uint64_t>(integer_attribute(a, "bytes", where)),
                              real_attribute(a, "error", where),
                              real_attribute(a, "relative_error", where)});
    }
    return candidates;
}

std::vector<std::vector<double>> read_output_errors(const std::filesystem::path& file) {
    const ArtifactReader reader(file);
    std::vector<std::vector<double>> errors;
    for (const std::string& number : reader.children("/")) {
        std::vector<double>& own = errors.emplace_back();
        const std::string name = "/" + number + "/output_errors";
        if (reader.has(name)) {
            own.resize(element_count(reader.info(name).shape));
            reader.read_into(name, reinterpret_cast<std::byte*>(own.data()),
                             own.size() * sizeof(double));
        }
    }
    return errors;
}

EncodedTensor read_candidate_tensor(const JobContext& context, std::size_t unit, std::size_t place,
                                    const Setting& setting) {
    const UnitSpec& spec = context.spec().units.at(unit);
    if (setting == source_setting()) {
        return source_tensor(*context.source, spec.tensors.at(place));
    }
    const ArtifactReader file(context.run.candidates(spec.name));
    return read_encoded(file, find_candidate(file, setting) + "/" + std::to_string(place));
}

}  // namespace lathe
