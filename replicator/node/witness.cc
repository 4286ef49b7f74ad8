#include "replicator/node/witness.h"

#include "replicator/base/notes.h"
#include "replicator/control/status.h"
#include "replicator/node/daemonize.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;
constexpr Nanos kWaitLongest = 1s;  // the daemon's beat

}  // namespace

Status Witness::start(std::chrono::milliseconds invite_expires, ClusterId cluster) {
    cluster_ = cluster;
    auto block = Control::open(layout_.control(), true, false);
    if (!block) return std::move(block).error();
    control_ = std::move(block).value();
    control_->engine_state.store(static_cast<uint32_t>(EngineState::running));
    control_->engine_pid.store(static_cast<uint32_t>(process_id()));
    control_->engine_beat_ns.store(boot_now().ns);
    control_->role.store(static_cast<uint32_t>(Role::witness));
    control_.set_problem("");
    control_.set_notice("");
    newcomer_ = std::make_unique<Newcomer>(host_.door(), layout_.db);
    auto invited = newcomer_->invite(host_.link(), host_.endpoints(), invite_expires);
    if (!invited) return std::move(invited).error();
    invitations_ = std::move(invited).value();
    thread_ = std::thread([this] { run(); });
    return ok_status();
}

void Witness::stop() {
    if (!thread_.joinable()) return;
    stopping_.store(true);
    wake_.signal();
    thread_.join();
    control_->engine_state.store(static_cast<uint32_t>(EngineState::none));
}

void Witness::run() {
    while (!stopping_.load()) {
        host_.link().wait({wake_.fd(), host_.answers_fd()}, kWaitLongest);
        wake_.drain();
        control_->engine_beat_ns.store(boot_now().ns, std::memory_order_relaxed);
        receive_all();
        host_.send_answers();
        newcomer_->tick(host_.link());
    }
}

void Witness::receive_all() {
    Link& link = host_.link();
    Door& door = host_.door();
    while (auto incoming = link.receive()) {
        auto envelope = decode_envelope(incoming->envelope);
        if (!envelope || !door.admits(link, *incoming, *envelope)) continue;
        if (envelope->type == MessageType::status_ask) {
            serve_status(*incoming, *envelope);
        } else if (envelope->type == MessageType::hello) {
            door.refuse(link, incoming->from, *envelope, RefuseCode::not_a_replica,
                        layout_.db + " is a witness and holds no data; add it with --witness");
        } else if (!host_.serve(*incoming, *envelope)) {
            auto body = decode_body(*envelope, incoming->body.bytes());
            if (!body || !door.is_genuine(link, *incoming, *envelope, *body)) continue;
            newcomer_->takes(link, *incoming, *envelope, *body, cluster_);
        }
    }
}

void Witness::serve_status(const Incoming& incoming, const Envelope& asked) {
    Message answer;
    answer.envelope.session = asked.session;
    answer.envelope.epoch = Epoch(control_->epoch.load());
    answer.body = StatusText{status_json(layout_)};
    Bytes envelope;
    Bytes body;
    encode(answer, envelope, body);
    host_.link().send(incoming.from, envelope, std::move(body));
}

}  // namespace tanist
