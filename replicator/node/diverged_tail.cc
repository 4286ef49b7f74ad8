#include "replicator/node/diverged_tail.h"

#include <algorithm>

#include "replicator/base/clock.h"
#include "replicator/base/file.h"
#include "replicator/control/toml_text.h"
#include "replicator/node/log_options.h"

namespace tanist {
namespace {

constexpr size_t kCopyBytes = 1u << 20;

Status copy_record(LogReader& from, const RecordHeader& record, Log& to) {
    TANIST_TRY(to.begin(record.payload_bytes));
    Bytes part;
    for (uint64_t done = 0; done < record.payload_bytes; done += part.size()) {
        part.resize(std::min<uint64_t>(kCopyBytes, record.payload_bytes - done));
        TANIST_TRY(from.read(record.lsn, kRecordHeaderBytes + done, part));
        TANIST_TRY(to.write(part));
    }
    return to.finish_received(record);
}

}  // namespace

std::string facts_text(const DivergedTail& tail) {
    std::string text =
        "# Commits of this node that its cluster does not have. See `tanist diverged`.\n";
    text += "version = 1\n";
    text += "common = " + toml_quote(to_string(tail.common.position)) + "\n";
    text += "common_chain = " + toml_quote(to_string(tail.common.chain)) + "\n";
    text += std::string("common_proved = ") + (tail.proved ? "true" : "false") + "\n";
    text += "end = " + toml_quote(to_string(tail.end.position)) + "\n";
    text += "end_chain = " + toml_quote(to_string(tail.end.chain)) + "\n";
    text += "commits = " + std::to_string(tail.commits) + "\n";
    text += "bytes = " + std::to_string(tail.bytes) + "\n";
    text += "saved_unix_ns = " + std::to_string(tail.saved_unix_ns) + "\n";
    text += "primary_epoch = " + std::to_string(tail.primary_epoch.value) + "\n";
    text += "primary = " + toml_quote(tail.primary) + "\n";
    return text;
}

Result<DivergedTail> save_diverged_tail(const Layout& layout, const Settings& settings, Log& log,
                                        DivergedTail tail) {
    tail.end = log.end();
    tail.name = std::to_string(tail.end.position.epoch.value) + "-" +
                std::to_string(tail.end.position.lsn.value);
    tail.saved_unix_ns = unix_now_ns();
    const std::string directory = layout.diverged() + "/" + tail.name;
    const std::string facts = directory + "/facts";
    const bool saved_before = path_exists(facts);
    TANIST_TRY(make_directory(layout.diverged()));
    TANIST_TRY(make_directory(directory));
    auto wanted = log_options(layout, settings);
    if (!wanted) return std::move(wanted).error();
    auto copy = Log::open(directory + "/log", log.group(), *wanted);
    if (!copy) return std::move(copy).error();
    if (!saved_before) TANIST_TRY((*copy)->reset(tail.common));
    const std::unique_ptr<LogReader> reader = log.reader();
    for (Lsn lsn = tail.common.position.lsn.next(); lsn <= tail.end.position.lsn;
         lsn = lsn.next()) {
        auto record = reader->header_of(lsn);
        if (!record) return std::move(record).error();
        tail.commits += record->kind == RecordKind::commit;
        tail.bytes += record->record_bytes();
        if (!saved_before) TANIST_TRY(copy_record(*reader, *record, **copy));
    }
    if (saved_before) return tail;
    TANIST_TRY((*copy)->publish());
    auto synced = (*copy)->sync();
    if (!synced) return std::move(synced).error();
    TANIST_TRY(replace_file(facts, view_of(facts_text(tail))));
    TANIST_TRY(sync_directory(layout.diverged()));
    return tail;
}

}  // namespace tanist
