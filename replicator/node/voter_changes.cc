// Who votes: the list that a primary founds, its changes, one voter at a time, and the one that an
// operator forces. A change closes the gate, and the same primary stands for election under the
// new list.
//
// Why one at a time: majorities of two lists that differ by one voter have a voter in common, who
// votes once in each epoch. Why a list that another holder made is made anew before it is changed:
// step_towards() of voter_list.h. Why a removal, and a k that is raised again, wait until all that
// stay hold the whole log: what was confirmed by the one that goes, or by too few, must not need
// them any more.
#include "failover/core/epoch_parts.h"
#include "replicator/base/event.h"
#include "replicator/base/notes.h"
#include "replicator/control/audit.h"
#include "replicator/control/reachable.h"
#include "replicator/node/node_state.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;
constexpr Nanos kFoundEvery = 1s;
constexpr Nanos kChangeEvery = 2s;
// Until a new connection answers there are five round trips; nobody waits for them here.
constexpr Nanos kAskPatience = 3s;
constexpr Nanos kHoldPatience = 1s;  // writers wait so long for a change at most
constexpr Nanos kAppGoneAfter = 40ms;
constexpr Nanos kLookEvery = 1ms;

void nap() {
    const std::atomic<uint32_t> nobody_wakes{0};
    futex_wait(&nobody_wakes, 0, kLookEvery);
}

// Whoever commands a data member's daemon may order its promotion.
void name_operators(failover::Config& config) {
    config.operators.clear();
    for (const failover::Member& member : config.members) {
        if (member.witness || config.operators.size() >= failover::kOperatorsMax) continue;
        config.operators.push_back(member.node);
    }
}

void remove_voter(VoterList& list, const NodeKey& node) {
    std::erase_if(list.config.members, [&](const auto& member) { return member.node == node; });
    std::erase_if(list.addresses, [&](const auto& address) { return address.node == node; });
    name_operators(list.config);
}

void add_voter(VoterList& list, const VoterFacts& facts) {
    list.config.members.push_back({.node = facts.address.node,
                                   .priority = facts.priority,
                                   .witness = facts.witness,
                                   .nofailover = facts.nofailover});
    list.addresses.push_back(facts.address);
    std::sort(list.config.members.begin(), list.config.members.end(),
              [](const auto& a, const auto& b) { return a.node < b.node; });
    std::sort(list.addresses.begin(), list.addresses.end(),
              [](const auto& a, const auto& b) { return a.node < b.node; });
    name_operators(list.config);
}

}  // namespace

// What a member is, in its own words and in ours. unreachable: it does not answer.
Result<VoterFacts> Node::State::facts_of(const Member& member,
                                         const std::optional<VotersHave>& answer) const {
    if (!answer) return Error{Errc::unreachable, member.name + " does not answer"};
    if (answer->witness != member.witness) {
        return Error{Errc::refused,
                     member.name + (answer->witness ? " is a witness; add it with --witness"
                                                    : " holds data; add it without --witness")};
    }
    return VoterFacts{
        .address = {answer->node, !member.key.is_zero(), member.name, member.endpoint},
        .priority = answer->priority,
        .witness = answer->witness,
        .nofailover = answer->nofailover || !may_lead(answer->node)};
}

// -- founding

// Nothing: they are being asked, and this is to be called again.
std::optional<VoterAnswers> Node::State::answers_of(const std::vector<Member>& members) {
    if (!inquiry || inquiry->members() != members) {
        inquiry.emplace(layout, options.settings, members, kAskPatience);
    }
    auto answers = inquiry->take();
    if (answers) inquiry.reset();
    return answers;
}

Result<std::optional<VoterList>> Node::State::gather_voters() {
    auto members = other_members();
    if (!members) return std::move(members).error();
    for (const std::string& endpoint : options.settings.replicas) {
        const auto same = [&](const Member& member) { return member.endpoint == endpoint; };
        if (std::none_of(members->begin(), members->end(), same)) {
            members->push_back({.name = endpoint, .endpoint = endpoint, .key = {}});
        }
    }
    if (members->empty()) return Error{Errc::refused, "there is no other member yet"};
    const auto heard = answers_of(*members);
    if (!heard) return std::optional<VoterList>();
    const VoterAnswers& answers = *heard;
    std::vector<VoterFacts> voters;
    const bool keyed = keys.list().version > 0;
    voters.push_back({.address = {identity, keyed, layout.db, own_endpoint()},
                      .priority = options.settings.failover.priority,
                      .witness = false,
                      .nofailover = options.settings.failover.nofailover || !may_lead(identity)});
    for (size_t i = 0; i < members->size(); ++i) {
        auto facts = facts_of((*members)[i], answers[i]);
        if (!facts) return std::move(facts).error();
        voters.push_back(std::move(facts).value());
    }
    auto list =
        found_voters(file.cluster, file.group, {Epoch(0), 1}, options.settings, std::move(voters));
    if (!list) return std::move(list).error();
    return std::optional<VoterList>(std::move(list).value());
}

