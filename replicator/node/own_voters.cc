// The list of voters that this node keeps, when it starts, and what else it must know of the group
// before it is elected.
//
// A node that has voted and whose list is gone, damaged, or from a backup must neither go on as one
// of a group in which nobody votes, nor vote by an old list: it decides nothing, and allows
// nothing, until another voter hands it the newest one (vote_link.cc asks for that).
#include "failover/adapters/ballot_store.h"
#include "replicator/base/notes.h"
#include "replicator/control/setup.h"
#include "replicator/node/node_state.h"

namespace tanist {
namespace {

constexpr int64_t kLongAgo = 1;  // a lease deadline that has passed

}  // namespace

// The config of this node's ballot; nothing: it has never voted. The first ballot alone does not
// say so: it is written before the list. Where the ballot is lost, too, a token tells; any list is
// good then.
Result<std::optional<failover::Config>> Node::State::config_voted_under() const {
    auto store = failover::BallotStore::open(layout.directory, identity, true, Epoch(0));
    if (!store) return std::move(store).error();
    const auto& ballot = store->found().ballot.ballot;
    if (ballot && ballot->serial > 1) return std::optional(ballot->config);
    if (path_exists(layout.directory + "/token")) return std::optional(failover::Config{});
    return std::optional<failover::Config>();
}

// What it keeps is in voters_id, or in voters_missing why there is none. True: it has voted, or is
// to.
Result<bool> Node::State::find_voters() {
    auto read = read_voter_list(layout.voters());
    if (!read && read.error().code != Errc::corrupt) return std::move(read).error();
    auto voted = config_voted_under();
    if (!voted) return std::move(voted).error();
    std::optional<VoterList> list = read ? std::move(read).value() : std::nullopt;
    const char* what = !read ? " is damaged" : !list ? " is gone" : " is older than the ballot";
    if (list && *voted && (*voted)->id > list->config.id) {
        list = list_of(**voted, *list);
        if (list) TANIST_TRY(write_voter_list(layout.voters(), *list));
    }
    if (list) {
        voters_id = list->config.id;
        return true;
    }
    if (read && !*voted) return false;
    if (*voted) voters_least = (*voted)->id;
    voters_missing = layout.voters() + what +
                     ", so this node decides nothing until another voter hands it the list; if "
                     "none does, copy that file from another voter and start this one again";
    return true;
}

// Requires: bound. From here on nothing is allowed that a voter has not allowed.
Status Node::State::open_voters() {
    // A daemon that was killed may have left that it is the primary and its gate is open.
    control.set_failover("");
    auto voter = find_voters();
    if (!voter) return std::move(voter).error();
    if (!*voter) {
        control->lease_deadline_ns.store(0);
        control->writers_wait.store(0);
        control->confirmations.store(0);
        return ok_status();
    }
    if (bound_endpoints.empty()) {
        return Error{Errc::refused, layout.db +
                                        " is a member of a group that elects its primary; "
                                        "start its tanistd with --listen ENDPOINT"};
    }
    votes.begin();
    const bool hopeful = file.role == Role::primary && voters_missing.empty();
    control->writers_wait.store(hopeful ? 1 : 0);
    control->lease_deadline_ns.store(kLongAgo);
    if (!voters_missing.empty()) {
        note(NoteLevel::error, "it does not vote", {{"reason", voters_missing}});
        return ok_status();
    }
    // A primary that lost its roster would take everybody's vote.
    const bool needs_roster = file.role == Role::primary || file.role == Role::fenced;
    const bool has_roster = path_exists(layout.members()) && read_members(layout.members()).ok();
    if (!needs_roster || has_roster) return ok_status();
    auto list = read_voter_list(layout.voters());
    if (!list) return std::move(list).error();
    return know_members_of(**list);
}

// What the roster says, and the voters. Where it cannot be read, they are all that is known.
Result<std::vector<Member>> Node::State::members_known(const VoterList& list) const {
    auto held = read_members(layout.members());
    if (!held && held.error().code != Errc::invalid) return held;
    if (!held)
        note(NoteLevel::warning, "the roster is damaged; the voters tell who belongs to it",
             {{"reason", held.error().message}});
    auto listed = read_member_list(layout.member_list());
    if (!listed) return std::move(listed).error();
    return members_under(list, held ? *held : std::vector<Member>{}, *listed);
}

// What a replica has heard of who belongs to the cluster may be older than the list of voters under
// which it is elected, or nothing. A replica that runs here may hear a roster at the same time.
Status Node::State::know_members_of(const VoterList& list) {
    auto lock = lock_directory(layout.directory);
    if (!lock) return std::move(lock).error();
    auto members = members_known(list);
    if (!members) return std::move(members).error();
    const auto held = read_members(layout.members());
    if (held && *held == *members) return ok_status();
    return write_members(layout.members(), *members);
}

}  // namespace tanist
