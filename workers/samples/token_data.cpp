#include "workers/samples/token_data.hpp"

#include <algorithm>
#include <cmath>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/hash.hpp"
#include "lib/core/json.hpp"
#include "lib/core/log.hpp"
#include "lib/tokenizer/unicode.hpp"

namespace lathe {
namespace {

/// The text with line ends as Python's text mode reads them, whose "\n" is what the programs behind
/// published figures see: "\r\n" and "\r" become "\n".
std::string read_text(const std::filesystem::path& file) {
    std::string text = read_file(file);
    std::size_t size = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool ends_line = text[i] == '\r';
        if (ends_line && i + 1 < text.size() && text[i + 1] == '\n') {
            continue;
        }
        text[size++] = ends_line ? '\n' : text[i];
    }
    text.resize(size);
    return text;
}

/// Calls `use(line, number)` for every line that is not blank.
template <class Use>
void for_each_line(const std::filesystem::path& file, const Use& use) {
    const std::string content = read_text(file);
    std::size_t number = 0;
    for (std::size_t begin = 0; begin < content.size();) {
        const std::size_t end = std::min(content.find('\n', begin), content.size());
        const std::string line = content.substr(begin, end - begin);
        begin = end + 1;
        ++number;
        if (line.find_first_not_of(" \t\r") != std::string::npos) {
            use(line, number);
        }
    }
}

/// Calls `use(text)` for the field `text` of every line.
template <class Use>
void for_each_jsonl_text(const std::filesystem::path& file, const Use& use) {
    for_each_line(file, [&](const std::string& line, std::size_t number) {
        const auto row = try_parse_json(line);
        if (!row.is_object() || !row.contains("text") || !row["text"].is_string()) {
            throw DataError(file.string() + ":" + std::to_string(number) +
                            ": expected a JSON object with a field \"text\"");
        }
        use(row["text"].get<std::string>());
    });
}

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
    const std::string content = read_file(file);
    if (content.find('\0') != std::string::npos || !tokenizer::is_valid_utf8(content)) {
        throw DataError(file.string() +
                        ": unknown kind of text file, and it is not plain text in UTF-8; expected "
                        ".txt, .raw, .jsonl (field \"text\")" +
                        others + " or .h5 (dataset input_ids)");
    }
    log_warning_once("unknown_ending file=" + file.string() + ": read as plain text, like .txt");
    return ".txt";
}

std::vector<std::uint32_t> read_one(const std::filesystem::path& file, const Tokenizer* tokenizer) {
    if (is_h5(file)) {
        return ids_of_h5(file);
    }
    const std::string kind = text_kind(file, "");
    if (kind == ".tsv") {
        throw DataError(file.string() +
                        ": a .tsv holds single sentences for a classifier; a language model reads "
                        "a running text");
    }
    require_tokenizer(file, tokenizer);
    if (kind != ".jsonl") {
        return tokenizer->encode(read_text(file), false);
    }
    std::string text;
    for_each_jsonl_text(file, [&](const std::string& part) { text += part; });
    return tokenizer->encode(text, false);
}

void check_ids(std::span<const std::uint32_t> ids, const std::filesystem::path& file,
               std::size_t vocab_size) {
    for (std::uint32_t id : ids) {
        if (id >= vocab_size) {
            throw DataError(file.string() + ": token id " + std::to_string(id) +
                            " is not below the model's vocabulary of " +
                            std::to_string(vocab_size));
        }
    }
}

/// Number w of `count` places spread evenly over `available`.
std::size_t spread_place(std::size_t w, std::size_t count, std::size_t available, double offset) {
    return static_cast<std::size_t>(
        std::floor((static_cast<double>(w) + offset) * static_cast<double>(available) /
                   static_cast<double>(count)));
}

}  // namespace

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
                                             const Tokenizer* tokenizer, std::size_t vocab_size) {
    std::vector<std::uint32_t> stream;
    for (const std::filesystem::path& file : files) {
        const std::vector<std::uint32_t> ids = read_one(file, tokenizer);
        check_ids(ids, file, vocab_size);
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
    check_ids(ids, file, vocab_size);
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
void for_each_text(const std::filesystem::path& file, const Use& use) {
    const std::string kind = text_kind(file, ", .tsv (of GLUE)");
    if (kind == ".tsv") {
        for (const TextPair& pair : read_sentences(file)) {
            use(pair);
        }
    } else if (kind == ".jsonl") {
        for_each_jsonl_text(file, [&](const std::string& text) { use(TextPair{text, ""}); });
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

TokenSequences read_texts(std::span<const std::filesystem::path> files, const Tokenizer* tokenizer,
                          const ModelSpec& spec, std::size_t max_length) {
    TokenSequences sequences;
    for (const std::filesystem::path& file : files) {
        if (is_h5(file)) {
            sequences.append(cut_rows(file, spec, max_length));
            continue;
        }
        for_each_text(file, [&](const TextPair& texts) {
            require_tokenizer(file, tokenizer);
            const TokenSequences sequence = encode_texts(texts, spec, *tokenizer, max_length);
            check_ids(sequence.ids, file, spec.vocab_size);
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
