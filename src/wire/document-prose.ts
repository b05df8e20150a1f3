/**
 * The prose of docs/protocol.md: the layers below the messages, and the rules that no field list can say. What is in
 * src/wire/schema.ts, packets.ts and frame.ts is not repeated here: src/wire/document.ts prints it.
 */

export const INTRODUCTION = `
This page is everything that another implementation needs to speak with peerfs: it is made from the source (\`node
scripts/protocol-document\`), and a test fails when the two differ. Version 1 is the only one so far. Once released,
tags and the order of fields never change: fields are added at the end with a default, messages get new tags.

From the bottom up:

| layer | over UDP | over TCP |
| --- | --- | --- |
| handshake | one datagram each way | the first bytes each way |
| sealing | sealed datagrams | sealed frames of hidden length |
| reliability | KCP, two conversations | TCP itself |
| channel | frames: requests, replies, pushes | the same |

Every byte that leaves a node looks uniformly random to whoever does not know the receiver's public key, and whatever
does not authenticate gets no answer at all.
`;

export const CONVENTIONS = `
- Integers are little-endian. \`u8 u16 u32 u64\` are unsigned, \`i64\` is two's complement. A \`u64\` above 2^53 - 1, and an
  \`i64\` whose magnitude is above that, are malformed. \`id64\` is 64 opaque bits.
- \`bool\` is one byte, 0 or 1.
- \`bytes[n]\` is exactly n bytes. \`bytes ≤ n\` is a u32 length and that many bytes.
- \`name ≤ n\` is a u16 length and 1 to n bytes: no \`/\`, no NUL, not \`.\` or \`..\`. Names are bytes, in no particular
  encoding. Where it says "or empty" the length may be 0; where it says "opaque" only NUL is forbidden.
- \`path ≤ n\` is a u16 length and names joined by single slashes, relative to the root of a share; the root is empty.
- \`text ≤ n\` is a u16 length in bytes and UTF-8.
- \`list of S ≤ n\` is a u32 count, and each element as a u16 length and that many bytes of struct S.
- \`struct S\` is a u16 length and that many bytes of struct S.
- Fields follow each other in the order given, without padding. A body or struct may be longer than the fields known:
  the rest comes from a newer peer and is skipped. It may end before fields that have a default: an older peer's.
- A decoder checks every length against the bytes at hand before it allocates, and values against the limits given.
- \`hash(n, key, ...)\` is BLAKE2b of n bytes, keyed. \`derive(key, label, n, rest)\` is \`hash(n, key, "peerfs 1 " label, NUL,
  rest)\`, 32 bytes where n is not given. \`A ‖ B\` is A followed by B.
`;

export const IDENTITY = `
A node has one Ed25519 key pair; its X25519 key pair follows from it (the birational map, as libsodium's
crypto_sign_ed25519_pk_to_curve25519 does). The peer id is the Ed25519 public key in lower-case base32 (RFC 4648) without
padding. Two nodes that know each other keep a **pair secret** of 32 bytes:

    derive(token, "pair secret", X25519(own secret, other's public) ‖ lesser Ed25519 key ‖ greater Ed25519 key)

where token is the 16 bytes of the invitation that brought them together and the keys are ordered as byte strings.
`;

export const INVITATION = `
\`peerfs-invite-1:\` and, in base64url without padding,

    salt 16 | nonce 24 | sealed | checksum 8

- \`sealed\` is XChaCha20-Poly1305 without additional data of \`length u16 | content | zeros\` up to a multiple of 64 bytes.
  The content is an Invitation (see Structs).
- The key is Argon2id 1.3 of the code and the salt: 3 passes, 64 MiB, 1 lane, 32 bytes.
- The code is six words of the EFF's large list of 7,776, in lower case, joined by "-": 77.5 bits.
- \`checksum\` is the first 8 bytes of BLAKE2b-128 of \`peerfs-invite-1:\` and all the bytes before it. It tells damage from a
  wrong code before any work is done. White space in the text does not count.
`;

