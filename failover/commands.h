// The commands of `tanist`, apart from their options: each does its work, prints its answer and
// returns the exit code (base/exit_code.h).
#pragma once

#include <string>

namespace tanist {

struct InitOptions {
    std::string db;
    bool create = false;
    bool json = false;
};
int run_init(const InitOptions& options);

struct MembersOptions {
    std::string target;        // the primary's database, or its tanist:// address
    std::string as;            // with an address: the directory of an operator's key
    std::string node;          // add: endpoint, tanist:// address or key; else name or endpoint
    std::string name;          // add: "" for host:port
    bool may_lead = false;     // add, by address: it may be promoted
    bool witness = false;      // add: it votes and holds no data
    bool is_operator = false;  // add: `node` is the key of a person who may command
    bool json = false;
};
int run_members_list(const MembersOptions& options);
int run_members_add(const MembersOptions& options);
int run_members_remove(const MembersOptions& options);
int run_members_allow_lead(const MembersOptions& options);

struct KeysOptions {
    std::string db;         // "": the only one in this directory
    std::string directory;  // make: where an operator's key goes
    bool clear_alarm = false;
    bool json = false;
};
int run_keys_show(const KeysOptions& options);
int run_keys_make(const KeysOptions& options);
int run_keys_rotate(const KeysOptions& options);

struct StatusOptions {
    std::string target;  // a database, an endpoint or a tanist:// address
    std::string as;      // with an address: the database whose identity asks
    bool watch = false;
    bool json = false;
};
int run_status(const StatusOptions& options);

struct DoctorOptions {
    std::string db;
    bool json = false;
};
int run_doctor(const DoctorOptions& options);

struct LogCommandOptions {
    std::string directory;
    std::string key_file;  // of a log that is encrypted at rest; "": where its settings say
    bool json = false;
};
int run_log_dump(const LogCommandOptions& options);
int run_log_verify(const LogCommandOptions& options);
int run_log_stat(const LogCommandOptions& options);

struct FenceOptions {
    std::string target;  // a database, or the endpoint of its daemon's admin socket
    std::string as;      // with a tanist:// address: the directory of an operator's key
    bool json = false;
};
int run_fence(const FenceOptions& options);
int run_unfence(const FenceOptions& options);

struct PromoteOptions {
    std::string target;  // a replica's database, or the endpoint of its daemon's admin socket
    std::string as;      // with a tanist:// address: the directory of an operator's key
    bool dry_run = false;
    bool force = false;
    bool accept_loss = false;
    std::string assert_fenced;  // the node that the operator says is dead
    bool yes = false;           // do not ask
    bool json = false;
};
int run_promote(const PromoteOptions& options);

struct RecoverOptions {
    std::string target;  // the suspect node's database, or its tanist:// address
    std::string as;      // with a tanist:// address: the directory of an operator's key
    bool accept_suspect = false;
    bool dry_run = false;
    bool yes = false;  // do not ask
    bool json = false;
};
int run_recover(const RecoverOptions& options);

struct SwitchoverOptions {
    std::string target;  // the primary's database, or its daemon's admin socket
    std::string as;      // with a tanist:// address: the directory of an operator's key
    std::string to;      // name or endpoint of a member
    bool dry_run = false;
    bool json = false;
};
int run_switchover(const SwitchoverOptions& options);

struct PauseOptions {
    std::string target;  // the primary's database, or its daemon's admin socket
    std::string as;      // with a tanist:// address: the directory of an operator's key
    bool json = false;
};
int run_pause(const PauseOptions& options);
int run_resume(const PauseOptions& options);

struct TokenOptions {
    std::string token;    // a token file, or the database of a node that has one
    std::string members;  // whose list of voters counts: a ballot or a database; "": the token's
    bool json = false;
};
int run_token_show(const TokenOptions& options);
int run_token_verify(const TokenOptions& options);

struct DivergedOptions {
    std::string db;
    std::string name;  // of one tail
    std::string out;   // export: the database to write
    bool json = false;
};
int run_diverged_list(const DivergedOptions& options);
int run_diverged_show(const DivergedOptions& options);
int run_diverged_export(const DivergedOptions& options);

}  // namespace tanist
