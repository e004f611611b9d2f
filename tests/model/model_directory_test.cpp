#include "lib/model/model_directory.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "lib/core/file.hpp"
#include "tests/model/sample_config.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using ::testing::AllOf;
using ::testing::HasSubstr;

class ModelDirectory : public ::testing::Test {
protected:
    fs::path dir = fs::temp_directory_path() / ("lathe_model_dir_" + std::to_string(::getpid()));

    void SetUp() override { fs::create_directories(dir); }
    void TearDown() override { fs::remove_all(dir); }

    void put(const std::string& name, const std::string& content = "{}") const {
        fs::create_directories((dir / name).parent_path());
        write_file(dir / name, content);
    }
    template <class Error>
    std::string refusal() const {
        return message_of<Error>([&] { require_model_directory(dir); });
    }
};

TEST_F(ModelDirectory, WithAConfigIsTaken) {
    put("config.json");
    require_model_directory(dir);
}

TEST_F(ModelDirectory, AnAdapterIsNamedWithItsBase) {
    const std::string adapter =
        R"({"peft_type": "LORA", "base_model_name_or_path": "/models/base", "r": 8})";
    put("adapter_config.json", adapter);
    put("adapter_model.safetensors");
    const auto names_it = AllOf(HasSubstr(dir.string()), HasSubstr("an adapter"), HasSubstr("LORA"),
                                HasSubstr("\"/models/base\""), HasSubstr("merged model"));
    EXPECT_THAT(refusal<DataError>(), names_it);
    put("config.json");  // transformers goes by the adapter here too
    EXPECT_THAT(refusal<DataError>(), names_it);
    for (const char* odd : {"[]", "not JSON", "{\"peft_type\": 3}"}) {
        put("adapter_config.json", odd);
        EXPECT_THAT(refusal<DataError>(), HasSubstr("an adapter (adapter_config.json)"));
    }
}

TEST_F(ModelDirectory, WhatIsNotThereOrAFileIsRefused) {
    EXPECT_THAT(refusal<MissingInputError>(), HasSubstr("no config.json in " + dir.string()));
    EXPECT_THAT(message_of<MissingInputError>([&] { require_model_directory(dir / "none"); }),
                HasSubstr("no such model directory"));
    put("model.gguf");
    EXPECT_THAT(message_of<DataError>([&] { require_model_directory(dir / "model.gguf"); }),
                HasSubstr("is a file"));
    EXPECT_THAT(refusal<DataError>(), HasSubstr("GGUF (model.gguf)"));
}

TEST_F(ModelDirectory, FoldersOfModelsNameOne) {
    put("checkpoint-500/config.json");
    put("checkpoint-1000/config.json");
    EXPECT_THAT(refusal<DataError>(), HasSubstr((dir / "checkpoint-1000").string()));
    put("snapshots/0a1b/config.json");
    EXPECT_THAT(refusal<DataError>(), HasSubstr((dir / "snapshots/0a1b").string()));
}

TEST_F(ModelDirectory, OurOwnDirectoriesAreNamed) {
    put("job.yaml");
    put("manifest.json");
    put("checkpoint/config.json");
    EXPECT_THAT(refusal<DataError>(),
                AllOf(HasSubstr("run directory"), HasSubstr((dir / "checkpoint").string())));
    put("config.json");
    put("checkpoint.h5");
    EXPECT_THAT(refusal<DataError>(), HasSubstr("compressed checkpoint"));
}

TEST_F(ModelDirectory, OtherProgramsFormatsAreNamed) {
    put("params.json");
    EXPECT_THAT(refusal<DataError>(), HasSubstr("its maker's own format"));
}

}  // namespace
}  // namespace lathe
