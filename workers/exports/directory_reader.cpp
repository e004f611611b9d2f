#include "workers/exports/directory_reader.hpp"

#include <algorithm>
#include <cstring>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/half.hpp"
#include "lib/core/json.hpp"
#include "workers/model/side_files.hpp"

namespace lathe {
namespace fs = std::filesystem;
using nlohmann::json;

std::vector<std::string> wrong_names(const SafetensorsCheckpoint& files,
                                     const std::set<std::string>& expected) {
    std::vector<std::string> problems;
    for (const std::string& name : expected) {
        if (!files.tensors().contains(name)) {
            problems.push_back("there is no tensor " + name);
        }
    }
    for (const auto& [name, tensor] : files.tensors()) {
        if (!expected.contains(name)) {
            problems.push_back("the tensor " + name + " belongs to no part of the model");
        }
    }
    return problems;
}

std::vector<std::string> wrong_metadata(const SafetensorsCheckpoint& files) {
    std::vector<std::string> problems;
    for (const fs::path& path : files.files()) {
        const MappedFile file(path);
        std::uint64_t length = 0;
        std::memcpy(&length, file.bytes().data(), sizeof(length));
        const std::string header(
            reinterpret_cast<const char*>(file.bytes().data()) + sizeof(length), length);
        const json metadata =
            parse_json(header, path.string()).value("__metadata__", json::object());
        if (metadata.value("format", "") != "pt") {
            problems.push_back(path.filename().string() +
                               R"(: its metadata lack "format": "pt", without which older )"
                               "loaders fail");
        }
    }
    return problems;
}

std::vector<std::string> wrong_side_files(const ExportedModel& model, const fs::path& directory) {
    std::vector<std::string> problems;
    const fs::path& source = model.directory();
    for (const fs::path& name : side_files(source)) {
        std::error_code ignored;
        if (name == "config.json") {
            continue;
        }
        if (!fs::exists(directory / name, ignored)) {
            problems.push_back("there is no " + name.string() + ", which the checkpoint has");
            continue;
        }
        std::string expected = read_file(source / name);
        std::string found = read_file(directory / name);
        if (expected == found) {
            continue;
        }
        if (name == "tokenizer_config.json") {
            json before = parse_json(expected, (source / name).string());
            json after = parse_json(found, (directory / name).string());
            before.erase("tokenizer_class");
            after.erase("tokenizer_class");
            if (before == after) {
                continue;
            }
        }
        problems.push_back(name.string() + " is not the checkpoint's");
    }
    return problems;
}

std::vector<std::string> wrong_config(const ExportedModel& model, json config,
                                      const std::set<std::string>& own) {
    json expected = parse_json(model.config(), "config.json");
    std::set<std::string> apart = own;
    apart.insert({"quantization_config", "compression_config"});
    for (const std::string& key : apart) {
        config.erase(key);
        expected.erase(key);
    }
    std::vector<std::string> problems;
    for (const auto& [key, value] : expected.items()) {
        if (!config.contains(key) || config[key] != value) {
            problems.push_back("config.json: \"" + key + "\" is " +
                               (config.contains(key) ? config[key].dump() : "missing") +
                               ", expected " + value.dump());
        }
    }
    for (const auto& [key, value] : config.items()) {
        if (!expected.contains(key)) {
            problems.push_back("config.json: the model has no key \"" + key + "\"");
        }
    }
    return problems;
}

ReadTensor read_dense(const SafetensorsCheckpoint& files, const ExportedModel& model,
                      std::size_t tensor) {
    const TensorSpec& spec = model.spec().tensors.at(tensor);
    const StoredTensor& stored = files.at(spec.name);
    const Shape expected = model.source_shape(tensor);
    if (!is_floating(stored.dtype) || stored.shape != expected) {
        throw DataError(spec.name + " is " + std::string(name(stored.dtype)) +
                        to_string(stored.shape) + ", expected floating numbers " +
                        to_string(expected));
    }
    ReadTensor read{model.shape(tensor), std::vector<float>(element_count(expected)), stored.dtype};
    to_float(stored.bytes.data(), stored.dtype, read.values);
    if (spec.transposed) {
        const std::size_t rows = read.shape.at(0);
        const std::size_t cols = read.shape.at(1);
        const std::vector<float> as_stored = std::move(read.values);
        read.values.resize(as_stored.size());
        for (std::size_t i = 0; i < rows; ++i) {
            for (std::size_t j = 0; j < cols; ++j) {
                read.values[i * cols + j] = as_stored[j * rows + i];
            }
        }
    }
    return read;
}

json read_config(const fs::path& directory) {
    const fs::path file = directory / "config.json";
    json config = parse_json(read_file(file), file.string());
    if (!config.is_object()) {
        throw DataError(file.string() + ": expected a JSON object");
    }
    return config;
}

}  // namespace lathe
