#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "workers/exports/export_format.hpp"

namespace lathe {

/// A tensor of an export's file.
struct ExportPart {
    std::string name;
    DType dtype = DType::f32;
    Shape shape;
};

/// What becomes of one tensor of the checkpoint.
struct TensorExport {
    std::vector<ExportPart> parts;
    bool packed = false;       ///< its codes are kept
    std::string dense_reason;  ///< of one that was compressed and is dense here

    [[nodiscard]] std::uint64_t bytes() const;
};

/// As floating numbers of the source's type, under its own name. `reason`: TensorExport's.
[[nodiscard]] TensorExport dense_export(const ExportedModel& model, std::size_t tensor,
                                        const std::string& reason = "");

/// An export to safetensors files: a Hugging Face directory. A piece is a file, `model.safetensors`
/// or `model-00002-of-00007.safetensors`; the frame is index, config.json and the side files.
class SafetensorsExport : public ExportWriter {
public:
    [[nodiscard]] const ExportSummary& summary() const final { return summary_; }
    [[nodiscard]] std::size_t n_pieces() const final { return shards_.size(); }
    [[nodiscard]] std::string piece_name(std::size_t piece) const final {
        return piece_file(piece);
    }
    [[nodiscard]] std::string piece_file(std::size_t piece) const final;
    void write_piece(std::size_t piece, const std::filesystem::path& directory) const final;
    void write_frame(const std::filesystem::path& directory) const final;
    [[nodiscard]] std::uint64_t total_bytes() const final;
    [[nodiscard]] std::uint64_t tensor_bytes(std::size_t t) const final;
    [[nodiscard]] std::uint64_t settings_bytes() const final;

protected:
    /// `plan`: of each tensor of the model. Shards of at most `max_shard_bytes`, in the model's
    /// order; the parts of a tensor stay together, and a larger tensor has a shard for itself.
    SafetensorsExport(std::shared_ptr<const ExportedModel> model, std::vector<TensorExport> plan,
                      std::uint64_t max_shard_bytes);

    [[nodiscard]] const ExportedModel& model() const { return *model_; }
    [[nodiscard]] const std::vector<TensorExport>& plan() const { return plan_; }
    void add_note(std::string note) { summary_.notes.push_back(std::move(note)); }

    /// The bytes of each part of a tensor that is not dense.
    [[nodiscard]] virtual std::vector<std::vector<std::byte>> pack(std::size_t tensor) const = 0;
    /// Puts into config.json what the format wants there. It has no section on quantisation.
    virtual void complete(nlohmann::json& config) const = 0;
    /// What tokenizer_config.json is to be, given the source's.
    [[nodiscard]] virtual std::string tokenizer_config(const std::string& text) const {
        return text;
    }
    /// The most that complete() adds for a tensor that is not dense, and for all together.
    [[nodiscard]] virtual std::uint64_t config_entry_bytes(std::size_t /*tensor*/) const {
        return 0;
    }
    [[nodiscard]] virtual std::uint64_t config_frame_bytes() const { return 0; }

private:
    [[nodiscard]] std::string config_text() const;
    /// Of the file that says in which shard a tensor lies.
    [[nodiscard]] std::string index_text() const;
    /// Bytes of index and headers that stand for parts of tensors.
    [[nodiscard]] std::uint64_t entry_bytes(const std::vector<ExportPart>& parts,
                                            std::uint64_t offset_digits) const;

    std::shared_ptr<const ExportedModel> model_;
    std::vector<TensorExport> plan_;
    bool may_have_index_ = false;                   ///< were more of the tensors dense
    std::vector<std::vector<std::size_t>> shards_;  ///< tensors of each
    ExportSummary summary_;
};

}  // namespace lathe
