#include "orchestrator/journal.hpp"

#include "lib/core/hash.hpp"
#include "tests/fuzz/fuzzing.hpp"

namespace lathe::fuzz {
namespace {

/// Lines that end in "CRC" get the check sum that belongs to them, which no mutation finds.
std::string with_check_sums(std::string_view input) {
    std::string text;
    while (!input.empty()) {
        const std::size_t end = std::min(input.find('\n'), input.size());
        const std::string_view line = input.substr(0, end);
        text += line.ends_with("CRC")
                    ? std::string(line.substr(0, line.size() - 3)) + ",\"crc\":\"" +
                          to_hex(hash_text(std::string(line.substr(0, line.size() - 3)) + "}")) +
                          "\"}"
                    : std::string(line);
        if (end < input.size()) text += '\n';
        input.remove_prefix(std::min(end + 1, input.size()));
    }
    return text;
}

}  // namespace
}  // namespace lathe::fuzz

// journal.jsonl of a run, damaged anywhere.
LATHE_FUZZ_TARGET(journal) {
    using namespace lathe;
    const auto file = fuzz::put("journal.jsonl", fuzz::with_check_sums(input));
    const JournalContent content = read_journal(file);
    if (!content.is_damaged) return;
    // Opening it drops the damaged lines and nothing else.
    const Journal opened(file);
    fuzz::require(opened.entries() == content.entries, "good lines stay");
    const JournalContent mended = read_journal(file);
    fuzz::require(mended.entries == content.entries && !mended.is_damaged, "damage is gone");
}
