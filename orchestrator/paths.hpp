#pragma once

#include <filesystem>
#include <string>

// Texts and paths of a user's, on their way into messages between ranks and into reports. Both are
// JSON, which holds UTF-8 and nothing else: better refused at the start than hours later.

namespace lathe {

/// @throws UsageError  beginning with `what`, if `text` is not UTF-8
void require_utf8(const std::string& text, const std::string& what);

/// Makes the path one that can be told to other ranks, with any working directory.
/// @throws UsageError  beginning with `what`, if it is not UTF-8 then, or there is no working
///   directory that it could be relative to
void make_absolute(std::filesystem::path& path, const std::string& what);

/// The path of something to read: as it is, but a relative one that the working directory does not
/// have and that was installed with the program (../share/lathe from it: configs, examples, slurm)
/// becomes the installed one. So the commands of the documents work from any directory.
[[nodiscard]] std::filesystem::path find_input(const std::filesystem::path& path);

/// find_input() and make_absolute().
/// @throws UsageError  as make_absolute()
void make_absolute_input(std::filesystem::path& path, const std::string& what);

}  // namespace lathe
