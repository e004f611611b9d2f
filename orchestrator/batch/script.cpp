#include "orchestrator/batch/script.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "lib/core/errors.hpp"

namespace lathe::batch {
namespace {

constexpr std::string_view directive = "#SBATCH ";

constexpr std::array<std::pair<char, const char*>, 11> short_names = {{{'A', "account"},
                                                                       {'p', "partition"},
                                                                       {'q', "qos"},
                                                                       {'N', "nodes"},
                                                                       {'n', "ntasks"},
                                                                       {'c', "cpus-per-task"},
                                                                       {'t', "time"},
                                                                       {'J', "job-name"},
                                                                       {'o', "output"},
                                                                       {'C', "constraint"},
                                                                       {'w', "nodelist"}}};

/// "A" for "account" and so on: of options that stay short the letter itself.
std::string long_name(char letter) {
    const auto* found =
        std::ranges::find(short_names, letter, &std::pair<char, const char*>::first);
    return found == short_names.end() ? std::string(1, letter) : found->second;
}

/// A value as one word of a line that sbatch reads.
std::string sbatch_word(const std::string& text) {
    if (text.find('\n') != std::string::npos) {
        throw UsageError("'" + text + "' has two lines; an option of sbatch must be on one");
    }
    if (text.find_first_of(" \t\"'\\#") == std::string::npos) {
        return text;
    }
    std::string word = "\"";
    for (const char c : text) {
        word += std::string_view("\"'\\#").find(c) != std::string_view::npos ? "\\" : "";
        word += c;
    }
    return word + "\"";
}

std::string option_text(const std::string& name, const std::string& value) {
    if (name.size() == 1) {
        return "-" + name + (value.empty() ? "" : " " + sbatch_word(value));
    }
    return "--" + name + (value.empty() ? "" : "=" + sbatch_word(value));
}

std::vector<std::string_view> lines_of(std::string_view text) {
    std::vector<std::string_view> lines;
    while (!text.empty()) {
        const auto end = text.find('\n');
        lines.push_back(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return lines;
}

/// As sbatch reads the words of its lines: quotes keep spaces, a backslash keeps any character, and
/// from a # on all is a comment.
std::vector<std::string> words_of(std::string_view text) {
    std::vector<std::string> words;
    std::optional<std::string> word;
    char quote = '\0';
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        const bool is_kept = c == '\\' && i + 1 < text.size();
        if (is_kept || (quote != '\0' && c != quote)) {
            word = word.value_or("") + (is_kept ? text[++i] : c);
        } else if (c == quote) {
            quote = '\0';
        } else if (c == '"' || c == '\'') {
            quote = c;
            word = word.value_or("");
        } else if (c == '#') {
            break;
        } else if (c != ' ' && c != '\t') {
            word = word.value_or("") + c;
        } else if (word) {
            words.push_back(*std::exchange(word, std::nullopt));
        }
    }
    if (word) {
        words.push_back(*word);
    }
    return words;
}

std::string words_text(const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words) {
        text += (text.empty() ? "" : " ") + shell_word(word);
    }
    return text;
}

/// A line of a template that is filled in: how it begins, and what comes in its place.
struct Hook {
    std::string_view begin;
    std::string text;
    bool found = false;
};

std::vector<Hook> hooks_of(std::string_view site, const ScriptSettings& settings) {
    std::string site_text;
    for (const std::string_view line : lines_of(site)) {
        if (!line.starts_with(directive)) {
            site_text.append(line).append("\n");
        }
    }
    std::vector<Hook> hooks{
        {". \"${LATHE_SITE", site_text},
        {"lathe=", "lathe=${lathe:-" + shell_word(settings.lathe) + "}\n"},
        {"command=", "command=(" + words_text(settings.command) + ")\n"},
        {"state=", "state=" + shell_word(settings.state) + "\n"},
    };
    if (!settings.budgets.empty()) {
        hooks.push_back({"budgets=", "budgets=(" + words_text(settings.budgets) + ")\n"});
    }
    return hooks;
}

}  // namespace

void set_option(BatchOptions& options, const std::string& name, const std::string& value) {
    const auto found =
        std::ranges::find(options, name, &std::pair<std::string, std::string>::first);
    if (found == options.end()) {
        options.emplace_back(name, value);
    } else {
        found->second = value;
    }
}

const std::string* find_option(const BatchOptions& options, const std::string& name) {
    const auto found =
        std::ranges::find(options, name, &std::pair<std::string, std::string>::first);
    return found == options.end() ? nullptr : &found->second;
}

BatchOptions parse_options(const std::vector<std::string>& arguments) {
    BatchOptions options;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string& argument = arguments[i];
        if (argument.size() < 2 || argument[0] != '-' || argument == "--") {
            throw UsageError("'" + argument +
                             "' is no option of sbatch: behind -- come options, as --qos=high");
        }
        const bool has_next = i + 1 < arguments.size() && !arguments[i + 1].starts_with('-');
        if (argument[1] != '-') {
            const bool is_joined = argument.size() > 2;
            set_option(options, long_name(argument[1]),
                       is_joined  ? argument.substr(2)
                       : has_next ? arguments[++i]
                                  : "");
            continue;
        }
        const auto equals = argument.find('=');
        const std::string name = argument.substr(2, equals - 2);
        set_option(options, name,
                   equals != std::string::npos ? argument.substr(equals + 1)
                   : has_next                  ? arguments[++i]
                                               : "");
    }
    return options;
}

