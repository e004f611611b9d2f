// How good the solvers are on layers of trained models, with Gram matrices of real text.
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "lib/core/file.hpp"
#include "workers/calibration/calibration.hpp"
#include "workers/candidates/candidate_files.hpp"
#include "workers/candidates/compression.hpp"
#include "workers/job/job_context.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;

struct TrainedModel {
    const char* name;
    const char* directory;  ///< of the source tree, or of LATHE_SHARED_DIR if `shared`
    const char* text;
    bool shared;
};

CandidateEntry entry(const std::string& method,
                     const std::vector<std::pair<std::string, std::vector<std::string>>>& keys) {
    CandidateEntry result{method, {}, {}};
    for (const auto& [name, values] : keys) {
        result.keys.push_back({name, values, {}});
    }
    return result;
}

/// The first blocks of a trained model, calibrated on text.
class RealLayers : public ::testing::TestWithParam<TrainedModel> {
protected:
    static constexpr std::size_t n_blocks = 3;

    void SetUp() override {
        const fs::path root =
            GetParam().shared ? fs::path(LATHE_SHARED_DIR) : fs::path(LATHE_SOURCE_DIR);
        if (!fs::exists(root / GetParam().directory)) {
            GTEST_SKIP() << root / GetParam().directory << " is not there";
        }
        job_.model = root / GetParam().directory;
        job_.output = fs::temp_directory_path() /
                      ("lathe_real_layers_" + std::to_string(::getpid()) + GetParam().name);
        job_.calibration.data = {root / GetParam().text};
        job_.calibration.num_calibration_samples = 48;
        job_.calibration.max_seq_length = 128;
        job_.search.num_evaluation_samples = 1;
        world_ = comm::make_local_communicator();
    }

    void TearDown() override {
        if (context_) {
            fs::remove_all(context_->run.root());
        }
    }

    /// Relative error of each unit under each setting, the settings named by `name_of`.
    std::map<std::string, std::vector<double>> errors(const std::vector<CandidateEntry>& entries,
                                                      std::string (*name_of)(const Setting&)) {
        job_.candidates = entries;
        context_ = JobContext::open(job_, *world_);
        for (const char* folder : {"candidates", "calibration"}) {
            make_directories(context_->run.root() / folder);
        }
        const auto tokenizer = open_tokenizer(job_.model, context_->spec());
        write_samples(make_samples(job_, context_->spec(), tokenizer.get()),
                      context_->run.samples(), "samples");
        Calibrator calibrator(*context_);
        for (std::size_t b = 0; b < n_blocks; ++b) {
            CalibrationTask task;
            task.block = b;
            task.from = b == 0 ? -1 : 0;
            task.to = b + 1 == n_blocks ? -1 : 0;
            task.fingerprint = "statistics";
            calibrator.run(task);
        }
        std::map<std::string, std::vector<double>> result;
        for (std::size_t u = 0; u < context_->spec().units.size(); ++u) {
            const UnitSpec& unit = context_->spec().units[u];
            if (!unit.block || *unit.block >= n_blocks) {
                continue;
            }
            run_compression(*context_, {u, usable_settings(*context_, u), "candidates"});
            for (const Candidate& c : read_candidates(context_->run.candidates(unit.name), u)) {
                result[name_of(c.setting)].push_back(c.relative_error);
            }
        }
        return result;
    }

    /// In how many units the first is below `factor` times the second.
    static std::size_t n_below(const std::vector<double>& a, double factor,
                               const std::vector<double>& b) {
        std::size_t n = 0;
        for (std::size_t i = 0; i < a.size(); ++i) {
            n += a[i] < factor * b[i] ? 1 : 0;
        }
        return n;
    }

    JobConfig job_;
    std::unique_ptr<comm::Communicator> world_;
    std::unique_ptr<JobContext> context_;
};

std::string value(const Setting& setting, const std::string& key) {
    const auto found = setting.values.find(key);
    return found == setting.values.end() ? "" : found->second;
}

TEST_P(RealLayers, SplittingBeatsErrorFeedback) {
    const auto found =
        errors({entry("integer", {{"num_bits", {"2", "3", "4"}}, {"solver", {"gptq", "admm"}}})},
               [](const Setting& s) { return value(s, "solver") + value(s, "num_bits"); });
    for (const std::string bits : {"2", "3", "4"}) {
        const std::vector<double>& admm = found.at("admm" + bits);
        const std::vector<double>& gptq = found.at("gptq" + bits);
        ASSERT_EQ(admm.size(), 4 * n_blocks);
        EXPECT_EQ(n_below(admm, 0.92, gptq), admm.size()) << bits << " bits";
        double ratio = 0.0;
        for (std::size_t i = 0; i < admm.size(); ++i) {
            ratio += admm[i] / gptq[i] / static_cast<double>(admm.size());
        }
        // Measured: 0.62 / 0.70 / 0.75 at 2 / 3 / 4 bits on the model of the example.
        EXPECT_LT(ratio, 0.8) << bits << " bits";
        RecordProperty("mean_ratio_at_" + bits + "_bits", std::to_string(ratio));
    }
}

TEST_P(RealLayers, PruningSolversComeInTheOrderOfTheirCost) {
    const auto found =
        errors({entry("nm", {{"solver", {"admm", "sparsegpt", "wanda", "magnitude"}}}),
                entry("nm", {{"solver", {"admm", "sparsegpt", "magnitude"}},
                             {"num_bits", {"4"}},
                             {"group_size", {"32"}}})},
               [](const Setting& s) {
                   return value(s, "solver") + (value(s, "num_bits") == "none" ? "" : "+int4");
               });
    const auto expect_better = [&](const std::string& better, double factor,
                                   const std::string& worse) {
        const std::vector<double>& a = found.at(better);
        ASSERT_EQ(a.size(), 4 * n_blocks);
        EXPECT_EQ(n_below(a, factor, found.at(worse)), a.size()) << better << ", " << worse;
    };
    // Measured on all 24 units of the example, largest ratio: 0.83, 0.77, 0.98.
    expect_better("admm", 0.9, "sparsegpt");
    expect_better("sparsegpt", 0.85, "wanda");
    expect_better("wanda", 1.0, "magnitude");
    expect_better("admm+int4", 0.9, "sparsegpt+int4");
    expect_better("sparsegpt+int4", 0.85, "magnitude+int4");
}

INSTANTIATE_TEST_SUITE_P(TrainedModels, RealLayers,
                         ::testing::Values(TrainedModel{"example", "examples/kjv-llama",
                                                        "examples/kjv/train.txt", false},
                                           TrainedModel{"kjv_opt", "models/kjv-opt",
                                                        "data/kjv/train.txt", true}),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace lathe
