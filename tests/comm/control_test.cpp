#include "lib/comm/control.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"

namespace lathe::comm {
namespace {

using ::testing::HasSubstr;

TEST(Control, EveryKindArrivesUnderItsTag) {
    const auto world = make_local_communicator();
    for (const ControlKind kind : {ControlKind::task, ControlKind::stop}) {
        send_control(*world, 0, kind, "text");
        const Control control = parse_control(world->try_receive(0, Tag::task).value());
        EXPECT_EQ(control.kind, kind);
        EXPECT_EQ(control.text, "text");
    }
    for (const ControlKind kind :
         {ControlKind::result, ControlKind::heartbeat, ControlKind::failed, ControlKind::stopped}) {
        send_control(*world, 0, kind);
        const Control control = parse_control(world->try_receive(-1, Tag::result).value());
        EXPECT_EQ(control.kind, kind);
        EXPECT_EQ(control.text, "");
        EXPECT_EQ(control.source, 0);
    }
}

TEST(Control, OtherBytesAreRefused) {
    EXPECT_THROW(static_cast<void>(parse_control({3, {}})), InternalError);
    try {
        static_cast<void>(parse_control({3, {std::byte{'x'}, std::byte{'y'}}}));
        FAIL();
    } catch (const InternalError& error) {
        EXPECT_THAT(error.what(), HasSubstr("rank 3 sent 2 bytes that are no control message"));
    }
}

}  // namespace
}  // namespace lathe::comm
