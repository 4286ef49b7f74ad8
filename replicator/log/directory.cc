#include "replicator/log/directory.h"

#include <algorithm>

namespace tanist {
namespace {

class FileSource : public SegmentSource {
  public:
    FileSource(const File& file, uint64_t bytes) : file_(file), bytes_(bytes) {}
    uint64_t bytes() const override { return bytes_; }
    Result<size_t> read_at(uint64_t offset, MutableBytes out) const override {
        return file_.read_at(offset, out);
    }

  private:
    const File& file_;
    uint64_t bytes_;
};

struct Opened {
    File file;
    FoundSegment found;
    std::optional<FoundMark> mark;
};

std::string key_name(uint64_t id) {
    Bytes bytes;
    ByteWriter(bytes).u64(id);
    return hex(bytes.data(), bytes.size());
}

Result<RecordForm> form_of(const SegmentHeader& header,
                           const std::shared_ptr<const LogCipher>& cipher) {
    if (header.sealed_by == 0) return RecordForm();
    if (cipher != nullptr && cipher->id() == header.sealed_by) {
        return RecordForm(cipher, header.group);
    }
    return Error{
        Errc::refused,
        "encrypted with the key " + key_name(header.sealed_by) + ", and " +
            (cipher == nullptr ? "no key is here" : "the key here is " + key_name(cipher->id())) +
            "; put its file back (<db>-tanist/log.key, or where encrypt_at_rest_key "
            "says). Nothing was changed"};
}

Result<Opened> open_segment(const std::string& directory, const std::string& name,
                            const std::shared_ptr<const LogCipher>& cipher) {
    Result<File> file = File::open(directory + "/" + name, File::Mode::read);
    if (!file.ok()) return std::move(file).error();
    Result<FileStat> stat = file->stat();
    if (!stat.ok()) return std::move(stat).error();
    Bytes head(kRecordsAt);
    Result<size_t> got = file->read_at(0, head);
    if (!got.ok()) return std::move(got).error();
    head.resize(*got);
    Result<SegmentHeader> header = decode_segment_header(head);
    if (!header.ok()) return Error(header.error()).in(file->path());
    Result<RecordForm> form = form_of(*header, cipher);
    if (!form.ok()) return Error(form.error()).in(file->path());
    Opened opened;
    opened.file = *std::move(file);
    opened.found = {name, *header, *std::move(form), stat->bytes, kRecordsAt};
    opened.mark = newest_mark(head, boot_id());
    return opened;
}

// Of two forms, because the head that says which may never have been written.
bool stands_record(ByteView bytes, const std::shared_ptr<const LogCipher>& cipher, GroupId group,
                   Lsn at_least) {
    for (const RecordForm& form : {RecordForm(), RecordForm(cipher, group)}) {
        Result<StoredHead> head = form.open_head(bytes);
        if (head.ok() && head->header.lsn >= at_least) return true;
    }
    return false;
}

struct Names {
    std::vector<std::string> segments;  // in order: the digits of a name have a fixed width
    std::vector<std::string> spares;
    bool resetting = false;
};

Result<Names> list_names(const std::string& directory) {
    Result<std::vector<std::string>> all = list_directory(directory);
    if (!all.ok()) return std::move(all).error();
    Names names;
    for (const std::string& name : *all) {
        if (parse_segment_name(name)) names.segments.push_back(name);
        if (name.starts_with(kSparePrefix)) names.spares.push_back(name);
        if (name == kResetName) names.resetting = true;
    }
    if (names.resetting) names.segments = {kResetName};
    return names;
}

class Finder {
  public:
    Finder(const std::string& directory, const std::shared_ptr<const LogCipher>& cipher,
           GroupId group, bool check_payloads, const RecordVisit& visit)
        : directory_(directory),
          cipher_(cipher),
          group_(group),
          check_payloads_(check_payloads),
          visit_(visit) {}

    Result<FoundLog> run() {
        Result<Names> names = list_names(directory_);
        if (!names.ok()) return std::move(names).error();
        if (names->segments.empty()) {
            return Error{Errc::not_found, directory_ + " holds no log"};
        }
        found_.spares = names->spares;
        found_.resetting = names->resetting;
        read_marks(names->segments);
        TANIST_TRY(check_last_header(names->segments));
        for (size_t i = 0; i < names->segments.size() && !found_.stopped; ++i) {
            std::optional<Lsn> until;
            if (i + 1 < names->segments.size()) until = parse_segment_name(names->segments[i + 1]);
            Result<bool> goes_on = add(names->segments[i], until);
            if (!goes_on.ok()) return std::move(goes_on).error();
            if (*goes_on) continue;
            // It is among the segments when its beginning was good.
            const bool held = found_.segments.back().name == names->segments[i];
            found_.dropped.assign(names->segments.begin() + static_cast<ptrdiff_t>(i + held),
                                  names->segments.end());
            break;
        }
        return std::move(found_);
    }

  private:
    // Without a mark nothing is known about synced records: nothing is excused either.
    void read_marks(const std::vector<std::string>& names) {
        for (const std::string& name : names) {
            Result<Opened> opened = open_segment(directory_, name, cipher_);
            if (!opened.ok() || !opened->mark) continue;
            found_.durable = std::max(found_.durable, opened->mark->mark.durable);
            found_.power_lost = opened->mark->mark.boot != boot_id();
        }
    }

    // A segment whose records need not all have reached the disk.
    bool may_be_torn(const std::string& name) const {
        return found_.power_lost && !found_.segments.empty() &&
               *parse_segment_name(name) > found_.durable;
    }

