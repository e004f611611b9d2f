#include "lib/core/utf8.hpp"
#include "lib/dataset/text_corpus.hpp"
#include "lib/template/chat_template.hpp"
#include "tests/fuzz/fuzzing.hpp"

// A calibration text: plain, or JSON Lines of texts and chats.
LATHE_FUZZ_TARGET(text_files) {
    using namespace lathe;
    static const ChatTemplate chat(
        "{% for m in messages %}{{ m.role + ': ' + m.content }}{% endfor %}", "template", {});
    const auto file = fuzz::put("text.jsonl", input);
    const auto check = [](const std::string& text) {
        fuzz::require(is_valid_utf8(text), "a text is UTF-8");
    };
    fuzz::refuse_or([&] { check(read_running_text(file)); });
    fuzz::refuse_or(
        [&] { for_each_line(file, [&](const std::string& line, std::size_t) { check(line); }); });
    fuzz::refuse_or([&] { for_each_jsonl_text(file, {}, check); });
    fuzz::refuse_or([&] {
        for_each_jsonl_text(
            file,
            [](const std::string& row, const std::string& where) {
                return chat.render(row, where);
            },
            check);
    });
}
