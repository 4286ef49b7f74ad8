// Command line of a test program: positional words and `--name value` pairs. A name that the
// program did not ask about is an error, so that a typing mistake cannot weaken a test.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace tanist::testing {

class Arguments {
  public:
    Arguments(int argc, char** argv) : program_(argv[0]) {
        for (int i = 1; i < argc; ++i) {
            const std::string word = argv[i];
            if (word.rfind("--", 0) != 0) {
                words_.push_back(word);
            } else if (i + 1 < argc && std::string(argv[i + 1]).rfind("--", 0) != 0) {
                named_[word.substr(2)] = argv[++i];
            } else {
                named_[word.substr(2)] = "";
            }
        }
    }
    bool has(const std::string& name) {
        asked_.insert(name);
        return named_.count(name) != 0;
    }
    std::string text(const std::string& name, const std::string& otherwise) {
        return has(name) ? named_[name] : otherwise;
    }
    int64_t number(const std::string& name, int64_t otherwise) {
        if (!has(name)) return otherwise;
        char* end = nullptr;
        const int64_t value = std::strtoll(named_[name].c_str(), &end, 10);
        if (named_[name].empty() || *end != 0) fail("--" + name + " wants a number");
        return value;
    }
    const std::vector<std::string>& words() const { return words_; }
    // Called after every option was asked about once.
    void finish(size_t words, const std::string& usage) {
        for (const auto& [name, value] : named_) {
            if (asked_.count(name) == 0) fail("unknown option --" + name + "\nusage: " + usage);
        }
        if (words_.size() != words) fail("usage: " + usage);
    }

  private:
    [[noreturn]] void fail(const std::string& sentence) const {
        std::fprintf(stderr, "%s: %s\n", program_.c_str(), sentence.c_str());
        std::exit(2);
    }
    std::string program_;
    std::vector<std::string> words_;
    std::map<std::string, std::string> named_;
    std::set<std::string> asked_;
};

}  // namespace tanist::testing
