#include "failover/adapters/ballot_store.h"

namespace tanist::failover {
namespace {

Result<Bytes> read_if_there(const std::string& path, uint64_t bytes_max) {
    Result<Bytes> bytes = read_file(path, bytes_max);
    if (!bytes.ok() && bytes.error().code == Errc::not_found) return Bytes{};
    return bytes;
}

}  // namespace

Result<BallotStore> BallotStore::open(const std::string& directory, const NodeKey& self,
                                      bool member_before, Epoch log_epoch) {
    BallotStore store;
    store.directory_ = directory;
    Result<Bytes> token = read_if_there(directory + "/token", kTokenFileBytesMax);
    if (!token.ok()) return std::move(token).error();
    if (!token->empty()) {
        Result<Token> read = read_token_file(*token);
        if (read.ok()) {
            store.found_.token = *std::move(read);
        } else if (read.error().code == Errc::version) {
            return std::move(read).error().in(directory + "/token");
        }
    }
    const std::string path = directory + "/ballot";
    TANIST_TRY(sync_what_was_left(path));
    Result<Bytes> bytes = read_if_there(path, kBallotFileBytes);
    if (!bytes.ok()) return std::move(bytes).error();
    const PastEvidence past{member_before, log_epoch,
                            store.found_.token ? store.found_.token->epoch() : Epoch(0)};
    Result<LoadedBallot> loaded = judge_ballot_file(*bytes, self, past);
    if (!loaded.ok()) return std::move(loaded).error().in(path);
    store.found_.ballot = *std::move(loaded);
    store.next_slot_ = store.found_.ballot.next_slot;
    return store;
}

Status BallotStore::write(const Ballot& ballot, const std::optional<Token>& token) {
    if (!file_.is_open()) {
        const std::string path = directory_ + "/ballot";
        const bool made = !path_exists(path);
        Result<File> file = File::open(path, File::Mode::create);
        if (!file.ok()) return std::move(file).error();
        file_ = *std::move(file);
        if (made) TANIST_TRY(sync_directory(directory_));
    }
    const Bytes slot = encode_slot(ballot);
    TANIST_TRY(file_.write_at(static_cast<uint64_t>(next_slot_) * kBallotSlotBytes, slot));
    TANIST_TRY(file_.sync_data());
    next_slot_ = 1 - next_slot_;
    if (token) TANIST_TRY(replace_file(directory_ + "/token", token_file(*token)));
    return ok_status();
}

}  // namespace tanist::failover
