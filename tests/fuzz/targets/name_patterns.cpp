#include "lib/model/name_patterns.hpp"

#include "tests/fuzz/fuzzing.hpp"

// Names of parts of a model as a user lists them: a line each, matched with the last line.
LATHE_FUZZ_TARGET(name_patterns) {
    using namespace lathe;
    const std::size_t last = input.rfind('\n');
    const std::string name(last == std::string_view::npos ? "model.layers.0.self_attn.q_proj.weight"
                                                          : input.substr(last + 1));
    std::vector<std::string> entries;
    std::string_view rest = input.substr(0, last);
    for (std::size_t end = 0; end != std::string_view::npos && entries.size() < 8;) {
        end = rest.find('\n');
        entries.emplace_back(rest.substr(0, end));
        if (end != std::string_view::npos) rest.remove_prefix(end + 1);
    }
    fuzz::refuse_or([&] {
        const NamePatterns patterns(entries, "ignore");
        (void)patterns.has(name);
        (void)patterns.has("model.layers.0.self_attn.q_proj.weight");
    });
}
