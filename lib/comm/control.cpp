#include "lib/comm/control.hpp"

#include <algorithm>
#include <utility>

#include "lib/core/errors.hpp"

namespace lathe::comm {

void send_control(Communicator& communicator, int to, ControlKind kind, std::string_view text) {
    std::vector<std::byte> bytes(1 + text.size());
    bytes[0] = static_cast<std::byte>(kind);
    std::ranges::transform(text, bytes.begin() + 1,
                           [](char c) { return static_cast<std::byte>(c); });
    const bool from_coordinator = kind == ControlKind::task || kind == ControlKind::stop;
    communicator.send(to, from_coordinator ? Tag::task : Tag::result, std::move(bytes));
}

Control parse_control(const Message& message) {
    constexpr std::string_view known = "TSRHPAFE";
    const std::string_view text(reinterpret_cast<const char*>(message.bytes.data()),
                                message.bytes.size());
    if (text.empty() || known.find(text[0]) == std::string_view::npos) {
        throw InternalError("rank " + std::to_string(message.source) + " sent " +
                            std::to_string(text.size()) + " bytes that are no control message");
    }
    return {static_cast<ControlKind>(text[0]), message.source, std::string(text.substr(1))};
}

}  // namespace lathe::comm
