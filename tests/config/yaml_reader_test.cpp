#include "lib/config/yaml_reader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using ::testing::ThrowsMessage;
using Kind = YamlValue::Kind;

TEST(ParseYaml, KeepsOrderAndPlaces) {
    YamlValue root = parse_yaml("b: 1\na:\n  - x\n  - \"2\"\nc:\nd: {e: ~}\n", "f");
    ASSERT_EQ(root.kind, Kind::map);
    ASSERT_EQ(root.entries.size(), 4U);
    EXPECT_EQ(root.entries[0].key, "b");
    EXPECT_EQ(root.entries[0].place.text, "f:1:1");
    EXPECT_EQ(root.entries[0].value.place.text, "f:1:4");
    const YamlValue& list = root.entries[1].value;
    ASSERT_EQ(list.kind, Kind::list);
    EXPECT_EQ(list.items[0].text, "x");
    EXPECT_FALSE(list.items[0].quoted);
    EXPECT_TRUE(list.items[1].quoted);
    EXPECT_EQ(list.items[1].place.text, "f:4:5");
    EXPECT_EQ(root.entries[2].value.kind, Kind::null);
    EXPECT_EQ(root.entries[2].value.place.text, "f:5:1");  // of the key
    EXPECT_EQ(find_entry(root, "d")->value.entries[0].value.kind, Kind::null);
    EXPECT_EQ(find_entry(root, "z"), nullptr);
}

TEST(ParseYaml, NothingAndOneDocument) {
    for (const char* text : {"", "\n", "# only a comment\n", "---\n", "~"}) {
        EXPECT_EQ(parse_yaml(text, "f").kind, Kind::null) << '"' << text << '"';
    }
    for (const char* text : {"a: 1", "---\na: 1\n", "a: 1\n...\n", "a: 1\r\n", "a: |\n  1\n"}) {
        EXPECT_EQ(parse_yaml(text, "f").kind, Kind::map) << '"' << text << '"';
    }
}

TEST(ParseYaml, Refusals) {
    const std::pair<const char*, const char*> cases[] = {
        {"a: 1\nb: 2\na: 3\n", "f:3:1: key \"a\" is given twice, first at f:1:1"},
        {"a:\n  b: {c: 1, c: 1}\n", "f:2:13: key \"c\" is given twice, first at f:2:7"},
        {"a:\n\t- 1\n", "f:2:2: not YAML"},
        {"a: 1\n b: 2\n", "f:2:3: not YAML"},
        {"a: [1, 2\n", "not YAML: end of sequence flow not found"},
        {"a: @x\n", "f:1:4: not YAML: unknown token"},
        {"a: *nowhere\n", "f:1:4: not YAML: the referenced anchor is not defined"},
        {"a: 'x\nb: 1\n", "a quote is not closed"},
        {"a: \"x", "a quote is not closed"},
        {"a: 1\n---\nb: 2\n", "f:3:1: a second document begins"},
        {"a: 1\n---\n", "a second document begins"},
        {"&0, t c\n", "a second document begins"},  // yaml-cpp finds documents without end
        {"? [1, 2]\n: 3\n", "a key must be a text"},
        {"a: !!int 3\n", "f:1:4: tag \"tag:yaml.org,2002:int\""},
        {"a: &x [*x]\n", "nested too deeply"},
        {"a: [[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]\n", "nested too deeply"},
        {"a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
         "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
         "e: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n",
         "too many values"},
    };
    for (const auto& [text, part] : cases) {
        SCOPED_TRACE(text);
        EXPECT_THAT([t = text] { (void)parse_yaml(t, "f"); },
                    ThrowsMessage<UsageError>(HasSubstr(part)));
        EXPECT_THAT([t = text] { (void)parse_yaml(t, "f"); },
                    ThrowsMessage<UsageError>(StartsWith("f:")));
    }
}

TEST(MapReader, RefusesUnknownKeysAndSuggests) {
    const auto message = [](const std::string& key) -> std::string {
        const YamlValue value = parse_yaml("seed: 1\n" + key + ": 2\n", "f");
        MapReader map(&value, "");
        (void)map.find("seed");
        (void)map.find("model");
        (void)map.find("seed");  // asking twice does not list it twice
        try {
            map.finish();
        } catch (const UsageError& error) {
            return error.what();
        }
        return "accepted";
    };
    EXPECT_EQ(message("model"), "accepted");
    EXPECT_EQ(message("modle"),
              "f:2:1: unknown key \"modle\"; did you mean \"model\"? valid keys: seed, model");
    EXPECT_EQ(message("models"),
              "f:2:1: unknown key \"models\"; did you mean \"model\"? valid keys: seed, model");
    EXPECT_EQ(message("sed"),
              "f:2:1: unknown key \"sed\"; did you mean \"seed\"? valid keys: seed, model");
    EXPECT_EQ(message("Modell"),
              "f:2:1: unknown key \"Modell\"; did you mean \"model\"? valid keys: seed, model");
    EXPECT_EQ(message("Modells"), "f:2:1: unknown key \"Modells\"; valid keys: seed, model");
    EXPECT_EQ(message("se"), "f:2:1: unknown key \"se\"; valid keys: seed, model");
}

TEST(MapReader, AbsentKeysLeaveTheDefault) {
    MapReader map(nullptr, "x");
    std::uint64_t whole = 5;
    double number = 2.5;
    std::vector<std::string> texts = {"a"};
    map.read_whole("a", whole, 0, 9);
    map.read_positive("b", number, 9.0);
    map.read_texts("c", texts);
    map.finish();
    EXPECT_EQ(whole, 5U);
    EXPECT_EQ(number, 2.5);
    EXPECT_EQ(texts.size(), 1U);
    EXPECT_EQ(map.path_of("a"), "x.a");
}

}  // namespace
}  // namespace lathe
