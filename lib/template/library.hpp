#pragma once

#include <string>
#include <string_view>

#include "lib/template/scope.hpp"
#include "lib/template/value.hpp"

namespace lathe::jinja {

// What templates can call. Each throws DataError for a name that is not known here, and for
// arguments that do not fit.

/// `value | name(arguments)`
[[nodiscard]] Value apply_filter(std::string_view name, const Value& value,
                                 const Arguments& arguments);

/// `value is name(arguments)`
[[nodiscard]] bool passes_test(std::string_view name, const Value& value,
                               const Arguments& arguments);

/// `value.name(arguments)` of a string or a mapping.
[[nodiscard]] Value call_method(const Value& value, std::string_view name,
                                const Arguments& arguments);
[[nodiscard]] bool has_method(const Value& value, std::string_view name);

/// `value.name`, `value[key]`; undefined if there is no such part.
[[nodiscard]] Value part_of(const Value& value, const Value& key);

/// range, namespace, dict, raise_exception, strftime_now.
void add_globals(Scope& scope);

}  // namespace lathe::jinja
