#include "orchestrator/report/spectra.hpp"

#include <algorithm>
#include <cstring>
#include <functional>

#include "lib/checkpoint/artifact.hpp"

namespace lathe::report {
namespace {

namespace fs = std::filesystem;

std::vector<double> doubles(const ArtifactReader& file, const std::string& path) {
    const std::vector<std::byte> bytes = file.read(path);
    std::vector<double> values(bytes.size() / sizeof(double));
    std::memcpy(values.data(), bytes.data(), values.size() * sizeof(double));
    return values;
}

void add_places(const fs::path& file, Spectra& spectra) {
    const ArtifactReader reader(file);
    for (const std::string& group : reader.children("/")) {
        const std::string path = "/" + group + "/values";
        if (!reader.has(path) || reader.info(path).dtype != DType::f64) {
            continue;
        }
        Spectrum spectrum{file.stem().string() + "/" + group, doubles(reader, path)};
        std::ranges::sort(spectrum.values, std::greater<>());
        spectra.places.push_back(std::move(spectrum));
    }
}

}  // namespace

Spectra read_spectra(const RunDirectory& run) {
    Spectra spectra;
    std::error_code error;
    while (fs::is_directory(run.rotation("head", spectra.sweep + 1).parent_path(), error)) {
        ++spectra.sweep;
    }
    std::vector<fs::path> files;
    const fs::path folder = run.rotation("head", spectra.sweep).parent_path();
    for (const auto& entry : fs::directory_iterator(folder, error)) {
        if (entry.path().extension() == ".h5") {
            files.push_back(entry.path());
        }
    }
    std::ranges::sort(files);  // blocks, then "head"
    for (const fs::path& file : files) {
        add_places(file, spectra);
    }
    return spectra;
}

}  // namespace lathe::report
