// Follower and receiver against each other, over a network that cuts, delays, repeats what older
// connections had under way, and a log that fails: one seed, one run. Sync, restart and adoption
// happen in the same runs.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <utility>

#include "replicator/base/hash.h"
#include "replicator/receive/receiver.h"
#include "replicator/ship/follower.h"
#include "tests/support/wire_samples.h"

namespace tanist {

namespace fev = follower_event;
namespace fact = follower_action;
namespace rev = receiver_event;
namespace ract = receiver_action;
using namespace std::chrono_literals;
using testing::filled;

struct Record {
    RecordHeader header;
    Bytes bytes;  // as stored
};

struct Packet {
    Bytes envelope, body;
};

// A connection delivers in order, and loses only its tail.
struct Connection {
    LinkId link = 0;
    bool primary_open = true;  // the primary still has its socket
    bool broken = false;
    std::deque<Packet> to_replica, to_primary;
};

// What the log thread of a replica would do, in order.
struct StoreCommand {
    enum Kind { begin, part, finish, abandon, begin_sync, drop_sync, keep_sync } kind;
    RecordHeader header;
    Bytes bytes;
    LogPoint base;
    uint64_t number = 0;
};

class World {
  public:
    explicit World(uint32_t seed, Lsn base) : random_(seed) {
        primary_.base.position = {Epoch(base.value == 0 ? 0 : 1), base};
        if (base.value != 0) primary_.base.chain = filled<Chain>(200);
        primary_.end = primary_.committed = primary_.base;
        follower_ = std::make_unique<Follower>(identity(Epoch(1)), seed);
        restart_replica();
    }

    static FollowerIdentity identity(Epoch epoch) {
        return {filled<ClusterId>(1), filled<GroupId>(2), filled<NodeKey>(3), "p", epoch, 512, 10};
    }

    // A commit that is visible at once.
    void append() {
        append_held_back();
        primary_.committed = primary_.end;
    }
    // How a held-back commit ends: it becomes visible, or an ABORT takes it back.
    void settle_held_back() {
        if (primary_.committed == primary_.end) return;
        if (roll(2) == 0) {
            aborted_.insert(primary_.end.position.lsn);
            RecordHeader header;
            header.kind = RecordKind::abort;
            header.subject = primary_.end.position.lsn;
            append_record(header, {});
        }
        primary_.committed = primary_.end;
    }
    void append_held_back() {
        settle_held_back();
        RecordHeader header;
        header.page_bytes = 512;
        header.page_count = 1 + roll(12);
        header.db_pages = 100;
        header.raw_bytes = header.payload_bytes =
            raw_payload_bytes(header.page_count, header.page_bytes);
        Bytes payload(header.payload_bytes);
        for (auto& byte : payload) byte = static_cast<uint8_t>(roll(256));
        append_record(header, payload);
    }
    // The primary's database changes in a way that its log does not see.
    void make_gap() {
        settle_held_back();
        RecordHeader header;
        header.kind = RecordKind::rebase;
        append_record(header, {});
        primary_.committed = primary_.end;
    }
    void append_record(RecordHeader header, const Bytes& payload) {
        header.group = filled<GroupId>(2);
        header.epoch = Epoch(1);
        header.lsn = primary_.end.position.lsn.next();
        header.previous = primary_.end.chain;
        header.payload_hash = hash128(payload);
        std::array<uint8_t, kRecordHeaderBytes> sealed;
        seal_record(header, sealed);
        Bytes bytes(header.record_bytes());
        std::ranges::copy(sealed, bytes.begin());
        std::ranges::copy(payload, bytes.begin() + kRecordHeaderBytes);
        primary_.end = {header.position(), header.chain};
        primary_.bytes += bytes.size();
        records_[header.lsn] = {header, std::move(bytes)};
    }

    // One random thing happens; `faults`: also bad things.
    void turn(bool faults) {
        now_ = now_ + Nanos(roll(2'000'000));
        switch (roll(12)) {
            case 0:
                if (faults && end().lsn.value < 60 && gaps && roll(10) == 0) {
                    make_gap();
                } else if (faults && end().lsn.value < 60) {
                    roll(3) == 0 ? append_held_back() : append();
                } else {
                    settle_held_back();
                }
                break;
            case 1:
            case 2:
                step_follower(fev::Tick{});
                break;
            case 3:
                step_receiver(rev::Tick{});
                break;
            case 4:
            case 5:
            case 6:
                if (!connections_.empty()) deliver_to_replica(roll(connections_.size()));
                break;
            case 7:
            case 8:
                if (!connections_.empty()) deliver_to_primary(roll(connections_.size()));
                break;
            case 9:
            case 10:
                store_one(faults && roll(60) == 0);
                break;
            default:
                if (faults) fault();
        }
    }