void Node::State::found_voters_when_due() {
    const bool wanted = options.settings.failover.automatic && !votes.votes() && engine &&
                        file.role == Role::primary;
    if (!wanted || (!inquiry && boot_now() - founding_tried < kFoundEvery)) return;
    founding_tried = boot_now();
    Status founded = ok_status();
    if (bound_endpoints.empty()) {
        founded = Error{Errc::refused, "failover = \"automatic\" needs a tanistd with --listen"};
    } else if (is_wildcard(bound_endpoints.front()) && options.settings.advertise.empty()) {
        founded = Error{Errc::refused, "nobody can connect to " + bound_endpoints.front() +
                                           "; set `advertise` to this node's own address"};
    } else if (auto list = gather_voters(); list) {
        if (!*list) return;
        founded = adopt_voters(**list, identity);
        if (founded) own_voters = (*list)->config.id;
    } else {
        founded = std::move(list).error();
    }
    const std::string why =
        founded ? "" : "failover is not automatic yet: " + founded.error().message;
    if (why == founding_told) return;
    founding_told = why;
    control.set_notice(why);
    if (!why.empty()) note(NoteLevel::warning, why);
}

// -- changes

// The list with the first difference between it and the members; nothing when there is none.
Result<std::optional<VoterList>> Node::State::next_voters(const VoterList& now) {
    auto members = other_members();
    if (!members) return std::move(members).error();
    auto rotated = rotated_voters(now);
    if (rotated && *rotated) return rotated;
    VoterList next = now;
    for (const VoterAddress& address : now.addresses) {
        const auto same = [&](const Member& m) { return m.endpoint == address.endpoint; };
        if (address.node == identity || std::any_of(members->begin(), members->end(), same)) {
            continue;
        }
        remove_voter(next, address.node);
        return std::optional<VoterList>(next);
    }
    std::vector<Member> missing;
    for (const Member& member : *members) {
        if (now.at(member.endpoint) == nullptr) missing.push_back(member);
    }
    if (missing.empty()) {
        inquiry.reset();
        // A key that waits holds up nothing else: removing whoever it waits for is the way out.
        auto raised = with_k_when_all_follow(now);
        return raised ? raised : std::move(rotated);
    }
    // Where commits wait for nobody, an election needs the log of each data member, and who was
    // added last may still be brought up to date.
    if (now.config.sync_k == 0 && !all_follow(now, Lsn(0))) {
        return Error{Errc::busy, "an election needs all data members, and not all of them follow"};
    }
    const auto answers = answers_of(missing);
    if (!answers) return std::optional<VoterList>();
    // One that does not answer must not keep the others out.
    std::optional<Error> why;
    for (size_t i = 0; i < missing.size(); ++i) {
        auto facts = facts_of(missing[i], (*answers)[i]);
        if (!facts) {
            if (!why) why = std::move(facts).error();
        } else if (now.find(facts->address.node) == nullptr) {
            add_voter(next, *facts);
            return std::optional<VoterList>(next);
        }
    }
    if (auto raised = with_k_when_all_follow(now)) return raised;
    if (why) return std::move(*why);
    return rotated;
}

// Writers wait for such a change, so it is not tried in vain.
std::optional<VoterList> Node::State::with_k_when_all_follow(const VoterList& now) const {
    auto raised = with_k_again(now, options.settings.commit.rule);
    return raised && all_follow(*raised, Lsn(0)) ? raised : std::nullopt;
}

// Each data member of `list`, with all up to `end` on its disk.
bool Node::State::all_follow(const VoterList& list, Lsn end) const {
    for (const failover::Member& member : list.config.members) {
        if (member.witness || member.node == identity) continue;
        const VoterAddress* address = list.find(member.node);
        const auto report = report_on({.name = {}, .endpoint = address->endpoint, .key = {}});
        if (!report || report->state != PeerState::streaming || report->durable < end) return false;
    }
    return true;
}

// Writers are held: everything that was ever confirmed is on each data member of `list`.
bool Node::State::all_hold_the_log(const VoterList& list) const {
    const Instant give_up = boot_now() + kHoldPatience;
    for (; boot_now() < give_up; nap()) {
        if (all_follow(list, engine->log_end().position.lsn)) return true;
    }
    return false;
}

