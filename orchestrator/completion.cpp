#include "orchestrator/completion.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace lathe {
namespace {

/// What may stand in a place: names of options, and those of them that a value follows.
struct OptionNames {
    std::string all;
    std::string with_value;
};

void append(std::string& list, const std::string& name, const char* separator) {
    list += (list.empty() ? "" : separator) + name;
}

OptionNames option_names(const CLI::App& app) {
    OptionNames names;
    for (const CLI::Option* option : app.get_options()) {
        if (option->get_positional() || option->get_group().empty()) {
            continue;  // a file, or hidden
        }
        const bool has_value = option->get_expected_max() > 0 && option->get_type_size_max() > 0;
        for (const auto& [dashes, list] :
             {std::pair("-", option->get_snames()), std::pair("--", option->get_lnames())}) {
            for (const std::string& name : list) {
                append(names.all, dashes + name, " ");
                if (has_value) {
                    append(names.with_value, dashes + name, "|");
                }
            }
        }
    }
    return names;
}

/// A branch of the script's `case`.
std::string branch(const std::string& command, const OptionNames& names) {
    return fmt::format("        {}) options=\"{}\"; valued=\"{}\" ;;\n", command, names.all,
                       names.with_value);
}

constexpr const char* script = R"(# bash completion for lathe; written by `lathe --bash-completion`.
_lathe() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}}
    local commands="{commands}" options="" valued="" command="" word
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        [[ " $commands " == *" $word "* ]] && command=$word && break
    done
    COMPREPLY=()
    case $command in
{branches}    esac
    # A value, or a file: bash completes file names where nothing is offered.
    [[ "|$valued|{always_valued}|" == *"|$previous|"* ]] && return
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options {always}" -- "$current")
    elif [[ -z $command ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$current")
    fi
}}
complete -o bashdefault -o default -F _lathe lathe
)";

}  // namespace

std::string bash_completion(const CLI::App& app) {
    std::string commands;
    std::string branches;
    for (const CLI::App* command : app.get_subcommands({})) {
        append(commands, command->get_name(), " ");
        branches += branch(command->get_name(), option_names(*command));
    }
    const OptionNames always = option_names(app);
    return fmt::format(script, fmt::arg("commands", commands), fmt::arg("branches", branches),
                       fmt::arg("always", always.all),
                       fmt::arg("always_valued", always.with_value));
}

}  // namespace lathe
