// <db>-tanist/audit.log: every change of a node's role, and who wanted it. JSON, one line each;
// appended and made durable before the change takes effect. Never read by Tanist itself.
#pragma once

#include <initializer_list>
#include <string>
#include <utility>

#include "replicator/base/result.h"

namespace tanist {

using AuditFact = std::pair<std::string, std::string>;
// `what`: fence, unfence, demote, promote, ... The time is added.
Status audit(const std::string& path, const std::string& what,
             std::initializer_list<AuditFact> facts);

}  // namespace tanist
