#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lathe::batch {

/// Options of sbatch in order: {"nodes", "4"}; {"requeue", ""} is one without a value. A later one
/// of the same name takes the place of an earlier one.
using BatchOptions = std::vector<std::pair<std::string, std::string>>;

/// Sets an option, or adds it at the end.
void set_option(BatchOptions& options, const std::string& name, const std::string& value);
/// The option's value, or null.
[[nodiscard]] const std::string* find_option(const BatchOptions& options, const std::string& name);

/// Options as a user gives them behind `--`: "--qos=high", "--qos high", "--exclusive", "-A x",
/// "-Ax". Short names of options that matter here are made long; others stay as they are.
/// @throws UsageError  at what is no option
[[nodiscard]] BatchOptions parse_options(const std::vector<std::string>& arguments);

/// The options in the #SBATCH lines of a script.
[[nodiscard]] BatchOptions script_options(std::string_view script);

/// What `lathe submit` puts into a template.
struct ScriptSettings {
    BatchOptions options;              ///< win over the site's, which win over the template's
    std::string lathe;                 ///< the program
    std::vector<std::string> command;  ///< its arguments
    std::string state;                 ///< folder for exit codes and the record of requeues
    std::vector<std::string> budgets;  ///< of the array; empty for other templates
    std::vector<std::string> remarks;  ///< sentences for a comment below the header
};

/// A batch script: `script_template` (slurm/*.sh) with its #SBATCH lines made anew, the text of
/// `site` (slurm/site.sh) in the place where the template reads that file, and the settings filled
/// in. Words are quoted, so any path will do.
/// @throws UsageError  if the template lacks a line that is to be filled in, naming it
[[nodiscard]] std::string render_script(std::string_view script_template, std::string_view site,
                                        const ScriptSettings& settings);

/// A path for `--output`, in which sbatch replaces %x and the like: one that stands for itself.
[[nodiscard]] std::string literal_path(std::string_view path);

/// The text as one word of the shell.
[[nodiscard]] std::string shell_word(const std::string& text);

/// slurm/NAME.sh as it was when the program was built.
/// @throws InternalError  if there is none of that name
[[nodiscard]] std::string_view built_in_template(std::string_view name);

}  // namespace lathe::batch
