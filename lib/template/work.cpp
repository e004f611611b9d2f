#include "lib/template/work.hpp"

#include "lib/core/errors.hpp"

namespace lathe::jinja {
namespace {

// Ten times what the longest rows of common data sets take with the templates of common models.
constexpr std::size_t least_units = 4'000'000;
constexpr std::size_t units_per_byte = 1000;
constexpr std::size_t units_per_element = 10;
/// A thread has some MiB.
constexpr std::ptrdiff_t most_stack = std::ptrdiff_t{512} << 10;

thread_local Work* current = nullptr;

}  // namespace

Work::Work(std::size_t row_bytes)
    : left_(least_units + units_per_byte * row_bytes),
      stack_(static_cast<const char*>(__builtin_frame_address(0))),
      outer_(current) {
    current = this;
}

Work::~Work() {
    current = outer_;
}

void Work::spend(std::size_t units) {
    if (current == nullptr) return;
    if (units > current->left_) {
        throw DataError("rendering takes more time or memory than any template should");
    }
    current->left_ -= units;
}

void Work::spend_on_list(std::size_t elements) {
    spend(elements > least_units ? ~std::size_t{0} : units_per_element * elements + 1);
}

void Work::check_stack() {
    if (current == nullptr) return;
    const auto* here = static_cast<const char*>(__builtin_frame_address(0));
    // Stacks grow downwards wherever this program runs.
    if (current->stack_ - here > most_stack) {
        throw DataError("a macro calls itself too deeply");
    }
}

}  // namespace lathe::jinja
