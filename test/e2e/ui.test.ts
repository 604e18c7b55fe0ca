/**
 * The page in a real Chromium: what it shows is there, what it offers works, and what replicas write stays text. Uses `dist`.
 *
 * Writes pictures of its views into the directory that WAVEKV_SCREENSHOTS names, else into a temporary one.
 * `WAVEKV_SCREENSHOTS=docs npx vitest run test/e2e/ui.test.ts` makes those of the README.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type * as Library from "wavekv";
import type { Replica } from "wavekv";
import type * as InProcess from "wavekv/transports/in-process";
import type { InProcessNetwork } from "wavekv/transports/in-process";
import type * as UiModule from "wavekv/ui";
import type { Ui } from "wavekv/ui";
import { meshControls } from "../../demo/mesh/controls.ts";

const PLACES = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  process.env.WAVEKV_CHROMIUM,
];
const executablePath = PLACES.find((path) => path !== undefined && existsSync(path));
const DEADLINE_MS = 30_000;
const WIDE = { width: 1280, height: 860 };
const PHONE = { width: 360, height: 740 };

const asked = process.env.WAVEKV_SCREENSHOTS;
const pictures = asked === undefined ? mkdtempSync(join(tmpdir(), "wavekv-ui-")) : resolve(asked);

if (executablePath === undefined) {
  console.warn(
    "SKIPPED: the page in a browser. Install one: apt-get install -y chromium, or set WAVEKV_CHROMIUM to its path",
  );
}

// What users get: the page is bundled into `dist`, and is served from there.
const load = async <T>(path: string): Promise<T> =>
  (await import(new URL(`../../dist/${path}`, import.meta.url).href)) as T;
const { openReplica } = await load<typeof Library>("src/index.js");
const { inProcessNetwork } = await load<typeof InProcess>("transports/in-process.js");
const { serveUi } = await load<typeof UiModule>("src/ui.js");

describe.skipIf(executablePath === undefined)("the page", { timeout: 120_000 }, () => {
  let browser: Browser;
  let network: InProcessNetwork;
  let ui: Ui;
  let complaints: string[];
  const replicas = new Map<string, Replica>();
  const silent = (): void => undefined;
  const logger = { debug: silent, info: silent, warn: silent, error: silent };

  beforeAll(async () => {
    mkdirSync(pictures, { recursive: true });
    browser = await chromium.launch({ executablePath: executablePath!, args: ["--no-sandbox", "--disable-gpu"] });
  }, 60_000);
  afterAll(async () => {
    await browser.close();
    if (asked === undefined) rmSync(pictures, { recursive: true, force: true });
  });
  beforeEach(() => {
    network = inProcessNetwork();
    complaints = [];
  });
  afterEach(async () => {
    await Promise.all(browser.contexts().map((context) => context.close()));
    await ui.close();
    await Promise.all([...replicas.values()].map((replica) => replica.close()));
    replicas.clear();
    // The policy of the page was not in its own way, and no code of it failed.
    expect(complaints).toEqual([]);
  });

  async function mesh(...names: readonly string[]): Promise<void> {
    for (const nodeId of names) {
      replicas.set(nodeId, await openReplica({ nodeId, transport: network.transport(), logger }));
    }
  }

  const of = (nodeId: string): Replica => replicas.get(nodeId)!;

  async function visit(options: BrowserContextOptions = {}, link = ui.link): Promise<Page> {
    const context = await browser.newContext({ viewport: WIDE, ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(DEADLINE_MS);
    page.on("console", (message) => {
      // A refused token is told by its status, which the browser writes down.
      if (message.type() === "error" && !message.text().includes("401")) complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("dialog", (dialog) => complaints.push(`a dialog: ${dialog.message()}`));
    await page.goto(link);
    return page;
  }

  async function picture(page: Page, name: string): Promise<void> {
    const path = join(pictures, `ui-${name}.png`);
    // Transitions are at their end.
    await page.screenshot({ path, animations: "disabled" });
    expect(statSync(path).size).toBeLessThan(300_000);
  }

  // Not by code in the page: the policy forbids what is evaluated.
  const countIs = async (page: Page, selector: string, count: number): Promise<void> => {
    await expect.poll(() => page.locator(selector).count(), { timeout: DEADLINE_MS }).toBe(count);
  };

  const show = async (page: Page, view: string): Promise<void> => {
    await page.getByRole("navigation").getByRole("link", { name: view }).click();
    await page.locator(".tabs [aria-current]", { hasText: view }).waitFor();
  };

  test("shows the mesh, a link that is cut and healed, and how everybody gets everything again", async () => {
    await mesh("lima", "oslo", "paris", "rome", "tokyo");
    ui = await serveUi(of("oslo"), { extras: meshControls(network, replicas) });
    const page = await visit({ colorScheme: "light" });
    for (const name of replicas.keys()) await page.getByRole("button", { name: `${name}: has everything` }).waitFor();
    expect(await page.locator("[data-node]").count()).toBe(5);
    await countIs(page, "[data-link]", 10);
    // The token is neither in the address nor in the history.
    expect(page.url()).toMatch(/\/#\/mesh$/);
    for (let index = 0; index < 60; index++)
      await of([...replicas.keys()][index % 5]!).put(`sensor/${index}`, { t: index });
    await page.locator(".pulse").first().waitFor({ state: "attached" });
    await page.getByText("all digests are equal").waitFor();
    await picture(page, "mesh-light");

    // With the keyboard: a link is a button.
    const link = page.getByRole("button", { name: "Link between oslo and paris: live" });
    await link.focus();
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Cut the link between oslo and paris" }).click();
    await page.getByRole("button", { name: "Link between oslo and paris: cut" }).waitFor();
    expect(of("oslo").status().peers.paris?.state).toBe("down");
    // Everybody else passes it on.
    await of("oslo").put("around", 1);
    await expect.poll(() => of("paris").get("around"), { timeout: DEADLINE_MS }).toBe(1);

    await page.locator('[data-node="lima"]').click();
    await page.getByRole("button", { name: "Pause", exact: true }).click();
    await page.getByRole("button", { name: "lima: paused" }).waitFor();
    await of("rome").batch(
      Array.from({ length: 200 }, (_, index) => ({ type: "put", key: `bulk/${index}`, value: index }) as const),
    );
    await page.getByRole("cell", { name: "200 missing" }).waitFor();
    await page.getByText("2 different digests").waitFor();
    expect(of("lima").has("bulk/0")).toBe(false);
    await picture(page, "mesh-cut");

    await page.getByRole("button", { name: "Resume", exact: true }).click();
    await page.getByRole("button", { name: "lima: has everything" }).waitFor();
    await page.getByText("everybody has everything").waitFor();
    expect(of("lima").get("bulk/199")).toBe(199);
    await page.locator('[data-node="paris"]').click();
    await page.getByRole("button", { name: "Heal the link between oslo and paris" }).click();
    await page.getByRole("button", { name: "Link between oslo and paris: live" }).waitFor();
  });

  test("shows a put as it comes, and markup of keys and values as text", async () => {
    await mesh("<b>oslo</b>", "rome");
    ui = await serveUi(of("<b>oslo</b>"));
    const page = await visit();
    const hostile = `<img src=x onerror="alert(1)">`;
    await page.getByRole("heading", { name: "<b>oslo</b>" }).waitFor();
    await show(page, "Keys");
    await page.getByText("There are no keys yet").waitFor();
    await picture(page, "keys-empty");
    await of("rome").put(`note/${hostile}`, { html: `<script>alert(2)</script>${hostile}` });
    await of("rome").put("plain", 1);
    const row = page.locator("button.entry", { hasText: `note/${hostile}` });
    await row.waitFor();
    expect(await row.textContent()).toContain("<script>alert(2)</script>");
    // Focus by "/", choose by arrows, open by Enter, close by Escape.
    await page.keyboard.press("/");
    await page.keyboard.type("note/");
    await countIs(page, "button.entry", 1);
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    const dialog = page.getByRole("dialog");
    await dialog.waitFor();
    expect(await dialog.textContent()).toContain(hostile.replaceAll('"', '\\"'));
    expect(await dialog.textContent()).toContain(of("rome").entry(`note/${hostile}`)!.version);
    await picture(page, "entry");
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    await show(page, "Changes");
    await of("rome").delete("plain");
    await page.locator(".change", { hasText: "delete" }).filter({ hasText: "plain" }).waitFor();
    expect(
      await page
        .locator("#page b, #page script, #page img[onerror]")
        .filter({ hasText: /oslo|alert/ })
        .count(),
    ).toBe(0);
    expect(await page.locator("img[src=x]").count()).toBe(0);
  });

  test("asks before it evicts", async () => {
    await mesh("oslo", "rome", "tokyo");
    ui = await serveUi(of("oslo"));
    const page = await visit();
    await show(page, "Members");
    const gone = of("tokyo");
    await page.getByText("up to date").nth(1).waitFor();
    await gone.close();
    const evict = page.getByRole("button", { name: "Evict tokyo" });
    await evict.click();
    // The harmless answer has the focus.
    await page.getByRole("dialog", { name: "Evict tokyo" }).waitFor();
    await picture(page, "evict");
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    expect(of("oslo").members().length).toBe(3);
    await evict.click();
    await page.getByRole("dialog", { name: "Evict tokyo" }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    expect(of("oslo").members().length).toBe(3);
    await evict.click();
    await page.getByRole("dialog").getByRole("button", { name: "Evict", exact: true }).click();
    await page.getByText("Evict tokyo: done").waitFor();
    await countIs(page, "li.member", 2);
    expect(
      of("oslo")
        .members()
        .map(({ nodeId }) => nodeId),
    ).toEqual(["oslo", "rome"]);
    expect(await page.getByRole("button", { name: /^Evict/ }).count()).toBe(0);
  });

  test("shows both sides of a conflict, metrics, and files with their state", async () => {
    await mesh("oslo", "rome");
    const hour = Date.now() - 3_600_000;
    const files = [
      { path: "photos/summer.jpg", state: "synced", bytes: 3_400_000, nodeId: "rome", changedAt: hour },
      {
        path: "video/holiday.mp4",
        state: "receiving",
        bytes: 200e6,
        doneBytes: 120e6,
        nodeId: "rome",
        changedAt: hour,
      },
      { path: "../../etc/passwd", state: "refused", note: "it leads out of the folder" },
      {
        path: "notes.txt",
        state: "conflict",
        bytes: 120,
        note: "the other version is kept beside it",
        changedAt: hour,
      },
    ] as const;
    ui = await serveUi(of("oslo"), { extras: { files: { list: () => files } } });
    const page = await visit();
    await page.getByRole("button", { name: "rome: has everything" }).waitFor();
    await of("oslo").put("user/ada", { role: "guest" });
    await expect.poll(() => of("rome").has("user/ada"), { timeout: DEADLINE_MS }).toBe(true);
    network.cut("oslo", "rome");
    await expect.poll(() => of("rome").status().peers.oslo?.state, { timeout: DEADLINE_MS }).toBe("down");
    await of("oslo").put("user/ada", { role: "admin", by: "oslo" });
    await of("rome").put("user/ada", { role: "editor", by: "rome", tags: ["a", "b"] });
    network.heal();
    await show(page, "Conflicts");
    await page.getByText("was overwritten").waitFor();
    expect(await page.locator(".side.stayed").textContent()).toContain('"editor"');
    expect(await page.locator(".side.lost").textContent()).toContain('"admin"');
    await picture(page, "conflict");
    await show(page, "Files");
    await page.getByText("it leads out of the folder").waitFor();
    expect(await page.locator("progress").getAttribute("value")).toBe("120000000");
    await picture(page, "files");
    await page.keyboard.press("6");
    await page.getByText("Messages by kind").waitFor();
    await countIs(page, ".uplot canvas", 6);
    await of("oslo").put("more", 1);
    await page.getByRole("row", { name: /^page / }).waitFor();
    await picture(page, "metrics");
  });

  test.each([
    ["dark", { colorScheme: "dark" }],
    ["phone", { viewport: PHONE }],
  ] as const)("can be read with many members, long names and long keys: %s", async (name, options) => {
    await mesh(
      "oslo",
      ...Array.from({ length: 11 }, (_, index) => `a-very-long-name-of-a-replica-in-a-data-centre-${index}`),
    );
    await of("oslo").put(`long/${"key/".repeat(240)}`, "value ".repeat(2000));
    await of("oslo").put(`unbroken/${"k".repeat(900)}`, "v".repeat(3000));
    ui = await serveUi(of("oslo"), { extras: meshControls(network, replicas) });
    const page = await visit(options);
    await page.getByText("everybody has everything").waitFor();
    await countIs(page, "[data-node]", 12);
    await picture(page, `mesh-${name}`);
    for (const view of ["Keys", "Changes", "Members", "Conflicts", "Metrics", "Mesh"]) {
      await show(page, view);
      // Nothing is wider than the window.
      expect([view, await page.evaluate("document.documentElement.scrollWidth")]).toEqual([
        view,
        page.viewportSize()?.width,
      ]);
    }
    await show(page, "Keys");
    await page.locator("button.entry").first().waitFor();
    await picture(page, `keys-${name}`);
    await page.keyboard.press("t");
    expect(await page.locator("html").getAttribute("data-theme")).toBe("light");
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
  });

  test("every view can be reached and used with the keyboard, and the focus is seen", async () => {
    await mesh("oslo");
    ui = await serveUi(of("oslo"));
    const page = await visit();
    await page.getByRole("button", { name: "oslo: has everything" }).waitFor();
    const stops: string[] = [];
    for (let index = 0; index < 14; index++) {
      await page.keyboard.press("Tab");
      stops.push(
        await page.evaluate<string>(`(() => {
          const element = document.activeElement;
          const { outlineStyle } = getComputedStyle(element);
          const isSeen = outlineStyle !== "none" || element.matches("[data-node]:focus-visible");
          return (element.getAttribute("aria-label") ?? element.textContent) + (isSeen ? "" : " (not seen)");
        })()`),
      );
      if (stops.at(-1)?.startsWith("oslo:") === true) break;
    }
    expect(stops).toEqual([
      "Skip to the content",
      "healthy",
      "Theme: system",
      "Keyboard shortcuts",
      ...["Mesh", "Keys", "Changes", "Members", "Conflicts", "Metrics"],
      "oslo: has everything",
    ]);
  });

  test("without the token shows how to get it, and nothing else; foreign origins and hosts are refused", async () => {
    await mesh("oslo");
    await of("oslo").put("secret", "hunter2");
    ui = await serveUi(of("oslo"));
    for (const link of [ui.url, `${ui.url}#token=${"0".repeat(64)}`]) {
      const page = await visit({}, link);
      await page.getByText("This link has no token").waitFor();
      expect(await page.content()).not.toMatch(/oslo|hunter2/);
    }
    await picture(browser.contexts()[0]!.pages()[0]!, "no-token");
    const token = ui.link.split("=")[1]!;
    // A page of another origin, in the same browser, that knows even the token.
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.route("http://evil.example/**", (route) =>
      route.fulfill({ body: "<!doctype html>", contentType: "text/html" }),
    );
    await page.goto("http://evil.example/");
    const stolen = await page.evaluate(
      async ([url, bearer]) => {
        const get = (mode: "cors" | "no-cors", headers: Record<string, string>) =>
          fetch(`${url}api/entries`, { mode, headers }).then((response) => response.text(), String);
        return [await get("cors", { authorization: `Bearer ${bearer}` }), await get("no-cors", {})];
      },
      [ui.url, token] as const,
    );
    expect(stolen.join()).not.toContain("hunter2");
    const status = (headers: Record<string, string>): Promise<number | undefined> =>
      new Promise((done, fail) => {
        const { port } = new URL(ui.url);
        const given = { host: `127.0.0.1:${port}`, authorization: `Bearer ${token}`, ...headers };
        request({ port, host: "127.0.0.1", path: "/api/entries", headers: given }, (response) => {
          response.resume();
          done(response.statusCode);
        })
          .on("error", fail)
          .end();
      });
    expect(await status({})).toBe(200);
    expect(await status({ origin: "http://evil.example" })).toBe(403);
    expect(await status({ host: "evil.example" })).toBe(403);
  });

  test("says so when the process goes, and goes on when it is back", async () => {
    await mesh("oslo");
    ui = await serveUi(of("oslo"));
    const { port } = new URL(ui.url);
    const token = ui.link.split("=")[1]!;
    const page = await visit();
    await page.getByRole("button", { name: "healthy" }).waitFor();
    await ui.close();
    await page.getByRole("button", { name: "not connected" }).waitFor();
    complaints.length = 0;
    ui = await serveUi(of("oslo"), { port: Number(port), token });
    await page.getByRole("button", { name: "healthy" }).waitFor();
    // The browser writes down what it could not reach meanwhile.
    complaints = complaints.filter((text) => !text.includes("ERR_CONNECTION_REFUSED"));
  });

  test("has written its pictures", () => {
    const names = [
      "conflict",
      "entry",
      "evict",
      "files",
      "keys-dark",
      "keys-phone",
      "mesh-cut",
      "mesh-dark",
      "mesh-light",
      "metrics",
    ];
    expect(readdirSync(pictures)).toEqual(expect.arrayContaining(names.map((name) => `ui-${name}.png`)));
  });
});

describe("serveUi", () => {
  const open = (): Promise<Replica> => openReplica();

  test.each([
    [{ host: "0.0.0.0" }, /host is one of 127\.0\.0\.1, ::1/],
    [{ port: 65_536 }, /port takes/],
    [{ token: "short" }, /token takes/],
    [{ token: `${"x".repeat(20)}\n` }, /token takes/],
    [{ hots: "::1" }, /serveUi has no option "hots"/],
    [{ extras: { file: 1 } }, /extras has no option "file"/],
  ])("refuses %j", async (options, message) => {
    await using replica = await open();
    await expect(serveUi(replica, options as object)).rejects.toMatchObject({
      code: "ERR_OPTION",
      message: expect.stringMatching(message) as unknown,
    });
  });

  test("makes another token at each start, says when a port is taken, and closes twice", async () => {
    await using replica = await open();
    const first = await serveUi(replica);
    const second = await serveUi(replica);
    expect(first.link.split("#")[1]).not.toBe(second.link.split("#")[1]);
    expect(first.link).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/#token=[0-9a-f]{64}$/);
    const taken = serveUi(replica, { port: Number(new URL(first.url).port) });
    await expect(taken).rejects.toMatchObject({
      code: "ERR_LISTEN",
      message: expect.stringContaining("is in use") as unknown,
    });
    await Promise.all([first.close(), first.close(), second.close()]);
    await expect(fetch(first.url)).rejects.toThrow();
  });
});
