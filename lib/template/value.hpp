#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace lathe::jinja {

class Value;
using List = std::vector<Value>;

/// A list or, for printing, a tuple.
struct Sequence {
    List items;
    bool is_tuple = false;
    std::size_t depth = 0;  ///< lists and mappings within one another
};

/// Keys in the order in which they came.
struct Dict {
    std::vector<std::pair<Value, Value>> items;
    std::size_t depth = 0;  ///< as of a Sequence

    /// Null if there is no such key.
    [[nodiscard]] const Value* find(const Value& key) const;
    void set(const Value& key, Value value);
};

/// What `namespace()` makes: the one thing whose parts a template may change. It stands in no other
/// value, so that none holds itself.
struct Namespace {
    Dict values;
};

/// Of a call.
struct Arguments {
    List positional;
    std::vector<std::pair<std::string, Value>> named;

    /// The argument at `place`, or of this name; null if it was not given.
    [[nodiscard]] const Value* find(std::size_t place, std::string_view name) const;
};
using Function = std::function<Value(const Arguments& arguments)>;

/// A value of a template, with the meaning it has in Python.
class Value {
public:
    struct Undefined {
        std::string name;  ///< for messages
    };
    struct None {};

    Value() : data_(None{}) {}
    Value(bool value) : data_(value) {}                      // NOLINT(*-explicit-*)
    Value(std::int64_t value) : data_(value) {}              // NOLINT(*-explicit-*)
    Value(double value) : data_(value) {}                    // NOLINT(*-explicit-*)
    Value(std::string value);                                // NOLINT(*-explicit-*)
    Value(const char* value) : Value(std::string(value)) {}  // NOLINT(*-explicit-*)
    static Value undefined(std::string name);
    // @throws DataError  if values are too deep within one another, or one is a namespace
    static Value list(List items);
    static Value tuple(List items);
    static Value dict(Dict dict);
    static Value space(Dict values);
    static Value function(Function function);
    /// Keys in the order of the text.
    static Value of_json(const nlohmann::ordered_json& json);

    template <class Kind>
    [[nodiscard]] const Kind* as() const {
        return std::get_if<Kind>(&data_);
    }
    [[nodiscard]] bool is_undefined() const { return as<Undefined>() != nullptr; }
    [[nodiscard]] bool is_none() const { return as<None>() != nullptr; }
    [[nodiscard]] bool is_string() const { return as<std::string>() != nullptr; }
    [[nodiscard]] bool is_number() const;  ///< a boolean counts, as in Python
    [[nodiscard]] const Sequence* as_sequence() const;
    [[nodiscard]] const Dict* as_dict() const;
    [[nodiscard]] Namespace* as_space() const;
    [[nodiscard]] const Function* as_function() const;

    /// "undefined", "none", "string", ...
    [[nodiscard]] std::string_view kind() const;

    [[nodiscard]] bool is_true() const;
    /// What `{{ value }}` writes: Python's str().
    [[nodiscard]] std::string text() const;
    /// Python's repr(), as it stands in a list.
    [[nodiscard]] std::string quoted() const;

    // Each throws DataError for a value of another kind.
    [[nodiscard]] const std::string& string() const;
    [[nodiscard]] std::int64_t integer() const;
    [[nodiscard]] double real() const;
    /// A whole number that a calculation makes. @throws DataError  if it has more than 64 bits
    static Value whole(double number);
    /// What a loop over it gives: elements, keys, or characters.
    [[nodiscard]] List elements() const;
    /// Python's len().
    [[nodiscard]] std::size_t length() const;

private:
    std::variant<Undefined, None, bool, std::int64_t, double, std::string,
                 std::shared_ptr<const Sequence>, std::shared_ptr<const Dict>,
                 std::shared_ptr<Namespace>, std::shared_ptr<const Function>>
        data_;
};

[[nodiscard]] bool operator==(const Value& a, const Value& b);
/// Numbers with numbers, strings with strings, lists with lists. @throws DataError  else
[[nodiscard]] bool less(const Value& a, const Value& b);

/// Python's json.dumps() with ensure_ascii=False; indent < 0: on one line.
struct JsonStyle {
    int indent = -1;
    bool sort_keys = false;
    bool ensure_ascii = false;
    std::string item_separator = ", ";
    std::string key_separator = ": ";
};
[[nodiscard]] std::string to_json(const Value& value, const JsonStyle& style, int depth = 0);

/// Refuses a namespace where it would become a part of another value. @throws DataError
void require_part(const Value& value);

/// The characters of a text.
[[nodiscard]] std::vector<std::string> characters(std::string_view text);

}  // namespace lathe::jinja
