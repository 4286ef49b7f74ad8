// Result<T>: a value, or an error that says what the caller can do about it.
//
// A code exists only where some caller acts differently on it. "Did happen", "did not happen" and
// "may have happened" are three answers: an error means it did not happen, except
// Errc::unknown_outcome. Messages are one sentence: the cause, then the remedy. Each layer adds
// its context once (which file, which LSN) with Error::in().
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace tanist {

enum class Errc {
    invalid,          // the request or the settings are wrong; repeating it will not help
    not_found,        // the thing named does not exist
    corrupt,          // bytes fail their checksum or contradict themselves
    version,          // written by a version of Tanist that this one does not know
    io,               // the operating system refused; the message has its reason
    no_space,         // the disk is full; may work later
    busy,             // held by somebody else now; try again
    stale_epoch,      // a newer primary exists
    refused,          // not done, for safety
    unreachable,      // the other side does not answer
    unknown_outcome,  // it may have happened
};
const char* to_string(Errc code);

struct Error {
    Errc code = Errc::invalid;
    std::string message;
    // "<where>: <message>"
    Error in(const std::string& where) && {
        message = where + ": " + message;
        return std::move(*this);
    }
};

template <class T>
class [[nodiscard]] Result {
  public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit
    bool ok() const { return state_.index() == 0; }
    explicit operator bool() const { return ok(); }
    // Requires: ok().
    T& value() & { return std::get<0>(state_); }
    const T& value() const& { return std::get<0>(state_); }
    T&& value() && { return std::get<0>(std::move(state_)); }
    T* operator->() { return &std::get<0>(state_); }
    const T* operator->() const { return &std::get<0>(state_); }
    T& operator*() & { return std::get<0>(state_); }
    const T& operator*() const& { return std::get<0>(state_); }
    T&& operator*() && { return std::get<0>(std::move(state_)); }
    // Requires: !ok().
    const Error& error() const& { return std::get<1>(state_); }
    Error&& error() && { return std::get<1>(std::move(state_)); }

  private:
    std::variant<T, Error> state_;
};

struct Unit {};
using Status = Result<Unit>;
inline Status ok_status() { return Unit{}; }

// Returns the error of `expr` to the caller.
#define TANIST_TRY(expr)                                                                         \
    do {                                                                                         \
        if (auto try_status_ = (expr); !try_status_.ok()) return std::move(try_status_).error(); \
    } while (0)

}  // namespace tanist
