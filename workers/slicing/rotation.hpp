#pragma once

#include <map>
#include <string>
#include <vector>

#include "lib/model/stream.hpp"
#include "workers/job/job_context.hpp"

namespace lathe {

// Rotations of the residual stream: at each boundary (lib/model/stream.hpp) the eigenvectors of the
// stream's Gram matrix, largest eigenvalue first. To cut the stream there to a width d is to keep
// the first d of them. They are stored whole, so that another width needs no new calibration.

/// Where the statistics and the rotation of a boundary lie.
struct BoundaryPlace {
    std::string name;      ///< "block_0003", "head"
    std::size_t step = 0;  ///< of that block
    Signal stream = Signal::stream_in;
    Signal normed = Signal::attention_in;  ///< the same after its norm
};
[[nodiscard]] BoundaryPlace boundary_place(const ModelSpec& spec, std::size_t boundary);

/// Whether a job rotates the stream there: everywhere, but at the end only if the head is cut.
[[nodiscard]] bool is_rotated(const SliceConfig& slice, const ModelSpec& spec,
                              std::size_t boundary);

/// Whether anybody asks for the stream behind the last step: a rotation there, what compresses the
/// layers. If nobody does, that step need not be taken.
[[nodiscard]] bool reads_stream_end(const JobContext& context);

/// The sweep whose statistics go with the sliced model.
[[nodiscard]] std::size_t last_sweep(const SliceConfig& slice);
/// The sweep whose rotations the model is sliced with: the same, but a global rotation that weighs
/// its boundaries is found twice from the first sweep's statistics, as 0 and as 1.
[[nodiscard]] std::size_t last_rotation(const SliceConfig& slice);

/// Width to which a boundary is cut to see what that does to the output.
[[nodiscard]] std::size_t probe_width(const ModelSpec& spec);

/// Eigenvalues and eigenvectors of one boundary.
struct Rotation {
    std::vector<double> values;   ///< [hidden_size], of the mean Gram matrix, largest first
    std::vector<double> vectors;  ///< [hidden_size, hidden_size], a row each
};
/// @throws MissingInputError, DataError
[[nodiscard]] Rotation read_rotation(const JobContext& context, std::size_t boundary,
                                     std::size_t sweep);
/// Eigenvalues alone.
[[nodiscard]] std::vector<double> read_eigenvalues(const JobContext& context, std::size_t boundary,
                                                   std::size_t sweep);

/// Finds the rotations of a block's boundaries ("block_0003"), of the end ("head"), or the one for
/// all ("global") from the statistics of the sweep. Its artifact, RunDirectory::rotation(), has a
/// group for each step of the place, 0, 1, ..., with float64 datasets `values` and `vectors`.
struct RotationTask {
    std::string place;
    std::size_t sweep = 0;
    std::string fingerprint;
    /// For the one for all, of sweep 1: run_cut_effect() of each boundary cut alone to
    /// probe_width(). Gram matrices are weighed by it, over the share of energy that was cut off to
    /// measure it.
    std::vector<double> effects;
};
[[nodiscard]] std::string to_json(const RotationTask& task);
[[nodiscard]] RotationTask rotation_task_from_json(const std::string& text);
void run_rotation(const JobContext& context, const RotationTask& task);

/// The rotations of Gram matrices [hidden_size, hidden_size], of which the upper triangle is read.
[[nodiscard]] std::vector<Rotation> find_rotations(const kernels::Backend& backend,
                                                   const std::vector<std::vector<double>>& grams);
/// Writes the artifact of a task: rotations[s] is that of step s.
void write_rotations(const JobContext& context, const RotationTask& task,
                     const std::vector<Rotation>& rotations);

/// The basis of a sliced model's stream at a boundary: rows are orthonormal vectors of the source's
/// stream. [width, hidden_size]. Where nothing is rotated, the identity.
[[nodiscard]] std::vector<double> stream_basis(const JobContext& context, std::size_t boundary,
                                               std::size_t width);

/// The Gram matrix [hidden_size, hidden_size] of a stream at a boundary as that of the sliced
/// stream: B gram B^T with the basis B. [width, width]
[[nodiscard]] std::vector<double> rotate_gram(const JobContext& context, std::size_t boundary,
                                              const std::vector<double>& gram, std::size_t width);

/// A cut in backend memory, of streams that stay expressed in the source's basis: x becomes
/// x B^T B, B the first `width` eigenvectors; or, where fewer go than stay, x - x C^T C with the
/// others, C, which is the same and less work.
class CutBasis {
public:
    CutBasis(const kernels::Backend& backend, const Rotation& rotation, std::size_t width);
    /// x [tokens, hidden_size] in place; `memory` is overwritten, and replaced if it is too small.
    void cut(const kernels::Backend& backend, MatrixView<float> x,
             kernels::Array<float>& memory) const;

private:
    std::size_t hidden_size_;
    bool keeps_;                     ///< whether the eigenvectors held are those that stay
    std::size_t count_;              ///< of them
    kernels::Array<float> rows_;     ///< [count, hidden_size]
    kernels::Array<float> columns_;  ///< its transpose; of those that go, negated
};

/// Cuts streams by the rotations of the sweep before `sweep`; of sweep 0 there are none, and cut()
/// does nothing.
class StreamCutter {
public:
    /// @pre  `context` outlives the object
    StreamCutter(const JobContext& context, std::size_t sweep, std::vector<std::size_t> widths);

    /// hidden [tokens, hidden_size], in place.
    void cut(std::size_t boundary, MatrixView<float> hidden);

private:
    const JobContext& context_;
    std::size_t sweep_;
    std::vector<std::size_t> widths_;
    std::map<std::size_t, CutBasis> bases_;
    kernels::Array<float> memory_;
};

}  // namespace lathe
