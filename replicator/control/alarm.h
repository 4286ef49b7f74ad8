// <db>-tanist/alarm: the last breach that somebody must look at (an invitation used twice, a stream
// from a key that may not lead), as one line for `tanist status`, until `tanist keys show
// --clear-alarm`. Every alarm is a note and an entry of the audit log as well.
#pragma once

#include <string>

#include "replicator/base/result.h"
#include "replicator/control/layout.h"

namespace tanist {

void raise_alarm(const Layout& layout, const std::string& who, const std::string& sentence);
std::string read_alarm(const Layout& layout);  // "": none
Status clear_alarm(const Layout& layout);

}  // namespace tanist