    void fault() {
        uint32_t what = roll(60);
        if (what == 0) restart_replica();
        if (what == 1) now_ = now_ + 4s;
        if (what <= 4 && !connections_.empty()) cut(connections_[roll(connections_.size())]);
        if (what == 5 && !connections_.empty()) repeat(connections_[roll(connections_.size())]);
        if (what == 7) denied_records = 1;
        if (what == 6) step_follower(fev::LinkFailed{"a fault"});
    }

    bool caught_up() const {
        return primary_.committed == primary_.end &&
               follower_->view().state == PeerState::streaming &&
               follower_->view().applied == end().lsn && log_end_ == primary_.end && !sync_log_;
    }
    // Until the replica has everything.
    bool settle() {
        for (int i = 0; i < 60'000 && !caught_up(); ++i) {
            if (i % 200 == 0) now_ = now_ + 100ms;
            turn(false);
        }
        return caught_up();
    }
    Position end() const { return primary_.end.position; }

    std::string broken_rule;  // "" none
    uint64_t installs = 0;
    bool gaps = false;       // the primary makes some, now and then
    int denied_records = 0;  // messages with records that elections do not let in, from now on
    Receiver& receiver() { return *receiver_; }
    Follower& follower() { return *follower_; }
    bool syncs() const { return sync_log_.has_value(); }
    // The replica hears of it, and its log takes what was under way.
    void lose_connections() {
        step_receiver(rev::SendFailed{receiver_->view().link});
        while (!store_.empty()) store_one(false);
    }
    void lose_history() { log_end_ = {{Epoch(1), Lsn(3)}, filled<Chain>(77)}; }

    void restart_replica() {
        for (Connection& connection : connections_) cut(connection);
        store_.clear();
        sync_log_.reset();
        if (std::exchange(installed_, false)) restart_installed();
        complete_.reset();
        applied_ = std::min(applied_, log_end_.position.lsn);
        ReceiverStart start;
        if (adopted_) {
            start.cluster = filled<ClusterId>(1);
            start.group = filled<GroupId>(2);
        }
        start.node = filled<NodeKey>(50);
        start.name = "r";
        start.epoch = epoch_;
        start.state = state_;
        durable_ = log_end_.position.lsn;
        start.log_end = log_end_;
        start.durable = log_end_.position.lsn;
        start.applied = state_ == ReplicaState::following ? applied_ : Lsn(0);
        receiver_ = std::make_unique<Receiver>(start);
    }

  private:
    // Its start finishes the install: database and log are the sync's.
    void restart_installed() {
        log_end_ = installed_log_;
        state_ = ReplicaState::following;
        whole_ = true;
    }
    uint32_t roll(size_t sides) { return static_cast<uint32_t>(random_() % sides); }
    void broke(const std::string& rule) {
        if (broken_rule.empty()) broken_rule = rule;
    }

    LogView view() const {
        LogView view;
        view.base = primary_.base;
        view.end = primary_.end;
        view.first = records_.empty() ? Lsn(0) : records_.begin()->first;
        view.committed = primary_.committed.position.lsn;
        view.bytes = primary_.bytes;
        return view;
    }

    // -- network

