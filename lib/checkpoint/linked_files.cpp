#include "lib/checkpoint/linked_files.hpp"

#include <algorithm>

#include "lib/core/errors.hpp"
#include "lib/core/inner_path.hpp"

namespace lathe::hdf5 {
namespace fs = std::filesystem;

namespace {

/// Links followed on the way to one object; more is a circle.
constexpr int max_links = 16;

std::vector<std::string> components(const std::string& path) {
    std::vector<std::string> parts;
    for (std::size_t begin = 0; begin < path.size();) {
        const std::size_t end = std::min(path.find('/', begin), path.size());
        if (end > begin && path.compare(begin, end - begin, ".") != 0) {
            parts.push_back(path.substr(begin, end - begin));
        }
        begin = end + 1;
    }
    return parts;
}

Handle open_file(const fs::path& path) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (!fs::exists(status)) {
        throw MissingInputError("no such file: " + path.string());
    }
    if (!fs::is_regular_file(status)) {
        throw DataError(path.string() + " is not a regular file, expected an HDF5 file");
    }
    return checked<DataError>(H5Fopen(path.c_str(), H5F_ACC_RDONLY, file_access().get()), H5Fclose,
                              path.string() + " is no HDF5 file, or it is damaged");
}

}  // namespace

LinkedFiles::LinkedFiles(fs::path path) : path_(std::move(path)) {
    file(path_);
}

void LinkedFiles::Walk::add(const std::string& object, bool from_soft_link) {
    const std::vector<std::string> names = components(object);
    for (auto name = names.rbegin(); name != names.rend(); ++name) {
        todo.push_back({*name, from_soft_link});
    }
}

hid_t LinkedFiles::file(const fs::path& which) {
    const auto found = files_.find(which);
    if (found != files_.end()) {
        return found->second.get();
    }
    return files_.emplace(which, open_file(which)).first->second.get();
}

Handle LinkedFiles::find(const std::string& object) {
    Walk walk{path_, open(file(path_), "/", object), {}};
    walk.add(object, false);
    while (!walk.todo.empty()) {
        const Step step = std::move(walk.todo.back());
        walk.todo.pop_back();
        const char* const name = step.name.c_str();
        if (H5Iget_type(walk.here.get()) != H5I_GROUP ||
            check<DataError>(H5Lexists(walk.here.get(), name, H5P_DEFAULT),
                             where(object) + " cannot be looked up") == 0) {
            return {};
        }
        H5L_info_t link{};
        check<DataError>(H5Lget_info(walk.here.get(), name, &link, H5P_DEFAULT),
                         where(object) + " cannot be looked up");
        if (link.type == H5L_TYPE_HARD) {
            walk.here = open(walk.here.get(), step.name, object);
            continue;
        }
        if (++walk.n_links > max_links) {
            throw DataError(where(object) + ": links lead round in a circle");
        }
        if (link.type == H5L_TYPE_SOFT) {
            follow_soft(walk, step, link, object);
        } else if (link.type == H5L_TYPE_EXTERNAL) {
            follow_external(walk, step, link, object);
        } else {
            refuse_link(object, step, "is of a kind this program does not know");
        }
    }
    return std::move(walk.here);
}

Handle LinkedFiles::get(const std::string& object) {
    Handle found = find(object);
    if (!found.valid()) {
        throw DataError(where(object) + " is not there");
    }
    return found;
}

Handle LinkedFiles::open(hid_t parent, const std::string& name, const std::string& object) const {
    return checked<DataError>(H5Oopen(parent, name.c_str(), H5P_DEFAULT), H5Oclose,
                              where(object) + ": '" + name + "' cannot be opened");
}

Handle LinkedFiles::open_linked(const fs::path& target, const std::string& object) {
    try {
        return open(file(target), "/", object);
    } catch (const MissingInputError& error) {
        throw MissingInputError(std::string(error.what()) + ", which " + where(object) + " needs");
    }
}

void LinkedFiles::refuse_link(const std::string& object, const Step& link,
                              const std::string& reason) const {
    throw DataError(where(object) + ": the link '" + link.name + "' " + reason +
                    "; it is not followed");
}

void LinkedFiles::follow_soft(Walk& walk, const Step& step, const H5L_info_t& link,
                              const std::string& object) {
    if (walk.place != path_) {
        refuse_link(object, step, "is a soft link in another file, " + walk.place.string());
    }
    std::vector<char> value(link.u.val_size + 1);
    check<DataError>(
        H5Lget_val(walk.here.get(), step.name.c_str(), value.data(), value.size(), H5P_DEFAULT),
        where(object) + ": the link '" + step.name + "' cannot be read");
    walk.add(value.data(), true);
    if (value.front() == '/') {
        walk.here = open(file(walk.place), "/", object);
    }
}

void LinkedFiles::follow_external(Walk& walk, const Step& step, const H5L_info_t& link,
                                  const std::string& object) {
    if (step.from_soft_link) {
        refuse_link(object, step, "leads to another file from behind a soft link");
    }
    const auto [target_file, target] = external_target(walk.here.get(), step.name, link, object);
    if (!is_inner_path(target_file)) {
        refuse_link(
            object, step,
            "names the file '" + target_file + "', expected one in the same directory or below");
    }
    walk.place = walk.place.parent_path() / target_file;
    walk.here = open_linked(walk.place, object);
    walk.add(target, false);
}

std::pair<std::string, std::string> LinkedFiles::external_target(hid_t group,
                                                                 const std::string& name,
                                                                 const H5L_info_t& link,
                                                                 const std::string& object) const {
    const std::string what = where(object) + ": the link '" + name + "' cannot be read";
    std::vector<char> value(link.u.val_size);
    check<DataError>(H5Lget_val(group, name.c_str(), value.data(), value.size(), H5P_DEFAULT),
                     what);
    const char* target_file = nullptr;
    const char* target = nullptr;
    check<DataError>(
        H5Lunpack_elink_val(value.data(), value.size(), nullptr, &target_file, &target), what);
    return {target_file, target};
}

}  // namespace lathe::hdf5
