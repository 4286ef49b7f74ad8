"""Writes the package database of this machine as SQL, in two halves: first.sql and second.sql."""
import glob
import os
import re
import sys

BATCH = 50


def quote(text):
    return "'" + text.replace("\0", "").replace("'", "''") + "'"


def packages():
    with open("/var/lib/dpkg/status", encoding="utf-8", errors="replace") as status:
        for paragraph in status.read().split("\n\n"):
            fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", paragraph, re.M))
            if "Package" in fields:
                yield fields


def rows():
    for fields in packages():
        name = fields["Package"]
        yield "INSERT OR REPLACE INTO packages VALUES(%s,%s,%s,%s);" % (
            quote(name), quote(fields.get("Version", "")), quote(fields.get("Architecture", "")),
            int(fields.get("Installed-Size", 0)))
        for kind in ("Depends", "Pre-Depends", "Recommends", "Suggests"):
            for needed in filter(None, re.split(r"\s*,\s*", fields.get(kind, ""))):
                yield "INSERT INTO dependencies VALUES(%s,%s,%s);" % (
                    quote(name), quote(kind), quote(needed))
    for path in sorted(glob.glob("/var/lib/dpkg/info/*.list")):
        name = os.path.basename(path)[:-len(".list")].split(":")[0]
        with open(path, encoding="utf-8", errors="replace") as files:
            for line in files:
                yield "INSERT INTO files VALUES(%s,%s);" % (quote(name), quote(line.rstrip("\n")))


SCHEMA = """CREATE TABLE IF NOT EXISTS packages(name PRIMARY KEY, version, architecture, kib);
CREATE TABLE IF NOT EXISTS dependencies(package, kind, needs);
CREATE TABLE IF NOT EXISTS files(package, path);
CREATE INDEX IF NOT EXISTS files_of ON files(package);
"""


def write(path, head, statements):
    with open(path, "w", encoding="utf-8") as out:
        out.write(head)
        for at in range(0, len(statements), BATCH):
            out.write("BEGIN;\n" + "\n".join(statements[at:at + BATCH]) + "\nCOMMIT;\n")


everything = list(rows())
middle = len(everything) // 2
write(sys.argv[1], SCHEMA, everything[:middle])
write(sys.argv[2], "", everything[middle:])
print("   %d rows" % len(everything))
