// <db>-tanist/identity: this node's Ed25519 key pair (libsodium), created on first use, 0600 in a
// 0700 directory, never logged, never sent. CURVE's key pair is derived from it, and so is the
// CURVE key of another node from its public key: one list of node keys serves both.
//
// Secrets are wiped from memory when an Identity goes. Thread rule: none, it does not change.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "replicator/base/bytes.h"
#include "replicator/base/ids.h"
#include "replicator/base/keys.h"
#include "replicator/base/result.h"

namespace tanist {

class Identity {
  public:
    // A new one, in memory only.
    static Result<Identity> create();
    // not_found, corrupt; refused: others than its owner can read the file.
    static Result<Identity> load(const std::string& path);
    Identity(const Identity&) = default;
    Identity& operator=(const Identity&) = default;
    ~Identity();

    const NodeKey& key() const { return key_; }
    CurvePair curve() const;
    Signature sign(ByteView message) const;
    // 0600; replaces what is there.
    Status save(const std::string& path) const;

  private:
    Identity() = default;
    void derive();
    NodeKey key_;
    std::array<uint8_t, 32> seed_{};
    std::array<uint8_t, 64> secret_{};
};

// Creates it when absent. refused: the file can be read by others.
Result<NodeKey> load_or_create_identity(const std::string& path);
// Nothing: these bytes are not a public key.
std::optional<CurveKey> curve_key_of(const NodeKey& key);
bool verify(const NodeKey& key, ByteView message, const Signature& signature);
// BLAKE2b-256: for secrets of 128 random bits, where a slow hash would add nothing.
std::array<uint8_t, 32> digest(ByteView bytes);
// In time that does not depend on where they differ.
bool equal_secrets(ByteView a, ByteView b);

}  // namespace tanist
