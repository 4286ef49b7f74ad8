#include "tests/tidy/source_file.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <regex>

namespace tanist::tidy {
namespace {

// The same text, line for line, with comments, literals and preprocessor lines blanked out.
std::string blank_out(const std::string& text) {
    static const std::regex kNoise(
        "R\"([^(\\s]*)\\([\\s\\S]*?\\)\\1\"|//[^\\n]*|/\\*[\\s\\S]*?\\*/"
        "|\"(?:\\\\.|[^\"\\\\\\n])*\""
        "|'(?:\\\\.|[^'\\\\\\n])+'",
        std::regex::ECMAScript | std::regex::optimize);
    std::string code = text;
    auto next = std::sregex_iterator(text.begin(), text.end(), kNoise);
    for (; next != std::sregex_iterator(); ++next) {
        const auto begin = static_cast<size_t>(next->position());
        // 1'000 is a number, not a character literal.
        const bool digit_separator = text[begin] == '\'' && begin > 0 &&
                                     std::isxdigit(static_cast<unsigned char>(text[begin - 1]));
        if (digit_separator) continue;
        for (size_t i = begin; i < begin + static_cast<size_t>(next->length()); ++i) {
            if (code[i] != '\n') code[i] = ' ';
        }
    }
    return code;
}

bool has_word(const std::string& text, const std::string& word) {
    return std::regex_search(text, std::regex("\\b" + word + "\\b"));
}

// What an opening brace begins, judged by the text since the last ; { or }.
bool begins_scope(const std::string& head) {
    if (has_word(head, "namespace") || head.find("extern") != std::string::npos) return true;
    const bool type = has_word(head, "class") || has_word(head, "struct") ||
                      has_word(head, "union") || has_word(head, "enum");
    return type && head.find('(') == std::string::npos;
}

class Braces {
  public:
    explicit Braces(std::vector<Function>& found) : found_(found) {}
    void read(char c, int line) {
        if (c == '{') {
            const bool in_function = !open_.empty() && open_.back().inside_function;
            const bool scope = !in_function && begins_scope(head_);
            const bool function = !in_function && !scope && head_.find('(') != std::string::npos;
            open_.push_back({line, head_, function, in_function || function});
            head_.clear();
        } else if (c == '}' && !open_.empty()) {
            const Open& open = open_.back();
            if (open.function) found_.push_back({open.line, line - open.line + 1, open.head});
            open_.pop_back();
            head_.clear();
        } else if (c == ';') {
            head_.clear();
        } else {
            head_ += c == '\n' ? ' ' : c;
        }
    }

  private:
    struct Open {
        int line;
        std::string head;
        bool function;
        bool inside_function;
    };
    std::vector<Function>& found_;
    std::vector<Open> open_;
    std::string head_;
};

void find_functions(const std::string& code, std::vector<Function>& found) {
    Braces braces(found);
    int line = 1;
    bool preprocessor = false;
    bool line_begins = true;
    for (size_t i = 0; i < code.size(); ++i) {
        if (line_begins && code[i] == '#') preprocessor = true;
        if (!preprocessor) braces.read(code[i], line);
        if (code[i] == '\n') {
            if (i == 0 || code[i - 1] != '\\') preprocessor = false;
            ++line;
            line_begins = true;
        } else if (code[i] != ' ') {
            line_begins = false;
        }
    }
}

}  // namespace

SourceFile read_source(const std::string& root, const std::string& path) {
    SourceFile file;
    file.path = path;
    file.folder = std::filesystem::path(path).parent_path().string();
    file.name = std::filesystem::path(path).filename().string();
    std::ifstream stream(root + "/" + path);
    static const std::regex kInclude("^\\s*#\\s*include\\s*([<\"])([^>\"]+)[>\"]");
    std::string text;
    for (std::string line; std::getline(stream, line);) {
        file.lines.push_back(line);
        text += line + "\n";
        std::smatch match;
        if (std::regex_search(line, match, kInclude)) {
            file.includes.push_back(
                {static_cast<int>(file.lines.size()), match[2], match[1] == "<"});
        }
    }
    find_functions(blank_out(text), file.functions);
    return file;
}

}  // namespace tanist::tidy
