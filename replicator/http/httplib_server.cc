#include <httplib.h>

#include <charconv>
#include <thread>

#include "replicator/http/answers.h"
#include "replicator/http/http_server.h"

namespace tanist {
namespace {

constexpr size_t kThreads = 2;
constexpr size_t kRequestBytesMax = 8u << 10;
constexpr time_t kSecondsForOne = 2;

struct HostPort {
    std::string host;
    int port = 0;  // 0: any
};

Result<HostPort> parse(const std::string& address) {
    const size_t colon = address.rfind(':');
    HostPort out;
    bool good = colon != std::string::npos && colon > 0;
    if (good) {
        out.host = address.substr(0, colon);
        if (out.host.starts_with('[') && out.host.ends_with(']')) {
            out.host = out.host.substr(1, out.host.size() - 2);
        }
        const std::string port = address.substr(colon + 1);
        const char* end = port.data() + port.size();
        const auto parsed = std::from_chars(port.data(), end, out.port);
        good = port == "*" ||
               (parsed.ec == std::errc{} && parsed.ptr == end && out.port > 0 && out.port < 65536);
    }
    if (good) return out;
    return Error{Errc::invalid, "\"" + address + "\" is not HOST:PORT, as in 127.0.0.1:7480"};
}

}  // namespace

struct HttpServer::State {
    httplib::Server server;
    std::string address;
    std::thread thread;
};

HttpServer::HttpServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

HttpServer::~HttpServer() {
    state_->server.stop();
    if (state_->thread.joinable()) state_->thread.join();
}

const std::string& HttpServer::address() const { return state_->address; }

Result<std::unique_ptr<HttpServer>> HttpServer::start(const std::string& address,
                                                      std::function<std::string()> status) {
    Result<HostPort> where = parse(address);
    if (!where.ok()) return std::move(where).error();
    auto state = std::make_unique<State>();
    httplib::Server& server = state->server;
    server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
    server.set_keep_alive_max_count(1);
    server.set_read_timeout(kSecondsForOne);
    server.set_write_timeout(kSecondsForOne);
    server.set_payload_max_length(kRequestBytesMax);
    // The library's default lets two processes share a port.
    server.set_socket_options([](socket_t socket) {
        const int yes = 1;
        ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    server.Get(".*", [status = std::move(status)](const httplib::Request& request,
                                                  httplib::Response& response) {
        std::optional<std::string> lag;
        if (request.has_param("lag")) lag = request.get_param_value("lag");
        HttpAnswer answer = answer_http(request.path, lag, status());
        response.status = answer.code;
        response.set_header("Cache-Control", "no-store");
        response.set_content(answer.body, answer.type);
    });
    int port = where->port;
    if (port == 0) {
        port = server.bind_to_any_port(where->host);
    } else if (!server.bind_to_port(where->host, port)) {
        port = -1;
    }
    if (port < 0) {
        return Error{Errc::busy, "cannot listen for HTTP on " + address +
                                     ": another program has it, or it is no address of this "
                                     "machine; choose another --http HOST:PORT"};
    }
    state->address = address.substr(0, address.rfind(':') + 1) + std::to_string(port);
    state->thread = std::thread([&server] { server.listen_after_bind(); });
    // stop() does nothing before it runs.
    while (!server.is_running()) std::this_thread::yield();
    return std::unique_ptr<HttpServer>(new HttpServer(std::move(state)));
}

}  // namespace tanist
