/** Deliberate bugs, each as a replacement of source text, with the checkers that have to find it. */

export interface Mutation {
  readonly name: string;
  readonly edits: readonly { readonly file: string; readonly text: string; readonly replacement: string }[];
  /** Seeds of the simulator within which it has to be found; 0: the simulator reaches it too rarely, others have to. */
  readonly seeds: number;
  /** Or the scope of the exhaustive search that has to find it. */
  readonly scope?: string;
  /** Or tests of the suite: after the simulator, if that does not find it in so many seeds. */
  readonly tests?: readonly string[];
}

const SYNC_TESTS = ["test/property/convergence.test.ts", "test/unit/sync/replicator.test.ts"];

const STORAGE_TESTS = [
  "test/crash/every-disk-call.test.ts",
  "test/crash/every-replica-call.test.ts",
  "test/unit/storage",
];

const EPHEMERAL_TESTS = ["test/property/ephemeral.test.ts", "test/unit/sync/ephemeral.test.ts"];

const SUPPLY_TESTS = [
  "test/unit/sync/supply.test.ts",
  "test/unit/sync/suppliers.test.ts",
  "test/unit/replica/trees.test.ts",
];

const SETTLER_TESTS = ["test/unit/sync/settler.test.ts"];

function edit(
  name: string,
  seeds: number,
  file: string,
  text: string,
  replacement: string,
  tests?: readonly string[],
): Mutation {
  return { name, seeds, edits: [{ file, text, replacement }], ...(tests === undefined ? {} : { tests }) };
}

