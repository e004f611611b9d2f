#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lib/checkpoint/hdf5_dataset.hpp"
#include "lib/checkpoint/hdf5_handle.hpp"

namespace lathe::hdf5 {

/// A file opened for reading and those that its external links lead to. Used under a Session, its
/// destruction included.
///
/// Links are followed here, not by the library. It would look for files also in the working
/// directory and where an environment variable says, cannot tell which shard is missing, and would
/// go wherever a file of somebody else's points to.
class LinkedFiles {
public:
    /// @throws MissingInputError, DataError
    explicit LinkedFiles(std::filesystem::path path);

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }
    /// "FILE: OBJECT", for messages.
    [[nodiscard]] std::string where(const std::string& object) const {
        return path_.string() + ": " + object;
    }
    /// The object, or an invalid handle if a name on the way does not exist.
    /// @throws MissingInputError  a linked file is not there
    /// @throws DataError          a link that is not followed, or leads round in a circle
    [[nodiscard]] Handle find(const std::string& object);
    /// The same, but what does not exist is a DataError.
    [[nodiscard]] Handle get(const std::string& object);
    [[nodiscard]] Dataset dataset(const std::string& object) {
        return {get(object), where(object)};
    }

private:
    /// A name that is still to be looked up.
    struct Step {
        std::string name;
        bool from_soft_link;
    };

    /// How far the way to an object is gone.
    struct Walk {
        std::filesystem::path place;  ///< the file
        Handle here;                  ///< the object in it
        std::vector<Step> todo;       ///< the next one last
        int n_links = 0;

        void add(const std::string& object, bool from_soft_link);
    };

    hid_t file(const std::filesystem::path& which);
    [[nodiscard]] Handle open(hid_t parent, const std::string& name,
                              const std::string& object) const;
    [[nodiscard]] Handle open_linked(const std::filesystem::path& target,
                                     const std::string& object);
    [[noreturn]] void refuse_link(const std::string& object, const Step& link,
                                  const std::string& reason) const;
    /// Within the file that was opened, and to no other.
    void follow_soft(Walk& walk, const Step& step, const H5L_info_t& link,
                     const std::string& object);
    /// To a file in the directory of this one, or below.
    void follow_external(Walk& walk, const Step& step, const H5L_info_t& link,
                         const std::string& object);
    /// File and object that an external link names.
    [[nodiscard]] std::pair<std::string, std::string> external_target(
        hid_t group, const std::string& name, const H5L_info_t& link,
        const std::string& object) const;

    std::filesystem::path path_;
    std::map<std::filesystem::path, Handle> files_;  ///< this one and those links led to
};

}  // namespace lathe::hdf5
