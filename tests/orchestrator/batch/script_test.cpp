#include "orchestrator/batch/script.hpp"

#include <cstdio>
#include <fstream>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "orchestrator/batch/process.hpp"

namespace lathe::batch {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

constexpr const char* small_template =
    "#!/bin/bash\n"
    "# A comment\n"
    "#SBATCH --nodes=2\n"
    "#SBATCH --requeue\n"
    "\n"
    ". \"${LATHE_SITE:-site.sh}\"\n"
    "lathe=${lathe:-lathe}\n"
    "command=(\"$@\")\n"
    "state=here\n"
    "run\n";

ScriptSettings small_settings() {
    ScriptSettings settings;
    settings.options = {{"nodes", "4"}, {"time", "01:00:00"}};
    settings.lathe = "/opt/la the/bin/lathe";
    settings.command = {"run", "/runs/it's/job.yaml"};
    settings.state = "/runs/x";
    settings.remarks = {"About 3 GB."};
    return settings;
}

TEST(BatchScript, IsFilledIn) {
    const std::string site = "##SBATCH --qos=no\n#SBATCH --partition=main\nexport A=1\n";
    EXPECT_EQ(render_script(small_template, site, small_settings()),
              "#!/bin/bash\n"
              "# A comment\n"
              "#SBATCH --nodes=4\n"
              "#SBATCH --requeue\n"
              "#SBATCH --partition=main\n"
              "#SBATCH --time=01:00:00\n"
              "# About 3 GB.\n"
              "\n"
              "##SBATCH --qos=no\n"
              "export A=1\n"
              "lathe=${lathe:-'/opt/la the/bin/lathe'}\n"
              "command=(run '/runs/it'\\''s/job.yaml')\n"
              "state=/runs/x\n"
              "run\n");
}

TEST(BatchScript, ATemplateWithoutALineThatIsFilledInIsRefused) {
    for (const char* line : {". \"${LATHE_SITE", "lathe=", "command=", "state=", "#SBATCH"}) {
        std::string without;
        std::istringstream lines(small_template);
        for (std::string text; std::getline(lines, text);) {
            without += text.starts_with(line) ? "" : text + "\n";
        }
        try {
            static_cast<void>(render_script(without, "", small_settings()));
            FAIL() << line;
        } catch (const UsageError& error) {
            EXPECT_THAT(error.what(), HasSubstr(line));
        }
    }
}

TEST(BatchScript, OptionsAsUsersWriteThem) {
    EXPECT_THAT(parse_options({"--qos=high", "--reservation", "r1", "--exclusive", "-A", "acc",
                               "-N4", "--mail-user=a=b"}),
                ElementsAre(Pair("qos", "high"), Pair("reservation", "r1"), Pair("exclusive", ""),
                            Pair("account", "acc"), Pair("nodes", "4"), Pair("mail-user", "a=b")));
    EXPECT_THAT(parse_options({}), ElementsAre());
    for (const char* odd : {"high", "", "-", "--"}) {
        EXPECT_THROW(static_cast<void>(parse_options({odd})), UsageError) << odd;
    }
}

TEST(BatchScript, ValuesOfManyWordsStayOne) {
    const std::string odd = R"(a b's "c" \#d)";
    ScriptSettings settings = small_settings();
    settings.options = {{"comment", odd}, {"J", odd}, {"requeue", ""}};
    const std::string script = render_script(small_template, "", settings);
    EXPECT_THAT(script, HasSubstr(R"(#SBATCH --comment="a b\'s \"c\" \\\#d")"));
    const BatchOptions read = script_options(script);
    EXPECT_EQ(*find_option(read, "comment"), odd);
    EXPECT_EQ(*find_option(read, "job-name"), odd);
    EXPECT_EQ(*find_option(script_options("#SBATCH --comment='x y'z\"\" # none\n"), "comment"),
              "x yz");
    settings.options = {{"comment", "a\nb"}};
    EXPECT_THROW(static_cast<void>(render_script(small_template, "", settings)), UsageError);
    EXPECT_EQ(literal_path("/a 50%x/b"), "/a 50%%x/b");
}

TEST(BatchScript, WordsOfTheShell) {
    EXPECT_EQ(shell_word("/a/b-c_1.yaml"), "/a/b-c_1.yaml");
    for (const std::string text :
         {"", "a b", "$HOME", "`x`", "it's", "a\nb", "*", "\"", "a;b", "~"}) {
        EXPECT_EQ(run_process({"sh", "-c", "printf %s " + shell_word(text)}).output, text);
    }
}

class BuiltInTemplate : public ::testing::TestWithParam<const char*> {};

TEST_P(BuiltInTemplate, IsTheFileAndCanBeFilledIn) {
    const std::string file =
        read_file(std::string(LATHE_SOURCE_DIR "/slurm/") + GetParam() + ".sh");
    EXPECT_EQ(built_in_template(GetParam()), file);
    ScriptSettings settings = small_settings();
    if (std::string(GetParam()) == "budgets") {
        settings.budgets = {"3x", "35GB"};
    }
    const std::string script = render_script(file, built_in_template("site"), settings);
    EXPECT_THAT(script, HasSubstr("#SBATCH --nodes=4\n"));
    EXPECT_THAT(script, HasSubstr("#SBATCH --signal=B:USR1@120\n"));
    EXPECT_THAT(script, Not(HasSubstr("\n. \"${LATHE_SITE")));
    const std::string path = ::testing::TempDir() + "/lathe_script_" + GetParam() + ".sh";
    write_file(path, script);
    EXPECT_EQ(run_process({"bash", "-n", path}).errors, "");
    std::filesystem::remove(path);
}

INSTANTIATE_TEST_SUITE_P(All, BuiltInTemplate,
                         ::testing::Values("one_node", "many_nodes", "mpirun", "budgets"),
                         [](const auto& name) { return std::string(name.param); });

TEST(BatchScript, TheTemplatesStopAndGoOnInTheSameWay) {
    std::set<std::string> ends;
    for (const char* name : {"one_node", "many_nodes", "mpirun", "budgets"}) {
        const std::string text(built_in_template(name));
        const auto begin = text.find("# --- Stopping and going on");
        ASSERT_NE(begin, std::string::npos) << name;
        ends.insert(text.substr(begin));
    }
    EXPECT_EQ(ends.size(), 1U);
}

TEST(BatchScript, ATemplateThatIsNotThere) {
    EXPECT_THROW(static_cast<void>(built_in_template("nix")), InternalError);
}

}  // namespace
}  // namespace lathe::batch
