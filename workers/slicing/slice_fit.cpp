#include "workers/slicing/slice_fit.hpp"

#include <array>

#include "lib/checkpoint/artifact.hpp"

namespace lathe {

namespace {

/// The layers that write to the stream.
constexpr std::array writers{Role::o_proj, Role::down_proj};

std::vector<float> read_values(const ArtifactReader& file, const std::string& path) {
    if (!file.has(path)) {
        return {};
    }
    std::vector<float> values(element_count(file.info(path).shape));
    file.read_into(path, reinterpret_cast<std::byte*>(values.data()), 4 * values.size());
    return values;
}

void write_values(ArtifactWriter& file, const std::string& path, const std::vector<float>& values) {
    if (!values.empty()) {
        file.dataset(path, DType::f32, {values.size()},
                     reinterpret_cast<const std::byte*>(values.data()));
    }
}

}  // namespace

void write_slice_fit(const std::filesystem::path& file, const std::vector<StepFit>& steps,
                     const std::string& fingerprint) {
    ArtifactWriter writer(file);
    writer.group("/", {{"fingerprint", fingerprint}});
    for (std::size_t s = 0; s < steps.size(); ++s) {
        const std::string group = "/" + std::to_string(s);
        writer.group(group, {});
        write_values(writer, group + "/reading", steps[s].reading);
        for (const auto& [role, values] : steps[s].writing) {
            write_values(writer, group + "/" + std::string(name(role)), values);
        }
    }
    writer.commit();
}

std::vector<StepFit> read_slice_fit(const std::filesystem::path& file) {
    const ArtifactReader reader(file);
    std::vector<StepFit> steps;
    while (reader.has("/" + std::to_string(steps.size()))) {
        const std::string group = "/" + std::to_string(steps.size());
        StepFit fit{read_values(reader, group + "/reading"), {}};
        for (const Role role : writers) {
            if (auto values = read_values(reader, group + "/" + std::string(name(role)));
                !values.empty()) {
                fit.writing.emplace(role, std::move(values));
            }
        }
        steps.push_back(std::move(fit));
    }
    return steps;
}

}  // namespace lathe
