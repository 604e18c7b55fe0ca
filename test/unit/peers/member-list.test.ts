/** The list of members says what their records say, however it came to know. */
import { expect, test } from "vitest";
import { encodeMember, memberKey } from "../../../src/codec/members.ts";
import { CoreState } from "../../../src/core/core-state.ts";
import { MemberList } from "../../../src/peers/member-list.ts";
import { type Epoch, makeOrigin, type NodeId } from "../../../src/types.ts";

const EPOCH = "00000000000000aa" as Epoch;
const OWN = makeOrigin("own" as NodeId, EPOCH);
let stamp = 0;

function set(state: CoreState, key: Uint8Array, value: Uint8Array | null): void {
  stamp += 1;
  state.execute({ type: "set", entry: { key, value, stamp, origin: OWN, seq: stamp, expiresAt: 0 } });
}

function announce(state: CoreState, name: string, version = "1"): void {
  set(state, memberKey(name as NodeId), encodeMember({ addresses: [], epoch: EPOCH, version }));
}

function namesOf(members: readonly { readonly nodeId: string; readonly version: string }[]): string[] {
  return members.map(({ nodeId, version }) => `${nodeId}@${version}`);
}

test("is in the order of the names, and the same whether it was read at once or change by change", () => {
  const state = new CoreState(OWN);
  const followed = new MemberList(state);
  const names = ["m", "a", "z", "b", "\u{1f600}", "\uff5e", "m2", "y"];
  const seen: string[][] = [];
  for (const name of names) {
    announce(state, name);
    set(state, Buffer.from(`user/${name}`), Uint8Array.of(1));
    seen.push(namesOf(followed.all));
  }
  announce(state, "b", "2");
  set(state, memberKey("z" as NodeId), null);
  set(state, memberKey("nobody" as NodeId), null);
  const inOrder = ["a@1", "b@2", "m@1", "m2@1", "y@1", "\uff5e@1", "\u{1f600}@1"];
  expect(namesOf(followed.all)).toEqual(inOrder);
  expect(namesOf(new MemberList(state).all)).toEqual(inOrder);
  // What was handed out before is left as it was.
  expect(seen[1]).toEqual(["a@1", "m@1"]);
});

test("a record that cannot be read is no member, and takes the place of one that could", () => {
  const state = new CoreState(OWN);
  const members = new MemberList(state);
  announce(state, "a");
  expect(members.all).toHaveLength(1);
  set(state, memberKey("a" as NodeId), Uint8Array.of(0xc1));
  expect(members.all).toEqual([]);
});

test("news are those that have come or say something new, once", () => {
  const state = new CoreState(OWN);
  const members = new MemberList(state);
  announce(state, "a");
  announce(state, "b");
  expect(namesOf(members.takeNews())).toEqual(["a@1", "b@1"]);
  announce(state, "b", "2");
  expect(members.all).toHaveLength(2);
  announce(state, "c");
  expect(namesOf(members.takeNews())).toEqual(["b@2", "c@1"]);
  expect(members.takeNews()).toEqual([]);
});

test.each([1000, 1001])("after %i other changes it is right as well", (changes) => {
  const state = new CoreState(OWN);
  const members = new MemberList(state);
  announce(state, "a");
  expect(members.all).toHaveLength(1);
  for (let n = 1; n < changes; n++) set(state, Buffer.from(`k${n}`), Uint8Array.of(1));
  announce(state, "b");
  expect(namesOf(members.all)).toEqual(["a@1", "b@1"]);
});

test("a record that was dropped is missing once the list is told to forget", () => {
  const state = new CoreState(OWN);
  const members = new MemberList(state);
  announce(state, "a");
  announce(state, "b");
  expect(members.all).toHaveLength(2);
  state.execute({ type: "collect", key: memberKey("b" as NodeId), origin: OWN, seq: stamp });
  members.forget();
  expect(namesOf(members.all)).toEqual(["a@1"]);
});