    // A crash can leave a last segment with a name and without a header (a file system may do the
    // renaming before the writing). It never held a published record, so it is not damage.
    Status check_last_header(std::vector<std::string>& names) {
        if (names.size() < 2) return ok_status();
        Result<Opened> last = open_segment(directory_, names.back(), cipher_);
        if (last.ok()) {
            const bool stale = last->found.header.first() < *parse_segment_name(names.back());
            if (!stale) return ok_status();
        } else if (last.error().code != Errc::corrupt) {
            return std::move(last).error();
        }
        Result<bool> holds = holds_record(names.back());
        if (!holds.ok()) return std::move(holds).error();
        // add() says what became of it.
        if (*holds && found_.power_lost && *parse_segment_name(names.back()) > found_.durable) {
            return ok_status();
        }
        if (*holds) {
            if (!last.ok()) return std::move(last).error();
            return Error{Errc::corrupt,
                         directory_ + "/" + names.back() + ": the header is of another segment"};
        }
        found_.unfinished = names.back();
        names.pop_back();
        return ok_status();
    }

    Result<bool> holds_record(const std::string& name) {
        Result<File> file = File::open(directory_ + "/" + name, File::Mode::read);
        if (!file.ok()) return std::move(file).error();
        Bytes bytes(kSealedHeadBytes);
        Result<size_t> got = file->read_at(kRecordsAt, bytes);
        if (!got.ok()) return std::move(got).error();
        bytes.resize(*got);
        return stands_record(bytes, cipher_, group_, *parse_segment_name(name));
    }

    Status check_place(const FoundSegment& segment) {
        const std::string path = directory_ + "/" + segment.name;
        if (!group_.is_zero() && segment.header.group != group_) {
            return Error{Errc::invalid, path + " belongs to group " +
                                            to_string(segment.header.group) + ", not to group " +
                                            to_string(group_)};
        }
        group_ = segment.header.group;
        if (!found_.resetting && segment.header.first() != *parse_segment_name(segment.name)) {
            return Error{Errc::corrupt, path + ": its header says that it begins with LSN " +
                                            std::to_string(segment.header.first().value)};
        }
        if (!found_.segments.empty() && segment.header.previous != found_.end) {
            return Error{Errc::corrupt,
                         path + " does not follow the segment before it, which ends at " +
                             to_string(found_.end.position)};
        }
        return ok_status();
    }

    // False: a power cut ended the log here, before `until`.
    Result<bool> add(const std::string& name, std::optional<Lsn> until) {
        Result<Opened> opened = open_segment(directory_, name, cipher_);
        Status placed = opened.ok() ? check_place(opened->found) : Status(opened.error());
        if (!placed.ok()) {
            if (placed.error().code != Errc::corrupt || !may_be_torn(name)) return placed.error();
            found_.torn_reason = placed.error().message;
            return false;
        }
        ScanAsk ask;
        ask.header = opened->found.header;
        ask.form = opened->found.form;
        ask.until = until;
        ask.check_payloads = check_payloads_;
        ask.durable = found_.durable;
        ask.power_lost = found_.power_lost;
        if (visit_) {
            ask.visit = [&](uint64_t offset, const RecordHeader& header) {
                return visit_(name, offset, header);
            };
        }
        Result<SegmentScan> scan =
            scan_segment(FileSource(opened->file, opened->found.file_bytes), ask);
        if (!scan.ok()) return Error(scan.error()).in(directory_ + "/" + name);
        found_.segments.push_back(opened->found);
        found_.segments.back().end_offset = scan->end_offset;
        found_.records += scan->records;
        found_.end = scan->end;
        if (scan->last) found_.last = scan->last;
        found_.mark = opened->mark;
        found_.torn_bytes = scan->torn_bytes;
        found_.torn_reason = scan->torn_reason.empty() ? "" : name + ": " + scan->torn_reason;
        found_.stopped = scan->stopped;
        if (!until || scan->stopped || scan->end.position.lsn.next() == *until) return true;
        if (found_.torn_reason.empty()) {
            found_.torn_reason = name + ": nothing stands at LSN " +
                                 std::to_string(scan->end.position.lsn.next().value);
        }
        return false;
    }

    const std::string& directory_;
    const std::shared_ptr<const LogCipher>& cipher_;
    GroupId group_;
    const bool check_payloads_;
    const RecordVisit& visit_;
    FoundLog found_;
};

}  // namespace

Result<FoundLog> find_log(const std::string& directory,
                          const std::shared_ptr<const LogCipher>& cipher, GroupId group,
                          bool check_payloads, const RecordVisit& visit) {
    return Finder(directory, cipher, group, check_payloads, visit).run();
}

Result<LogWalk> walk_log(const std::string& directory,
                         const std::shared_ptr<const LogCipher>& cipher, bool check_payloads,
                         const RecordVisit& visit) {
    Result<FoundLog> found = find_log(directory, cipher, GroupId{}, check_payloads, visit);
    if (!found.ok()) return std::move(found).error();
    LogWalk walk;
    walk.records = found->records;
    walk.segments = found->segments.size();
    walk.base = found->segments.front().header.previous;
    walk.end = found->end;
    walk.group = found->segments.front().header.group;
    walk.tail = found->torn_reason.empty() ? "clean" : found->torn_reason;
    if (found->stopped) walk.tail = "not reached";
    return walk;
}

}  // namespace tanist
