#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace lathe {

/// Codes that a program computes with: widths of one symmetry.
struct ServedCodes {
    std::span<const unsigned> num_bits;
    bool symmetric = true;
    bool is_low = false;  ///< only with `serve.low_bits`
};

/// Candidates of a job that names none; as an entry of `candidates` with method "integer".
struct ServedCandidates {
    std::span<const std::string_view> num_bits;
    std::span<const std::string_view> group_sizes;
    std::string_view solver;
    bool is_low = false;  ///< only with `serve.low_bits`
};

/// A program that serves what a job makes, key `serve`: which candidates it computes with. Its
/// format says more, such as which embeddings may have codes (workers/exports). Adding one: such a
/// row in serve_targets.cpp and a test; a pair of files in workers/exports if its format is new.
struct ServeTarget {
    std::string_view name;
    std::string_view format;  ///< of lib/job/export_formats.hpp
    /// Families that the format can hold and the program has no path for.
    std::span<const std::string_view> families_without_path;
    std::span<const ServedCodes> codes;        ///< empty: all that the format has
    std::span<const std::size_t> group_sizes;  ///< one group a row too; empty: any
    std::size_t row_multiple = 1;              ///< of a layer with codes; fused ones together
    std::size_t column_multiple = 1;           ///< the same
    std::size_t slice_multiple = 1;            ///< of a sliced hidden size
    bool heads_divide_width = true;            ///< so must the number of heads divide it
    bool splits_layers = false;                ///< has key `tensor_parallel`
    std::string_view low_bits;                 ///< the word of key `low_bits`; "": has none
    unsigned scale_bits = 0;                   ///< of integer codes that do not say; 0: all
    std::span<const ServedCandidates> candidates;
};

[[nodiscard]] std::span<const ServeTarget> serve_targets();

/// Null: none has the name.
[[nodiscard]] const ServeTarget* find_serve_target(std::string_view name);

/// "vllm, transformers, gguf, mlx", for messages.
[[nodiscard]] std::string list_serve_targets();

}  // namespace lathe
