// What elections make of this node: its list of voters, the failover host's life, and the roles
// that begin and end by its orders. A node that votes is a replica, or an engine behind a closed
// gate, until it holds a token; nothing here decides who does.
#include "replicator/base/event.h"
#include "replicator/base/notes.h"
#include "replicator/control/audit.h"
#include "replicator/node/node_state.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;
constexpr Nanos kWriterPatience = 10s;
constexpr Nanos kLookEvery = 1ms;
constexpr Nanos kReviveEvery = 2s;
constexpr int64_t kLongAgo = 1;  // a lease deadline that has passed

void nap() {
    const std::atomic<uint32_t> nobody_wakes{0};
    futex_wait(&nobody_wakes, 0, kLookEvery);
}

}  // namespace

// -- the list of voters; the start: own_voters.cc

// A log that is gone, cut, or from a backup, may lack commits that it was acknowledged to hold: its
// word must not help somebody who lacks them, too. What is known only now is on the disk before the
// first vote.
Status Node::State::suspect_own_log() {
    using failover::BallotCondition;
    using failover::BallotStore;
    if (!log_was_short) return ok_status();
    const auto log = log_state();
    auto store = BallotStore::open(layout.directory, identity, true,
                                   log ? log->end.position.epoch : Epoch(0));
    if (!store) return std::move(store).error();
    if (store->found().ballot.condition == BallotCondition::good) {
        failover::Ballot ballot = *store->found().ballot.ballot;
        ++ballot.serial;
        ballot.suspect = true;
        TANIST_TRY(store->write(ballot, std::nullopt));
    }
    log_was_short = false;
    note(NoteLevel::error, "the log has lost records; until it has them again, it decides nothing",
         {{"database", layout.db}});
    return ok_status();
}

Status Node::State::start_failover() {
    TANIST_TRY(suspect_own_log());
    auto list = read_voter_list(layout.voters());
    if (!list) return std::move(list).error();
    if (!*list) return Error{Errc::not_found, layout.voters() + " is gone"};
    FailoverStart start{layout, options.settings, **list, file.role == Role::primary};
    auto started = FailoverHost::start(std::move(start), *this, votes);
    if (!started) return std::move(started).error();
    std::lock_guard lock(roles);
    failover = std::move(started).value();
    return ok_status();
}

void Node::State::stop_failover(bool for_good) {
    std::unique_ptr<FailoverHost> old;
    {
        std::lock_guard lock(roles);
        old = std::move(failover);
    }
    if (old) old->stop(for_good);
}

std::optional<failover::LogState> Node::State::log_state() {
    std::lock_guard lock(roles);
    if (engine) return engine->log_state();
    if (replica) return replica->log_state();
    if (witness) return failover::LogState{};
    return std::nullopt;
}

// On the network thread. Whoever asks learns who this is; a newer list goes to the node thread.
bool Node::State::take_voters(const Incoming& incoming, const Envelope& envelope) {
    auto body = decode_body(envelope, incoming.body.bytes());
    if (!body || !keys.is_genuine(*bound, incoming, envelope, *body)) return true;
    const Voters& voters = std::get<Voters>(*body);
    VotersHave have;
    have.node = keys.identity().key();
    have.priority = options.settings.failover.priority;
    have.nofailover = options.settings.failover.nofailover;
    have.witness = role.load() == Role::witness;
    {
        std::lock_guard lock(roles);
        have.epoch = voters_id.epoch;
        have.version = voters_id.version;
    }
    Message answer;
    answer.envelope.session = envelope.session;
    answer.body = have;
    Bytes bytes;
    Bytes text;
    encode(answer, bytes, text);
    bound->send(incoming.from, bytes, std::move(text));
    if (voters.list.empty()) return true;
    auto list = decode_voter_list(voters.list);
    if (!list) {
        note(NoteLevel::warning, "list of voters refused", {{"reason", list.error().message}});
    } else if (list->config.id > failover::ConfigId{have.epoch, have.version}) {
        orders.put(node_order::NewVoters{std::move(*list), voters.from});
    }
    return true;
}

void Node::State::handle(node_order::NewVoters& news) {
    const failover::Config& config = news.list.config;
    if (file.role == Role::witness && file.cluster.is_zero()) {
        const MemberList& listed = keys.list();
        if (listed.version > 0 && listed.cluster != config.cluster) return;
        NodeFile next = file;
        next.cluster = config.cluster;
        next.group = config.group;
        if (!write_file(next)) return;
    }
    if (config.cluster != file.cluster || config.group != file.group) return;
    if (auto adopted = adopt_voters(news.list, news.from); !adopted) {
        note(NoteLevel::error, "list of voters not adopted", {{"reason", adopted.error().message}});
    }
}

