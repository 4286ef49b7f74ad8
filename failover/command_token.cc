// `tanist token`: looks at a certificate with nobody's help. What makes a token valid is
// failover/core/token. By which voters it is judged comes from a node's ballot, which has the
// config that this node votes under.
#include <memory>
#include <optional>

#include "failover/adapters/sodium_signer.h"
#include "failover/commands.h"
#include "failover/core/ballot.h"
#include "failover/output.h"
#include "replicator/base/file.h"
#include "replicator/control/layout.h"

namespace tanist {
namespace {

using failover::Config;
using failover::Grant;
using failover::Token;

// A file of that name beside the database, or the file that is named.
std::string file_of(const std::string& named, const char* name) {
    const std::string beside = Layout(named).directory + "/" + name;
    return path_exists(beside) || path_exists(Layout(named).directory) ? beside : named;
}

Result<Token> read_token(const std::string& named) {
    const std::string path = file_of(named, "token");
    if (!path_exists(path)) {
        return Error{Errc::not_found, path +
                                          " does not exist: no voters have elected a primary in "
                                          "this cluster, or this node never heard of it"};
    }
    Result<Bytes> bytes = read_file(path, failover::kTokenFileBytesMax);
    if (!bytes) return std::move(bytes).error();
    Result<Token> token = failover::read_token_file(*bytes);
    if (!token) return std::move(token).error().in(path);
    return token;
}

Result<Config> read_config(const std::string& named) {
    const std::string path = file_of(named, "ballot");
    if (!path_exists(path)) {
        return Error{Errc::not_found, path +
                                          " does not exist, so it is not known who votes; name a "
                                          "node's database or ballot: --members PATH"};
    }
    Result<Bytes> bytes = read_file(path, failover::kBallotFileBytes);
    if (!bytes) return std::move(bytes).error();
    std::optional<failover::Ballot> newest;
    for (size_t at = 0; at + failover::kBallotSlotBytes <= bytes->size();
         at += failover::kBallotSlotBytes) {
        const ByteView slot = ByteView(*bytes).subspan(at, failover::kBallotSlotBytes);
        Result<failover::Ballot> ballot = failover::decode_slot(slot);
        if (!ballot && ballot.error().code == Errc::version) return std::move(ballot).error();
        if (ballot && (!newest || newest->serial < ballot->serial)) newest = *std::move(ballot);
    }
    if (newest) return newest->config;
    return Error{Errc::corrupt, path + " has no valid ballot"};
}

Json grants_json(const Token& token) {
    Json grants = Json::array();
    for (const Grant& grant : token.grants) {
        grants.push_back({{"voter", to_string(grant.voter)},
                          {"data", grant.is_data},
                          {"k", grant.policy.k},
                          {"paused", grant.policy.paused}});
    }
    return grants;
}

Json token_json(const Token& token) {
    const failover::GrantTerms& terms = token.terms;
    return {{"epoch", terms.epoch.value},
            {"kind", to_string(terms.kind)},
            {"holder", to_string(terms.candidate)},
            {"cluster", to_string(terms.cluster)},
            {"group", to_string(terms.group)},
            {"config",
             std::to_string(terms.config.epoch.value) + "." + std::to_string(terms.config.version)},
            {"base", to_string(terms.base.position)},
            {"loss_epoch", terms.loss_epoch.value},
            {"released_by", token.release ? Json(to_string(token.release->holder)) : Json()},
            {"ordered_by", token.order ? Json(to_string(token.order->by)) : Json()},
            {"grants", grants_json(token)}};
}

void print_token(const Token& token) {
    const failover::GrantTerms& terms = token.terms;
    print_line("Epoch " + std::to_string(terms.epoch.value) + ", " + to_string(terms.kind));
    print_line("  holder   " + to_string(terms.candidate));
    print_line("  cluster  " + to_string(terms.cluster) + ", group " + to_string(terms.group));
    print_line("  history  continues at " + to_string(terms.base.position));
    if (token.release) print_line("  released by " + to_string(token.release->holder));
    if (token.order) {
        print_line("  ordered by " + to_string(token.order->by) + ", who was told that " +
                   std::to_string(token.order->loss_records) + " commits may be lost");
    }
    std::vector<std::vector<std::string>> rows = {{"  GRANTED BY", "DATA"}};
    for (const Grant& grant : token.grants) {
        rows.push_back({"  " + to_string(grant.voter), grant.is_data ? "yes" : "no"});
    }
    print_line(table(rows));
}

}  // namespace

int run_token_show(const TokenOptions& options) {
    Result<Token> token = read_token(options.token);
    if (!token) return print_error(token.error(), options.json);
    if (options.json) {
        print_json(token_json(*token));
    } else {
        print_token(*token);
    }
    return kExitDone;
}

int run_token_verify(const TokenOptions& options) {
    Result<Token> token = read_token(options.token);
    if (!token) return print_error(token.error(), options.json);
    Result<Config> config = read_config(options.members.empty() ? options.token : options.members);
    if (!config) return print_error(config.error(), options.json);
    // Nothing is signed, so the seed does not matter.
    auto signer = failover::SodiumSigner::from_seed(Bytes(32));
    if (!signer) return print_error(signer.error(), options.json);
    Status valid = failover::verify(*token, *config, **signer);
    if (!valid) return print_error(valid.error(), options.json, kExitRefused);
    if (options.json) {
        Json json = token_json(*token);
        json["valid"] = true;
        json["voters"] = config->voters().size();
        print_json(json);
    } else {
        print_line("Valid: " + std::to_string(token->grants.size()) + " of " +
                   std::to_string(config->voters().size()) + " voters made " +
                   to_string(token->holder()) + " the holder of epoch " +
                   std::to_string(token->epoch().value));
    }
    return kExitDone;
}

}  // namespace tanist
