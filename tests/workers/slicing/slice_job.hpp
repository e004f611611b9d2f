#pragma once

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "lib/comm/communicator.hpp"
#include "workers/job/job_context.hpp"
#include "workers/model/weight_source.hpp"

namespace lathe {

/// `count` sequences of 12 to 16 random tokens, made of `different` different tokens (0: all there
/// are).
[[nodiscard]] TokenSequences random_samples(const ModelSpec& spec, std::size_t count,
                                            std::size_t different = 0);

/// |found - expected| / |expected|
template <class T>
double relative_l2(const std::vector<T>& found, const std::vector<T>& expected) {
    double difference = 0.0;
    double norm = 0.0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        difference += (double{found[i]} - expected[i]) * (double{found[i]} - expected[i]);
        norm += double{expected[i]} * expected[i];
    }
    return std::sqrt(difference / norm);
}

/// A job that slices one of the small models of tests/data/parity, its weights stored in fp32 so
/// that no rounding of theirs hides an error, in a run directory that goes with the object.
class SliceJob {
public:
    /// `different`: tokens in its samples.
    SliceJob(const std::string& model, const SliceConfig& slice, std::size_t different = 0);
    ~SliceJob();
    SliceJob(const SliceJob&) = delete;
    SliceJob& operator=(const SliceJob&) = delete;

    /// After slice() that of the sliced model.
    [[nodiscard]] JobContext& context() { return sliced_ ? *sliced_ : *context_; }
    [[nodiscard]] const TokenSequences& samples() const { return samples_; }
    [[nodiscard]] std::vector<std::size_t> widths() const;

    void rotate_dense();
    void rotate_in_order();

    /// Writes and opens the sliced model; its logits on the samples.
    std::vector<float> slice();
    std::vector<float> logits(const ModelSpec& spec, const WeightSource& weights);
    std::vector<float> given_logits();

private:
    std::unique_ptr<comm::Communicator> world_;
    std::unique_ptr<JobContext> context_;
    std::unique_ptr<JobContext> sliced_;
    TokenSequences samples_;
};

}  // namespace lathe
