#include "replicator/wire/zmq_zap.h"

#include <algorithm>

namespace tanist {
namespace {

// So that a flood of handshakes leaves room for the members' messages in each turn.
constexpr int kAnswersPerTurn = 64;
// ZMQ_ZAP_ENFORCE_DOMAIN: in the stable library, its macro only in the draft header.
constexpr int kZapEnforceDomain = 93;
constexpr size_t kFrames = 7;
constexpr size_t kFramesMax = 16;

std::string raw(ByteView bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

DoorList::DoorList(const Admission& admission) : strangers_(admission.strangers) {
    for (const AllowedKey& key : admission.keys) {
        const std::string user_id = to_string(key.node);
        by_curve_[raw(key.curve.bytes)] = user_id;
        by_user_id_[user_id] = {Caller::Kind::member, key.node, key.curve, key.rights};
    }
}

std::string DoorList::user_id(ByteView curve_key) const {
    if (curve_key.size() != sizeof(CurveKey::bytes)) return "";
    auto found = by_curve_.find(raw(curve_key));
    if (found != by_curve_.end()) return found->second;
    return strangers_ ? "?" + hex(curve_key.data(), curve_key.size()) : "";
}

const Caller* DoorList::caller(const std::string& user_id) {
    if (auto found = by_user_id_.find(user_id); found != by_user_id_.end()) return &found->second;
    if (!strangers_ || !user_id.starts_with('?')) return nullptr;
    Caller stranger;
    stranger.kind = Caller::Kind::stranger;
    if (!parse_hex(std::string_view(user_id).substr(1), stranger.curve.bytes.data(),
                   stranger.curve.bytes.size())) {
        return nullptr;
    }
    // Since it connected, its key may have come on the list: it is that member now.
    if (auto known = by_curve_.find(raw(stranger.curve.bytes)); known != by_curve_.end()) {
        return &by_user_id_.at(known->second);
    }
    stranger_ = stranger;
    return &stranger_;
}

bool DoorList::keeps_all_of(const DoorList& before) const {
    return std::all_of(before.by_user_id_.begin(), before.by_user_id_.end(),
                       [&](const auto& entry) { return by_user_id_.contains(entry.first); });
}

ZapAnswer answer_zap(const std::vector<std::string>& frames, const DoorList& list) {
    if (frames.size() != kFrames || frames[0] != "1.0") return {"500", "not a request", ""};
    if (frames[2] != kZapDomain) return {"400", "another domain", ""};
    if (frames[5] != "CURVE") return {"400", "CURVE only", ""};
    std::string user_id = list.user_id(view_of(frames[6]));
    if (user_id.empty()) return {"400", "unknown key", ""};
    return {"200", "OK", std::move(user_id)};
}

ZapHandler::ZapHandler(zmq::context_t& context) : socket_(context, zmq::socket_type::router) {
    socket_.set(zmq::sockopt::linger, 0);
    socket_.bind(kZapEndpoint);
}

void ZapHandler::serve(const DoorList& list) {
    for (int turn = 0; turn < kAnswersPerTurn; ++turn) {
        std::vector<std::string> frames;
        zmq::message_t part;
        try {
            if (!socket_.recv(part, zmq::recv_flags::dontwait)) return;
            frames.push_back(part.to_string());
            while (part.more() && frames.size() < kFramesMax) {
                if (!socket_.recv(part, zmq::recv_flags::dontwait)) break;
                frames.push_back(part.to_string());
            }
            // Routing id, empty delimiter, then the request.
            if (frames.size() < 4 || !frames[1].empty()) continue;
            const std::vector<std::string> request(frames.begin() + 2, frames.end());
            const ZapAnswer answer = answer_zap(request, list);
            const std::vector<std::string> reply = {
                frames[0], "", "1.0", request[1], answer.status, answer.text, answer.user_id, ""};
            for (size_t i = 0; i < reply.size(); ++i) {
                auto flags = zmq::send_flags::dontwait;
                if (i + 1 < reply.size()) flags = flags | zmq::send_flags::sndmore;
                socket_.send(zmq::buffer(reply[i]), flags);
            }
        } catch (const zmq::error_t&) {
            return;  // EINTR, or the context ends: libzmq asks again, or nobody comes in
        }
    }
}

void set_curve_server(zmq::socket_t& socket, const CurvePair& own) {
    socket.set(zmq::sockopt::zap_domain, std::string(kZapDomain));
    // Without it libzmq lets everybody in when the handler is not there.
    const int enforce = 1;
    if (zmq_setsockopt(socket.handle(), kZapEnforceDomain, &enforce, sizeof enforce) != 0) {
        throw zmq::error_t();
    }
    socket.set(zmq::sockopt::curve_server, true);
    socket.set(zmq::sockopt::curve_secretkey, zmq::buffer(own.secret));
}

void set_curve_client(zmq::socket_t& socket, const CurvePair& own, const CurveKey& server) {
    socket.set(zmq::sockopt::curve_serverkey, zmq::buffer(server.bytes));
    socket.set(zmq::sockopt::curve_publickey, zmq::buffer(own.open.bytes));
    socket.set(zmq::sockopt::curve_secretkey, zmq::buffer(own.secret));
}

}  // namespace tanist