export const HANDSHAKE = `
Noise_IKpsk1_25519_ChaChaPoly_BLAKE2b, revision 34 of the Noise framework, with the prologue \`peerfs handshake 1\`:

    <- s
    -> e, es, s, ss, psk
    <- e, ee, se

The psk is \`hash(32, "peerfs 1 psk", secret)\`, where secret is the pair secret, or at first contact the invitation's token. Because
psk is mixed into message 1, message 1 proves it: a responder that knows the key \`s\` tries that peer's pair secret, else
the tokens of its open invitations.

Both messages travel in a **disguise**, at most 1,200 bytes in all, the same over UDP and TCP:

    nonce 24 | (total length u16), sealed, 18 | (message length u16 | message | zeros), sealed, the rest

XChaCha20-Poly1305 without additional data; the nonce of the second part is that of the first with the lowest bit of its
last byte flipped. The total length is random between what the message needs and 1,200. The key for message 1 is \`derive(responder's
X25519 public key, "disguise")\`. The Noise payload of message 1 begins with 32 random bytes, which are the key of message 2's
disguise; a HandshakeRequest follows. The Noise payload of message 2 is a HandshakeAnswer alone.

Over UDP a message is one datagram. Over TCP it is the first bytes of each direction; its length is told by the 42 bytes
in front. Whoever cannot open message 1 says nothing.

- Message 1 carries a time stamp: milliseconds of the initiator's clock, or one more than the last it used towards this
  peer, whichever is more. The responder keeps the highest it has accepted from each peer; what is not above it is a replay
  and gets silence. A retry is a new message.
- A session that message 1 began is provisional at the responder until something under it opens.
- An invitation's token is burned once message 1 has opened under it. The same key may complete again, for the answer may
  have been lost. Whoever proves a token that is used, revoked or expired is told so in message 2.

Split() gives a secret for each direction, from which the keys below are derived. A new handshake is made after 2 minutes
of use or 2^32 messages, inside the session that it replaces.
`;

export const DATAGRAM = `
Every datagram of a session is sealed:

    index u32, masked | counter u64, masked | ChaCha20-Poly1305 (RFC 8439) of the packet | tag 16

- The key is \`derive(direction's secret, "datagram")\`, the nonce four zero bytes and the counter, no additional data.
- The index is one that the receiver chose and told in the handshake. It is combined by exclusive or with the first 4 bytes of
  SipHash-2-4(key, tag), key = \`derive(receiver's X25519 public key, "datagram index", 16)\`.
- The counter begins at 0 and never repeats. It is combined by exclusive or with the 8 bytes of SipHash-2-4(key, tag), key =
  \`derive(direction's secret, "datagram counter", 16)\`. The receiver keeps a window of at least 2,048 counters and drops what it
  has seen, or what is below the window.
- Behind the bodies of ping, pong, challenge, response, close and mtuAnswer come 0 to 63 bytes that mean nothing, so that
  their lengths tell nothing.
- After new keys the side that began the handshake seals under them at once, the other when a datagram under them has
  opened. Former keys open late datagrams for up to 30 seconds.
`;

export const KCP = `
Each lane of frames is one KCP conversation: 1 for lane 0, 2 for lane 1, each a stream of bytes (\`frg\` is always 0) in which a
frame stands after its length as u32. A segment has the header of the reference implementation:

| offset | field | meaning |
| --- | --- | --- |
| 0 | conv u32 | the conversation, 1 or 2 |
| 4 | cmd u8 | 81 push, 82 acknowledge, 83 ask for the window, 84 tell the window |
| 5 | frg u8 | 0 |
| 6 | wnd u16 | segments that the sender of this has room for, from una on |
| 8 | ts u32 | its clock, milliseconds; an acknowledgement returns that of the push it answers |
| 12 | sn u32 | number of the push, or of the push that is acknowledged |
| 16 | una u32 | every push below this number has arrived at the sender of this |
| 20 | len u32 | length of the data that follow |

Numbers and clocks wrap around. How fast to send is the sender's own affair.

The data of an acknowledgement, which the reference implementation skips, tell what has arrived beyond una: runs of
(skip u16, count u16), \`count\` pushes that are there after \`skip\` that are missing, counted from una and then from the end of
the run before. All runs are told each time, at most 128.
`;

