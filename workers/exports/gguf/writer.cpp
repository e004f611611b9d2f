#include "workers/exports/gguf/writer.hpp"

#include <algorithm>
#include <cstring>
#include <map>

#include "lib/core/errors.hpp"
#include "lib/core/file_at.hpp"
#include "lib/core/half.hpp"
#include "workers/exports/gguf/architecture.hpp"
#include "workers/exports/gguf/blocks.hpp"
#include "workers/exports/gguf/header.hpp"
#include "workers/exports/gguf/tokenizer.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

constexpr const char* file_name = "model.gguf";

gguf::Type dense_type(DType dtype) {
    return dtype == DType::f16    ? gguf::Type::f16
           : dtype == DType::bf16 ? gguf::Type::bf16
                                  : gguf::Type::f32;
}

DType dtype_of(gguf::Type dense) {
    return dense == gguf::Type::f16    ? DType::f16
           : dense == gguf::Type::bf16 ? DType::bf16
                                       : DType::f32;
}

/// ggml adds these in float32 and has no code for other types.
bool is_float32(const TensorSpec& tensor) {
    return tensor.shape.size() == 1 || tensor.role == Role::position_embedding;
}

bool is_dense(gguf::Type type) {
    return type == gguf::Type::f32 || type == gguf::Type::f16 || type == gguf::Type::bf16;
}

std::uint64_t stored_bytes(gguf::Type type, const Shape& shape) {
    const gguf::Block block = gguf::block_of(type);
    return element_count(shape) / block.elements * block.bytes;
}

std::string no_type(const EncodedTensor& header) {
    return "encoding " + header.encoding + " under its settings has no type with the same values";
}

/// "general.file_type" of a type; the key is for information only.
std::uint32_t file_type(gguf::Type most) {
    static const std::map<gguf::Type, std::uint32_t> known{
        {gguf::Type::f32, 0},   {gguf::Type::f16, 1},   {gguf::Type::q4_0, 2},
        {gguf::Type::q4_1, 3},  {gguf::Type::q8_0, 7},  {gguf::Type::q5_0, 8},
        {gguf::Type::q5_1, 9},  {gguf::Type::q2_k, 10}, {gguf::Type::q3_k, 12},
        {gguf::Type::q4_k, 15}, {gguf::Type::q5_k, 17}, {gguf::Type::q6_k, 18},
        {gguf::Type::bf16, 32}};
    const auto found = known.find(most);
    return found == known.end() ? 2 : found->second;
}

class GgufExport final : public ExportWriter {
public:
    GgufExport(std::shared_ptr<const ExportedModel> model, std::uint64_t max_piece_bytes)
        : model_(std::move(model)), divisors_(gguf::rope_divisors(model_->spec())) {
        const ModelSpec& spec = model_->spec();
        for (std::size_t t = 0; t < spec.tensors.size(); ++t) {
            plan(t, max_piece_bytes);
        }
        if (!divisors_.empty()) {
            add("rope_freqs.weight", gguf::Type::f32, {divisors_.size()});
        }
        add_notes();
    }

    [[nodiscard]] const ExportSummary& summary() const override { return summary_; }
    [[nodiscard]] std::size_t n_pieces() const override { return pieces_.size(); }
    [[nodiscard]] std::string piece_name(std::size_t piece) const override {
        return std::string(file_name) + "/" + std::to_string(piece);
    }
    [[nodiscard]] std::string piece_file(std::size_t /*piece*/) const override { return file_name; }

    [[nodiscard]] std::uint64_t total_bytes() const override { return header().size() + end_; }
    [[nodiscard]] std::uint64_t tensor_bytes(std::size_t t) const override {
        return gguf::aligned(tensors_.at(t).bytes);
    }
    [[nodiscard]] std::uint64_t settings_bytes() const override { return 0; }

    void write_piece(std::size_t piece, const fs::path& directory) const override {
        const FileAt file(directory / file_name);
        for (const std::size_t t : pieces_.at(piece)) {
            const gguf::Tensor& tensor = tensors_[t];
            const std::vector<std::byte> bytes = content(t);
            if (bytes.size() != tensor.bytes) {
                throw InternalError(tensor.name + " came to " + std::to_string(bytes.size()) +
                                    " bytes, not " + std::to_string(tensor.bytes));
            }
            file.write(header().size() + tensor.offset, bytes);
        }
        file.flush();
    }

    void write_frame(const fs::path& directory) const override {
        const FileAt file(directory / file_name);
        if (!divisors_.empty()) {
            file.write(header().size() + tensors_.back().offset,
                       std::as_bytes(std::span(divisors_)));
        }
        file.resize(header().size() + end_);
        file.flush();
        file.write(0, std::as_bytes(std::span(header())));
        file.flush();
    }

private:
    /// Made when it is asked for: the tokenizer's part takes a second, and whoever compares plans
    /// wants none of it.
    [[nodiscard]] const std::string& header() const {
        if (header_.empty()) {
            const ModelSpec& spec = model_->spec();
            std::vector<gguf::Key> keys = gguf::model_keys(spec, intermediate_size());
            keys.push_back({"general.name", spec.family});
            keys.push_back({"general.file_type", file_type(most_frequent())});
            for (gguf::Key& key : gguf::tokenizer_keys(model_->directory(), spec)) {
                keys.push_back(std::move(key));
            }
            header_ = gguf::header(keys, tensors_);
        }
        return header_;
    }

