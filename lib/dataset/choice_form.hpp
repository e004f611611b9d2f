#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "lib/dataset/json_row.hpp"

namespace lathe {

/// A multiple-choice question as every form of file is brought into, before a prompt is made.
struct ChoiceQuestion {
    std::string text;
    std::vector<std::string> options;  ///< two or more, none empty
    std::size_t answer = 0;            ///< index of the right option
};

/// One way a file may write a question.
struct ChoiceForm {
    std::vector<std::string_view> keys;  ///< which must be there; the label's is the last
    /// @throws DataError  if a value is not what the form says, or the label is missing or wrong
    ChoiceQuestion (*read)(const JsonRow& row);
};

// The forms of read_multiple_choice().
[[nodiscard]] const ChoiceForm& simple_form();
[[nodiscard]] const ChoiceForm& piqa_form();
[[nodiscard]] const ChoiceForm& hellaswag_form();
[[nodiscard]] const ChoiceForm& arc_form();
[[nodiscard]] const ChoiceForm& winogrande_form();

/// The first of `forms` whose keys the row has.
/// @throws DataError  naming the keys found and those expected, or the missing label
[[nodiscard]] const ChoiceForm& find_form(const std::vector<ChoiceForm>& forms, const JsonRow& row);

}  // namespace lathe
