#include "replicator/node/admin_server.h"

#include "replicator/base/notes.h"

namespace tanist {
namespace {

using namespace std::chrono_literals;
constexpr Nanos kWaitLongest = 10s;

}  // namespace

AdminServer::AdminServer(AdminEndpoint endpoint, Handlers handlers)
    : endpoint_(std::move(endpoint)), handlers_(std::move(handlers)) {}

Result<std::unique_ptr<AdminServer>> AdminServer::start(const std::string& directory,
                                                        Handlers handlers) {
    auto endpoint = AdminEndpoint::in(directory);
    if (!endpoint) return std::move(endpoint).error();
    std::unique_ptr<AdminServer> server(
        new AdminServer(std::move(endpoint).value(), std::move(handlers)));
    auto link = Link::create();
    if (!link) return std::move(link).error();
    server->link_ = std::move(link).value();
    auto bound = server->link_->bind(server->endpoint_.text());
    if (!bound) return std::move(bound).error();
    TANIST_TRY(make_private(AdminEndpoint::path_in(directory)));
    server->thread_ = std::thread([server = server.get()] { server->run(); });
    return server;
}

AdminServer::~AdminServer() {
    if (!thread_.joinable()) return;
    stopping_.store(true);
    replies_->put({});
    thread_.join();
}

void AdminServer::run() {
    while (!stopping_.load()) {
        link_->wait({replies_->fd()}, kWaitLongest);
        for (Reply& reply : replies_->take()) send(std::move(reply));
        receive_all();
    }
}

void AdminServer::send(Reply reply) {
    if (reply.to == 0) return;
    Message message;
    message.envelope.session = reply.session;
    message.body = std::move(reply.body);
    Bytes envelope;
    Bytes body;
    encode(message, envelope, body);
    link_->send(reply.to, envelope, std::move(body));
}

void AdminServer::receive_all() {
    while (auto incoming = link_->receive()) {
        auto envelope = decode_envelope(incoming->envelope);
        if (!envelope) continue;
        auto body = decode_body(*envelope, incoming->body.bytes());
        if (!body) continue;
        const LinkId to = incoming->from;
        const uint64_t session = envelope->session;
        if (std::holds_alternative<StatusAsk>(*body)) {
            send({to, session, StatusText{handlers_.status()}});
        } else if (auto* command = std::get_if<Command>(&*body)) {
            handlers_.command(std::move(command->json),
                              [to, session, replies = replies_](std::string json) {
                                  replies->put({to, session, CommandResult{std::move(json)}});
                              });
        }
    }
}

}  // namespace tanist
