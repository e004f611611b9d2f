#include "lib/tokenizer/tokenizer.hpp"

#include "lib/core/errors.hpp"
#include "lib/tokenizer/sentencepiece_model.hpp"
#include "lib/tokenizer/tokenizer_json.hpp"

namespace lathe {

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& directory) {
    for (const char* name : {"tokenizer.json", "tokenizer.model"}) {
        const std::filesystem::path file = directory / name;
        if (std::filesystem::exists(file)) return load_tokenizer_file(file);
    }
    throw MissingInputError(directory.string() +
                            ": found no tokenizer.json and no tokenizer.model");
}

std::unique_ptr<Tokenizer> load_tokenizer_file(const std::filesystem::path& file) {
    const std::string extension = file.extension().string();
    if (extension == ".json") return tokenizer::load_json_tokenizer(file);
    if (extension == ".model") return tokenizer::load_sentencepiece_tokenizer(file);
    throw DataError(file.string() + ": a tokenizer file ends in .json or .model, not in \"" +
                    extension + "\"");
}

}  // namespace lathe
