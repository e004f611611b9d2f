#include "lib/template/chat_template.hpp"

#include "tests/fuzz/fuzzing.hpp"

// A template and, behind a line "=== row", a chat.
LATHE_FUZZ_TARGET(chat_template) {
    using namespace lathe;
    const fuzz::Parts parts = fuzz::parts_of(input, {"", "row"});
    std::string row =
        R"({"messages": [{"role": "user", "content": " a"}, {"role": "assistant", "content": "b"}]})";
    if (parts.size() > 1) row = parts[1].second;
    fuzz::refuse_or([&] {
        const ChatTemplate chat(std::string(parts[0].second), "template",
                                {{"bos_token", "<s>"}, {"eos_token", "</s>"}});
        (void)chat.render(row, "row");
    });
}
