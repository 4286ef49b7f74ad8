#include "replicator/node/announcer.h"

#include <algorithm>

#include "replicator/base/file.h"
#include "replicator/base/notes.h"
#include "replicator/control/audit.h"
#include "replicator/control/key_rotation.h"
#include "replicator/control/setup.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;
constexpr Nanos kLookEvery = 500ms;

void note_failure(const char* what, const Status& outcome) {
    if (!outcome) note(NoteLevel::error, what, {{"reason", outcome.error().message}});
}

}  // namespace

NodeKey Announcer::key_for(const NodeKey& member_key, unsigned attempt) const {
    const ListedNode* node = door_.list().node_of(member_key);
    if (node == nullptr) return member_key;
    if (node->old_key.is_zero()) return node->key;
    return attempt % 2 == 0 ? node->key : node->old_key;
}

bool Announcer::may_keep(const NodeKey& server, const NodeKey& member_key) const {
    if (server == member_key) return true;
    const ListedNode* node = door_.list().node_of(member_key);
    return node != nullptr && node->holds(server);
}

void Announcer::welcomed(Link& link, const MemberLink& member) {
    say_list(link, member);
    finish_member(link, member.server);
}

void Announcer::say_list(Link& link, const MemberLink& member) {
    sent_.erase(member.link);
    send_list(link, member);
}

void Announcer::send_list(Link& link, const MemberLink& member) {
    if (member.server.is_zero() || member.link == 0 || door_.list().version == 0) return;
    uint64_t& sent = sent_[member.link];
    if (sent == door_.list().version) return;
    sent = door_.list().version;
    Message message;
    message.envelope.session = member.session;
    message.body = MembersList{encode_member_list(door_.list())};
    Bytes envelope;
    Bytes body;
    encode(message, envelope, body);
    link.send(member.link, envelope, std::move(body));
}

bool Announcer::takes(Link& link, const MemberLink& member, const Body& body) {
    if (const auto* have = std::get_if<MembersHave>(&body)) {
        if (!member.server.is_zero()) kept_[member.server] = have->version;
        return true;
    }
    const auto* announced = std::get_if<NewKey>(&body);
    if (announced == nullptr) return false;
    if (member.server.is_zero()) return true;
    Status entered = enter_new_key(link, member.server, *announced);
    note_failure("a member's new key was refused", entered);
    Status kept =
        audit(door_.layout(), {.who = "key " + to_string(member.server),
                               .what = "keys rotate",
                               .target = to_string(announced->key),
                               .result = entered ? "announced" : entered.error().message});
    note_failure("the audit log takes nothing", kept);
    send_list(link, member);
    return true;
}

Status Announcer::enter_new_key(Link& link, const NodeKey& old_key, const NewKey& announced) {
    const Bytes statement = new_key_statement(door_.list().cluster, old_key, announced.key);
    if (!verify(old_key, statement, announced.by_old) ||
        !verify(announced.key, statement, announced.by_new)) {
        return Error{Errc::refused, "a signature of the announcement is wrong"};
    }
    const ListedNode* known = door_.list().node_of(old_key);
    // Said again because the answer was lost.
    if (known != nullptr && known->key == announced.key) return ok_status();
    MemberList list = door_.list();
    TANIST_TRY(begin_rotation(list, old_key, announced.key));
    return store(link, std::move(list));
}

// Under the directory's lock, as `tanist members` does it; a list that was changed meanwhile is
// taken first and the change is tried again by whoever wanted it.
Status Announcer::store(Link& link, MemberList list) {
    Result<File> lock = lock_directory(door_.layout().directory);
    if (!lock) return std::move(lock).error();
    Result<MemberList> stored = read_member_list(door_.layout().member_list());
    if (!stored) return std::move(stored).error();
    if (stored->version != door_.list().version) {
        return Error{Errc::busy, "the member list is being changed"};
    }
    sign_list(list, door_.identity());
    const MemberList before = door_.list();
    TANIST_TRY(door_.take_list(link, std::move(list), true));
    // The file of members follows: it names the same keys. A primary that was elected in the middle
    // of a rotation may know a key there that the new list has no more.
    Result<std::vector<Member>> members = read_members(door_.layout().members());
    if (!members) return std::move(members).error();
    for (Member& member : *members) {
        for (const MemberList* known : {&before, &door_.list()}) {
            if (const ListedNode* node = known->node_of(member.key)) member.key = node->key;
        }
    }
    return write_members(door_.layout().members(), *members);
}

void Announcer::finish_member(Link& link, const NodeKey& key) {
    MemberList list = door_.list();
    if (key.is_zero() || key == door_.identity().key() || !end_rotation(list, key)) return;
    note_failure("the end of a member's rotation is not stored", store(link, std::move(list)));
}

uint64_t Announcer::kept_by_all(const std::vector<Member>& members) const {
    uint64_t version = door_.list().version;
    for (const Member& member : members) {
        if (member.key.is_zero()) continue;
        uint64_t kept = 0;
        // It may have said so under the key that it gives up.
        const ListedNode* node = door_.list().node_of(member.key);
        for (const auto& [key, has] : kept_) {
            if (key == member.key || (node != nullptr && node->holds(key))) {
                kept = std::max(kept, has);
            }
        }
        version = std::min(version, kept);
    }
    return version;
}

void Announcer::finish_own(Link& link, const std::vector<Member>& members) {
    const NodeKey present = door_.identity().key();
    const ListedNode* self = door_.list().node_of(present);
    if (self == nullptr || self->old_key.is_zero()) return;
    if (self->old_key == present) {
        // Of a voter the list of voters says when (voter_rotation.cc).
        if (path_exists(door_.layout().voters())) return;
        if (kept_by_all(members) < door_.list().version) return;
        Status taken = door_.take_next_identity(link);
        note_failure("the new key is not used", taken);
        if (!taken) return;
    }
    // The identity may have been switched by a run that ended before the list was.
    MemberList list = door_.list();
    if (end_rotation(list, door_.identity().key())) {
        note_failure("the end of the rotation is not stored", store(link, std::move(list)));
    }
}

void Announcer::look(Link& link, const std::vector<Member>& members,
                     const std::vector<MemberLink>& links) {
    const Instant now = boot_now();
    if (looked_.ns != 0 && now - looked_ < kLookEvery) return;
    looked_ = now;
    Result<FileStat> stat = stat_path(door_.layout().member_list());
    const int64_t changed = stat ? stat->changed_ns : 0;
    if (changed != changed_ns_) {
        changed_ns_ = changed;
        Result<MemberList> list = read_member_list(door_.layout().member_list());
        if (!list) {
            note(NoteLevel::error, "member list not read", {{"reason", list.error().message}});
            return;
        }
        if (list->version != door_.list().version) {
            note_failure("member list", door_.take_list(link, std::move(list).value(), false));
        }
    }
    std::erase_if(sent_, [&](const auto& entry) {
        return std::none_of(links.begin(), links.end(),
                            [&](const MemberLink& member) { return member.link == entry.first; });
    });
    finish_own(link, members);
    for (const MemberLink& member : links) send_list(link, member);
}

}  // namespace tanist
