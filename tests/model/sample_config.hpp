#pragma once

#include <string>

#include <gmock/gmock.h>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/model/model_spec.hpp"

namespace lathe::test {

/// The smallest complete Llama config.json: 2 blocks, 4 heads of 8, 2 key-value heads.
inline nlohmann::json sample_config() {
    return {{"model_type", "llama"},         {"hidden_size", 32},        {"intermediate_size", 48},
            {"num_hidden_layers", 2},        {"num_attention_heads", 4}, {"num_key_value_heads", 2},
            {"max_position_embeddings", 64}, {"vocab_size", 100}};
}

/// The sample with some keys changed or added; a null value stays null.
inline nlohmann::json sample_config(const nlohmann::json& changes) {
    nlohmann::json config = sample_config();
    config.update(changes);
    return config;
}

inline ModelSpec read(const nlohmann::json& config) {
    return read_model_spec(config.dump(), "config.json");
}

/// The message of the E that `action` throws; a failure and "" if it throws none.
template <typename E, typename Action>
std::string message_of(Action action) {
    try {
        action();
    } catch (const E& error) {
        return error.what();
    } catch (const std::exception& error) {
        ADD_FAILURE() << "another exception: " << error.what();
        return "";
    }
    ADD_FAILURE() << "nothing was thrown";
    return "";
}

/// The message with which the sample config, so changed, is refused.
inline std::string refusal(const nlohmann::json& changes) {
    return message_of<DataError>([&] { (void)read(sample_config(changes)); });
}

}  // namespace lathe::test
