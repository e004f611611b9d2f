#include "orchestrator/journal.hpp"

#include <utility>

#include "lib/core/errors.hpp"
#include "lib/core/hash.hpp"
#include "lib/core/json.hpp"
#include "lib/core/whole_number.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// A line is the JSON object with `,"crc":"0123456789abcdef"` put in before its last brace. The sum
// is over the object without it.
constexpr std::string_view crc_key = R"(,"crc":")";
constexpr std::string_view line_end = R"("})";
constexpr std::size_t n_digits = 16;

std::string to_line(const JournalEntry& entry) {
    Json object = {
        {"task", entry.task}, {"stage", entry.stage},           {"seconds", entry.seconds},
        {"rank", entry.rank}, {"size_bytes", entry.size_bytes}, {"artifact", entry.artifact},
        {"text", entry.text}};
    if (entry.ended > 0.0) {
        object["ended"] = entry.ended;
    }
    // A path or text of the user's may be no UTF-8; that must not stop the job.
    std::string line = object.dump(-1, ' ', false, Json::error_handler_t::replace);
    const std::string crc = to_hex(hash_text(line));
    line.pop_back();
    return line.append(crc_key).append(crc).append(line_end);
}

std::optional<JournalEntry> parse_line(std::string_view line) {
    constexpr std::size_t tail_size = crc_key.size() + n_digits + line_end.size();
    if (line.size() < tail_size) {
        return std::nullopt;
    }
    const std::string_view tail = line.substr(line.size() - tail_size);
    const std::string body = std::string(line.substr(0, line.size() - tail_size)) + "}";
    if (!tail.starts_with(crc_key) || !tail.ends_with(line_end) ||
        tail.substr(crc_key.size(), n_digits) != to_hex(hash_text(body))) {
        return std::nullopt;
    }
    try {
        const Json object = Json::parse(body);
        return JournalEntry{object.at("task").get<std::string>(),
                            object.at("stage").get<std::string>(),
                            object.at("seconds").get<double>(),
                            whole_number<int>(object.at("rank")),
                            whole_number<std::uint64_t>(object.at("size_bytes")),
                            object.at("artifact").get<std::string>(),
                            object.at("text").get<std::string>(),
                            object.value("ended", 0.0)};
    } catch (const Json::exception&) {
        return std::nullopt;  // good sum, other fields: written by another version
    } catch (const DataError&) {
        return std::nullopt;
    }
}

/// Keeps one entry a task, the last.
void insert(JournalEntry entry, std::vector<JournalEntry>& entries,
            std::unordered_map<std::string, std::size_t>& positions) {
    const auto [place, is_new] = positions.emplace(entry.task, entries.size());
    if (is_new) {
        entries.push_back(std::move(entry));
    } else {
        entries[place->second] = std::move(entry);
    }
}

JournalContent parse(std::string_view text) {
    JournalContent content;
    std::unordered_map<std::string, std::size_t> positions;
    while (!text.empty()) {
        const std::size_t newline = text.find('\n');
        const bool is_torn = newline == std::string_view::npos;
        auto entry = is_torn ? std::nullopt : parse_line(text.substr(0, newline));
        text.remove_prefix(is_torn ? text.size() : newline + 1);
        if (entry) {
            insert(std::move(*entry), content.entries, positions);
        } else {
            content.is_damaged = true;
            if (!text.empty()) {
                ++content.n_corrupt;
            }
        }
    }
    return content;
}

/// Replaces a damaged file by its good lines; returns the path.
fs::path without_damage(const fs::path& path, const JournalContent& content) {
    if (content.is_damaged) {
        std::string text;
        for (const JournalEntry& entry : content.entries) {
            text += to_line(entry) + "\n";
        }
        write_file(path, text);
    }
    return path;
}

}  // namespace

JournalContent read_journal(const fs::path& path) {
    try {
        return parse(read_file(path));
    } catch (const MissingInputError&) {
        return {};
    }
}

Journal::Journal(const fs::path& path) : Journal(path, read_journal(path)) {}

Journal::Journal(const fs::path& path, JournalContent content)
    : n_corrupt_(content.n_corrupt), file_(without_damage(path, content)) {
    for (JournalEntry& entry : content.entries) {
        insert(std::move(entry), entries_, positions_);
    }
}

std::optional<JournalEntry> Journal::find(std::string_view task) const {
    const auto place = positions_.find(std::string(task));
    if (place == positions_.end()) {
        return std::nullopt;
    }
    return entries_[place->second];
}

void Journal::record(JournalEntry entry) {
    file_.append(to_line(entry));
    insert(std::move(entry), entries_, positions_);
}

}  // namespace lathe
