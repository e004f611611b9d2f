#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "lib/model/model_spec.hpp"

namespace lathe {

// The residual stream of a model, and what slicing (Ashkboos et al. 2024, arXiv:2401.15024) does to
// the shapes around it. A boundary is a place where the stream may be expressed in another basis:
// before each step of each block, and after the last one. Boundary s stands before step s (see
// ModelSpec::stream_width); there are n_steps + 1 of them.

/// Boundaries of a model.
[[nodiscard]] std::size_t n_boundaries(const ModelSpec& spec);

/// Which sides of a tensor [rows, columns] lie along the residual stream, and at which boundary. A
/// linear layer that reads the stream has it in its columns, one that writes to it in its rows and
/// its bias; a row of an embedding is a vector of the stream.
struct StreamSides {
    std::optional<std::size_t> rows;
    std::optional<std::size_t> columns;
};
[[nodiscard]] StreamSides stream_sides(const ModelSpec& spec, const TensorSpec& tensor);

/// The role of the norm whose output a tensor reads; none if it reads no norm of the stream.
[[nodiscard]] std::optional<Role> norm_before(const ModelSpec& spec, const TensorSpec& tensor);

/// Whether a tensor is a shortcut: a sliced model's stream past attention or MLP.
[[nodiscard]] inline bool is_shortcut(Role role) {
    return role == Role::attention_shortcut || role == Role::mlp_shortcut;
}

/// The source's tensor that the weight of a fused or sliced model's tensor is made of: the one of
/// its role, of a head that was tied the embedding. None for shortcuts, for norms that went away
/// and for projections around a shared table.
[[nodiscard]] std::optional<std::size_t> source_weight(const ModelSpec& source,
                                                       const TensorSpec& tensor);

/// How wide a sliced model's stream is.
struct StreamShape {
    std::vector<std::size_t> widths;  ///< of each boundary
    /// Whether the bases differ from boundary to boundary, so that the stream passes a matrix of
    /// its own beside attention and MLP. False: one basis for all.
    bool has_shortcuts = true;
    /// Whether a tied embedding and head keep their one table, at the source's full width. A matrix
    /// behind it turns and cuts what it gives (Role::embedding_projection, [first width,
    /// hidden_size]), another one takes what the head reads back to its width
    /// (Role::head_projection, [hidden_size, last width], with a bias if the final norm has one).
    /// False: two tables, each of its boundary's width.
    bool shares_table = false;

    /// Nothing is cut and nothing rotated: the norms' parameters have gone into their neighbours.
    static StreamShape uncut(const ModelSpec& spec);
};

/// "" if the model can be sliced; else why not.
[[nodiscard]] std::string reason_not_to_slice(const ModelSpec& spec);

/// "" if a sliced model's embedding and head can keep one table; else why not.
[[nodiscard]] std::string reason_not_to_share_table(const ModelSpec& spec);

/// The sliced model: no norms of the stream, biases where a norm's bias needs a place, shortcuts, a
/// head of its own or the projections around the table it shares, and the widths of `shape`.
/// @throws DataError  beginning with `where`, if the model cannot be sliced or the shape does not
///   fit it
[[nodiscard]] ModelSpec sliced_spec(const ModelSpec& source, const StreamShape& shape,
                                    const std::string& where);

/// Why no other program runs a model that is_sliced(), and what to ask for instead.
[[nodiscard]] std::string reason_not_stock(const ModelSpec& sliced);

/// slicing.json, which makes a directory's config.json that of a sliced model.
inline constexpr const char* slicing_file = "slicing.json";
[[nodiscard]] std::string to_json(const StreamShape& shape, const ModelSpec& spec);
[[nodiscard]] StreamShape stream_shape_from_json(const std::string& text, const std::string& where);

/// The model that a directory's config.json and, if there is one, slicing.json describe, with the
/// family's own tensor names.
/// @throws MissingInputError, DataError
[[nodiscard]] ModelSpec read_model_directory(const std::filesystem::path& directory);
/// The same with this text in place of config.json's.
[[nodiscard]] ModelSpec read_model_directory(const std::filesystem::path& directory,
                                             const std::string& config_json);

}  // namespace lathe
