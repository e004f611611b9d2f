#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace lathe {

/// Turns messages into a text as `apply_chat_template(messages, tokenize=False)` of transformers
/// does. Of Jinja it has what chat templates use; anything else is refused by name where the
/// template is read.
class ChatTemplate {
public:
    /// `source` is the template, `where` stands for it in messages, and `special_tokens` are the
    /// variables bos_token, eos_token and so on.
    /// @throws DataError  naming line and what is wrong or not supported
    ChatTemplate(const std::string& source, std::string where,
                 std::map<std::string, std::string> special_tokens);
    ~ChatTemplate();
    ChatTemplate(ChatTemplate&&) noexcept;
    ChatTemplate& operator=(ChatTemplate&&) noexcept;

    /// `row` is a JSON object with "messages" (or "conversations"), a list of {"role", "content"}
    /// (or {"from", "value"}), and perhaps "tools" and "documents".
    /// @throws DataError  beginning with `row_where`: a row or message of another form; what the
    ///   template itself refuses; what in it is not supported
    [[nodiscard]] std::string render(const std::string& row, const std::string& row_where) const;

private:
    struct Parsed;
    std::unique_ptr<const Parsed> parsed_;
    std::string where_;
    std::map<std::string, std::string> special_tokens_;
};

/// The files that decide what load_chat_template() gives, besides tokenizer_files(), or the one
/// that `setting` names; those that are there.
[[nodiscard]] std::vector<std::filesystem::path> chat_template_files(
    const std::filesystem::path& directory, const std::string& setting);

/// Whether a setting is a file with a template rather than the name of one.
[[nodiscard]] bool is_template_file(const std::string& setting);

/// The template of a model directory: chat_template.jinja, else one of additional_chat_templates/,
/// else "chat_template" of tokenizer_config.json. `name` empty: the only one, or "default".
/// @throws MissingInputError  if it has none of this name
/// @throws DataError
[[nodiscard]] ChatTemplate load_chat_template(const std::filesystem::path& directory,
                                              const std::string& name);

}  // namespace lathe
