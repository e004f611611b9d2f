#pragma once

#include <string>

namespace CLI {
class App;
}

namespace lathe {

/// A bash script that completes the commands and options of `app`, made of the very list that the
/// command line is parsed by. Values of options, and what is no option, complete as file names.
[[nodiscard]] std::string bash_completion(const CLI::App& app);

}  // namespace lathe
