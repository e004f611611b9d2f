#include "lib/template/chat_template.hpp"
#include "tests/fuzz/targets/tokenizing.hpp"

// All files that make a tokenizer together, and the chat template among them.
LATHE_FUZZ_TARGET(tokenizer_directory) {
    using namespace lathe;
    const auto directory = fuzz::put_directory(
        "tokenizer",
        fuzz::parts_of(
            input, {"tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "merges.txt",
                    "vocab.txt", "tokenizer_config.json", "added_tokens.json",
                    "special_tokens_map.json", "config.json", "chat_template.jinja"}));
    fuzz::refuse_or([&] { fuzz::use(*load_tokenizer(directory), fuzz::some_text); });
    fuzz::refuse_or([&] { (void)named_special_tokens(directory); });
    fuzz::refuse_or([&] { (void)load_chat_template(directory, ""); });
}
