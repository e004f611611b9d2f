#include "lib/job/task.hpp"

#include <cmath>
#include <cstdint>
#include <limits>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"

namespace lathe {
namespace {

using Json = nlohmann::json;

/// Reads the fields of one object and refuses all that to_json() does not write. nlohmann's own
/// get<int>() would turn 1.5 or true into 1.
class Fields {
public:
    Fields(std::string_view text, const char* what, std::size_t n_fields) : what_(what) {
        object_ = try_parse_json(text);
        if (!object_.is_object()) {
            refuse("not a JSON object");
        }
        if (object_.size() != n_fields) {
            refuse(std::to_string(object_.size()) + " fields instead of " +
                   std::to_string(n_fields));
        }
    }

    [[nodiscard]] std::string text(const char* name) const {
        const Json& value = field(name);
        if (!value.is_string()) {
            refuse_field(name, "a string");
        }
        return value.get<std::string>();
    }

    [[nodiscard]] bool boolean(const char* name) const {
        const Json& value = field(name);
        if (!value.is_boolean()) {
            refuse_field(name, "true or false");
        }
        return value.get<bool>();
    }

    [[nodiscard]] double number(const char* name) const {
        const Json& value = field(name);
        if (!value.is_number()) {
            refuse_field(name, "a number");
        }
        return value.get<double>();
    }

    [[nodiscard]] int integer(const char* name) const {
        const Json& value = field(name);
        if (!value.is_number_integer()) {
            refuse_field(name, "a whole number");
        }
        const auto wide = value.get<std::int64_t>();
        const bool wraps = value.is_number_unsigned() && wide < 0;
        if (wraps || wide < std::numeric_limits<int>::min() ||
            wide > std::numeric_limits<int>::max()) {
            refuse_field(name, "a whole number of 32 bits");
        }
        return static_cast<int>(wide);
    }

private:
    [[nodiscard]] const Json& field(const char* name) const {
        const auto found = object_.find(name);
        if (found == object_.end()) {
            refuse(std::string("no field \"") + name + "\"");
        }
        return *found;
    }

    [[noreturn]] void refuse_field(const char* name, const char* expected) const {
        refuse(std::string("field \"") + name + "\" is not " + expected);
    }

    [[noreturn]] void refuse(const std::string& reason) const {
        throw InternalError(std::string(what_) + " message: " + reason);
    }

    const char* what_;
    Json object_;
};

/// JSON has no infinity and no NaN.
double finite(double value, const char* what) {
    if (std::isfinite(value)) {
        return value;
    }
    throw InternalError(std::string(what) + " message: a number is not finite");
}

std::string dump(const Json& object, const char* what) {
    try {
        return object.dump();
    } catch (const Json::exception&) {
        throw InternalError(std::string(what) + " message: a text is no UTF-8");
    }
}

/// `text` with what is no UTF-8 replaced.
std::string valid_utf8(const std::string& text) {
    return Json::parse(
        Json(text).dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace));
}

}  // namespace

std::string to_json(const Task& task) {
    return dump({{"stage", task.stage},
                 {"id", task.id},
                 {"arguments", task.arguments},
                 {"cost", finite(task.cost, "task")},
                 {"rank", task.rank}},
                "task");
}

std::string to_json(const TaskResult& result) {
    return dump({{"id", result.id},
                 {"ok", result.ok},
                 {"exit_code", result.exit_code},
                 {"text", valid_utf8(result.text)},
                 {"seconds", finite(result.seconds, "task result")},
                 {"rank", result.rank}},
                "task result");
}

Task task_from_json(std::string_view text) {
    const Fields fields(text, "task", 5);
    Task task;
    task.stage = fields.text("stage");
    task.id = fields.text("id");
    task.arguments = fields.text("arguments");
    task.cost = fields.number("cost");
    task.rank = fields.integer("rank");
    return task;
}

TaskResult task_result_from_json(std::string_view text) {
    const Fields fields(text, "task result", 6);
    TaskResult result;
    result.id = fields.text("id");
    result.ok = fields.boolean("ok");
    result.exit_code = fields.integer("exit_code");
    result.text = fields.text("text");
    result.seconds = fields.number("seconds");
    result.rank = fields.integer("rank");
    return result;
}

}  // namespace lathe
