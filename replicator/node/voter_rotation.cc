// A voter's key changes and the voter stays the same one: its ballot, its promises and its turn go
// on under the new key.
//
// The list of voters is what says which of its keys a voter votes with. The member list has named
// both for a while (control/key_rotation.h); when every member keeps that, the primary puts the new
// key in the old one's place, and a node that finds its new key in the list of voters uses it from
// then on. One voter, one ballot: two lists that differ in a key have the same machines, so any two
// of their majorities have one in common, which votes once in each epoch.
//
// Crash points of the node whose key it is: the list of voters is written first. A start that finds
// the new key there and not the present one goes on with the ballot and the identity.
#include "failover/adapters/ballot_store.h"
#include "replicator/base/notes.h"
#include "replicator/control/audit.h"
#include "replicator/node/node_state.h"

namespace tanist {
namespace {

// The ballot under its new name, promises and vote as they are. One that is lost stays lost.
Status move_ballot(const std::string& directory, const NodeKey& old_key, const NodeKey& new_key) {
    using failover::BallotCondition;
    using failover::BallotStore;
    auto moved = BallotStore::open(directory, new_key, true, Epoch(0));
    if (!moved) return std::move(moved).error();
    if (moved->found().ballot.condition == BallotCondition::good) return ok_status();
    auto store = BallotStore::open(directory, old_key, true, Epoch(0));
    if (!store) return std::move(store).error();
    if (store->found().ballot.condition != BallotCondition::good) return ok_status();
    failover::Ballot ballot = *store->found().ballot.ballot;
    ++ballot.serial;
    ballot.node = new_key;
    return store->write(ballot, std::nullopt);
}

}  // namespace

// On the primary: the list of voters with the first new key. busy: there is one that not every
// member knows.
Result<std::optional<VoterList>> Node::State::rotated_voters(const VoterList& now) {
    auto list = read_member_list(layout.member_list());
    if (!list) return std::move(list).error();
    for (const VoterAddress& address : now.addresses) {
        const ListedNode* node = list->node_of(address.node);
        if (node == nullptr || node->old_key != address.node) continue;
        if (engine->members_kept() < list->version) {
            return Error{Errc::busy,
                         node->name +
                             " has a new key, and not every member knows it; bring them "
                             "up, or remove those that are gone (tanist members remove)"};
        }
        VoterList next = now;
        replace_voter(next, node->old_key, node->key);
        return std::optional<VoterList>(next);
    }
    return std::optional<VoterList>();
}

// What was promised to a holder whose key is another now was promised to the same node. (A node
// that took the place of another at its endpoint is voted in by a holder of a later epoch: the
// promise to its predecessor was over then.)
Status Node::State::keep_promise(const std::optional<VoterList>& before, const VoterList& after) {
    if (!before) return ok_status();
    auto file_of_promise = PromiseFile::open(layout.promise());
    if (!file_of_promise) return std::move(file_of_promise).error();
    std::optional<failover::Promise> promise = file_of_promise->read();
    if (!promise || after.find(promise->holder) != nullptr) return ok_status();
    const VoterAddress* old = before->find(promise->holder);
    const VoterAddress* same = old == nullptr ? nullptr : after.at(old->endpoint);
    if (same == nullptr) return ok_status();
    promise->holder = same->node;
    return file_of_promise->write(*promise);
}

// Whether `list` names the announced key of this node in the present one's place; then it is used
// from here on. The network thread is told by the caller. Requires: `list` is on the disk.
Result<bool> Node::State::take_voting_key(const VoterList& list) {
    if (!path_exists(layout.next_identity())) return false;
    auto present = Identity::load(layout.identity());
    if (!present) return std::move(present).error();
    auto next = Identity::load(layout.next_identity());
    if (!next) return std::move(next).error();
    if (list.find(present->key()) != nullptr || list.find(next->key()) == nullptr) return false;
    TANIST_TRY(move_ballot(layout.directory, present->key(), next->key()));
    TANIST_TRY(rename_path(layout.next_identity(), layout.identity()));
    TANIST_TRY(sync_directory(layout.directory));
    identity = next->key();
    TANIST_TRY(audit(layout, {"tanistd", "keys rotate", layout.db,
                              "votes and signs with key " + to_string(identity)}));
    return true;
}

// Before anything is bound or opened.
Status Node::State::finish_key_change() {
    auto list = read_voter_list(layout.voters());
    if (!list && list.error().code == Errc::corrupt) return ok_status();  // own_voters.cc says so
    if (!list) return std::move(list).error();
    if (!*list) return ok_status();
    auto taken = take_voting_key(**list);
    return taken ? ok_status() : Status(std::move(taken).error());
}

}  // namespace tanist
