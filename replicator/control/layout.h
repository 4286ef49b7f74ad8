// The directory beside a database, `<db>-tanist/`, as a comment and as functions; nobody else
// builds a path in it.
//
//   tanist.toml   settings for people                       control/settings.h
//   identity      this node's Ed25519 seed, 0600            control/identity.h
//   node          role, cluster and group ids, epoch; text  control/node_file.h
//   members       who this primary ships to; text           control/members.h
//   members.signed  the cluster's keys and their rights     control/member_list.h
//   identity.next a new identity being announced, 0600      node/, `tanist keys rotate`
//   log.key       key of the log's encryption at rest, 0600 control/log_key.h
//   invitation    digest of the open invitation             control/invitation.h
//   alarm         the last breach, for status; one line     control/alarm.h
//   audit.log     commands, changes of role; JSON lines    control/audit.h
//   control       shared memory of VFS and engine           control/control_block.h
//   chime         FIFO: a commit waits; wakes the engine's ship thread
//   ship.lock     flock: the engine of this database        node/
//   log/          the replication log; log/next: a sync's   log/log.h, sync/sync_log.h
//   base/         snapshots and delta sync in progress      sync/
//   clean-stop    primary: file times at a clean stop       capture/
//   admin.sock    where the node's daemon takes commands      node/admin_server.h
//   diverged/     commits that a failover discarded           node/diverged_tail.h
//   archived      how far the log has been archived         node/archive.h
//   intent        replica: which LSN the database is at     apply/intent.h
//   waited        a commit of this database has waited      control/waited.h
//   voters        who votes in elections; absent: nobody    node/voter_list.h
//   ballot, token what this voter promised, and to whom     failover/adapters/ballot_store.h
//   promise       until when a holder may count on it       node/promise_file.h
//   canary        written now and then: the disk works      node/ballot_keeper.h
//   primary       where the primary listens, as last heard  control/primary_endpoint.h
//   engine.log    messages of an engine that the extension started
#pragma once

#include <string>

namespace tanist {

struct Layout {
    std::string db;                               // absolute path of the database
    std::string directory;                        // <db>-tanist
    explicit Layout(const std::string& db_path);  // resolves symbolic links
    std::string settings() const { return directory + "/tanist.toml"; }
    std::string identity() const { return directory + "/identity"; }
    std::string node() const { return directory + "/node"; }
    std::string members() const { return directory + "/members"; }
    std::string member_list() const { return directory + "/members.signed"; }
    std::string next_identity() const { return directory + "/identity.next"; }
    std::string log_key() const { return directory + "/log.key"; }
    std::string invitation() const { return directory + "/invitation"; }
    std::string alarm() const { return directory + "/alarm"; }
    std::string audit_log() const { return directory + "/audit.log"; }
    std::string control() const { return directory + "/control"; }
    std::string chime() const { return directory + "/chime"; }
    std::string ship_lock() const { return directory + "/ship.lock"; }
    std::string log() const { return directory + "/log"; }
    std::string base() const { return directory + "/base"; }
    std::string clean_stop() const { return directory + "/clean-stop"; }
    std::string archived() const { return directory + "/archived"; }
    std::string intent() const { return directory + "/intent"; }
    std::string diverged() const { return directory + "/diverged"; }
    std::string waited() const { return directory + "/waited"; }
    std::string voters() const { return directory + "/voters"; }
    std::string promise() const { return directory + "/promise"; }
    std::string canary() const { return directory + "/canary"; }
    std::string primary() const { return directory + "/primary"; }
    std::string engine_log() const { return directory + "/engine.log"; }
};

}  // namespace tanist
