#pragma once

#include <string>

#include "lib/template/value.hpp"

namespace lathe::jinja {

// The filters of lists and mappings, and what reads arguments.

[[nodiscard]] bool flag_of(const Value* value, bool fallback);
/// `fallback` for null and for none.
[[nodiscard]] std::string text_of(const Value* value, std::string fallback);

/// select and reject (`wanted` false), or by a part of each element selectattr and rejectattr.
[[nodiscard]] Value chosen(const Value& value, const Arguments& arguments, bool by_attribute,
                           bool wanted);
[[nodiscard]] Value map(const Value& value, const Arguments& arguments);
[[nodiscard]] Value join(const Value& value, const Arguments& arguments);
[[nodiscard]] Value sorted(const Value& value, const Arguments& arguments);
[[nodiscard]] Value dict_sorted(const Value& value, const Arguments& arguments);
[[nodiscard]] Value unique(const Value& value, const Arguments& arguments);
[[nodiscard]] Value sum(const Value& value, const Arguments& arguments);
[[nodiscard]] Value extreme(const Value& value, bool largest);
[[nodiscard]] Value reversed(const Value& value);
[[nodiscard]] Value items_of(const Value& value);
[[nodiscard]] Value end_of(const Value& value, bool last);

}  // namespace lathe::jinja