    Connection& connect() {
        Connection& made = connections_.emplace_back();
        made.link = ++links_;
        return made;
    }
    Connection* find(LinkId link) {
        for (Connection& c : connections_) {
            if (c.link == link) return &c;
        }
        return nullptr;
    }
    void cut(Connection& connection) {
        connection.broken = true;
        connection.to_primary.clear();
        connection.to_replica.resize(roll(connection.to_replica.size() + 1));
    }
    // As a network never would; the session rules must hold all the same.
    void repeat(Connection& connection) {
        if (connection.broken && !seen_.empty()) {
            connection.to_replica.push_back(seen_[roll(seen_.size())]);
        }
    }
    bool put(LinkId link, bool to_replica, Packet packet) {
        Connection* connection = find(link);
        if (connection == nullptr || connection->broken) return false;
        auto& queue = to_replica ? connection->to_replica : connection->to_primary;
        queue.push_back(std::move(packet));
        return true;
    }
    void deliver_to_replica(size_t index) {
        Connection& connection = connections_[index];
        if (connection.to_replica.empty()) return;
        Packet packet = std::move(connection.to_replica.front());
        connection.to_replica.pop_front();
        LinkId link = connection.link;
        auto envelope = decode_envelope(packet.envelope);
        auto body = decode_body(*envelope, packet.body);
        if (!body.ok()) return broke("undecodable: " + body.error().message);
        if (seen_.size() < 50) seen_.push_back(packet);
        if (denied_records > 0 && std::holds_alternative<Data>(*body)) {
            --denied_records;
            return step_receiver(rev::NotAdmitted{link, *envelope});
        }
        step_receiver(rev::Received{link, *envelope, *body});
    }
    void deliver_to_primary(size_t index) {
        Connection& connection = connections_[index];
        if (connection.to_primary.empty()) return;
        Packet packet = std::move(connection.to_primary.front());
        connection.to_primary.pop_front();
        if (!connection.primary_open) return;
        bool on_sync = connection.link == sync_;
        auto envelope = decode_envelope(packet.envelope);
        auto body = decode_body(*envelope, packet.body);
        if (!body.ok()) return broke("undecodable: " + body.error().message);
        if (auto* welcome = std::get_if<Welcome>(&*body))
            granted_[envelope->session] = welcome->credit;
        if (auto* ack = std::get_if<Ack>(&*body)) {
            auto& granted = granted_[envelope->session];
            granted = std::max(granted, ack->credit);
        }
        if (on_sync) {
            step_follower(fev::SyncReceived{*envelope, *body});
        } else {
            step_follower(fev::Received{*envelope, *body});
        }
    }

    // -- the primary's adapter

    void step_follower(const FollowerEvent& first) {
        std::deque<FollowerEvent> events{first};
        while (!events.empty()) {
            auto actions = follower_->step(events.front(), view(), now_);
            events.pop_front();
            for (FollowerAction& action : actions) {
                std::visit([&](auto& a) { act(a, events); }, action);
            }
        }
    }
    void close(LinkId& link) {
        if (Connection* connection = find(link)) connection->primary_open = false;
        link = 0;
    }
    void act(fact::Connect&, std::deque<FollowerEvent>&) { main_ = connect().link; }
    void act(fact::Disconnect&, std::deque<FollowerEvent>&) {
        close(main_);
        close(sync_);
    }
    void act(fact::Send& send, std::deque<FollowerEvent>& events) {
        Packet packet;
        encode(send.message, packet.envelope, packet.body);
        if (!put(send.on_sync_socket ? sync_ : main_, true, std::move(packet))) {
            events.push_back(fev::LinkFailed{"gone"});
        }
    }
    void act(fact::LookUp& look, std::deque<FollowerEvent>& events) {
        fev::HistoryLookedUp answer{look.lsn, std::nullopt};
        if (auto found = records_.find(look.lsn); found != records_.end()) {
            answer.point = LogPoint{found->second.header.position(), found->second.header.chain};
        }
        events.push_back(answer);
    }
    // Chunks of any size: records are cut at any byte after the header.
    void act(fact::SendRecords& send, std::deque<FollowerEvent>& events) {
        fev::Sent sent{0, send.lsn, send.offset};
        while (sent.next <= send.last) {
            const Record& record = records_.at(sent.next);
            size_t left = record.bytes.size() - sent.next_offset;
            size_t count = std::min<size_t>(left, kRecordHeaderBytes + roll(3000));
            if (sent.body_bytes + kDataPrefixBytes + count > send.budget_bytes) break;
            Packet packet;
            packet.body.resize(kDataPrefixBytes + count);
            std::copy_n(record.bytes.begin() + static_cast<ptrdiff_t>(sent.next_offset), count,
                        packet.body.begin() + kDataPrefixBytes);
            Envelope envelope = send.envelope;
            envelope.lsn = sent.next;
            envelope.offset = sent.next_offset;
            envelope.flags = roll(2) == 0 ? kDataReceiptWanted : uint16_t{0};
            packet.envelope = encode_data(envelope, send.committed, count == left, packet.body);
            auto& spent = spent_[envelope.session];
            spent += packet.body.size();
            if (spent > granted_[envelope.session]) broke("more was sent than granted");
            sent.body_bytes += packet.body.size();
            if (!put(main_, true, std::move(packet))) {
                events.push_back(fev::LinkFailed{"gone"});
                return;
            }
            sent.next_offset = count == left ? 0 : sent.next_offset + count;
            if (count == left) sent.next = sent.next.next();
        }
        events.push_back(sent);
    }
    void act(fact::StartSync&, std::deque<FollowerEvent>& events) {
        sync_ = connect().link;
        SyncBegin begin{primary_.committed.position, primary_.committed.chain, 512, 100};
        events.push_back(fev::SyncSourceReady{begin});
    }
    void act(fact::AnswerSyncAsk& answer, std::deque<FollowerEvent>& events) {
        Packet packet;
        encode_sync_pages(answer.envelope, SyncPages{answer.ask.ask, true, 512, {}, {}},
                          packet.envelope, packet.body);
        if (!put(sync_, true, std::move(packet))) events.push_back(fev::LinkFailed{"gone"});
    }
    void act(fact::SettleSync&, std::deque<FollowerEvent>& events) {
        if (roll(2) == 0) append();  // capture found one more
        events.push_back(fev::SyncSourceEnded{primary_.committed.position});
    }
    void act(fact::StopSync&, std::deque<FollowerEvent>&) { close(sync_); }
    void act(fact::Acknowledged& positions, std::deque<FollowerEvent>&) {
        // ACK-HELD: it is in the log that the database can be brought to the end of. What only the
        // log of a sync holds, the loss of the primary takes away.
        if (positions.durable > log_end_.position.lsn) broke("acknowledged what is not there");
        if (!whole_) broke("acknowledged what leads to no database");
    }
    void act(fact::Report&, std::deque<FollowerEvent>&) {}

