#pragma once

#include <string>
#include <string_view>

#include "lib/tokenizer/json_place.hpp"

namespace lathe::tokenizer {

/// A token that is found as a whole in the text, before the model sees it, as a file declares it.
struct TokenDeclaration {
    std::string content;
    bool single_word = false;  ///< only where no word character touches it
    bool lstrip = false;       ///< takes the white space before it along
    bool rstrip = false;       ///< takes the white space behind it along
    bool normalized = true;  ///< looked for, itself normalised, in normalised text, else as it came
    bool special = false;    ///< left out by decode

    bool operator==(const TokenDeclaration&) const = default;
};

/// A special token with nothing said about it: found in the text as it came.
[[nodiscard]] TokenDeclaration special_token(std::string_view content);

/// An object {"content": ..., "lstrip": ...}. What it leaves out is false, but for `normalized`,
/// which then is what `special` is not. @throws DataError
[[nodiscard]] TokenDeclaration read_token_declaration(const JsonPlace& place);

/// The declaration as such an object, complete.
[[nodiscard]] nlohmann::json to_json(const TokenDeclaration& token);

}  // namespace lathe::tokenizer
