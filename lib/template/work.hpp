#pragma once

#include <cstddef>

namespace lathe::jinja {

/// What one rendering may take. A template comes with a model, so it is somebody else's program: it
/// must neither run on and on, nor fill memory, nor call itself until the stack ends.
///
/// Limits hold on the thread that made the object, as long as it lives. Without one there are none.
class Work {
public:
    /// `row_bytes`: of the chat; long chats may take longer.
    explicit Work(std::size_t row_bytes);
    ~Work();
    Work(const Work&) = delete;
    Work& operator=(const Work&) = delete;

    /// One unit is about four bytes copied. @throws DataError  if no more is left
    static void spend(std::size_t units);
    /// For a text of so many bytes.
    static void spend_on_text(std::size_t bytes) { spend(bytes / 4 + 1); }
    /// For a list of so many elements.
    static void spend_on_list(std::size_t elements);
    /// To be called where a template can call itself. @throws DataError  if calls are too deep
    static void check_stack();

private:
    std::size_t left_;
    const char* stack_;
    Work* outer_;
};

}  // namespace lathe::jinja
