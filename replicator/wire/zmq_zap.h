// Who may connect: the ZAP handler (ZeroMQ RFC 27) of one context, answered by the thread that owns
// the link, so that a list that changed is in force at once and no thread is needed. libzmq asks it
// once for each handshake; without an answer nobody comes in (ZMQ_ZAP_ENFORCE_DOMAIN).
//
// The answer's User-Id is what every later message of that connection carries: hex of the node key
// for a key on the list, '?' and hex of the CURVE key for an admitted stranger.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>
#include <zmq.hpp>

#include "replicator/base/bytes.h"
#include "replicator/base/result.h"
#include "replicator/wire/link.h"

namespace tanist {

constexpr const char* kZapEndpoint = "inproc://zeromq.zap.01";
constexpr const char* kZapDomain = "tanist";

// The admission, prepared for looking up.
class DoorList {
  public:
    DoorList() = default;
    explicit DoorList(const Admission& admission);
    // The User-Id for this CURVE key; "": nobody we let in.
    std::string user_id(ByteView curve_key) const;
    // The caller behind a User-Id, as the list is now; nothing: not let in (any more).
    const Caller* caller(const std::string& user_id);
    // Every key on the list `before` is on this one, too.
    bool keeps_all_of(const DoorList& before) const;

  private:
    std::unordered_map<std::string, std::string> by_curve_;  // raw key -> User-Id
    std::unordered_map<std::string, Caller> by_user_id_;
    Caller stranger_;
    bool strangers_ = false;
};

// What a request of libzmq is answered with. Pure.
struct ZapAnswer {
    std::string status;  // "200", "400" (refused), "500" (not a request we know)
    std::string text;
    std::string user_id;
};
// The frames after the envelope: version, request id, domain, address, identity, mechanism, key.
ZapAnswer answer_zap(const std::vector<std::string>& frames, const DoorList& list);

class ZapHandler {
  public:
    // Throws zmq::error_t (zmq_* files translate): the context has a handler already.
    explicit ZapHandler(zmq::context_t& context);
    zmq::socket_t& socket() { return socket_; }  // to wait for requests
    // Answers at most a bounded number of waiting requests.
    void serve(const DoorList& list);

  private:
    zmq::socket_t socket_;
};

// Options of a socket before it binds, or connects. Throws zmq::error_t.
void set_curve_server(zmq::socket_t& socket, const CurvePair& own);
void set_curve_client(zmq::socket_t& socket, const CurvePair& own, const CurveKey& server);

}  // namespace tanist
