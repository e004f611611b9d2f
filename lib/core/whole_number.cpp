#include "lib/core/whole_number.hpp"

#include <string>

#include "lib/core/errors.hpp"

namespace lathe {

void refuse_whole_number(const nlohmann::json& value) {
    throw DataError("found " + (value.is_number() ? value.dump() : std::string(value.type_name())) +
                    ", expected a whole number that is not too large");
}

}  // namespace lathe
