#include "lib/tokenizer/regex.hpp"

#include <string>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "lib/core/errors.hpp"
#include "lib/tokenizer/regex_dialect.hpp"

namespace lathe::tokenizer {
namespace {

std::string message_of(int error) {
    PCRE2_UCHAR buffer[256];
    pcre2_get_error_message(error, buffer, sizeof buffer);
    return reinterpret_cast<const char*>(buffer);
}

/// Room for the position of one match. One for each thread, because a new one for each word would
/// cost more than the match.
pcre2_match_data* match_data() {
    struct Deleter {
        void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
    };
    thread_local const std::unique_ptr<pcre2_match_data, Deleter> data(
        pcre2_match_data_create(1, nullptr));
    return data.get();
}

/// The compiled matcher lives in 32 KiB of stack unless it is given more.
int match_with_large_stack(const pcre2_code* code, std::string_view text, std::size_t start) {
    constexpr std::size_t largest = std::size_t{64} << 20;
    const std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> context(
        pcre2_match_context_create(nullptr), &pcre2_match_context_free);
    const std::unique_ptr<pcre2_jit_stack, decltype(&pcre2_jit_stack_free)> stack(
        pcre2_jit_stack_create(std::size_t{32} << 10, largest, nullptr), &pcre2_jit_stack_free);
    pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
    return pcre2_jit_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), start, 0,
                           match_data(), context.get());
}

int match(const pcre2_code* code, bool has_jit, std::string_view text, std::size_t start) {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    if (!has_jit) {
        return pcre2_match(code, subject, text.size(), start, PCRE2_NO_UTF_CHECK, match_data(),
                           nullptr);
    }
    const int result = pcre2_jit_match(code, subject, text.size(), start, 0, match_data(), nullptr);
    if (result != PCRE2_ERROR_JIT_STACKLIMIT) return result;
    return match_with_large_stack(code, text, start);
}

std::size_t next_position(std::string_view text, std::size_t position) {
    do {
        ++position;
    } while (position < text.size() && (static_cast<unsigned char>(text[position]) & 0xC0) == 0x80);
    return position;
}

}  // namespace

void Regex::CodeDeleter::operator()(pcre2_real_code_8* code) const {
    pcre2_code_free(code);
}

Regex::Regex(std::string_view pattern) {
    // However PCRE2 was built: lines end in "\n" only.
    const std::string translated = "(*LF)" + to_pcre2_pattern(pattern);
    int error = 0;
    PCRE2_SIZE offset = 0;
    // Ruby's ^ and $ always match at line ends.
    constexpr std::uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                              options, &error, &offset, nullptr));
    if (!code_) {
        throw DataError("the pattern \"" + std::string(pattern) +
                        "\" is wrong: " + message_of(error) + " at byte " + std::to_string(offset) +
                        " of \"" + translated + "\"");
    }
    has_jit_ = pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE) == 0;
}

void Regex::find_all(std::string_view text, std::vector<Span>& matches) const {
    if (text.data() == nullptr) text = "";
    const std::size_t n_before = matches.size();
    std::size_t position = 0;
    while (position <= text.size()) {
        const int result = match(code_.get(), has_jit_, text, position);
        if (result == PCRE2_ERROR_NOMATCH) return;
        if (result < 0) {
            throw DataError("matching a pattern in a text of " + std::to_string(text.size()) +
                            " bytes failed at byte " + std::to_string(position) + ": " +
                            message_of(result));
        }
        const PCRE2_SIZE* span = pcre2_get_ovector_pointer(match_data());
        const bool follows_directly =
            matches.size() > n_before && matches.back().end == span[1] && span[0] == span[1];
        if (follows_directly) {
            position = next_position(text, position);
            continue;
        }
        matches.push_back({span[0], span[1]});
        position = span[1];
    }
}

}  // namespace lathe::tokenizer