export const STREAM = `
After the handshake each direction of a TCP connection is a run of sealed packets:

    (length u32), sealed, 20 | packet, sealed, length + 16

ChaCha20-Poly1305 (RFC 8439) without additional data under \`derive(direction's secret, "stream")\`. The nonce is a domain as u32,
0 for the length and 1 for the packet, and the number of the packet in its direction as u64, from 0. \`length\` is that of the
packet before sealing, at most one more than the longest frame. A packet that does not open, or is too long, ends the
connection. A packet is a type byte and a body:

| type | body |
| --- | --- |
| 0, 1 | a frame of that lane |
| 2 | ping, no body; answered by a pong |
| 3 | pong, no body |
| 4 | close, no body |
| 5 | message 1 of a handshake for new keys, from the side that began the connection |
| 6 | message 2 of it; what the responder sends after it is sealed under the new keys |
| 7 | switch, no body: what the initiator sends after it is sealed under the new keys |

New keys begin with packet number 0 in each direction.
`;

export const LAN = `
A node that may be found says so in datagrams to the multicast group 239.80.70.83, port 43781, each of 1,080 bytes:

    nonce 24 | 12 times: hint 8 | box 64, sealed, 80

A box is XChaCha20-Poly1305 with the datagram's nonce under \`derive(secret, "hello", 32, sender's Ed25519 public key)\`, where secret is
the pair secret, or the token of an open invitation. Its hint is the first 8 bytes of \`derive(that key, "hello hint", 16, nonce)\`: a
receiver computes the hint of each key it knows and looks it up. Places that are not used hold random bytes, and the
order is random. A box holds a LanHello and zeros. Whoever opens one dials; there is no other answer.
`;

export const MEETING = `
Two nodes that share a secret (the pair secret, or an invitation's token) and have no path leave Signals for each other at places
that others keep. There is one place for each side and hour; side 0 is the node with the lower id (as text), or
the invitation's creator, side 1 the other; hours count from the Unix epoch, both integers here are big-endian:

    root = derive(secret, "meeting", 32, side u8 | hour u64)
    Ed25519 key pair from the seed derive(root, "meeting signature", 32)
    seal key = derive(root, "meeting seal", 32)
    place = BLAKE2b-256("peerfs 1 place", NUL, public key)

A Signal is sealed as \`nonce 24 | box\`, 942 bytes whatever it says: the box is XChaCha20-Poly1305 of its length (u16, big-endian), the
Signal, and zeros up to 902 bytes, under the seal key. A node leaves it at its own place of the present hour, and again at the turn of
the hour; it looks at the other side's places of the present hour and both neighbours. What cannot be opened or is older than what was
heard is ignored. There are two kinds of keepers:

- **The BitTorrent mainline DHT**: a mutable item (BEP 44) without salt under the place's public key, whose value is the sealed Signal and
  whose sequence number is the sender's clock in milliseconds, rising.
- **A peer in common**, by \`leaveSignal\`, \`watchSignals\` and \`signalLeft\`: a LeftSignal at the place. A node uses all its peers who
  are online, but the one whom it looks for; where there are more than 8, the 8 for whom the first 6 bytes (big-endian) of
  \`derive(secret, "meeting helper", 32, the helper's id)\` are lowest, so that both choose the same.
`;

