#pragma once

#include <memory>
#include <optional>
#include <string>

#include "workers/job/job_context.hpp"

namespace lathe {

/// A job on one of the small models of tests/data/parity, calibrated on made-up tokens and
/// compressed by rounding to 3 bits, in a run directory that goes with the object.
class SmallJob {
public:
    explicit SmallJob(const std::string& model,
                      CalibrationConfig::Precision precision = CalibrationConfig::Precision::fp32,
                      std::optional<FfsplitConfig> ffsplit = {});
    ~SmallJob();
    SmallJob(const SmallJob&) = delete;
    SmallJob& operator=(const SmallJob&) = delete;

    /// Calibrates, puts neurons in order if the job does, and makes all candidates, on this thread.
    void prepare();
    /// Of the given model, and after prepare() of the one that is compressed.
    [[nodiscard]] const JobContext& context() const { return *context_; }
    [[nodiscard]] const JobContext& compressed() const { return *compressed_; }
    [[nodiscard]] const JobSamples& samples() const { return samples_; }
    /// The setting of every candidate that is not the source's own.
    [[nodiscard]] Setting rounded() const;
    /// All units under `setting`, what is in no unit as it is in the source: Plan::choice.
    [[nodiscard]] std::vector<Setting> plan_of(const Setting& setting) const;

private:
    std::unique_ptr<comm::Communicator> world_;
    std::unique_ptr<JobContext> context_;
    std::unique_ptr<JobContext> compressed_;
    JobSamples samples_;
};

}  // namespace lathe
