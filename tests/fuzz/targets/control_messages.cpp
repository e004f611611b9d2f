#include "lib/comm/control.hpp"
#include "lib/core/json.hpp"
#include "lib/job/task.hpp"
#include "tests/fuzz/fuzzing.hpp"

namespace lathe::fuzz {
namespace {

/// A message between ranks is never the user's: what makes no sense is an internal error, and what
/// makes sense is read as what it says.
template <auto read>
void read_message(const std::string& text) {
    try {
        const auto message = read(text);
        require(read(to_json(message)) == message, "a message reads back as the same");
        require(parse_json(to_json(message)) == parse_json(text), "a message means what it says");
    } catch (const InternalError&) {
    }
}

}  // namespace
}  // namespace lathe::fuzz

// What one rank sends another.
LATHE_FUZZ_TARGET(control_messages) {
    using namespace lathe;
    comm::Message message;
    message.source = 1;
    for (const char c : input) message.bytes.push_back(static_cast<std::byte>(c));
    try {
        const comm::Control control = comm::parse_control(message);
        if (control.kind == comm::ControlKind::task)
            fuzz::read_message<task_from_json>(control.text);
        if (control.kind == comm::ControlKind::result) {
            fuzz::read_message<task_result_from_json>(control.text);
        }
    } catch (const InternalError&) {
    }
}
