#include "replicator/control/log_key.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "replicator/base/file.h"
#include "tests/support/temp_dir.h"

namespace tanist {
namespace {

struct Keys {
    TempDir dir;
    Layout layout{dir.path("app.db")};
    Settings settings;
    Keys() { REQUIRE(make_directory(layout.directory).ok()); }
    void write(const std::string& text) {
        REQUIRE(replace_file(layout.log_key(), view_of(text)).ok());
        REQUIRE(make_private(layout.log_key()).ok());
    }
};

TEST_CASE_FIXTURE(Keys, "log key: nothing is made unless it is asked for") {
    CHECK(*log_cipher(layout, settings) == nullptr);
    settings.encrypt_at_rest = true;
    CHECK(*find_log_cipher(layout, settings) == nullptr);
    CHECK(!path_exists(layout.log_key()));
}

TEST_CASE_FIXTURE(Keys, "log key: made once, private, and the same afterwards") {
    settings.encrypt_at_rest = true;
    const uint64_t id = (*log_cipher(layout, settings))->id();
    CHECK((stat_path(layout.log_key())->mode & 0777) == 0600);
    CHECK((*log_cipher(layout, settings))->id() == id);
    settings.encrypt_at_rest = false;
    CHECK((*log_cipher(layout, settings))->id() == id);
}

TEST_CASE_FIXTURE(Keys, "log key: in the place that the settings name") {
    settings.encrypt_at_rest = true;
    settings.encrypt_at_rest_key = dir.path("elsewhere.key");
    CHECK(*log_cipher(layout, settings) != nullptr);
    CHECK(path_exists(settings.encrypt_at_rest_key));
    CHECK(!path_exists(layout.log_key()));
}

TEST_CASE_FIXTURE(Keys, "log key: two keys have two names") {
    settings.encrypt_at_rest = true;
    const uint64_t id = (*log_cipher(layout, settings))->id();
    REQUIRE(remove_path(layout.log_key()).ok());
    CHECK((*log_cipher(layout, settings))->id() != id);
}

TEST_CASE_FIXTURE(Keys, "log key: a file that others can read is refused") {
    settings.encrypt_at_rest = true;
    REQUIRE(log_cipher(layout, settings).ok());
    std::filesystem::permissions(layout.log_key(), std::filesystem::perms::group_read,
                                 std::filesystem::perm_options::add);
    CHECK(log_cipher(layout, settings).error().code == Errc::refused);
}

TEST_CASE_FIXTURE(Keys, "log key: a file with anything else in it is corrupt") {
    settings.encrypt_at_rest = true;
    for (const std::string& text :
         {std::string(), std::string("tanist-log-key-1 1234\n"), std::string(82, 'a'),
          "tanist-log-key-1 " + std::string(64, 'g') + "\n"}) {
        write(text);
        CHECK(log_cipher(layout, settings).error().code == Errc::corrupt);
    }
}

}  // namespace
}  // namespace tanist