BatchOptions script_options(std::string_view script) {
    BatchOptions options;
    for (const std::string_view line : lines_of(script)) {
        if (line.starts_with(directive)) {
            for (const auto& [name, value] :
                 parse_options(words_of(line.substr(directive.size())))) {
                set_option(options, name, value);
            }
        }
    }
    return options;
}

std::string render_script(std::string_view script_template, std::string_view site,
                          const ScriptSettings& settings) {
    BatchOptions options = script_options(script_template);
    for (const BatchOptions& more : {script_options(site), settings.options}) {
        for (const auto& [name, value] : more) {
            set_option(options, name, value);
        }
    }
    std::vector<Hook> hooks = hooks_of(site, settings);
    std::string script;
    bool has_header = false;
    for (const std::string_view line : lines_of(script_template)) {
        if (line.starts_with(directive)) {
            for (const auto& [name, value] : has_header ? BatchOptions{} : options) {
                script.append(directive).append(option_text(name, value)).append("\n");
            }
            for (const std::string& remark :
                 has_header ? std::vector<std::string>{} : settings.remarks) {
                script.append("# ").append(remark).append("\n");
            }
            has_header = true;
            continue;
        }
        const auto hook = std::ranges::find_if(
            hooks, [&](const Hook& h) { return !h.found && line.starts_with(h.begin); });
        if (hook == hooks.end()) {
            script.append(line).append("\n");
        } else {
            script += hook->text;
            hook->found = true;
        }
    }
    for (const Hook& hook : hooks) {
        if (!hook.found) {
            throw UsageError("the template of the batch script has no line that begins with '" +
                             std::string(hook.begin) + "': slurm/*.sh show where it belongs");
        }
    }
    if (!has_header) {
        throw UsageError("the template of the batch script has no line that begins with #SBATCH");
    }
    return script;
}

std::string literal_path(std::string_view path) {
    std::string literal;
    for (const char c : path) {
        literal += c == '%' ? std::string("%%") : std::string(1, c);
    }
    return literal;
}

std::string shell_word(const std::string& text) {
    const bool is_plain = !text.empty() && std::ranges::all_of(text, [](unsigned char c) {
        return std::isalnum(c) != 0 || std::string_view("_./=:,+-@%").find(c) != std::string::npos;
    });
    if (is_plain) {
        return text;
    }
    std::string word = "'";
    for (const char c : text) {
        word += c == '\'' ? std::string("'\\''") : std::string(1, c);
    }
    return word + "'";
}

}  // namespace lathe::batch
