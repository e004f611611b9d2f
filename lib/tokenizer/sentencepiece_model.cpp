#include "lib/tokenizer/sentencepiece_model.hpp"

#include <utility>

#include <sentencepiece_processor.h>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/tokenizer/post_processor.hpp"
#include "lib/tokenizer/unicode.hpp"

namespace lathe::tokenizer {
namespace {

class SentencePieceTokenizer final : public Tokenizer {
public:
    explicit SentencePieceTokenizer(const std::filesystem::path& file) : file_(file.string()) {
        check(processor_.LoadFromSerializedProto(read_file(file)), "not a SentencePiece model");
        if (processor_.bos_id() >= 0) {
            post_processor_ = begin_each_text(static_cast<std::uint32_t>(processor_.bos_id()));
        }
    }

    std::string decode(std::span<const std::uint32_t> ids) const override {
        std::vector<int> pieces;
        pieces.reserve(ids.size());
        for (const std::uint32_t id : ids) {
            if (id >= id_limit()) {
                throw DataError(file_ + ": id " + std::to_string(id) +
                                " is not in the vocabulary; ids are below " +
                                std::to_string(id_limit()));
            }
            pieces.push_back(static_cast<int>(id));
        }
        std::string text;
        check(processor_.Decode(pieces, &text), "decoding failed");
        return text;
    }

    std::size_t id_limit() const override {
        return static_cast<std::size_t>(processor_.GetPieceSize());
    }

private:
    std::vector<std::uint32_t> do_encode(std::string_view text) const override {
        std::vector<int> pieces;
        check(processor_.Encode(repair_utf8(text), &pieces), "encoding failed");
        return {pieces.begin(), pieces.end()};
    }

    const PostProcessor& post_processor() const override { return post_processor_; }

    void check(const sentencepiece::util::Status& status, const char* problem) const {
        if (status.ok()) return;
        throw DataError(file_ + ": " + problem + ": " + status.ToString());
    }

    std::string file_;
    sentencepiece::SentencePieceProcessor processor_;
    PostProcessor post_processor_ = texts_alone();
};

}  // namespace

std::unique_ptr<Tokenizer> load_sentencepiece_tokenizer(const std::filesystem::path& file) {
    return std::make_unique<SentencePieceTokenizer>(file);
}

}  // namespace lathe::tokenizer
