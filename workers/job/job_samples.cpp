#include "workers/job/job_samples.hpp"

#include <algorithm>

#include "lib/checkpoint/artifact.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

/// Texts as the model reads them, tokenised once: a stream to cut windows from or, for a
/// classifier, single texts.
class SampleSource {
public:
    SampleSource(const std::vector<fs::path>& files, const ModelSpec& spec,
                 const Tokenizer* tokenizer, std::size_t length)
        : length_(length), is_classifier_(spec.head == HeadKind::classifier) {
        if (is_classifier_) {
            texts_ = read_texts(files, tokenizer, spec, length);
        } else {
            stream_ = read_token_stream(files, tokenizer, spec.vocab_size);
        }
    }

    [[nodiscard]] TokenSequences select(std::size_t count, double offset,
                                        const std::string& what) const {
        return is_classifier_ ? spread_sequences(texts_, count, offset, what)
                              : spread_windows(stream_, length_, count, offset, what);
    }

private:
    std::size_t length_;
    bool is_classifier_;
    TokenSequences texts_;
    std::vector<std::uint32_t> stream_;
};

}  // namespace

JobSamples make_samples(const JobConfig& job, const ModelSpec& spec, const Tokenizer* tokenizer) {
    const std::size_t length = std::min(job.calibration.max_seq_length, spec.max_positions);
    const std::size_t n_evaluated = job.search.num_evaluation_samples;
    const SampleSource calibration(job.calibration.data, spec, tokenizer, length);
    JobSamples samples;
    samples.calibration =
        calibration.select(job.calibration.num_calibration_samples, 0.0, "the calibration text");
    if (job.search.evaluation.empty()) {
        samples.evaluation = calibration.select(n_evaluated, 0.5, "the calibration text");
        return samples;
    }
    const SampleSource held_out(job.search.evaluation, spec, tokenizer, length);
    samples.evaluation = held_out.select(n_evaluated, 0.0, "the search's evaluation text");
    return samples;
}

void write_samples(const JobSamples& samples, const fs::path& file,
                   const std::string& fingerprint) {
    ArtifactWriter writer(file);
    writer.group("/", {{"fingerprint", fingerprint}});
    const auto write = [&](const std::string& group, const TokenSequences& sequences) {
        writer.group(group, {});
        const auto values = [&](const std::string& name, const std::vector<std::uint32_t>& from) {
            writer.dataset(group + "/" + name, DType::u32, {from.size()},
                           reinterpret_cast<const std::byte*>(from.data()));
        };
        values("ids", sequences.ids);
        values("lengths", sequences.lengths);
        if (!sequences.segments.empty()) {
            values("segments", sequences.segments);
        }
    };
    write("/calibration", samples.calibration);
    write("/evaluation", samples.evaluation);
    writer.commit();
}

JobSamples read_samples(const fs::path& file) {
    const ArtifactReader reader(file);
    const auto read = [&](const std::string& group) {
        const auto values = [&](const std::string& name) {
            std::vector<std::uint32_t> to(element_count(reader.info(group + "/" + name).shape));
            reader.read_into(group + "/" + name, reinterpret_cast<std::byte*>(to.data()),
                             4 * to.size());
            return to;
        };
        TokenSequences sequences{values("ids"), values("lengths"), {}};
        if (std::ranges::count(reader.children(group), "segments") > 0) {
            sequences.segments = values("segments");
        }
        return sequences;
    };
    return {read("/calibration"), read("/evaluation")};
}

}  // namespace lathe
