#include "replicator/node/status_poll.h"

#include <map>
#include <nlohmann/json.hpp>

#include "replicator/node/door.h"
#include "replicator/wire/endpoint_probe.h"
#include "replicator/wire/link.h"
#include "replicator/wire/message.h"

namespace tanist {
namespace {

using Json = nlohmann::json;

std::string text(const Json& json, const char* key) {
    auto at = json.find(key);
    return at != json.end() && at->is_string() ? at->get<std::string>() : "";
}
bool flag(const Json& json, const char* key) {
    auto at = json.find(key);
    return at != json.end() && at->is_boolean() && at->get<bool>();
}
uint64_t number(const Json& json, const char* key) {
    auto at = json.find(key);
    return at != json.end() && at->is_number_unsigned() ? at->get<uint64_t>() : 0;
}

void read_status(const std::string& status, Epoch epoch, PolledStatus& into) {
    const Json json = Json::parse(status, nullptr, false);
    if (!json.is_object()) return;
    into.reached = true;
    into.cluster = text(json, "cluster");
    into.group = text(json, "group");
    into.role = text(json, "role");
    into.epoch = epoch;
    const Json log = json.value("log", Json::object());
    // The epoch of the last record, not the highest that the node has heard of.
    const auto position = parse_position(text(json, "position"));
    into.log_end = {position ? position->epoch : Epoch(0), Lsn(number(log, "end"))};
    into.durable = Lsn(number(log, "durable"));
    into.applied = Lsn(number(json, "applied"));
    const Json failover = json.value("failover", Json());
    into.votes = failover.is_object();
    if (!into.votes) return;
    into.elected = Epoch(number(failover, "epoch"));
    into.leads = text(failover, "role") == "primary";
    into.suspect = flag(failover, "suspect");
    into.lost_ballot = flag(failover, "lost_ballot");
    const Json withholds = failover.value("withholds_seconds", Json());
    if (withholds.is_number()) into.withholds = Nanos(int64_t(withholds.get<double>() * 1e9));
}

}  // namespace

std::vector<PolledStatus> poll_status(const Layout& layout, const Settings& settings,
                                      const std::vector<Member>& members, Nanos patience) {
    std::vector<PolledStatus> answers(members.size());
    for (size_t i = 0; i < members.size(); ++i) answers[i].endpoint = members[i].endpoint;
    auto link = Link::create();
    if (!link) return answers;
    Door door(layout, settings);
    if (!door.open(**link)) return answers;
    std::map<LinkId, size_t> asked;
    for (size_t i = 0; i < members.size(); ++i) {
        // Nothing listens there: not worth the whole patience.
        if (refuses_connections(members[i].endpoint)) continue;
        auto to = door.connect(**link, members[i].endpoint, members[i].key);
        if (!to) continue;
        Message question;
        question.body = StatusAsk{};
        Bytes envelope;
        Bytes body;
        encode(question, envelope, body);
        if ((*link)->send(*to, envelope, std::move(body))) asked[*to] = i;
    }
    const Instant deadline = boot_now() + patience;
    for (Instant now = boot_now(); now < deadline && !asked.empty(); now = boot_now()) {
        (*link)->wait({}, deadline - now);
        while (auto incoming = (*link)->receive()) {
            auto at = asked.find(incoming->from);
            auto envelope = decode_envelope(incoming->envelope);
            if (at == asked.end() || !envelope || envelope->type != MessageType::status) continue;
            if (auto body = decode_body(*envelope, incoming->body.bytes())) {
                read_status(std::get<StatusText>(*body).json, envelope->epoch, answers[at->second]);
            }
            asked.erase(at);
        }
    }
    return answers;
}

}  // namespace tanist
