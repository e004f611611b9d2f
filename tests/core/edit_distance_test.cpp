#include "lib/core/edit_distance.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lathe {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(EditDistance, CountsInsertionsDeletionsAndReplacements) {
    EXPECT_EQ(edit_distance("", ""), 0U);
    EXPECT_EQ(edit_distance("", "abc"), 3U);
    EXPECT_EQ(edit_distance("q_proj", "q_porj"), 2U);
    EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);  // the example of the textbooks
    EXPECT_EQ(edit_distance("sitting", "kitten"), 3U);
}

TEST(NearestWords, AreRankedAndEachIsThereOnce) {
    const std::vector<std::string> words{"k_proj", "up_proj", "q_proj", "k_proj", "norm"};
    EXPECT_THAT(nearest_words("q_prj", words, 9), ElementsAre("q_proj", "k_proj", "up_proj"));
    EXPECT_THAT(nearest_words("q_prj", words, 1), ElementsAre("q_proj"));
    EXPECT_THAT(nearest_words("nonsense", words, 3), IsEmpty());
    EXPECT_THAT(nearest_words("", words, 3), IsEmpty());
    EXPECT_THAT(nearest_words("x", {}, 3), IsEmpty());
}

}  // namespace
}  // namespace lathe
