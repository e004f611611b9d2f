#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/core/errors.hpp"

/// What fuzz targets share. A target is a source file with one LATHE_FUZZ_TARGET and a line in
/// CMakeLists.txt. libFuzzer drives it (fuzz_NAME), and a test of every build runs it over its
/// corpus (corpus_test.cpp).
namespace lathe::fuzz {

using Target = void (*)(std::string_view input);

struct NamedTarget {
    std::string name;
    Target run;
};
/// All that are linked into this program.
[[nodiscard]] std::vector<NamedTarget>& targets();

struct Registration {
    Registration(const char* name, Target run) { targets().push_back({name, run}); }
};

#define LATHE_FUZZ_TARGET(name)                                                       \
    static void fuzz_##name(std::string_view input);                                  \
    static const ::lathe::fuzz::Registration registration_##name(#name, fuzz_##name); \
    static void fuzz_##name(std::string_view input)

/// For a target that calls a C library whose memory nobody here decides about: only the limits of
/// libFuzzer hold for it.
void allow_memory();
[[nodiscard]] bool is_memory_allowed();

/// Calls `read` and lets pass how bad input is refused. Whatever else comes out is a finding.
template <class Read>
void refuse_or(const Read& read) {
    try {
        read();
    } catch (const DataError&) {
    } catch (const MissingInputError&) {
    } catch (const UsageError&) {
    }
}

/// Ends the program, which is what libFuzzer takes for a finding, unless `holds`.
void require(bool holds, const char* what);

/// A folder of this process in memory where there is such a file system; it goes with the process.
[[nodiscard]] const std::filesystem::path& scratch();

/// Puts a file there and returns its path. Written over in place: no flush, no rename.
std::filesystem::path put(const std::string& name, std::string_view content);

/// Cuts the input at lines "=== NAME": a whole directory in one file. What stands before the first
/// such line has the name "". Names that are not in `allowed` are passed over.
using Parts = std::vector<std::pair<std::string, std::string_view>>;
[[nodiscard]] Parts parts_of(std::string_view input, const std::vector<std::string>& allowed);

/// A scratch folder that holds these files and no others.
[[nodiscard]] std::filesystem::path put_directory(const std::string& name, const Parts& files);

/// A safetensors file with one tensor, of two bytes.
[[nodiscard]] std::string small_safetensors(const std::string& tensor);

/// Takes one byte off the front of the input, to choose among variants; 0 if it is empty.
[[nodiscard]] std::size_t take_byte(std::string_view& input);

}  // namespace lathe::fuzz