// The voter's files before the list that makes it a voter: a crash in between leaves a node that
// does not vote yet. `founder` has the first turn: what this node promises it is as good as a
// renewal of its lease.
Status Node::State::adopt_voters(const VoterList& list, const NodeKey& founder) {
    if (list.config.id <= voters_id || list.config.id < voters_least) return ok_status();
    votes.begin();
    stop_failover(false);
    if (engine) {
        control->writers_wait.store(1);
        control->lease_deadline_ns.store(kLongAgo);
    }
    if (!path_exists(layout.directory + "/ballot")) {
        auto store = failover::BallotStore::open(layout.directory, identity, false, Epoch(0));
        if (!store) return std::move(store).error();
        failover::Ballot ballot;
        ballot.serial = 1;
        ballot.node = identity;
        ballot.promised = file.epoch;  // whatever came before the elections is over
        ballot.boot = boot_id();
        ballot.config = list.config;
        TANIST_TRY(store->write(ballot, std::nullopt));
        auto promise = PromiseFile::open(layout.promise());
        if (!promise) return std::move(promise).error();
        const Instant until = boot_now() + list.config.timing.promise;
        TANIST_TRY(promise->write({founder, file.epoch, until}));
    }
    auto before = read_voter_list(layout.voters());
    if (!before && before.error().code != Errc::corrupt) return std::move(before).error();
    TANIST_TRY(write_voter_list(layout.voters(), list));
    TANIST_TRY(keep_promise(before ? *before : std::nullopt, list));
    auto renewed = take_voting_key(list);
    if (!renewed) return std::move(renewed).error();
    {
        std::lock_guard lock(roles);
        voters_id = list.config.id;
    }
    if (*renewed) {
        key_changed.store(true);
        network_answers->put({});
    }
    const std::string what = "list " + std::to_string(list.config.id.epoch.value) + "." +
                             std::to_string(list.config.id.version) + ", " +
                             std::to_string(list.config.members.size()) + " voters";
    note(NoteLevel::info, "this node votes", {{"database", layout.db}, {"voters", what}});
    TANIST_TRY(audit(layout, {"tanistd", "voters", layout.db, what}));
    if (!std::exchange(voters_missing, "").empty()) control.set_problem("");
    return start_failover();
}

void Node::State::tend_elections() {
    if (!engine) inquiry.reset();
    found_voters_when_due();
    change_voters_when_due();
    watch_application();
    revive_failover();
    if (demotion_due && engine) give_way_to("it is no longer the holder of its epoch");
    tend_pending();
}

// A ballot that could not be written stops the failover node for its lifetime. The next one goes on
// from what is on the disk, as after a restart of the daemon, and writes that before anything else.
// So it does when none could be started with a new list of voters.
void Node::State::revive_failover() {
    if (!voters_missing.empty()) return control.set_problem(voters_missing);
    const bool lost =
        failover ? failover->view().role == failover::NodeRole::stopped : votes.votes();
    if (!lost || boot_now() - revived < kReviveEvery) return;
    revived = boot_now();
    stop_failover(false);
    if (auto started = start_failover(); !started) {
        note(NoteLevel::error, "elections", {{"reason", started.error().message}});
        control.set_problem("it does not vote: " + started.error().message);
    }
}

// -- the roles

void Node::State::handle(ElectionOrder& order) {
    if (!failover) return;
    std::visit([this](auto& o) { on(o); }, order);
}

void Node::State::on(election::Begin& order) {
    const Epoch next = order.token.epoch();
    if (failover->view().promised > next) return;
    demotion_due = false;
    Status done = replica  ? become_primary(next, std::nullopt)
                  : engine ? reopen_as_primary(next)
                           : Status(Error{Errc::refused, "there is no log here"});
    if (done) done = engine->sync_log();
    audit_outcome_of({"the voters", "promote, epoch " + std::to_string(next.value), layout.db, ""},
                     done);
    if (!done) {
        note(NoteLevel::error, "elected, and cannot begin", {{"reason", done.error().message}});
        control.set_problem("it was elected, but " + done.error().message);
        end_without_role(done.error());
        return finish_pending(done);
    }
    failover->tell(failover::event::BarrierAppended{engine->log_end()});
}

