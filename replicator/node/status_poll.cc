#include "replicator/node/status_poll.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "replicator/node/door.h"
#include "replicator/wire/endpoint_probe.h"
#include "replicator/wire/link.h"
#include "replicator/wire/message.h"

namespace tanist {
namespace {

using Json = nlohmann::json;
using namespace std::chrono_literals;

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

// How many times as long as its first byte an answer may take.
constexpr int kAnswerAfterGreetings = 8;
// A process that dies drops its connections a moment before nothing listens in its place. A door
// that bars us does the same for minutes: soon it is left alone.
constexpr std::array<Nanos, 3> kProbesAgainAfter = {10ms, 40ms, 160ms};

constexpr Instant kNever{INT64_MAX};

// One member that is asked and has not answered.
struct Question {
    LinkId link = 0;
    PolledStatus* answer = nullptr;
    EndpointProbe probe;
    Instant give_up{0};
    size_t probes_again = 0;
    Instant probes_at = kNever;  // when it does next
};

// Everybody's questions, until they are answered or given up.
class Poll {
  public:
    Poll(Link& link, Instant began) : link_(link), began_(began) {}

    void ask(Door& door, const Member& member, Nanos patience, PolledStatus& answer) {
        EndpointProbe probe(member.endpoint);
        if (probe.look() == EndpointProbe::Seen::refused) return;
        auto to = door.connect(link_, member.endpoint, member.key);
        if (!to) return;
        Message question;
        question.body = StatusAsk{};
        Bytes envelope;
        Bytes body;
        encode(question, envelope, body);
        if (!link_.send(*to, envelope, std::move(body))) return;
        asked_.push_back({*to, &answer, std::move(probe), began_ + patience});
    }

    void run() {
        for (look(); !asked_.empty(); look()) {
            std::vector<int> probes;
            Instant until = asked_.front().give_up;
            for (const Question& question : asked_) {
                if (question.probe.fd() >= 0) probes.push_back(question.probe.fd());
                until = std::min({until, question.give_up, question.probes_at});
            }
            link_.wait(probes, std::max(until - boot_now(), Nanos(0)));
            while (auto incoming = link_.receive()) take(*incoming);
        }
    }

  private:
    void take(const Incoming& incoming) {
        const auto at = std::find_if(asked_.begin(), asked_.end(), [&](const Question& question) {
            return question.link == incoming.from;
        });
        auto envelope = decode_envelope(incoming.envelope);
        if (at == asked_.end() || !envelope || envelope->type != MessageType::status) return;
        if (auto body = decode_body(*envelope, incoming.body.bytes())) {
            read_status(std::get<StatusText>(*body).json, envelope->epoch, *at->answer);
            at->answer->took = boot_now() - began_;
        }
        asked_.erase(at);
    }

    // What the probes have seen; who is given up is no longer asked.
    void look() {
        const Instant now = boot_now();
        std::erase_if(asked_, [&](Question& question) {
            if (now >= question.probes_at) {
                question.probe = EndpointProbe(question.answer->endpoint);
                question.probes_at = kNever;
            }
            const bool hoped = question.probe.fd() >= 0;
            const auto seen = question.probe.look();
            const bool again = question.probes_again < kProbesAgainAfter.size();
            const bool due = question.probes_at != kNever;
            if (seen == EndpointProbe::Seen::dropped && again && !due)
                question.probes_at = now + kProbesAgainAfter[question.probes_again++];
            if (hoped && seen == EndpointProbe::Seen::greeted) {
                question.give_up =
                    std::max(question.give_up, began_ + kAnswerAfterGreetings * (now - began_));
            }
            return seen == EndpointProbe::Seen::refused || now >= question.give_up;
        });
    }

    Link& link_;
    Instant began_;
    std::vector<Question> asked_;
};

}  // namespace

std::vector<PolledStatus> poll_status(const Layout& layout, const Settings& settings,
                                      const std::vector<Member>& members, Nanos patience) {
    std::vector<PolledStatus> answers(members.size());
    for (size_t i = 0; i < members.size(); ++i) answers[i].endpoint = members[i].endpoint;
    auto link = Link::create();
    if (!link) return answers;
    Door door(layout, settings);
    if (!door.open(**link)) return answers;
    Poll poll(**link, boot_now());
    for (size_t i = 0; i < members.size(); ++i) poll.ask(door, members[i], patience, answers[i]);
    poll.run();
    return answers;
}

}  // namespace tanist
