// The listening side of `tanistd --http HOST:PORT`: reads only, no keys, GET only. cpp-httplib does
// the HTTP; what is answered is in answers.h.
//
// Bounds: a few threads, no keep-alive, requests of 8 KiB, two seconds for each. Thread rule: start
// and the destructor on one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "replicator/base/result.h"

namespace tanist {

class HttpServer {
  public:
    // `address`: HOST:PORT, port * for any. busy: in use. invalid: not an address. `status` is
    // called on the server's threads.
    static Result<std::unique_ptr<HttpServer>> start(const std::string& address,
                                                     std::function<std::string()> status);
    ~HttpServer();
    const std::string& address() const;  // as bound

  private:
    struct State;
    explicit HttpServer(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace tanist