export const MUTATIONS: readonly Mutation[] = [
  edit(
    "peers and watchers hear of a write before the log has it",
    300,
    "src/driver.ts",
    "await log?.append(ready.ops, ready.lsn);",
    "const appending = log?.append(ready.ops, ready.lsn); this.#settle(ready, undefined); await appending; continue;",
  ),
  edit(
    "last write wins without the nodeId",
    2000,
    "src/core/lww.ts",
    "return compareOrigins(a.origin, b.origin) || a.seq - b.seq;",
    "return a.seq - b.seq;",
  ),
  edit(
    "of two writes of one stamp the one that arrives last wins",
    2000,
    "src/core/core-state.ts",
    "if (entry.stamp !== stamp) return entry.stamp > stamp;",
    "return entry.stamp >= stamp;",
  ),
  edit(
    "the claim that ends a catch-up does not wait for what memory holds beyond the disk",
    3000,
    "src/sync/claims.ts",
    "this.#cutFrom = lsn;\n    if (durable.lsn >= this.#cutFrom) this.#cutWhole(durable);",
    "this.#cutWhole(durable);",
  ),
  edit(
    "coverage is adopted although an entry was refused",
    1000,
    "src/sync/inbound.ts",
    "if (this.isRefusing || this.isStale) return [];",
    "if (this.isStale) return [];",
  ),
  edit(
    "marks do not wait for writes that wait for their author",
    1000,
    "src/sync/claims.ts",
    "cut !== undefined && cut.lsn < limit;",
    "cut !== undefined && limit > 0;",
  ),
  edit(
    "a run is adopted across a gap",
    0,
    "src/sync/inbound.ts",
    "this.#runTo > 0 && this.#runFrom <= reached",
    "this.#runTo > 0",
  ),
  edit(
    "a session that falls back skips the record that did not fit",
    0,
    "src/sync/outbound.ts",
    "this.#fallBack(ready.lsn);",
    "this.#fallBack(durable.lsn);",
  ),
  edit(
    "hello claims what is not durable yet",
    0,
    "src/sync/announcements.ts",
    "vector: [...session.told],",
    "vector: [...state.covered],",
  ),
  edit(
    "hello adds to what was believed of a peer, instead of replacing it",
    500,
    "src/sync/outbound.ts",
    "this.#acked = new VersionVector(covered);",
    "this.#acked = new VersionVector([...covered, ...(state.acked.get(nodeIdOf(peer)) ?? [])]);",
  ),
  edit(
    "the order of frames is not looked at",
    500,
    "src/sync/sessions.ts",
    "if (frame !== session.framesReceived + 1) {",
    "if (frame < 0) {",
  ),
  {
    name: "each write of a batch is a unit of its own, and each unit a record",
    seeds: 1000,
    edits: [
      {
        file: "src/sync/state-writer.ts",
        text: "    this.#author(entries, now);\n    return entries;",
        replacement: "    for (const entry of entries) this.#author([entry], now);\n    return entries;",
      },
      {
        file: "src/sync/pending.ts",
        text: "if (record !== undefined && hasRoom(record, unit, bytes)) join(record, unit);",
        replacement: "if (record !== undefined && bytes < 0) join(record, unit);",
      },
    ],
  },
  edit(
    "a batch is split where an older version of one of its keys is due first",
    3000,
    "src/sync/waiting.ts",
    "if (newest !== undefined && newest !== write) going",
    "if (newest !== undefined && newest === write) going",
  ),
  edit(
    "the clock takes no note of the stamps of others",
    500,
    "src/sync/state-writer.ts",
    "this.#clock.observe(entry.stamp);",
    "",
  ),
  edit(
    "the clock begins at zero after a restart",
    1000,
    "src/sync/state-writer.ts",
    "new HybridLogicalClock(Math.max(state.lease, state.highestStamp))",
    "new HybridLogicalClock(0)",
  ),
  edit(
    "an unclean stop keeps its epoch, and numbers are issued again",
    1000,
    "src/storage/open.ts",
    'const why = pending ?? (end.closed ? null : "unclean");',
    "const why = pending;",
  ),
  edit(
    "a copied directory keeps its epoch",
    2000,
    "src/storage/open.ts",
    'identity.pending ?? (isCopy ? "copied" : null)',
    "identity.pending",
  ),
  edit(
    "a replica that was rolled back goes on under its numbers",
    2000,
    "src/sync/handshake.ts",
    "if (!isPlausible(hello.vector, makeOrigin(own.nodeId, own.epoch), own.unsentSeq)) {",
    "if (hello.vector.length < 0) {",
  ),
  edit(
    "a replica that was rolled back covers what others have under its new numbers",
    2000,
    "src/core/core-state.ts",
    "if (this.covered.get(op.origin) > op.seq) this.covered.replace(op.origin, op.seq);",
    "",
    ["test/unit/replica/waiting.test.ts"],
  ),
  edit(
    "a write of a rolled back replica counts as held by who has another one of its number",
    0,
    "src/peers/peer-waits.ts",
    "const write = origin === state.origin ?",
    "const write = origin !== undefined ?",
    ["test/unit/replica/waiting.test.ts"],
  ),
  edit(
    "all that waited for a record are answered in one turn",
    0,
    "src/commit-waits.ts",
    "const atMost = Math.min(this.#waits.length, ANSWERS_A_TURN);",
    "const atMost = this.#waits.length;",
    ["test/unit/driver.test.ts"],
  ),
  edit(
    "what is durable and not answered yet is rejected when the disk fails",
    0,
    "src/commit-waits.ts",
    "if (wait.lsn <= durable) wait.answer();",
    "if (wait.lsn < 0) wait.answer();",
    ["test/unit/driver.test.ts"],
  ),
  edit(
    "calls that wait for peers are looked at behind one that is to be answered first",
    0,
    "src/peers/waits.ts",
    "if (!wait.isMet()) break;",
    "if (!wait.isMet()) continue;",
    ["test/unit/peers/waits.test.ts"],
  ),
  edit(
    "what a record covered is claimed although its origin was given up meanwhile",
    0,
    "src/sync/pending.ts",
    "if (pair[0] === origin && pair[1] > seq) pair[1] = seq;",
    "void pair;",
    ["test/unit/sync/given-up-origin.test.ts"],
  ),
  edit(
    "a catch-up goes on at its cursor for a peer that has given up what it covered",
    0,
    "src/sync/sender.ts",
    "unfinished?.incarnation === incarnation && unfinished.origin === origin",
    "unfinished?.incarnation === incarnation",
    ["test/unit/sync/given-up-origin.test.ts"],
  ),
  edit(
    'nothing is synced in mode "always"',
    300,
    "src/storage/store.ts",
    'if (durability === "always" || issues) await wal.sync();',
    "if (issues) await wal.sync();",
  ),
  edit(
    "a failed sync counts as done",
    3000,
    "src/storage/wal.ts",
    "await this.#segment.file.sync();\n    } catch (error) {\n      throw this.#fail(error);\n    } finally",
    "await this.#segment.file.sync();\n    } catch {\n    } finally",
  ),
  edit(
    "a new segment is written to before its directory is synced",
    0,
    "src/storage/wal.ts",
    "await file.sync();\n    await disk.syncDirectory(directory);",
    "await file.sync();",
  ),
  edit(
    "what was recovered from the page cache is served without being written anew",
    3000,
    "src/storage/repair.ts",
    "if (!isTrusted(end)) await copyTo",
    "if (end.position.offset < 0) await copyTo",
  ),
  edit(
    "the checksum of records is not compared",
    500,
    "src/storage/scan.ts",
    "bad = recordCrc(bytes.subarray(at, end), seed) !== header.crc;",
    "bad = false;",
  ),
  edit(
    "a snapshot forgets the lease",
    0,
    "src/storage/snapshot-writer.ts",
    '[{ type: "lease", stamp: state.lease }]',
    '[{ type: "lease", stamp: 0 }]',
  ),
  edit(
    "a snapshot forgets the coverage",
    1000,
    "src/storage/snapshot-writer.ts",
    'ops.push({ type: "cover", origin, seq });',
    "ops.push();",
  ),
  edit(
    "a write counts as held by one member more",
    1000,
    "src/sync/sender.ts",
    "let count = durable.coverage.covers(origin, seq) ? 1 : 0;",
    "let count = durable.coverage.covers(origin, seq) ? 2 : 1;",
  ),
  edit(
    "of a record only the first change is told to watchers",
    300,
    "src/driver.ts",
    "this.#options.publish(ready.changes);",
    "this.#options.publish(ready.changes.slice(0, 1));",
  ),
  edit(
    "a silent peer is never given up",
    1000,
    "src/sync/replicator.ts",
    "const SILENT_TICKS = 15_000 / TICK_MS;",
    "const SILENT_TICKS = Number.POSITIVE_INFINITY;",
  ),
  edit(
    "expired entries stay",
    1000,
    "src/sync/replicator.ts",
    "if (!this.#writer.hasExpired) this.#writer.expire(now);",
    "",
  ),
  edit(
    "what waits for its author is sent only when the author goes",
    0,
    "src/sync/waiting.ts",
    "const isDue = write.dueTick <= tick || !authors",
    "const isDue = !authors",
  ),
  edit(
    "a covered entry is looked at again",
    0,
    "src/sync/state-writer.ts",
    "const isCovered = this.#state.covered.covers(entry.origin, entry.seq);",
    "const isCovered = false;",
  ),
  edit(
    "a tombstone is collected although a session has still to send it",
    0,
    "src/sync/collector.ts",
    "return [...this.#host.sessions()].every(hasSeen);",
    "return hasSeen !== undefined;",
    SETTLER_TESTS,
  ),
  edit(
    "one round is enough to collect",
    0,
    "src/sync/collection.ts",
    "return before !== undefined && this.#low.dominates(before.high) ? before.low : undefined;",
    "return before === undefined ? this.#low : this.#low;",
    ["test/unit/sync/collection.test.ts"],
  ),
  edit(
    "who comes back from beyond the frontier does not settle first",
    3000,
    "src/sync/settler.ts",
    "} else if (!peer.inbound.isStale) {",
    "} else if (peer.inbound.isStale) {",
  ),
  edit(
    "a listing that is older than a write judges it dead",
    1500,
    "src/sync/settling.ts",
    "if (table.lsnAt(slot) > this.#askedAt) continue;",
    "if (table.lsnAt(slot) > this.#state.lsn) continue;",
    SETTLER_TESTS,
  ),
  edit(
    "a resumed catch-up claims what lies behind writes that waited",
    0,
    "src/sync/outbound.ts",
    'return this.#phase === "catching-up" && !this.#hasFallenBack ? this.#keptCursor : 0;',
    'return this.#phase === "catching-up" ? this.#cursor : 0;',
    SETTLER_TESTS,
  ),
  edit(
    "a frontier is told after the claims that rest on it",
    1500,
    "src/sync/replicator.ts",
    "    this.#announcements.grownFrontier();\n    this.#sender",
    "    queueMicrotask(() => this.#announcements.grownFrontier());\n    this.#sender",
    SETTLER_TESTS,
  ),
  edit(
    "an answer comes before the acknowledgement of what it rests on",
    0,
    "src/sync/settler.ts",
    "    this.#host.acknowledge(session);\n    this.#host.send(session, answer(",
    "    this.#host.send(session, answer(",
    SETTLER_TESTS,
  ),
  edit(
    "a clock far ahead decides which entries have expired for everybody",
    0,
    "src/sync/collector.ts",
    "const slowest = now + Math.min(0, ...Array.from(this.#host.sessions(), ({ peer }) => peer?.clockOffsetMs ?? 0));",
    "const slowest = now;",
    SETTLER_TESTS,
  ),
  {
    name: "a busy key is sent again by every relay",
    seeds: 0,
    tests: ["test/unit/replica/topologies.test.ts", "test/unit/sync/replicator.test.ts"],
    edits: [
      {
        file: "src/sync/waiting.ts",
        text: "      if (!acked.covers(write.origin, write.seq)) return;\n      this.#drop(write);",
        replacement: "      if (acked.size >= 0) return;\n      this.#drop(write);",
      },
      {
        file: "src/sync/waiting.ts",
        text: "if (acked.covers(write.origin, write.seq)) this.#drop(write);",
        replacement: "if (tick < 0) this.#drop(write);",
      },
    ],
  },
  edit(
    "what has been seen expired comes back when the wall clock is set back",
    0,
    "src/sync/state-writer.ts",
    "this.#expiredAt = Math.max(this.#expiredAt, this.#clock.now(wallClock));",
    "this.#expiredAt = this.#clock.now(wallClock);",
    ["test/sim/regressions.test.ts"],
  ),
  edit(
    "an ephemeral entry outlives its lease",
    0,
    "src/sync/ephemeral-sets.ts",
    "return (tick - heardTick) * this.#tickMs > leaseMs;",
    "return heardTick > tick && leaseMs < 0;",
    EPHEMERAL_TESTS,
  ),
  edit(
    "each relay begins the lease of a process anew",
    0,
    "src/sync/ephemeral-sets.ts",
    "const heardTick = tick - Math.ceil(news.ageMs / this.#tickMs);",
    "const heardTick = tick;",
    EPHEMERAL_TESTS,
  ),
  edit(
    "a goodbye is not passed on",
    0,
    "src/sync/ephemeral-exchange.ts",
    "if (!this.sets.close(nodeId, incarnation)) return;",
    "if (!this.sets.close(nodeId, incarnation) || tick >= 0) return;",
    EPHEMERAL_TESTS,
  ),
  edit(
    "the entries of a former process take the place of those of the one that lives",
    0,
    "src/sync/ephemeral-sets.ts",
    'if (held !== undefined && compareAuthors(news, held.author) <= 0) return "old";',
    'if (held !== undefined && isSameProcess(news, held.author) && compareAuthors(news, held.author) <= 0) return "old";',
    EPHEMERAL_TESTS,
  ),
  edit(
    "who was lost comes back with a sign of life that was heard before",
    0,
    "src/sync/ephemeral-sets.ts",
    'if (gone.closed || news.version <= gone.version) return "old";',
    'if (gone.closed) return "old";',
    EPHEMERAL_TESTS,
  ),
  edit(
    "ephemeral news is put to a set that lacks what came before it",
    0,
    "src/sync/ephemeral-sets.ts",
    "!(isContinued && news.from <= held.author.version)",
    "!isContinued",
    EPHEMERAL_TESTS,
  ),
  edit(
    "ephemeral news is sent back to who has told it",
    0,
    "src/sync/ephemeral-exchange.ts",
    "if (known === undefined || compareAuthors(told, known) > 0) line.known.set(nodeId, told);",
    "",
    EPHEMERAL_TESTS,
  ),
  edit(
    "a relayed run is claimed across a gap",
    0,
    "src/sync/relayed-runs.ts",
    "if (run?.to === seq - 1) run.to = seq;",
    "if (run !== undefined) run.to = seq;",
    ["test/unit/sync/relayed-runs.test.ts", "test/property/convergence.test.ts"],
  ),
  edit(
    "a relayed run is claimed although some of it waits",
    1000,
    "src/sync/claims.ts",
    "(origin) => !this.#waiting.holds(origin)",
    "() => true",
    SYNC_TESTS,
  ),
  edit(
    "relays claim by marks alone, which wait for each other",
    0,
    "src/sync/claims.ts",
    "if (this.#runUnbroken) this.#takeRelayed(durable, released);",
    "",
    SUPPLY_TESTS,
  ),
  edit(
    "who was waited for in vain stays pruned",
    0,
    "src/sync/outbound.ts",
    "for (const author of late) if (this.#pruned.delete(author)) hasPrunedLess = true;",
    "",
    SUPPLY_TESTS,
  ),
  edit(
    "a graft changes nothing",
    0,
    "src/sync/outbound.ts",
    "for (const author of graft) this.#pruned.delete(author);",
    "",
    SUPPLY_TESTS,
  ),
  edit(
    "when a supplier has gone nobody is asked to send",
    0,
    "src/sync/suppliers.ts",
    "if (next === undefined) continue;",
    "if (next !== null) continue;",
    SUPPLY_TESTS,
  ),
  edit(
    "a new supplier is not told that it is one",
    0,
    "src/sync/suppliers.ts",
    "if (peer !== undefined && prunedTick !== undefined) note(changes, peer, author, true);",
    "",
    SUPPLY_TESTS,
  ),
  edit(
    "what is staged of a large transfer counts as applied",
    0,
    "src/sync/receiver.ts",
    "if (inbound.stagedPages <= 1) session.framesApplied = session.framesReceived - inbound.stagedPages;",
    "session.framesApplied = session.framesReceived;",
    ["test/property/paged-catch-up.test.ts"],
  ),
  edit(
    "a relay lets parts of merged entries wait as if they were records of members",
    0,
    "src/sync/outbound.ts",
    "return via !== undefined && isMemberKey(key);",
    "return via !== undefined && key[0] === 0xff;",
    ["test/property/merge-kinds.test.ts"],
  ),
  edit("what has expired does not wait for the disk", 0, "src/sync/replicator.ts", " && !this.#writer.isBehind;", ";", [
    "test/unit/sync/turns.test.ts",
  ]),
].map(withOthers);

/** Who else has to find what the simulator reaches too rarely. */
function withOthers(mutation: Mutation): Mutation {
  if (mutation.seeds > 0 || mutation.tests !== undefined) return mutation;
  if (mutation.name.startsWith("hello claims")) return { ...mutation, scope: "pair-cut" };
  const isStorage = mutation.edits.some(({ file }) => /storage|core-state/.test(file));
  return { ...mutation, tests: isStorage ? STORAGE_TESTS : SYNC_TESTS };
}