void Node::State::change_voters_when_due() {
    const bool due = inquiry || boot_now() - founding_tried >= kChangeEvery;
    if (!failover || !engine || pending || !due) return;
    founding_tried = boot_now();
    if (failover->view().holder != failover::HolderPhase::open) return;
    const VoterList now = failover->list();
    auto next = next_voters(now);
    if (next && !*next && inquiry) return;
    inquiry.reset();
    Status changed = ok_status();
    if (!next) {
        changed = std::move(next).error();
    } else if (*next && failover->view().policy.paused) {
        // The new list needs an election, and nobody would be elected.
        changed = Error{Errc::busy, "elections are paused (tanist resume)"};
    } else if (*next) {
        changed = change_voters(now, **next);
    }
    const std::string why =
        changed ? "" : "the voters are not changed yet: " + changed.error().message;
    if (why == founding_told) return;
    founding_told = why;
    control.set_notice(why);
    if (!why.empty()) note(NoteLevel::warning, why);
}

Status Node::State::change_voters(const VoterList& now, const VoterList& wanted) {
    const VoterList next = step_towards(wanted, now, file.epoch, own_voters);
    if (std::string why = failover::why_invalid(next.config); !why.empty()) {
        return Error{Errc::refused, why};
    }
    auto hold = WriteHold::take(api, layout.db, kHoldPatience);
    if (!hold) return std::move(hold).error();
    const bool removes = next.config.members.size() < now.config.members.size();
    const bool relies_on_more = next.config.sync_k > now.config.sync_k;
    if ((removes || relies_on_more) && !all_hold_the_log(next)) {
        return Error{Errc::busy, removes ? "a removal waits until all others hold the whole log"
                                         : "commits wait for more replicas again as soon as all "
                                           "of them hold the whole log"};
    }
    TANIST_TRY(adopt_voters(next, identity));
    own_voters = next.config.id;
    return ok_status();
}

// -- an operator's word instead of a majority

// Only who answers votes from now on. Who is left out stays a member, known by key and address
// before it loses its vote, whatever this node had heard of its cluster: it follows when it comes
// back, and has its vote again as a new member has, one at a time.
//
// Why nobody helps two sides, whoever comes back, and whenever: a list says only who is asked. It
// is a grant that makes a voter count, and before that leaves, the voter has promised an epoch of
// this generation on its disk (G8), which outranks all that the old list can elect. Until then it
// counts for the old list alone, although this one may name it; from then on for this one alone: it
// grants (G2), renews and acknowledges nothing lower. What it confirmed before is in its log, and
// who lacks that gets no grant from it (G6; accept_loss gives up the word of those that are asked
// in vain only).
Status Node::State::force_voters(Epoch forced, const std::vector<Member>& answering) {
    const VoterList now = failover->list();
    TANIST_TRY(know_members_of(now));
    VoterList next = now;
    for (const VoterAddress& address : now.addresses) {
        const auto same = [&](const Member& m) { return m.endpoint == address.endpoint; };
        const bool answers = std::any_of(answering.begin(), answering.end(), same);
        if (address.node != identity && !answers) remove_voter(next, address.node);
    }
    failover::Config& config = next.config;
    config.id = {forced, 1};
    config.sync_k = std::min(config.sync_k, failover::k_max(config));
    if (config.sync_k == 0) config.lease_mode = failover::LeaseMode::full;
    if (std::string why = failover::why_invalid(config); !why.empty()) {
        return Error{Errc::refused, why};
    }
    stop_failover(false);
    const std::optional<failover::LogState> log = log_state();
    auto store = failover::BallotStore::open(layout.directory, identity, true,
                                             log ? log->end.position.epoch : Epoch(0));
    if (!store) return std::move(store).error();
    if (!store->found().ballot.ballot) {
        return Error{Errc::refused,
                     "this node does not know what it promised: " + store->found().ballot.reason};
    }
    failover::Ballot ballot = *store->found().ballot.ballot;
    ++ballot.serial;
    ballot.promised = std::max(ballot.promised, forced);
    ballot.config = config;
    TANIST_TRY(store->write(ballot, std::nullopt));
    return adopt_voters(next, identity);
}

// -- the application

bool Node::State::watches_application() const {
    return failover && engine &&
           failover->list().config.on_app_exit == failover::OnAppExit::release;
}

// Its presence is a flock that goes with its last connection, and with its process.
void Node::State::watch_application() {
    if (!watches_application()) return;
    const Instant now = boot_now();
    if (!control.nobody_present()) {
        app_seen = true;
        app_missed = Instant{0};
        return;
    }
    if (!app_seen) return;
    if (app_missed.ns == 0) app_missed = now;
    if (now - app_missed < kAppGoneAfter) return;
    app_seen = false;
    failover->tell(failover::event::AppGone{});
}

}  // namespace tanist
