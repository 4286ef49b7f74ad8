#include "replicator/node/epoch_claim.h"

#include <algorithm>

#include "replicator/base/random.h"
#include "replicator/node/door.h"
#include "replicator/wire/link.h"
#include "replicator/wire/message.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;
// A member that has to become a replica first is asked again so often.
constexpr Nanos kAskAgainEvery = 20ms;

class Claimant {
  public:
    Claimant(const Layout& layout, const Settings& settings, const EpochClaim& claim)
        : claim_(claim), name_(layout.db), door_(layout, settings) {}

    Status open(const std::vector<Member>& members) {
        auto link = Link::create();
        if (!link) return std::move(link).error();
        link_ = std::move(link).value();
        TANIST_TRY(door_.open(*link_));
        for (const Member& member : members) {
            Asked& asked = asked_.emplace_back();
            auto to = door_.connect(*link_, member.endpoint, member.key);
            if (!to) {
                asked.answer.refusal = to.error().message;
                asked.settled = true;
                continue;
            }
            asked.link = *to;
            greet(asked);
        }
        return ok_status();
    }

    void hear(Instant until) {
        for (Instant now = boot_now(); now < until && !all_settled(); now = boot_now()) {
            link_->wait({}, std::min<Nanos>(until - now, kAskAgainEvery));
            while (auto incoming = link_->receive()) take(*incoming);
            for (Asked& asked : asked_) {
                if (asked.again.ns != 0 && boot_now() >= asked.again) greet(asked);
            }
        }
    }

    std::vector<ClaimAnswer> answers() const {
        std::vector<ClaimAnswer> answers;
        for (const Asked& asked : asked_) answers.push_back(asked.answer);
        return answers;
    }

  private:
    struct Asked {
        LinkId link = 0;
        uint64_t session = 0;
        Instant again{0};      // when it is to be greeted again; zero: it is not
        bool settled = false;  // nothing else can come
        ClaimAnswer answer;
    };

    bool all_settled() const {
        return std::all_of(asked_.begin(), asked_.end(), [](const Asked& a) { return a.settled; });
    }

    void greet(Asked& asked) {
        asked.again = Instant{0};
        do asked.session = random_u64();
        while (asked.session == 0);
        Hello hello;
        hello.cluster = claim_.cluster;
        hello.group = claim_.group;
        hello.node = door_.identity().key();
        hello.name = name_;
        hello.end = claim_.end.position;
        hello.end_chain = claim_.end.chain;
        Message message;
        message.envelope.session = asked.session;
        message.envelope.epoch = claim_.epoch;
        message.body = std::move(hello);
        Bytes envelope;
        Bytes body;
        encode(message, envelope, body);
        if (!link_->send(asked.link, envelope, std::move(body))) asked.settled = true;
    }

    void take(const Incoming& incoming) {
        const auto from = std::find_if(asked_.begin(), asked_.end(), [&](const Asked& asked) {
            return asked.link == incoming.from;
        });
        auto envelope = decode_envelope(incoming.envelope);
        if (from == asked_.end() || !envelope) return;
        auto body = decode_body(*envelope, incoming.body.bytes());
        if (!body || envelope->session != from->session) return;
        if (const auto* welcome = std::get_if<Welcome>(&*body)) {
            from->answer = {envelope->epoch == claim_.epoch, welcome->end, ""};
            from->settled = true;
        } else if (const auto* refuse = std::get_if<Refuse>(&*body)) {
            from->answer.refusal = refuse->text;
            if (refuse->code == RefuseCode::shutting_down) {
                from->again = boot_now() + kAskAgainEvery;
            } else {
                from->settled = true;
            }
        }
    }

    const EpochClaim& claim_;
    std::string name_;
    Door door_;
    std::unique_ptr<Link> link_;
    std::vector<Asked> asked_;
};

}  // namespace

size_t claims_needed(size_t data_members, const AckRule& rule) {
    const size_t majority = data_members / 2 + 1;
    if (!rule.waits() || data_members < 2) return majority;
    const size_t copies = replicas_needed(rule, static_cast<uint32_t>(data_members - 1));
    return copies >= data_members ? majority : std::max(majority, data_members - copies);
}

std::vector<ClaimAnswer> claim_epoch(const Layout& layout, const Settings& settings,
                                     const std::vector<Member>& members, const EpochClaim& claim,
                                     Nanos patience) {
    if (members.empty()) return {};
    Claimant claimant(layout, settings, claim);
    if (Status opened = claimant.open(members); !opened) {
        return {members.size(), ClaimAnswer{false, {}, opened.error().message}};
    }
    claimant.hear(boot_now() + patience);
    return claimant.answers();
}

}  // namespace tanist