    // -- the replica's adapter

    void step_receiver(const ReceiverEvent& first) {
        std::deque<ReceiverEvent> events{first};
        while (!events.empty()) {
            auto actions = receiver_->step(events.front(), now_);
            events.pop_front();
            for (ReceiverAction& action : actions) {
                std::visit([&](auto& a) { act(a, events); }, action);
            }
        }
        if (receiver_->view().whole != whole_) broke("tells another log than it has");
        if (receiver_->view().end.position > log_end_.position) broke("tells more than it has");
    }
    using Events = std::deque<ReceiverEvent>;
    void act(ract::Send& send, Events& events) {
        Packet packet;
        encode(send.message, packet.envelope, packet.body);
        if (!put(send.to, false, std::move(packet))) events.push_back(rev::SendFailed{send.to});
    }
    void act(ract::Adopt& adopt, Events& events) {
        adopted_ = true;
        epoch_ = adopt.epoch;
        events.push_back(rev::Adopted{});
    }
    void act(ract::PersistEpoch& persist, Events& events) {
        epoch_ = persist.epoch;
        events.push_back(rev::EpochDurable{persist.epoch});
    }
    void act(ract::AppendBegin& a, Events&) {
        store_.push_back({StoreCommand::begin, a.header, {}, {}});
    }
    void act(ract::AppendPart& a, Events&) {
        store_.push_back({StoreCommand::part, {}, {a.bytes.begin(), a.bytes.end()}, {}});
    }
    void act(ract::AppendFinish& a, Events&) {
        store_.push_back({StoreCommand::finish, a.header, {}, {}});
    }
    void act(ract::AppendAbandon&, Events&) {
        store_.push_back({StoreCommand::abandon, {}, {}, {}});
    }
    void act(ract::CommittedUpTo& may, Events&) {
        if (may.lsn > primary_.committed.position.lsn) broke("committed what is held back");
        committed_ = may.lsn;
    }
    void act(ract::BeginSyncLog& sync, Events&) {
        store_.push_back({StoreCommand::begin_sync, {}, {}, sync.base, sync.number});
    }
    void act(ract::DropSyncLog&, Events&) {
        store_.push_back({StoreCommand::drop_sync, {}, {}, {}});
        complete_.reset();
    }
    void act(ract::KeepSyncLog&, Events&) {
        store_.push_back({StoreCommand::keep_sync, {}, {}, {}});
    }
    void act(ract::SyncBegan&, Events& events) {
        for (uint32_t ask = 1; ask <= 3; ++ask) {
            events.push_back(rev::SyncWantsRange{{ask, ask, 1, {}}});
        }
        events.push_back(rev::SyncAskedAll{});
    }
    void act(ract::SyncGotPages&, Events&) {}
    void act(ract::SyncComplete& complete, Events&) { complete_ = complete.end.end; }
    // The database is the sync's; its log is not yet the log.
    void install() {
        if (!sync_log_ || sync_log_->position.lsn < complete_->lsn) {
            return broke("installed before the log is there");
        }
        ++installs;
        installed_ = true;
        installed_log_ = *sync_log_;
        applied_ = complete_->lsn;
        const LogPoint at{*std::exchange(complete_, std::nullopt), {}};
        step_receiver(rev::SyncInstalled{at});
    }
    void act(ract::SyncAborted&, Events&) {}
    void act(ract::PrimaryHeard&, Events&) {}
    void act(ract::Report&, Events&) {}

