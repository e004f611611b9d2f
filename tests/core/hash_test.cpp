#include "lib/core/hash.hpp"

#include <gtest/gtest.h>

namespace lathe {
namespace {

// Value of `printf '' | xxh3sum`-like tools: XXH3-64 of the empty input with seed 0, from the
// xxHash project's published test vectors.
TEST(Hash, IsXxh3) {
    EXPECT_EQ(to_hex(hash_text("")), "2d06800538d394c2");
}

TEST(Hash, PiecesEqualTheWhole) {
    Hasher hasher;
    hasher.add(std::as_bytes(std::span("abc", 3)));
    hasher.add(std::as_bytes(std::span("def", 3)));
    EXPECT_EQ(hasher.digest(), hash_text("abcdef"));
}

TEST(Hash, FieldsDoNotRunTogether) {
    Hasher first;
    first.add_field("ab");
    first.add_field("c");
    Hasher second;
    second.add_field("a");
    second.add_field("bc");
    EXPECT_NE(first.digest(), second.digest());
}

}  // namespace
}  // namespace lathe