export const CHANNEL = `
A path carries frames whole, in order within a lane, once, as long as it lives. A frame above 8 KiB rides lane 1, all
others lane 0, so that small calls never wait behind file contents. Over TCP the lanes share one stream.

**Hello.** The first frame of each side on lane 0 of each path is \`hello\`. Frames of lane 1 that overtake it wait for it.
Anything else first ends the path. Both sides use the lower of the two versions.

**Calls.** Either side may call; the caller numbers its calls from 1 upwards and never uses a number twice within one boot,
whatever the path. A call is answered by one \`reply\` or \`failure\` with the same tag and number, on the path on which the request came
last, or on any other if that has ended. At most 1,024 calls of a peer are in flight; more may be answered with OVERLOADED. A tag that is
not known is answered with UNSUPPORTED, a body that is malformed with PROTOCOL. Pushes and kinds of frame that are not known are ignored;
a frame whose header is malformed ends its path.

**Exactly once.** When a path ends, or does not answer while another does, the caller sends what was not answered again, under the
same numbers, on another path.
The answering side does not start a call that is running, or that was acknowledged. The reply of a call that is not
idempotent is kept until it is acknowledged and sent again, without its payload, when the call comes again. Calls that are
idempotent may run again. \`acknowledge\` names a run of numbers that have all been answered; it is sent at least every 256
replies of calls that are not idempotent, or every second.

**Another boot.** \`bootId\` in hello is new at each start of a node. When it differs from that of the last path, the other side has
forgotten everything: handles, locks, leases, replies. The caller sends again only calls that are idempotent and name no
handle; the others fail (ESTALE, or OUTCOME_UNKNOWN in the caller's own books). The answering side aborts what still runs.

**Overtaken.** Once the leases of a client have ended and no path leads to it, the server answers \`write\` with EBADF, and gives up
the handle, if somebody else has changed the file's contents since. The client opens the file again; the size and mtime of the
reply, held against those of its last \`write\`, say whether what it still had to write may go on.

**Cancel.** A caller that no longer waits sends \`cancel\`. It is answered all the same: with the reply if the call was done, with
the failure CANCELLED if it was not seen or could be stopped. A request that comes after its cancel does not run.

**Patience.** There is no limit on the length of a call. While a call takes long, the answering side sends \`working\` every 5 seconds,
for at most 10 minutes. A caller gives up after 15 seconds in which nothing moved, 60 on a path by Tor.

**Goodbye.** \`goodbye\` says that the peer is offline from now on, or (reason 2) that this path ends.

**Leases.** A reply whose \`leaseMs\` is not 0 lets the caller keep what it read (names in a directory and their attributes, attributes or
contents of a file) for so many milliseconds from the moment it *sent* the request; any later call renews it. Before the server lets
another change what a lease covers, it sends \`recall\` and waits for the reply or for the lease to end. The caller's reply means that it has
forgotten. \`change\` counts the changes of a share: a reply whose number is below that of a recall already seen may be used but not kept.
Handles and locks live as long as the lease of their peer. All leases of a caller last as long as the reply to the newest of its
calls with a \`leaseMs\` says. When that is shorter than before, the caller calls \`renewLeases\` three times, each after the answer of
the one before; if one of them fails, it forgets all it has under leases. Until the third the server waits for the longer time.
`;

export const LISTING = `
A page of a directory is one record for each entry, without \`.\` and \`..\`, in the order of the directory:

    mask u16 | name length u8 | name | cursor | inode | fields that the mask names, lowest bit first

A \`number\` is seven bits a byte, the lowest first; a byte with its highest bit set is followed by another; at most 8 bytes and 2^53 - 1.
A \`difference\` d to the record before is a number: 2d if it is not negative, else -2d - 1. A field that the mask does not name is as in
the record before. Fields are those of Attributes.

| bit | field |
| --- | --- |
| 0 | device, u64 |
| 1, 2, 3, 4 | mode, nlink, uid, gid: numbers |
| 5, 6, 7 | size, blocks, blksize: numbers |
| 8, 9, 10, 11 | times of access, change of contents, change of the inode, birth: difference of the seconds, nanoseconds u32 |
| 12 | flags: number |
| 13 | inode is a u64; without this bit the difference of the lower 32 bits, the upper as before |
| 14 | the same for the cursor |
| 15 | the record before counts as zeros in all fields; so it is in the first |

The cursor says where the listing goes on after this entry. Seconds are within 2^50 of the epoch.
`;
