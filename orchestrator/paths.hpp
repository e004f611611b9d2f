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

}  // namespace lathe