    void store_one(bool fails) {
        if (complete_ && roll(20) == 0) return install();
        if (roll(4) == 0) return apply_one();
        if (store_.empty()) return durable_ < log().position.lsn ? make_durable() : apply_one();
        StoreCommand command = std::move(store_.front());
        store_.pop_front();
        if (command.kind == StoreCommand::abandon) {
            store_failed_ = false;
            return step_receiver(rev::AppendAbandoned{log()});
        }
        if (command.kind >= StoreCommand::begin_sync) return handle_sync(command);
        if (store_failed_) return;
        if (fails) {
            store_failed_ = true;
            return step_receiver(rev::AppendFailed{"a fault", true});
        }
        if (command.kind == StoreCommand::begin) {
            payload_.clear();
        } else if (command.kind == StoreCommand::part) {
            payload_.insert(payload_.end(), command.bytes.begin(), command.bytes.end());
            if (roll(2) == 0) step_receiver(rev::Written{command.bytes.size()});
        } else {
            finish(command.header);
        }
    }
    void handle_sync(const StoreCommand& command) {
        if (command.kind == StoreCommand::begin_sync) {
            if (roll(2) == 0) make_durable();
            sync_log_ = command.base;
            durable_ = command.base.position.lsn;
            store_failed_ = false;
            return step_receiver(rev::SyncLogBegun{command.number});
        }
        if (!sync_log_) return;
        if (installed_ != (command.kind == StoreCommand::keep_sync)) broke("another log is kept");
        if (command.kind == StoreCommand::drop_sync) {
            sync_log_.reset();
            durable_ = log_end_.position.lsn;
            store_failed_ = false;
            return;
        }
        log_end_ = *std::exchange(sync_log_, std::nullopt);
        installed_ = false;
        whole_ = true;
        state_ = ReplicaState::following;
        step_receiver(rev::SyncLogKept{});
    }
    LogPoint& log() { return sync_log_ ? *sync_log_ : log_end_; }
    // PREFIX, CHAIN: what gets here is the next record, whole, once.
    void finish(const RecordHeader& header) {
        if (header.lsn != log().position.lsn.next()) broke("a record out of order");
        if (header.kind == RecordKind::rebase) broke("a gap is in the log");
        if (header.previous != log().chain) broke("a record that breaks the chain");
        if (hash128(payload_) != header.payload_hash) broke("a record's payload differs");
        log() = {header.position(), header.chain};
        if (installed_) installed_log_ = log();
        step_receiver(rev::Appended{header.lsn, header.record_bytes(), header.chain});
        if (roll(3) == 0) make_durable();
    }
    void make_durable() {
        durable_ = log().position.lsn;
        step_receiver(rev::Durable{durable_, sync_log_.has_value()});
    }
    void apply_one() {
        Lsn target = appliable(durable_, committed_);
        if (state_ != ReplicaState::following || sync_log_ || applied_ >= target) return;
        applied_ = applied_.next();
        // NO-RESURRECT: with the ABORT behind it, it is passed over. Readers of the log see what is
        // durable.
        const bool last = applied_ == durable_;
        if (last && aborted_.contains(applied_)) broke("a commit that was taken back is applied");
        step_receiver(rev::Applied{applied_});
    }

    std::mt19937 random_;
    Instant now_{1'000'000'000};
    std::unique_ptr<Follower> follower_;
    struct {
        LogPoint base, end;
        LogPoint committed;  // the last record that is settled
        uint64_t bytes = 0;
    } primary_;
    std::map<Lsn, Record> records_;
    std::set<Lsn> aborted_;
    std::deque<Connection> connections_;
    std::vector<Packet> seen_;
    LinkId links_ = 0, main_ = 0, sync_ = 0;
    std::map<uint64_t, uint64_t> granted_, spent_;

    std::unique_ptr<Receiver> receiver_;
    bool adopted_ = false;
    Epoch epoch_;
    ReplicaState state_ = ReplicaState::empty;
    LogPoint log_end_;                  // of the log that belongs to the database
    bool whole_ = false;                // the database can be brought to that end
    std::optional<LogPoint> sync_log_;  // the end of a sync's
    std::optional<Position> complete_;  // a sync that may be installed
    bool installed_ = false;            // and is, while its log is not yet the log
    LogPoint installed_log_;
    Lsn durable_, applied_, committed_;
    std::deque<StoreCommand> store_;
    bool store_failed_ = false;
    Bytes payload_;
};

}  // namespace tanist
