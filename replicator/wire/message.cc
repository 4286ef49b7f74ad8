#include "replicator/wire/message.h"

#include <algorithm>

#include "replicator/base/hash.h"
#include "replicator/wire/message_role.h"

namespace tanist {
namespace {

constexpr size_t kNameBytesMax = 255;
constexpr size_t kTextBytesMax = 1024;
constexpr size_t kChecksummedBytes = kEnvelopeBytes - 8;

Error corrupt(std::string what) { return {Errc::corrupt, std::move(what)}; }

uint16_t flags_known(MessageType type) {
    if (type == MessageType::data) return kDataLast | kDataReceiptWanted;
    if (type == MessageType::sync_pages) return kSyncPagesLast;
    return 0;
}

size_t body_bytes_max(MessageType type) {
    switch (type) {
        case MessageType::data:
        case MessageType::sync_ask:
        case MessageType::sync_pages:
        case MessageType::status:
        case MessageType::command_result:
            return limits::kFrameBytesMax;
        default:
            return limits::kControlBodyBytesMax;
    }
}

bool is_page_bytes(uint32_t bytes) {
    return bytes >= limits::kPageBytesMin && bytes <= limits::kPageBytesMax &&
           (bytes & (bytes - 1)) == 0;
}

void put(ByteWriter& out, Position position) {
    out.u64(position.epoch.value);
    out.u64(position.lsn.value);
}

Position take_position(ByteReader& in) {
    Position position;
    position.epoch = Epoch(in.u64());
    position.lsn = Lsn(in.u64());
    return position;
}

std::string cut(const std::string& text, size_t bytes_max) { return text.substr(0, bytes_max); }

size_t padded(size_t bytes) { return (bytes + 7) & ~size_t{7}; }

// -- one writer and one reader per body; the layouts are in docs/wire-protocol.md.

void put(ByteWriter& out, const Hello& hello) {
    out.u16(hello.version_min);
    out.u16(hello.version_max);
    out.u32(hello.capabilities);
    out.from(hello.cluster.bytes);
    out.from(hello.group.bytes);
    out.from(hello.node.bytes);
    out.u32(hello.page_bytes);
    out.u32(hello.db_pages);
    out.u64(hello.log_first.value);
    put(out, hello.end);
    out.from(hello.end_chain.bytes);
    out.text(cut(hello.name, kNameBytesMax));
}

Body take_hello(ByteReader& in) {
    Hello hello;
    hello.version_min = in.u16();
    hello.version_max = in.u16();
    hello.capabilities = in.u32();
    in.into(hello.cluster.bytes);
    in.into(hello.group.bytes);
    in.into(hello.node.bytes);
    hello.page_bytes = in.u32();
    hello.db_pages = in.u32();
    hello.log_first = Lsn(in.u64());
    hello.end = take_position(in);
    in.into(hello.end_chain.bytes);
    hello.name = in.text(kNameBytesMax);
    return hello;
}

void put(ByteWriter& out, const Welcome& welcome) {
    out.u16(welcome.version);
    out.u16(static_cast<uint16_t>(welcome.state));
    out.u32(welcome.capabilities);
    out.from(welcome.cluster.bytes);
    out.from(welcome.group.bytes);
    out.from(welcome.node.bytes);
    put(out, welcome.end);
    out.from(welcome.end_chain.bytes);
    out.u64(welcome.durable.value);
    out.u64(welcome.applied.value);
    out.u64(welcome.credit);
    out.text(cut(welcome.name, kNameBytesMax));
}

Body take_welcome(ByteReader& in) {
    Welcome welcome;
    welcome.version = in.u16();
    welcome.state = static_cast<ReplicaState>(in.u16());
    welcome.capabilities = in.u32();
    in.into(welcome.cluster.bytes);
    in.into(welcome.group.bytes);
    in.into(welcome.node.bytes);
    welcome.end = take_position(in);
    in.into(welcome.end_chain.bytes);
    welcome.durable = Lsn(in.u64());
    welcome.applied = Lsn(in.u64());
    welcome.credit = in.u64();
    welcome.name = in.text(kNameBytesMax);
    return welcome;
}

void put(ByteWriter& out, const Refuse& refuse) {
    out.u16(static_cast<uint16_t>(refuse.code));
    out.text(cut(refuse.text, kTextBytesMax));
}

Body take_refuse(ByteReader& in) {
    Refuse refuse;
    refuse.code = static_cast<RefuseCode>(in.u16());
    refuse.text = in.text(kTextBytesMax);
    return refuse;
}

void put(ByteWriter& out, const Data& data) {
    out.u64(data.committed.value);
    out.raw(data.bytes);
}

Body take_data(ByteReader& in) {
    Data data;
    data.committed = Lsn(in.u64());
    data.bytes = in.raw(in.left());
    return data;
}

void put(ByteWriter& out, const Heartbeat& beat) {
    out.i64(beat.sent_unix_ns);
    put(out, beat.end);
    out.u64(beat.committed.value);
    out.u64(beat.log_bytes);
}

Body take_heartbeat(ByteReader& in) {
    Heartbeat beat;
    beat.sent_unix_ns = in.i64();
    beat.end = take_position(in);
    beat.committed = Lsn(in.u64());
    beat.log_bytes = in.u64();
    return beat;
}

void put(ByteWriter& out, const Ack& ack) {
    out.u64(ack.received.value);
    out.u64(ack.durable.value);
    out.u64(ack.applied.value);
    out.u64(ack.credit);
    out.i64(ack.echo_unix_ns);
}

Body take_ack(ByteReader& in) {
    Ack ack;
    ack.received = Lsn(in.u64());
    ack.durable = Lsn(in.u64());
    ack.applied = Lsn(in.u64());
    ack.credit = in.u64();
    ack.echo_unix_ns = in.i64();
    return ack;
}

void put(ByteWriter& out, const NeedSync& need) { out.text(cut(need.reason, kTextBytesMax)); }

Body take_need_sync(ByteReader& in) { return NeedSync{in.text(kTextBytesMax)}; }

void put(ByteWriter& out, const SyncBegin& begin) {
    put(out, begin.base);
    out.from(begin.base_chain.bytes);
    out.u32(begin.page_bytes);
    out.u32(begin.db_pages);
}

Body take_sync_begin(ByteReader& in) {
    SyncBegin begin;
    begin.base = take_position(in);
    in.into(begin.base_chain.bytes);
    begin.page_bytes = in.u32();
    begin.db_pages = in.u32();
    return begin;
}

void put(ByteWriter& out, const SyncAsk& ask) {
    out.u32(ask.ask);
    out.u32(ask.first);
    out.u32(ask.count);
    out.u32(static_cast<uint32_t>(ask.hashes.size()));
    for (const Hash128& hash : ask.hashes) out.from(hash.bytes);
}

Body take_sync_ask(ByteReader& in) {
    SyncAsk ask;
    ask.ask = in.u32();
    ask.first = in.u32();
    ask.count = in.u32();
    uint32_t hashes = in.u32();
    if (hashes > limits::kSyncAskPagesMax || in.left() != size_t{hashes} * 16) {
        in.raw(in.left() + 1);  // what is not there makes the reader fail: refused by the caller
        return ask;
    }
    ask.hashes.resize(hashes);
    for (Hash128& hash : ask.hashes) in.into(hash.bytes);
    return ask;
}

void put_sync_pages(ByteWriter& out, const SyncPages& pages) {
    out.u32(pages.ask);
    out.u32(pages.page_bytes);
    out.u32(static_cast<uint32_t>(pages.pages.size()));
    out.u32(0);
    for (uint32_t page : pages.pages) out.u32(page);
    if (pages.pages.size() % 2 != 0) out.u32(0);
    out.raw(pages.images);
}
void put(ByteWriter& out, const SyncPages& pages) { put_sync_pages(out, pages); }

Result<Body> take_sync_pages(ByteReader& in, bool last) {
    SyncPages pages;
    pages.last = last;
    pages.ask = in.u32();
    pages.page_bytes = in.u32();
    uint32_t count = in.u32();
    uint32_t reserved = in.u32();
    if (!in.ok() || reserved != 0 || !is_page_bytes(pages.page_bytes)) {
        return corrupt("sync_pages: bad page size or reserved field");
    }
    size_t images = size_t{count} * pages.page_bytes;
    if (images > limits::kBodyBytesMax || in.left() != padded(size_t{count} * 4) + images) {
        return corrupt("sync_pages: the page count does not fit the length");
    }
    pages.pages.resize(count);
    for (uint32_t& page : pages.pages) {
        page = in.u32();
        if (page == 0) return corrupt("sync_pages: page number 0");
    }
    if (count % 2 != 0 && in.u32() != 0) return corrupt("sync_pages: padding is not zero");
    pages.images = in.raw(images);
    return Body(std::move(pages));
}

void put(ByteWriter& out, const SyncEnd& end) {
    put(out, end.end);
    out.u32(end.db_pages);
    out.u32(0);
}

Body take_sync_end(ByteReader& in, bool& reserved_zero) {
    SyncEnd end;
    end.end = take_position(in);
    end.db_pages = in.u32();
    reserved_zero = in.u32() == 0;
    return end;
}

std::string take_json(ByteReader& in) {
    ByteView json = in.raw(in.left());
    return {reinterpret_cast<const char*>(json.data()), json.size()};
}

void put(ByteWriter&, const StatusAsk&) {}
void put(ByteWriter& out, const StatusText& status) {
    out.raw(view_of(std::string_view(status.json).substr(0, limits::kFrameBytesMax)));
}

Bytes take_rest(ByteReader& in) {
    ByteView rest = in.raw(in.left());
    return {rest.begin(), rest.end()};
}

void put(ByteWriter& out, const Join& join) {
    out.from(join.secret);
    out.from(join.node.bytes);
    out.raw(join.list);
}

Body take_join(ByteReader& in) {
    Join join;
    in.into(join.secret);
    in.into(join.node.bytes);
    join.list = take_rest(in);
    return join;
}

void put(ByteWriter& out, const Joined& joined) {
    out.from(joined.node.bytes);
    out.text(cut(joined.name, kNameBytesMax));
}

Body take_joined(ByteReader& in) {
    Joined joined;
    in.into(joined.node.bytes);
    joined.name = in.text(kNameBytesMax);
    return joined;
}

void put(ByteWriter& out, const MembersList& members) { out.raw(members.list); }
void put(ByteWriter& out, const MembersHave& have) { out.u64(have.version); }

void put(ByteWriter& out, const NewKey& announced) {
    out.from(announced.key.bytes);
    out.from(announced.by_old.bytes);
    out.from(announced.by_new.bytes);
}

Body take_new_key(ByteReader& in) {
    NewKey announced;
    in.into(announced.key.bytes);
    in.into(announced.by_old.bytes);
    in.into(announced.by_new.bytes);
    return announced;
}

Result<Body> take_body(const Envelope& envelope, ByteReader& in) {
    switch (envelope.type) {
        case MessageType::hello:
            return take_hello(in);
        case MessageType::welcome:
            return take_welcome(in);
        case MessageType::refuse:
            return take_refuse(in);
        case MessageType::data:
            return take_data(in);
        case MessageType::heartbeat:
            return take_heartbeat(in);
        case MessageType::ack:
            return take_ack(in);
        case MessageType::need_sync:
            return take_need_sync(in);
        case MessageType::sync_begin:
            return take_sync_begin(in);
        case MessageType::sync_ask:
            return take_sync_ask(in);
        case MessageType::sync_pages:
            return take_sync_pages(in, (envelope.flags & kSyncPagesLast) != 0);
        case MessageType::sync_end: {
            bool reserved_zero = false;
            Body body = take_sync_end(in, reserved_zero);
            if (in.ok() && !reserved_zero) return corrupt("sync_end: reserved field is not zero");
            return body;
        }
        case MessageType::status_ask:
            return Body(StatusAsk{});
        case MessageType::status:
            return Body(StatusText{take_json(in)});
        case MessageType::join:
            return take_join(in);
        case MessageType::joined:
            return take_joined(in);
        case MessageType::members:
            return Body(MembersList{take_rest(in)});
        case MessageType::members_have:
            return Body(MembersHave{in.u64()});
        case MessageType::new_key:
            return take_new_key(in);
        case MessageType::command:
            return Body(Command{take_json(in)});
        case MessageType::command_result:
            return Body(CommandResult{take_json(in)});
        case MessageType::history_ask:
            return Body(HistoryAsk{Lsn(in.u64())});
        case MessageType::history:
            return Body(take_history(in));
        case MessageType::roster:
            return Body(Roster{take_json(in)});
        case MessageType::vote:
            return Body(take_vote(in));
        case MessageType::voters:
            return Body(take_voters(in));
        case MessageType::voters_have:
            return Body(take_voters_have(in));
    }
    return corrupt("unknown message type");
}

// What the fields must satisfy beyond being there.
const char* why_invalid(const Body& body) {
    if (auto* hello = std::get_if<Hello>(&body)) {
        if (hello->version_min == 0 || hello->version_min > hello->version_max) {
            return "hello: the version range is empty";
        }
        // A database without pages has no page size yet.
        if (hello->page_bytes != 0 && !is_page_bytes(hello->page_bytes)) {
            return "hello: not a page size";
        }
    } else if (auto* welcome = std::get_if<Welcome>(&body)) {
        if (welcome->state < ReplicaState::empty || welcome->state > ReplicaState::needs_sync) {
            return "welcome: unknown state";
        }
    } else if (auto* refuse = std::get_if<Refuse>(&body)) {
        if (refuse->code < RefuseCode::version || refuse->code > kRefuseCodeLast) {
            return "refuse: unknown code";
        }
    } else if (auto* data = std::get_if<Data>(&body)) {
        if (data->bytes.empty()) return "data: empty chunk";
        if (data->bytes.size() > limits::kBodyBytesMax) return "data: chunk too long";
    } else if (auto* begin = std::get_if<SyncBegin>(&body)) {
        if (!is_page_bytes(begin->page_bytes)) return "sync_begin: not a page size";
    } else if (auto* ask = std::get_if<SyncAsk>(&body)) {
        if (ask->count > limits::kSyncAskPagesMax) return "sync_ask: too many pages";
        if (ask->hashes.size() > ask->count) return "sync_ask: more hashes than pages";
        if (ask->count != 0 && (ask->first == 0 || ask->first > UINT32_MAX - ask->count)) {
            return "sync_ask: page range out of bounds";
        }
    }
    return nullptr;
}

uint16_t flags_of(const Body& body) {
    auto* pages = std::get_if<SyncPages>(&body);
    return pages != nullptr && pages->last ? kSyncPagesLast : uint16_t{0};
}

void write_envelope(const Envelope& envelope, ByteView body, Bytes& out) {
    out.clear();
    out.reserve(kEnvelopeBytes);
    ByteWriter writer(out);
    writer.u32(kWireMagic);
    writer.u16(kWireVersion);
    writer.u16(kEnvelopeBytes);
    writer.u16(static_cast<uint16_t>(envelope.type));
    writer.u16(envelope.flags);
    writer.u32(envelope.stream);
    writer.u64(envelope.session);
    writer.u64(envelope.epoch.value);
    writer.u64(envelope.lsn.value);
    writer.u64(envelope.offset);
    writer.u32(static_cast<uint32_t>(body.size()));
    writer.u32(body.empty() ? 0 : static_cast<uint32_t>(hash64(body)));
    writer.u64(hash64(ByteView(out).first(kChecksummedBytes)));
}

}  // namespace

Result<Envelope> decode_envelope(ByteView frame) {
    if (frame.size() != kEnvelopeBytes) {
        return corrupt("envelope of " + std::to_string(frame.size()) + " bytes, 64 expected");
    }
    ByteReader in(frame);
    if (in.u32() != kWireMagic) return corrupt("not a Tanist message");
    // Before the checksum: where it lies may differ in another version.
    uint16_t version = in.u16();
    if (version != kWireVersion) {
        return Error{Errc::version, "the message is of protocol version " +
                                        std::to_string(version) + ", this program speaks version " +
                                        std::to_string(kWireVersion)};
    }
    if (in.u16() != kEnvelopeBytes) return corrupt("envelope: wrong header length");
    Envelope envelope;
    uint16_t type = in.u16();
    envelope.flags = in.u16();
    envelope.stream = in.u32();
    envelope.session = in.u64();
    envelope.epoch = Epoch(in.u64());
    envelope.lsn = Lsn(in.u64());
    envelope.offset = in.u64();
    envelope.body_bytes = in.u32();
    envelope.body_hash = in.u32();
    if (in.u64() != hash64(frame.first(kChecksummedBytes))) {
        return corrupt("envelope: wrong checksum");
    }
    if (type < static_cast<uint16_t>(MessageType::hello) ||
        type > static_cast<uint16_t>(kMessageTypeLast)) {
        return corrupt("unknown message type " + std::to_string(type));
    }
    envelope.type = static_cast<MessageType>(type);
    if ((envelope.flags & ~flags_known(envelope.type)) != 0) {
        return corrupt(std::string(to_string(envelope.type)) + ": unknown flags");
    }
    if (envelope.stream != 0) return corrupt("envelope: unknown stream");
    if (envelope.body_bytes > body_bytes_max(envelope.type)) {
        return corrupt(std::string(to_string(envelope.type)) + ": body too long");
    }
    if (envelope.body_bytes == 0 && envelope.body_hash != 0) {
        return corrupt("envelope: hash of no body");
    }
    return envelope;
}

Result<Body> decode_body(const Envelope& envelope, ByteView frame) {
    std::string name = to_string(envelope.type);
    if (frame.size() != envelope.body_bytes) {
        return corrupt(name + ": body of " + std::to_string(frame.size()) +
                       " bytes, the envelope says " + std::to_string(envelope.body_bytes));
    }
    if (frame.size() > body_bytes_max(envelope.type)) return corrupt(name + ": body too long");
    if (!frame.empty() && static_cast<uint32_t>(hash64(frame)) != envelope.body_hash) {
        return corrupt(name + ": wrong body hash");
    }
    ByteReader in(frame);
    Result<Body> body = take_body(envelope, in);
    if (!body.ok()) return body;
    if (!in.ok()) return corrupt(name + ": body too short");
    if (in.left() != 0) return corrupt(name + ": bytes after the body");
    if (const char* why = why_invalid(*body)) return corrupt(why);
    return body;
}

void encode(const Message& message, Bytes& envelope_out, Bytes& body_out) {
    body_out.clear();
    ByteWriter writer(body_out);
    std::visit([&](const auto& body) { put(writer, body); }, message.body);
    Envelope envelope = message.envelope;
    envelope.type = type_of(message.body);
    // A chunk's flags are not derivable from the chunk; every other flag is.
    envelope.flags = envelope.type == MessageType::data
                         ? message.envelope.flags & flags_known(MessageType::data)
                         : flags_of(message.body);
    write_envelope(envelope, body_out, envelope_out);
}

Bytes encode_data(const Envelope& envelope, Lsn committed, bool last, Bytes& body) {
    for (size_t i = 0; i < kDataPrefixBytes; ++i) {
        body[i] = static_cast<uint8_t>(committed.value >> (8 * i));
    }
    Envelope header = envelope;
    header.type = MessageType::data;
    header.flags = (envelope.flags & kDataReceiptWanted) | (last ? kDataLast : 0);
    Bytes out;
    write_envelope(header, body, out);
    return out;
}

void encode_sync_pages(const Envelope& envelope, const SyncPages& pages, Bytes& envelope_out,
                       Bytes& body_out) {
    body_out.clear();
    body_out.reserve(16 + padded(pages.pages.size() * 4) + pages.images.size());
    ByteWriter writer(body_out);
    put_sync_pages(writer, pages);
    Envelope header = envelope;
    header.type = MessageType::sync_pages;
    header.flags = pages.last ? kSyncPagesLast : uint16_t{0};
    write_envelope(header, body_out, envelope_out);
}

MessageType type_of(const Body& body) {
    // The variant's order is the order of the wire numbers.
    static_assert(std::is_same_v<std::variant_alternative_t<0, Body>, Hello>);
    static_assert(std::is_same_v<std::variant_alternative_t<12, Body>, StatusText>);
    static_assert(std::is_same_v<std::variant_alternative_t<17, Body>, NewKey>);
    static_assert(std::is_same_v<std::variant_alternative_t<25, Body>, VotersHave>);
    return static_cast<MessageType>(body.index() + 1);
}

const char* to_string(MessageType type) {
    static constexpr const char* kNames[] = {
        "?",          "hello",     "welcome",        "refuse",      "data",       "heartbeat",
        "ack",        "need_sync", "sync_begin",     "sync_ask",    "sync_pages", "sync_end",
        "status_ask", "status",    "join",           "joined",      "members",    "members_have",
        "new_key",    "command",   "command_result", "history_ask", "history",    "roster",
        "vote",       "voters",    "voters_have"};
    auto number = static_cast<size_t>(type);
    return number < std::size(kNames) ? kNames[number] : "?";
}

const char* to_string(RefuseCode code) {
    static constexpr const char* kNames[] = {"?",
                                             "no common protocol version",
                                             "another cluster",
                                             "another group",
                                             "stale epoch",
                                             "not a replica",
                                             "superseded",
                                             "diverged",
                                             "storage",
                                             "protocol error",
                                             "shutting down",
                                             "unknown session",
                                             "not allowed",
                                             "invitation"};
    auto number = static_cast<size_t>(code);
    return number < std::size(kNames) ? kNames[number] : "?";
}

}  // namespace tanist
