#include "replicator/control/toml_text.h"

#include <doctest/doctest.h>

using namespace tanist;

namespace {

std::string complaint(const std::string& text) {
    Result<std::vector<TomlEntry>> entries = parse_toml("f", text);
    REQUIRE_FALSE(entries.ok());
    CHECK(entries.error().code == Errc::invalid);
    return entries.error().message;
}

}  // namespace

TEST_CASE("toml_text: a table whose name cannot begin a key is refused with its line") {
    for (const char* header :
         {"[$x]", "[[$x]]", " [ .x]", "[[[x]]]", "[", "[\r", "[#x]", "[=", "[é]"}) {
        CHECK(complaint("a = 1\n" + std::string(header) + "\n").starts_with("f:2: "));
        CHECK(complaint("a = 1\n" + std::string(header)).starts_with("f:2: "));
    }
    CHECK(complaint("[]\n").starts_with("f:1: "));
    CHECK(complaint("\xef\xbb\xbf[$x]\n").starts_with("f:1: "));
}

TEST_CASE("toml_text: tables, arrays of tables, comments and lists of several lines are read") {
    auto entries = parse_toml("f",
                              "# [$x]\na = \"[$x]\"\nb = [\n  \"c\",\n]\n"
                              "[_t] # $\nd = 1\r\n[[ \"m\" ]]\ne = true\n[[m]]\ne = false\n");
    REQUIRE(entries.ok());
    REQUIRE(entries->size() == 5);
    CHECK(std::get<std::string>((*entries)[0].value) == "[$x]");
    CHECK(std::get<std::vector<std::string>>((*entries)[1].value).size() == 1);
    CHECK((*entries)[2].table == "_t");
    CHECK((*entries)[4].table == "m");
    CHECK((*entries)[4].table_index == 1);
}

TEST_CASE("toml_text: letters beyond ASCII are kept in values and keys, and harm nowhere else") {
    auto entries =
        parse_toml("f", "# \xc9\x92\n\"\xc9\x92~\" = \"\xc9\x92 \\u0041~41\"\nb = [ '\xff~' ]\n");
    REQUIRE(entries.ok());
    CHECK((*entries)[0].key == "\xc9\x92~");
    CHECK(std::get<std::string>((*entries)[0].value) == "\xc9\x92 A~41");
    CHECK(std::get<std::vector<std::string>>((*entries)[1].value).front() == "\xff~");
    for (const char* line :
         {"5\xc9\x92\xcd\x8c.", "\xe1\x9a\x80", "x = 9\\\" 27.\xd0\x8f", "~", "b = ~41"})
        CHECK(complaint("a = 1\n" + std::string(line)).starts_with("f:2: "));
    CHECK(complaint("a = \"\\u007e41\"\n").starts_with("f:1: \\u007e is to be"));
}
