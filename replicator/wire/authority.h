// What the sender of a message may say on an endpoint that we bound. Pure; the keys behind a Caller
// were checked by the link. Messages that answer us on a connection we opened are not judged here:
// that connection reaches the holder of one key and nobody else.
//
//   message                                  local endpoint        member            stranger
//   hello, data, heartbeat, sync_*, refuse   no cluster with keys  right to lead     never
//   history, roster, voters                  the same as hello
//   vote                                     the same as hello     no operator       never
//   members                                  never                 right to lead     never
//   join                                     never                 right to admit    while inviting
//   status_ask                               unless closed         always            when open
//   command                                  never                 operators only    never
//   everything else                          never                 never             never
//
// An operator is a member whose one right is `operate`: it commands and asks for the status, and a
// node's key, whatever it may do, never commands. The admin socket has no such judge: who may open
// it may command.
#pragma once

#include "replicator/wire/link.h"
#include "replicator/wire/message.h"

namespace tanist {

struct AuthorityPolicy {
    bool keyed = false;  // this node holds a signed member list: a stream needs a key
    bool inviting = false;
    bool status_local = true;
    bool status_strangers = false;
};

// "" when allowed, else why not, in a few words.
const char* why_denied(const Caller& caller, MessageType type, const AuthorityPolicy& policy);

// "" unless the message names another node than the one whose key brought it.
const char* why_forged(const Caller& caller, const Body& body);

}  // namespace tanist
