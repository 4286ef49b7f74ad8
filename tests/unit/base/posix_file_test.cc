#include <doctest/doctest.h>

#include <filesystem>

#include "replicator/base/file.h"
#include "tests/support/temp_dir.h"

namespace tanist {

TEST_CASE("file: what was written is read back, short only at the end") {
    TempDir dir;
    File file = *File::open(dir.path("a"), File::Mode::create);
    REQUIRE(file.write_at(3, view_of("hello")).ok());
    Bytes out(10, 1);
    CHECK(*file.read_at(0, out) == 8);
    CHECK(out[0] == 0);
    CHECK(out[3] == 'h');
    CHECK(*file.read_at(100, out) == 0);
}

TEST_CASE("file: reading exactly says what is missing") {
    TempDir dir;
    File file = *File::open(dir.path("a"), File::Mode::create);
    REQUIRE(file.write_at(0, view_of("hello")).ok());
    Bytes out(6);
    Status got = file.read_exactly_at(0, out);
    REQUIRE(!got.ok());
    CHECK(got.error().code == Errc::corrupt);
    CHECK(got.error().message.find("byte 5") != std::string::npos);
}

TEST_CASE("file: an absent file is not found, an existing one is not new") {
    TempDir dir;
    CHECK(File::open(dir.path("a"), File::Mode::read).error().code == Errc::not_found);
    CHECK(File::open(dir.path("a"), File::Mode::write).error().code == Errc::not_found);
    CHECK(File::open(dir.path("a"), File::Mode::create_new).ok());
    CHECK(File::open(dir.path("a"), File::Mode::create_new).error().code == Errc::io);
    CHECK((stat_path(dir.path("a"))->mode & 0777) == 0600);
}

TEST_CASE("file: an error names the path and the system's reason") {
    Result<File> got = File::open("/proc/version/x", File::Mode::read);
    REQUIRE(!got.ok());
    CHECK(got.error().message.find("/proc/version/x") != std::string::npos);
    CHECK(got.error().message.find("Not a directory") != std::string::npos);
}

TEST_CASE("file: a full disk is no_space") {
    Result<File> full = File::open("/dev/full", File::Mode::write);
    REQUIRE(full.ok());
    CHECK(full->write_at(0, view_of("x")).error().code == Errc::no_space);
}

TEST_CASE("file: allocated space reads as zeros") {
    TempDir dir;
    File file = *File::open(dir.path("a"), File::Mode::create);
    REQUIRE(file.allocate(8192).ok());
    CHECK(file.stat()->bytes == 8192);
    Bytes out(8192, 1);
    REQUIRE(file.read_exactly_at(0, out).ok());
    CHECK(out == Bytes(8192));
}

TEST_CASE("file: an exclusive lock keeps others out until it is released") {
    TempDir dir;
    File a = *File::open(dir.path("a"), File::Mode::create);
    File b = *File::open(dir.path("a"), File::Mode::write);
    CHECK(*a.try_lock(true));
    CHECK(!*b.try_lock(true));
    CHECK(!*b.try_lock(false));
    a.unlock();
    CHECK(*b.try_lock(true));
    b.close();
    CHECK(*a.try_lock(true));
}

TEST_CASE("file: a moved file has one owner") {
    TempDir dir;
    File a = *File::open(dir.path("a"), File::Mode::create);
    File b = std::move(a);
    CHECK(!a.is_open());
    CHECK(b.is_open());
    CHECK(b.sync_data().ok());
}

TEST_CASE("files: a directory is listed in order, without dots") {
    TempDir dir;
    CHECK(make_directory(dir.path("d")).ok());
    CHECK(make_directory(dir.path("d")).ok());
    REQUIRE(replace_file(dir.path("d/2"), {}).ok());
    REQUIRE(replace_file(dir.path("d/1"), {}).ok());
    CHECK(*list_directory(dir.path("d")) == std::vector<std::string>{"1", "2"});
    CHECK(!make_directory(dir.path("d/1")).ok());
    CHECK(list_directory(dir.path("none")).error().code == Errc::not_found);
}

TEST_CASE("files: replacing leaves the new content and nothing else") {
    TempDir dir;
    REQUIRE(replace_file(dir.path("a"), view_of("a long first content")).ok());
    REQUIRE(replace_file(dir.path("a"), view_of("short")).ok());
    CHECK(*read_file(dir.path("a"), 100) == Bytes{'s', 'h', 'o', 'r', 't'});
    CHECK(list_directory(dir.root())->size() == 1);
    CHECK(!replace_file(dir.path("none/a"), view_of("x")).ok());
}

TEST_CASE("files: reading is bounded") {
    TempDir dir;
    REQUIRE(replace_file(dir.path("a"), Bytes(40000, 7)).ok());
    CHECK(read_file(dir.path("a"), 40000)->size() == 40000);
    CHECK(read_file(dir.path("a"), 39999).error().code == Errc::invalid);
}

TEST_CASE("files: removing what is not there is fine") {
    TempDir dir;
    CHECK(remove_path(dir.path("a")).ok());
    CHECK(rename_path(dir.path("a"), dir.path("b")).error().code == Errc::not_found);
    CHECK(!path_exists(dir.path("a")));
    CHECK(*free_bytes(dir.root()) > 0);
    CHECK(sync_directory(dir.root()).ok());
}

TEST_CASE("files: the real path follows links, also of a file that is not there yet") {
    TempDir dir;
    const std::string root = real_path(dir.root());
    REQUIRE(make_directory(dir.path("d")).ok());
    std::filesystem::create_symlink(dir.path("d"), dir.path("link"));
    CHECK(real_path(dir.path("link")) == root + "/d");
    CHECK(real_path(dir.path("link/new.db")) == root + "/d/new.db");
    CHECK(real_path("/new.db") == "/new.db");
}

TEST_CASE("files: the boot id is the same twice, and not zero") {
    CHECK(!boot_id().is_zero());
    CHECK(boot_id() == boot_id());
}

}  // namespace tanist