// The same node again: its engine goes on under the new epoch.
Status Node::State::reopen_as_primary(Epoch next_epoch) {
    auto taken = WriteHold::take(api, layout.db, kWriterPatience);
    if (!taken) return std::move(taken).error();
    std::optional<WriteHold> hold = std::move(taken).value();
    const bool even = all_is_captured(*hold).ok();
    stop_role(0s);
    NodeFile next = file;
    if (next.role == Role::primary) {
        auto marked = hold->set_writable(true);
        if (!marked) return std::move(marked).error();
        next.mark_pending = false;
    }
    next.epoch = next_epoch;
    next.superseded_by = {};
    next.boot = to_string(boot_id());
    TANIST_TRY(write_file(next));
    // Where capture failed, the engine finds its place by itself, as after a crash.
    if (!even) hold.reset();
    TANIST_TRY(start_engine(even, true));
    set_role(file.role);
    return ok_status();
}

void Node::State::give_way_to(const std::string& why) {
    std::optional<WriteHold> hold = std::exchange(drained, std::nullopt);
    if (!engine) return;
    set_role(Role::fenced);
    demotion_due = false;
    Status done = become_replica(std::move(hold));
    if (done) return tell_hook(HookEvent::demote, "", "elected", 0);
    demotion_due = engine != nullptr;
    if (std::exchange(demotion_told, done.error().message) != done.error().message) {
        note(NoteLevel::error, "cannot become a replica yet", {{"reason", done.error().message}});
    }
    control.set_problem("it is to become a replica (" + why + "), but " + done.error().message);
    end_without_role(done.error());
}

void Node::State::on(election::StepDown& order) {
    if (pending && pending->kind == PendingCommand::Kind::switchover) pending->left = true;
    give_way_to(order.reason);
}

void Node::State::on(election::Follow& order) {
    const Epoch theirs = order.token.epoch();
    if (engine) {
        NodeFile next = file;
        next.superseded_by = theirs;
        if (auto written = write_file(next); !written) {
            note(NoteLevel::error, "node file", {{"reason", written.error().message}});
        }
        give_way_to("epoch " + std::to_string(theirs.value) + " has another primary");
    }
    if (file.role == Role::witness) control->epoch.store(theirs.value);
    const bool awaits = pending && (pending->kind == PendingCommand::Kind::promote ||
                                    pending->kind == PendingCommand::Kind::switchover);
    if (!awaits) return;
    if (theirs <= pending->before) return;
    const bool wanted = order.token.holder() == pending->node;
    finish_pending(wanted ? ok_status() : Status(Error{Errc::refused, "another node was elected"}));
}

// No new writer begins from here on; what became visible is in the log, synced, when it is told.
void Node::State::on(election::Drain&) {
    if (!engine) return;
    const Instant give_up = boot_now() + failover->list().config.timing.drain;
    auto held = WriteHold::take(api, layout.db, give_up - boot_now());
    if (!held) {
        note(NoteLevel::warning, "writers did not rest", {{"reason", held.error().message}});
        return;
    }
    drained = std::move(held).value();
    for (; boot_now() < give_up; nap()) {
        control.ring(true);
        auto even = log_is_even(*drained);
        if (!even || !*even) continue;
        if (engine->sync_log()) failover->tell(failover::event::Drained{});
        return;
    }
}

void Node::State::on(election::Resume&) {
    drained.reset();
    finish_pending(Error{Errc::unreachable,
                         "nothing was changed: the member did not catch up in "
                         "time"});
}

void Node::State::on(election::AppendBarrier&) {
    if (engine) engine->append_barrier();
}

void Node::State::on(election::Told& order) {
    if (order.what.find(" refused: ") != std::string::npos) {
        return finish_pending(Error{Errc::refused, order.what});
    }
    tend_pending();
}

void Node::State::on(election::Opened&) {
    const bool began = std::exchange(opened, file.epoch) != file.epoch;
    if (!began) return;  // the same primacy, with its majority again
    const std::string own = own_endpoint();
    tell_hook(HookEvent::promote, own, "elected", 0);
    note(NoteLevel::warning, "elected: this node is the primary",
         {{"database", layout.db}, {"epoch", std::to_string(file.epoch.value)}});
    const bool mine = pending && pending->kind == PendingCommand::Kind::promote;
    if (mine) finish_pending(ok_status());
}

}  // namespace tanist
