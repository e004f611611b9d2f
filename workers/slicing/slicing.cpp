#include "workers/slicing/slicing.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "lib/checkpoint/safetensors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/half.hpp"
#include "lib/core/json.hpp"
#include "lib/encoding/encoded_tensor.hpp"
#include "workers/model/fused_weights.hpp"
#include "workers/model/side_files.hpp"
#include "workers/slicing/rotation.hpp"
#include "workers/slicing/sliced_model.hpp"
#include "workers/slicing/sliced_weights.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

/// Values in the source's layout, as bytes.
std::vector<std::byte> stored(ThreadPool& pool, const TensorSpec& tensor,
                              const std::vector<double>& values, DType dtype) {
    const auto [rows, cols] = matrix_extents(tensor.shape);
    const std::size_t n_rows = tensor.transposed ? cols : rows;  // in that layout
    const std::size_t row_size = tensor.transposed ? rows : cols;
    const std::size_t row_step = tensor.transposed ? 1 : cols;
    const std::size_t step = tensor.transposed ? cols : 1;
    std::vector<std::byte> bytes(values.size() * size_bytes(dtype));
    constexpr std::size_t tile_rows = 64;
    pool.for_each((n_rows + tile_rows - 1) / tile_rows, [&](std::size_t tile) {
        std::vector<float> row(row_size);
        const std::size_t end = std::min((tile + 1) * tile_rows, n_rows);
        for (std::size_t i = tile * tile_rows; i < end; ++i) {
            for (std::size_t j = 0; j < row_size; ++j) {
                row[j] = static_cast<float>(values[i * row_step + j * step]);
            }
            from_float(row, dtype, bytes.data() + i * row_size * size_bytes(dtype));
        }
    });
    return bytes;
}

/// Those of a block's steps, or of what stands behind the blocks.
void take_fits(const JobContext& context, std::size_t block, SlicedWeights& weights) {
    const ModelSpec& spec = context.fused->spec;
    const std::size_t boundary = block * spec.steps_per_block();
    const std::string place = boundary_place(spec, boundary).name;
    std::vector<StepFit> fits = read_slice_fit(context.run.slice_fit(place));
    for (std::size_t step = 0; step < fits.size(); ++step) {
        weights.refit(boundary + step, std::move(fits[step]));
    }
}

}  // namespace

void run_slicing(const JobContext& context, const SliceTask& task) {
    const SourceModel& source = context.given_model();
    const SlicedModel target = describe_sliced(source, *context.job.slice, task.widths);
    SlicedWeights weights(context, target, task.widths);
    if (context.job.slice->refit) {
        take_fits(context, task.block.value_or(source.spec.n_blocks), weights);
    }
    std::vector<std::vector<std::byte>> storage;
    std::vector<TensorToWrite> tensors;
    for (const TensorSpec& tensor : target.spec.tensors) {
        if (tensor.block != task.block) {
            continue;
        }
        const DType dtype = sliced_dtype(source, tensor);
        storage.push_back(stored(*context.device->pool, tensor, weights.values(tensor), dtype));
        tensors.push_back({tensor.name, dtype, tensor.source_shape(), storage.back()});
    }
    write_safetensors(context.run.sliced() / sliced_file(target.spec, task.block), tensors);
}

std::string sliced_file(const ModelSpec& spec, std::optional<std::size_t> block) {
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), "model-%05zu-of-%05zu.safetensors",
                  block ? *block + 2 : std::size_t{1}, spec.n_blocks + 1);
    return text.data();
}

void write_sliced_frame(const JobContext& context, const std::vector<std::size_t>& widths) {
    const SourceModel& source = context.given_model();
    const fs::path directory = context.run.sliced();
    const SlicedModel target = describe_sliced(source, *context.job.slice, widths);
    copy_side_files(source.directory, directory);
    write_file(directory / "config.json", target.config);
    if (!target.is_stock()) {
        write_file(directory / slicing_file, target.slicing);
    }
    nlohmann::json weight_map = nlohmann::json::object();
    std::uint64_t total = 0;
    for (const TensorSpec& tensor : target.spec.tensors) {
        weight_map[tensor.name] = sliced_file(target.spec, tensor.block);
        total += element_count(tensor.shape) * size_bytes(sliced_dtype(source, tensor));
    }
    const nlohmann::json index{{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}};
    write_file(directory / "model.safetensors.index.json", index.dump(1));
}

std::string to_json(const SliceTask& task) {
    nlohmann::json json{{"widths", task.widths}};
    if (task.block) {
        json["block"] = *task.block;
    }
    return json.dump();
}

SliceTask slice_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    SliceTask task{{}, json.at("widths").get<std::vector<std::size_t>>()};
    if (json.contains("block")) {
        task.block = json["block"].get<std::size_t>();
    }
    return task;
}

}  // namespace lathe
