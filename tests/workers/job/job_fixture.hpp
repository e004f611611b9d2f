#pragma once

#include <memory>
#include <string>

#include "workers/job/job_context.hpp"

namespace lathe {

/// A job on one of the small models of tests/data/parity, calibrated on made-up tokens and
/// compressed by rounding to 3 bits, in a run directory that goes with the object.
class SmallJob {
public:
    explicit SmallJob(const std::string& model,
                      CalibrationConfig::Precision precision = CalibrationConfig::Precision::fp32);
    ~SmallJob();
    SmallJob(const SmallJob&) = delete;
    SmallJob& operator=(const SmallJob&) = delete;

    /// Calibrates and makes all candidates, on this thread.
    void prepare();
    [[nodiscard]] const JobContext& context() const { return *context_; }
    [[nodiscard]] const JobSamples& samples() const { return samples_; }
    /// The setting of every candidate that is not the source's own.
    [[nodiscard]] Setting rounded() const;

private:
    std::unique_ptr<comm::Communicator> world_;
    std::unique_ptr<JobContext> context_;
    JobSamples samples_;
};

}  // namespace lathe