    void add(const std::string& name, gguf::Type type, const Shape& shape) {
        const std::uint64_t bytes = stored_bytes(type, shape);
        tensors_.push_back({name, type, shape, end_, bytes});
        end_ = gguf::aligned(end_ + bytes);
        summary_.tensor_bytes += bytes;
    }

    void plan(std::size_t t, std::uint64_t max_piece_bytes) {
        const TensorSpec& spec = model_->spec().tensors[t];
        const EncodedTensor& header = model_->header(t);
        const auto exact = is_float32(spec) ? std::nullopt : gguf::exact_type(header);
        const gguf::Type type = is_float32(spec) ? gguf::Type::f32
                                : exact          ? *exact
                                                 : dense_type(model_->dtype(t));
        const std::uint64_t begin = end_;
        add(gguf::tensor_name(spec), type, model_->shape(t));
        ++summary_.n_tensors;
        summary_.n_packed += exact ? 1 : 0;
        if (!exact && header.encoding != "dense") {
            summary_.dense.push_back(
                {spec.name, no_type(header), tensors_.back().bytes, lathe::stored_bytes(header)});
        }
        if (pieces_.empty() || end_ - piece_begin_ > max_piece_bytes) {
            pieces_.emplace_back();
            piece_begin_ = begin;
        }
        pieces_.back().push_back(t);
    }

    [[nodiscard]] std::vector<std::byte> content(std::size_t t) const {
        const TensorSpec& spec = model_->spec().tensors[t];
        const gguf::Type type = tensors_[t].type;
        const std::vector<std::uint32_t> order = gguf::row_order(model_->spec(), spec);
        if (!is_dense(type)) {
            return gguf::pack_blocks(model_->read(t), type, order);
        }
        const std::vector<float> values = model_->values(t);
        const DType dtype = dtype_of(type);
        std::vector<std::byte> elements(values.size() * size_bytes(dtype));
        from_float(values, dtype, elements.data());
        if (order.empty()) {
            return elements;
        }
        std::vector<std::byte> ordered(elements.size());
        const std::size_t row_bytes = elements.size() / order.size();
        for (std::size_t i = 0; i < order.size(); ++i) {
            std::memcpy(ordered.data() + i * row_bytes, elements.data() + order[i] * row_bytes,
                        row_bytes);
        }
        return ordered;
    }

    /// Of the exported model, from which neurons may have been dropped.
    [[nodiscard]] std::size_t intermediate_size() const {
        const auto up = model_->spec().find(Role::up_proj, 0);
        return up ? model_->shape(*up).at(0) : model_->spec().intermediate_size;
    }

    [[nodiscard]] gguf::Type most_frequent() const {
        std::map<gguf::Type, std::size_t> counts;
        for (const gguf::Tensor& tensor : tensors_) {
            counts[tensor.type] += tensor.shape.size() == 1 ? 0 : 1;
        }
        return std::ranges::max_element(counts, {}, [](const auto& e) { return e.second; })->first;
    }

    void add_notes() {
        const bool has_new = std::ranges::any_of(tensors_, [](const gguf::Tensor& tensor) {
            return tensor.type == gguf::Type::q1_0 || tensor.type == gguf::Type::q2_0;
        });
        if (has_new) {
            summary_.notes.emplace_back(
                "types Q1_0 and Q2_0 are of 2026: older programs do not read them, and forks had "
                "others of these names");
        }
        summary_.notes.emplace_back(
            "llama.cpp rounds what it multiplies the weights with to 8 bits: logits differ by "
            "about half a per cent from those of the same weights in float32");
    }

    std::shared_ptr<const ExportedModel> model_;
    std::vector<float> divisors_;
    std::vector<gguf::Tensor> tensors_;  ///< those of the model in its order, then rope_freqs
    std::vector<std::vector<std::size_t>> pieces_;
    std::uint64_t piece_begin_ = 0;
    std::uint64_t end_ = 0;
    mutable std::string header_;  ///< empty: not made yet
    ExportSummary summary_;
};

}  // namespace

std::unique_ptr<ExportWriter> make_gguf_writer(std::shared_ptr<const ExportedModel> model,
                                               std::uint64_t max_piece_bytes) {
    return std::make_unique<GgufExport>(std::move(model), max_piece_bytes);
}

UnitFate gguf_unit_fate(const ModelSpec& spec, const UnitSpec& unit,
                        std::span<const EncodedTensor> headers) {
    for (std::size_t i = 0; i < headers.size(); ++i) {
        if (headers[i].encoding == "dense") {
            return {UnitFate::Kind::dense, ""};
        }
        if (is_float32(spec.tensors[unit.tensors[i]]) || !gguf::exact_type(headers[i])) {
            return {UnitFate::Kind::dense, no_type(headers[i])};
        }
    }
    return {};
}

std::string gguf_refuses(const ModelSpec& spec) {
    return gguf::refuses(spec);
}

}  // namespace lathe
