#include "workers/samples/token_data.hpp"

#include <algorithm>
#include <cmath>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/hash.hpp"
#include "lib/core/json.hpp"
#include "lib/core/log.hpp"
#include "lib/core/text_input.hpp"
#include "lib/template/chat_template.hpp"

namespace lathe {
namespace {

std::vector<std::uint32_t> ids_of_h5(const std::filesystem::path& file) {
    const std::vector<std::int64_t> stored = ArtifactReader(file).read_integers("input_ids");
    std::vector<std::uint32_t> ids;
    ids.reserve(stored.size());
    for (std::int64_t id : stored) {
        if (id < 0 || id > 0xFFFFFFFFLL) {
            throw DataError(file.string() + ": input_ids has " + std::to_string(id) +
                            ", expected token ids");
        }
        ids.push_back(static_cast<std::uint32_t>(id));
    }
    return ids;
}

bool is_h5(const std::filesystem::path& file) {
    return file.extension() == ".h5" || file.extension() == ".hdf5";
}

/// Refuses a text that nobody can tokenise.
void require_tokenizer(const std::filesystem::path& file, const Tokenizer* tokenizer) {
    if (tokenizer == nullptr) {
        throw DataError(file.string() + ": a text needs the model's tokenizer, and it has none");
    }
}

/// The ending that says how a text is read. A file with an ending of its own ("corpus.train", none
/// at all) is read as .txt if it holds nothing but text.
std::string text_kind(const std::filesystem::path& file, const std::string& others) {
    const std::string extension = file.extension().string();
    if (extension == ".txt" || extension == ".raw" || extension == ".jsonl" ||
        extension == ".tsv") {
        return extension == ".raw" ? ".txt" : extension;
    }
    if (needs_conversion(file)) {
        refuse_text_file(file, others);
    }
    try {
        (void)read_text_file(file);
    } catch (const DataError&) {
        refuse_text_file(file, others);
    }
    log_warning_once("unknown_ending file=" + file.string() + ": read as plain text, like .txt");
    return ".txt";
}

std::vector<std::uint32_t> read_one(const std::filesystem::path& file, const TextReader& reader) {
    if (is_h5(file)) {
        return ids_of_h5(file);
    }
    const std::string kind = text_kind(file, "");
    if (kind == ".tsv") {
        throw DataError(file.string() +
                        ": a .tsv holds single sentences for a classifier; a language model reads "
                        "a running text");
    }
    require_tokenizer(file, reader.tokenizer);
    if (kind != ".jsonl") {
        return reader.tokenizer->encode(read_running_text(file), false);
    }
    std::string text;
    for_each_jsonl_text(file, reader.render, [&](const std::string& part) { text += part; });
    return reader.tokenizer->encode(text, false);
}

/// Number w of `count` places spread evenly over `available`.
std::size_t spread_place(std::size_t w, std::size_t count, std::size_t available, double offset) {
    return static_cast<std::size_t>(
        std::floor((static_cast<double>(w) + offset) * static_cast<double>(available) /
                   static_cast<double>(count)));
}

}  // namespace

TextReader text_reader(const Tokenizer* tokenizer, const std::filesystem::path& directory,
                       const std::string& chat_template) {
    if (chat_template.empty() || chat_template == "false") {
        return {tokenizer};
    }
    const auto chat = std::make_shared<const ChatTemplate>(
        is_template_file(chat_template)
            ? ChatTemplate(read_text_file(chat_template), chat_template,
                           named_special_tokens(directory))
            : load_chat_template(directory, chat_template == "true" ? "" : chat_template));
    return {tokenizer, [chat](const std::string& row, const std::string& where) {
                return chat->render(row, where);
            }};
}

void check_ids(std::span<const std::uint32_t> ids, std::size_t vocab_size,
               const std::string& where) {
    for (std::uint32_t id : ids) {
        if (id >= vocab_size) {
            throw DataError(where + ": token id " + std::to_string(id) +
                            " is not below the model's vocabulary of " +
                            std::to_string(vocab_size));
        }
    }
}

std::size_t TokenSequences::max_length() const {
    return lengths.empty() ? 0 : *std::ranges::max_element(lengths);
}

std::size_t TokenSequences::predicted_tokens() const {
    const auto empty = static_cast<std::size_t>(std::ranges::count(lengths, 0U));
    return ids.size() - (lengths.size() - empty);
}

void TokenSequences::append(std::span<const std::uint32_t> sequence) {
    ids.insert(ids.end(), sequence.begin(), sequence.end());
    lengths.push_back(static_cast<std::uint32_t>(sequence.size()));
}

void TokenSequences::append(const TokenSequences& others) {
    if (!segments.empty() || !others.segments.empty()) {
        segments.resize(ids.size(), 0);
        segments.insert(segments.end(), others.segments.begin(), others.segments.end());
    }
    ids.insert(ids.end(), others.ids.begin(), others.ids.end());
    lengths.insert(lengths.end(), others.lengths.begin(), others.lengths.end());
    if (!segments.empty()) {
        segments.resize(ids.size(), 0);
    }
}

TokenSequences TokenSequences::part(const SequenceRange& range) const {
    const auto slice = [](const std::vector<std::uint32_t>& values, std::size_t first,
                          std::size_t count) {
        const auto begin = values.begin() + static_cast<std::ptrdiff_t>(first);
        return std::vector<std::uint32_t>(begin, begin + static_cast<std::ptrdiff_t>(count));
    };
    TokenSequences result{
        slice(ids, range.first_token, range.tokens), slice(lengths, range.first, range.count), {}};
    if (!segments.empty()) {
        result.segments = slice(segments, range.first_token, range.tokens);
    }
    return result;
}

std::vector<SequenceRange> TokenSequences::ranges(std::size_t max_tokens) const {
    std::vector<SequenceRange> result;
    for (std::size_t s = 0; s < lengths.size(); ++s) {
        if (result.empty() || result.back().tokens + lengths[s] > max_tokens) {
            const std::size_t first_token =
                result.empty() ? 0 : result.back().first_token + result.back().tokens;
            result.push_back({s, 0, first_token, 0});
        }
        ++result.back().count;
        result.back().tokens += lengths[s];
    }
    return result;
}

std::vector<std::uint32_t> read_token_stream(std::span<const std::filesystem::path> files,
                                             const TextReader& reader, std::size_t vocab_size) {
    std::vector<std::uint32_t> stream;
    for (const std::filesystem::path& file : files) {
        const std::vector<std::uint32_t> ids = read_one(file, reader);
        check_ids(ids, vocab_size, file.string());
        stream.insert(stream.end(), ids.begin(), ids.end());
    }
    return stream;
}

TokenSequences all_windows(std::span<const std::uint32_t> stream, std::size_t length) {
    TokenSequences windows;
    for (std::size_t first = 0; first + length <= stream.size(); first += length) {
        windows.append(stream.subspan(first, length));
    }
    return windows;
}

TokenSequences spread_windows(std::span<const std::uint32_t> stream, std::size_t length,
                              std::size_t count, double offset, const std::string& what) {
    const std::size_t available = stream.size() / length;
    if (available < count) {
        throw DataError(what + " is too short: " + std::to_string(stream.size()) + " tokens make " +
                        std::to_string(available) + " samples of " + std::to_string(length) +
                        " tokens, " + std::to_string(count) + " were asked for");
    }
    TokenSequences windows;
    for (std::size_t w = 0; w < count; ++w) {
        windows.append(stream.subspan(spread_place(w, count, available, offset) * length, length));
    }
    return windows;
}

TokenSequences spread_sequences(const TokenSequences& all, std::size_t count, double offset,
                                const std::string& what) {
    if (all.count() < count) {
        throw DataError(what + " is too short: it has " + std::to_string(all.count()) + " texts, " +
                        std::to_string(count) + " were asked for");
    }
    std::vector<std::size_t> begins(all.count() + 1, 0);
    for (std::size_t s = 0; s < all.count(); ++s) {
        begins[s + 1] = begins[s] + all.lengths[s];
    }
    TokenSequences chosen;
    for (std::size_t w = 0; w < count; ++w) {
        const std::size_t s = spread_place(w, count, all.count(), offset);
        chosen.append(all.part({s, 1, begins[s], all.lengths[s]}));
    }
    return chosen;
}

TokenSequences read_token_rows(const std::filesystem::path& file, std::size_t vocab_size) {
    const ArtifactReader reader(file);
    const Shape shape = reader.info("/input_ids").shape;
    if (shape.size() != 2 || shape[1] == 0) {
        throw DataError(file.string() + ": input_ids is " + to_string(shape) +
                        ", expected [sequences, length]");
    }
    const std::vector<std::uint32_t> ids = ids_of_h5(file);
    check_ids(ids, vocab_size, file.string());
    const auto names = reader.children("/");
    const auto beside = [&](const std::string& name, std::int64_t fallback) {
        if (std::ranges::find(names, name) == names.end()) {
            return std::vector<std::int64_t>(ids.size(), fallback);
        }
        std::vector<std::int64_t> values = reader.read_integers("/" + name);
        if (values.size() != ids.size()) {
            throw DataError(file.string() + ": " + name + " has another shape than input_ids");
        }
        return values;
    };
    const std::vector<std::int64_t> mask = beside("attention_mask", 1);
    const std::vector<std::int64_t> types = beside("token_type_ids", 0);
    TokenSequences sequences;
    for (std::size_t s = 0; s < shape[0]; ++s) {
        const auto row = std::span(mask).subspan(s * shape[1], shape[1]);
        const auto end = std::ranges::find(row, 0);
        if (std::ranges::any_of(end, row.end(), [](std::int64_t m) { return m != 0; })) {
            throw DataError(file.string() + ": attention_mask of row " + std::to_string(s) +
                            " is not ones and then zeros; pad on the right");
        }
        const auto length = static_cast<std::size_t>(end - row.begin());
        sequences.append(std::span(ids).subspan(s * shape[1], length));
        for (std::int64_t type : std::span(types).subspan(s * shape[1], length)) {
            if (type != 0 && type != 1) {
                throw DataError(file.string() + ": token_type_ids has " + std::to_string(type) +
                                ", expected 0 or 1");
            }
            sequences.segments.push_back(static_cast<std::uint32_t>(type));
        }
    }
    if (std::ranges::count(sequences.segments, 0U) ==
        static_cast<std::ptrdiff_t>(sequences.segments.size())) {
        sequences.segments.clear();
    }
    return sequences;
}

namespace {

/// Whether the model tells the two texts of a pair apart. RoBERTa has a table of one row.
bool has_segments(const ModelSpec& spec) {
    const auto table = spec.find(Role::segment_embedding, std::nullopt);
    return table && spec.tensors[*table].shape.at(0) > 1;
}

/// Calls `use(texts)` for every text or pair of a file.
template <class Use>
void for_each_text(const std::filesystem::path& file, const RenderChat& render, const Use& use) {
    const std::string kind = text_kind(file, ", .tsv (of GLUE)");
    if (kind == ".tsv") {
        for (const TextPair& pair : read_sentences(file)) {
            use(pair);
        }
    } else if (kind == ".jsonl") {
        for_each_jsonl_text(file, render, [&](const std::string& text) {
            use(TextPair{text, ""});
        });
    } else {
        for_each_line(file, [&](const std::string& line, std::size_t) { use(TextPair{line, ""}); });
    }
}

/// The rows of a file of ids, cut to `max_length`.
TokenSequences cut_rows(const std::filesystem::path& file, const ModelSpec& spec,
                        std::size_t max_length) {
    TokenSequences rows = read_token_rows(file, spec.vocab_size);
    if (!has_segments(spec)) {
        rows.segments.clear();
    }
    TokenSequences result;
    std::size_t begin = 0;
    for (std::size_t s = 0; s < rows.count(); ++s) {
        const std::size_t length = std::min<std::size_t>(rows.lengths[s], max_length);
        TokenSequences row = rows.part({s, 1, begin, length});
        row.lengths[0] = static_cast<std::uint32_t>(length);
        result.append(row);
        begin += rows.lengths[s];
    }
    return result;
}

}  // namespace

TokenSequences encode_texts(const TextPair& texts, const ModelSpec& spec,
                            const Tokenizer& tokenizer, std::size_t max_length) {
    EncodedText encoded = texts.second.empty()
                              ? tokenizer.encode_within(texts.first, max_length)
                              : tokenizer.encode_pair(texts.first, texts.second, max_length);
    TokenSequences sequence;
    sequence.append(encoded.ids);
    if (has_segments(spec)) {
        sequence.segments = std::move(encoded.segments);
    }
    return sequence;
}

TokenSequences read_texts(std::span<const std::filesystem::path> files, const TextReader& reader,
                          const ModelSpec& spec, std::size_t max_length) {
    TokenSequences sequences;
    for (const std::filesystem::path& file : files) {
        if (is_h5(file)) {
            sequences.append(cut_rows(file, spec, max_length));
            continue;
        }
        for_each_text(file, reader.render, [&](const TextPair& texts) {
            require_tokenizer(file, reader.tokenizer);
            const TokenSequences sequence =
                encode_texts(texts, spec, *reader.tokenizer, max_length);
            check_ids(sequence.ids, spec.vocab_size, file.string());
            sequences.append(sequence);
        });
    }
    return sequences;
}

std::string hash_of(const TokenSequences& sequences) {
    Hasher hasher;
    for (const auto* numbers : {&sequences.ids, &sequences.lengths, &sequences.segments}) {
        hasher.add_field(static_cast<std::uint64_t>(numbers->size()));
        hasher.add(std::as_bytes(std::span(*numbers)));
    }
    return to_hex(hasher.digest());
}

std::string to_json(const TokenSequences& sequences) {
    return nlohmann::json{
        {"ids", sequences.ids}, {"lengths", sequences.lengths}, {"segments", sequences.segments}}
        .dump();
}

TokenSequences token_sequences_from_json(const std::string& text) {
    const auto json = parse_json(text);
    return {json.at("ids").get<std::vector<std::uint32_t>>(),
            json.at("lengths").get<std::vector<std::uint32_t>>(),
            json.at("segments").get<std::vector<std::uint32_t>>()};
}

}  // namespace lathe
