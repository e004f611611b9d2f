#include <algorithm>
#include <chrono>
#include <iostream>

#include <fmt/format.h>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/tokenizer/text_stream.hpp"
#include "orchestrator/commands.hpp"
#include "orchestrator/stop_request.hpp"
#include "workers/checkpoint/model_to_run.hpp"
#include "workers/evaluation/evaluation.hpp"
#include "workers/network/generation.hpp"

namespace lathe {

namespace {

using Clock = std::chrono::steady_clock;

const char* name(StopReason reason) {
    switch (reason) {
        case StopReason::end_of_text:
            return "end_of_text";
        case StopReason::new_tokens:
            return "new_tokens";
        case StopReason::positions:
            return "positions";
    }
    return "";
}

void require_language_model(const CommandLine& line, const ModelSpec& spec) {
    if (spec.head != HeadKind::language_model) {
        throw DataError(line.path.string() +
                        ": generate needs a language model; this model is a "
                        "classifier (" +
                        spec.family + ")");
    }
}

std::vector<std::uint32_t> encode_prompt(const CommandLine& line, const ModelSpec& spec,
                                         const Tokenizer& tokenizer) {
    std::vector<std::uint32_t> prompt = tokenizer.encode(line.prompt, true);
    if (prompt.empty()) {
        throw UsageError("the prompt is empty, and the tokenizer begins a text with no token");
    }
    check_ids(prompt, spec.vocab_size, "the prompt");
    if (prompt.size() > spec.max_positions) {
        throw UsageError("the prompt has " + std::to_string(prompt.size()) +
                         " tokens, the model's longest sequence " +
                         std::to_string(spec.max_positions));
    }
    return prompt;
}

/// Collects the text; without --json it is on standard output as soon as it is known.
class Output {
public:
    explicit Output(bool streams) : streams_(streams) {}
    void add(const std::string& piece) {
        text_ += piece;
        if (streams_ && !piece.empty()) {
            std::cout << piece << std::flush;
            if (!std::cout) {
                throw IoError("cannot write to standard output");
            }
        }
    }
    [[nodiscard]] const std::string& text() const { return text_; }

private:
    bool streams_;
    std::string text_;
};

}  // namespace

CommandOutput run_generate(const CommandContext& context) {
    const CommandLine& line = context.line;
    check_generation_options(line.generation);
    const bool coarse = line.generation.tables == "int8";
    const ModelToRun model = open_model(line, coarse ? LookupTables::int8 : LookupTables::fp32);
    const ModelSpec& spec = model.spec();
    require_language_model(line, spec);
    const auto tokenizer = open_tokenizer(line.path, spec);
    if (!tokenizer) {
        throw MissingInputError(line.path.string() +
                                ": generate needs the model's tokenizer, and it has none");
    }
    const std::vector<std::uint32_t> prompt = encode_prompt(line, spec, *tokenizer);
    const std::size_t room = spec.max_positions - prompt.size();
    const Device device = Device::open(line.runtime.backend, line.runtime.threads, context.world);
    const auto runner =
        make_runner(spec, model.weights(), *device.backend,
                    prompt.size() + std::min(line.generation.max_new_tokens, room), line.integer);

    TextStream stream(*tokenizer, prompt);
    Output output(!line.json);
    const auto start = Clock::now();
    const Generated generated =
        generate(*runner, spec, prompt, line.generation, [&](std::uint32_t id) {
            output.add(stream.add(id));
            if (StopRequest::requested()) {
                throw StoppedError("stopped while generating: " + StopRequest::reason());
            }
        });
    output.add(stream.finish());
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    return {
        nlohmann::json{{"text", output.text()},
                       {"ids", generated.ids},
                       {"prompt_tokens", prompt.size()},
                       {"stop", name(generated.stop)},
                       {"seconds", seconds},
                       {"tokens_per_second", static_cast<double>(generated.ids.size()) / seconds}}
            .dump(),
        "\n", 0};
}

}  // namespace lathe
