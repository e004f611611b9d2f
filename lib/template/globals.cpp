#include <array>
#include <ctime>

#include "lib/core/errors.hpp"
#include "lib/template/library.hpp"

namespace lathe::jinja {
namespace {

constexpr std::int64_t longest_range = 100000;

Value range(const Arguments& arguments) {
    const List& given = arguments.positional;
    if (given.empty() || given.size() > 3) throw DataError("range takes one to three numbers");
    const std::int64_t begin = given.size() > 1 ? given[0].integer() : 0;
    const std::int64_t end = given[given.size() > 1 ? 1 : 0].integer();
    const std::int64_t step = given.size() > 2 ? given[2].integer() : 1;
    if (step == 0) throw DataError("range with step 0");
    List numbers;
    for (std::int64_t i = begin; step > 0 ? i < end : i > end;) {
        numbers.emplace_back(i);
        if (numbers.size() > static_cast<std::size_t>(longest_range)) {
            throw DataError("range of more than " + std::to_string(longest_range) + " numbers");
        }
        if (__builtin_add_overflow(i, step, &i)) break;
    }
    return Value::list(std::move(numbers));
}

Dict named_values(const Arguments& arguments) {
    Dict dict;
    if (!arguments.positional.empty()) {
        if (const Dict* first = arguments.positional[0].as_dict()) dict = *first;
    }
    for (const auto& [name, value] : arguments.named) dict.set(name, value);
    return dict;
}

Value raise_exception(const Arguments& arguments) {
    const Value* message = arguments.find(0, "message");
    throw DataError("the template refuses the chat: " +
                    (message != nullptr ? message->text() : std::string("no reason given")));
}

/// The date of today, as in transformers: a template that writes it gives other texts tomorrow.
Value strftime_now(const Arguments& arguments) {
    const Value* format = arguments.find(0, "format");
    if (format == nullptr) throw DataError("strftime_now without a format");
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    localtime_r(&now, &local);
    std::array<char, 256> text{};
    const std::size_t size =
        std::strftime(text.data(), text.size(), format->string().c_str(), &local);
    return std::string(text.data(), size);
}

}  // namespace

void add_globals(Scope& scope) {
    scope.set("range", Value::function(range));
    scope.set("namespace", Value::function([](const Arguments& arguments) {
                  return Value::space(named_values(arguments));
              }));
    scope.set("dict", Value::function([](const Arguments& arguments) {
                  return Value::dict(named_values(arguments));
              }));
    scope.set("raise_exception", Value::function(raise_exception));
    scope.set("strftime_now", Value::function(strftime_now));
}

}  // namespace lathe::jinja
