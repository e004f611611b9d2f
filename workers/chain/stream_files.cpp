#include "workers/chain/stream_files.hpp"

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

constexpr const char* in_files = "/files";

std::string dataset(std::size_t stream, std::size_t batch) {
    return "/" + std::to_string(stream) + "/" + std::to_string(batch);
}

}  // namespace

std::string to_text(const StoredStreams& streams) {
    return streams.fingerprint + "/" + (streams.block ? std::to_string(*streams.block) : "") +
           (streams.in_files ? in_files : "");
}

StoredStreams stored_streams_from_text(const std::string& text) {
    const std::size_t slash = text.find('/');
    if (slash == std::string::npos) {
        throw InternalError("stored streams \"" + text + "\": expected FINGERPRINT/BLOCK");
    }
    StoredStreams streams{text.substr(0, slash), {}};
    std::string block = text.substr(slash + 1);
    if (block.ends_with(in_files)) {
        streams.in_files = true;
        block.resize(block.size() - std::string_view(in_files).size());
    }
    if (!block.empty()) {
        streams.block = std::stoul(block);
    }
    return streams;
}

std::optional<std::size_t> last_stored_block(const RunDirectory& run,
                                             const std::string& fingerprint, std::size_t n_parts,
                                             std::size_t last) {
    for (std::size_t block = last; block > 0; --block) {
        std::size_t part = 0;
        while (part < n_parts && has_fingerprint(run.chain_streams(fingerprint, block, part),
                                                 to_text({fingerprint, block}))) {
            ++part;
        }
        if (part == n_parts) {
            return block;
        }
    }
    return std::nullopt;
}

void write_streams(const RunDirectory& run, const StoredStreams& where, const SampleShare& share,
                   std::span<const ResidualStream* const> streams) {
    for (const SampleShare::Part& part : share.parts()) {
        const fs::path file =
            run.chain_streams(where.fingerprint, where.block.value(), part.number);
        make_directories(file.parent_path());
        ArtifactWriter writer(file);
        writer.group("/", {{"fingerprint", to_text(where)}});
        for (std::size_t s = 0; s < streams.size(); ++s) {
            writer.group("/" + std::to_string(s), {});
            for (std::size_t b = 0; b < part.batches.size(); ++b) {
                const std::vector<float> values = streams[s]->download(part.batches[b]);
                const MatrixView<float> shape = streams[s]->part(part.batches[b]);
                writer.dataset(dataset(s, b), DType::f32, {shape.rows, shape.cols},
                               reinterpret_cast<const std::byte*>(values.data()));
            }
        }
        writer.commit();
    }
}

void read_streams(const JobContext& context, const StoredStreams& where, const SampleShare& share,
                  std::span<ResidualStream* const> streams, std::size_t step) {
    for (ResidualStream* stream : streams) {
        stream->stand_before(step);
    }
    for (const SampleShare::Part& part : share.parts()) {
        const fs::path file =
            context.run.chain_streams(where.fingerprint, where.block.value(), part.number);
        try {
            const ArtifactReader reader(file);
            for (std::size_t s = 0; s < streams.size(); ++s) {
                for (std::size_t b = 0; b < part.batches.size(); ++b) {
                    streams[s]->upload(reader.read(dataset(s, b)), part.batches[b], file.string());
                }
            }
        } catch (const DataError& error) {
            std::error_code ignored;
            fs::remove(file, ignored);
            throw StoppedError(std::string(error.what()) +
                               "; the file is removed, run again: the blocks before are passed "
                               "once more");
        }
    }
}

}  // namespace lathe
