// Opens the pages in a browser: `scripts/test-pages` makes them and calls this with their folder and the folder of the libraries.
// What can be asserted without a browser is in tests/pages.rs.

import assert from "node:assert/strict";
import { readFileSync, mkdirSync, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [pages, libraries, chromium] = process.argv.slice(2);
const require = createRequire(join(resolve(libraries), "package.json"));
const { chromium: engine } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const here = import.meta.dirname;
const shots = join(pages, "shots");
mkdirSync(shots, { recursive: true });

const browser = await engine.launch({ executablePath: chromium, args: process.getuid() === 0 ? ["--no-sandbox"] : [] });
const wide = { width: 1200, height: 900 };
const narrow = { width: 380, height: 800 };

/// Opens a page and watches it: what it asks for, complains of, and whether it runs what it should not.
const open = async (file, { scheme = "light", size = wide, scripts = true } = {}) => {
  const context = await browser.newContext({ viewport: size, colorScheme: scheme, javaScriptEnabled: scripts });
  const page = await context.newPage();
  const faults = [];
  const url = new URL(`file://${resolve(pages, file)}`).href;
  page.on("request", (request) => request.url().split("#")[0] !== url && faults.push(`asks for ${request.url()}`));
  page.on("console", (message) => faults.push(`says ${message.text()}`));
  page.on("pageerror", (error) => faults.push(`fails: ${error}`));
  page.on("dialog", (dialog) => { faults.push("opens a dialog"); dialog.dismiss(); });
  await page.goto(url);
  return { page, faults, close: () => context.close() };
};

let done = 0;
const test = async (name, check) => {
  try {
    await check();
    done += 1;
    console.log(`ok    ${name}`);
  } catch (error) {
    console.log(`FAILS ${name}\n${error.stack}`);
    process.exitCode = 1;
  }
};

const accessible = async (page) => {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
  }));
  const found = violations.map(({ id, help, nodes }) => `${id}: ${help}\n${nodes.slice(0, 3).map((node) => node.html).join("\n")}`);
  assert.deepEqual(found, []);
};

const all = [
  ["example/out/report.html", "report"], ["plain/report.html", "plain"], ["hostile/report.html", "hostile"],
  ["example/site/index.html", "site"], ["example/site/backdoor/1.0.0.html", "crate"], ["hostile/site/differs/1.0.0.html", "hostile-crate"],
];
for (const [file, name] of all) {
  for (const [look, scheme, size] of [["light", "light", wide], ["dark", "dark", wide], ["narrow", "light", narrow], ["narrow-dark", "dark", narrow]]) {
    await test(`${file}, ${look}: asks for nothing, fits, and can be read by everybody`, async () => {
      const { page, faults, close } = await open(file, { scheme, size });
      await page.screenshot({ path: join(shots, `${name}-${look}.png`) });
      // Screens of the findings too.
      await page.evaluate(() => document.querySelectorAll("details").forEach((details) => { details.open = true; }));
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `${overflow} pixels too wide`);
      await accessible(page);
      await page.screenshot({ path: join(shots, `${name}-${look}-open.png`), fullPage: true });
      assert.equal(await page.locator("hostile").count(), 0);
      assert.deepEqual(faults, []);
      await close();
    });
  }
}

await test("nothing that a stranger wrote could run, even where no policy held it back", async () => {
  const context = await browser.newContext({ bypassCSP: true });
  const page = await context.newPage();
  const faults = [];
  page.on("dialog", (dialog) => { faults.push("opens a dialog"); dialog.dismiss(); });
  page.on("request", (request) => request.isNavigationRequest() || faults.push(request.url()));
  await page.goto(new URL(`file://${resolve(pages, "hostile/report.html")}`).href);
  await page.waitForTimeout(200);
  assert.deepEqual(faults, []);
  await context.close();
});

await test("rows are filtered and counted, and the keyboard is enough", async () => {
  const { page, faults, close } = await open("example/out/report.html");
  const rows = page.locator("details.crate");
  const total = await rows.count();
  assert.equal(await page.locator("output").textContent(), `${total} of ${total} shown`);
  await page.keyboard.press("Tab");
  await page.keyboard.type("backdoor");
  assert.equal(await page.locator("details.crate:visible").count(), 1);
  assert.equal(await page.locator("output").textContent(), `1 of ${total} shown`);
  // To the row, and open it.
  const focused = () => page.evaluate(() => document.activeElement.closest(".crate")?.id ?? "");
  for (let n = 0; n < 8 && (await focused()) !== "backdoor-1_0_0"; n += 1) await page.keyboard.press("Tab");
  assert.equal(await focused(), "backdoor-1_0_0");
  await page.keyboard.press("Enter");
  assert.ok(await page.locator("#backdoor-1_0_0 .diff").first().isVisible());
  await page.fill("[name=q]", "");
  await page.selectOption("[name=sign]", "bit-for-bit");
  const signs = await page.locator("details.crate:not([hidden])").evaluateAll((rows) => [...new Set(rows.map((row) => row.dataset.sign))]);
  assert.deepEqual(signs, ["bit-for-bit"]);
  assert.deepEqual(faults, []);
  await close();
});

await test("a link leads to a row and opens it", async () => {
  const { page, close } = await open("example/out/report.html");
  await page.evaluate(() => { location.hash = "#honest-1_0_0"; });
  await page.locator("#honest-1_0_0 .inside").waitFor({ state: "visible" });
  await close();
});

await test("without scripts everything is there", async () => {
  const { page, faults, close } = await open("example/out/report.html", { scripts: false });
  assert.ok(!(await page.locator("form").isVisible()));
  await page.locator("#backdoor-1_0_0 summary").click();
  assert.ok(await page.locator("#backdoor-1_0_0 .diff").first().isVisible());
  assert.deepEqual(faults, []);
  await close();
});

await test("2,000 crates open in under a second", async () => {
  const times = [];
  for (let n = 0; n < 3; n += 1) {
    const { page, close } = await open("many/report.html");
    times.push(await page.evaluate(() => performance.getEntriesByType("navigation")[0].loadEventEnd));
    await close();
  }
  console.log(`      ${times.map(Math.round).join(", ")} ms`);
  assert.ok(Math.min(...times) < 1000);
});

await test("the picture in the README is small", async () => {
  const context = await browser.newContext({ viewport: { width: 1100, height: 1240 } });
  const page = await context.newPage();
  await page.goto(new URL(`file://${resolve(pages, "example/out/report.html")}`).href);
  await page.fill("[name=q]", "backdoor");
  await page.locator("#backdoor-1_0_0 > summary").click();
  await page.evaluate(() => { scrollTo(0, 0); document.activeElement.blur(); });
  await page.mouse.move(0, 0);
  await page.screenshot({ path: join(shots, "picture.png") });
  await context.close();
  for (const picture of [join(shots, "picture.png"), join(here, "../../docs/report.png")]) {
    assert.ok(existsSync(picture) && statSync(picture).size < 300_000, picture);
  }
});

// The user script: on copies of pages, with a site on loopback.
const userScript = readFileSync(join(pages, "example/site/recrate-sign.user.js"), "utf8");
const site = createServer((request, response) => {
  const file = join(pages, "example/site", decodeURIComponent(new URL(request.url, "http://site").pathname));
  const there = existsSync(file) && statSync(file).isFile();
  response.writeHead(there ? 200 : 404, { "Access-Control-Allow-Origin": "*" });
  response.end(there ? readFileSync(file) : "");
});
await new Promise((ready) => site.listen(0, "127.0.0.1", ready));
const address = `http://127.0.0.1:${site.address().port}/`;

/// A page of a registry, by its copy, with the script in it as a user script manager has it.
const visit = async (url, copy, { where = address, answer } = {}) => {
  const context = await browser.newContext();
  const page = await context.newPage();
  const asked = [];
  await page.route("**", (route) => (route.request().url() === url
    ? route.fulfill({ contentType: "text/html", body: readFileSync(join(here, copy), "utf8"), headers: {
      "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'" } })
    : route.abort()));
  await page.exposeFunction("recrateGet", async (asks) => {
    asked.push(asks);
    if (answer) return answer;
    try {
      const response = await fetch(asks);
      return { status: response.status, responseText: await response.text() };
    } catch {
      return null;
    }
  });
  await page.goto(url);
  await page.evaluate(`{
    const GM_getValue = () => ${JSON.stringify(where)};
    const GM_setValue = () => {};
    const GM_registerMenuCommand = () => {};
    const GM_xmlhttpRequest = async ({ url, onload, onerror }) => {
      const answer = await recrateGet(url);
      if (answer) onload(answer); else onerror();
    };
    ${userScript}
  }`);
  await page.waitForTimeout(400);
  const signs = () => page.locator(".recrate-sign").evaluateAll((signs) => signs.map((sign) =>
    [(sign.previousElementSibling.querySelector("h4") ?? sign.previousElementSibling).textContent.trim().split(/\s+/)[0], sign.dataset.sign]));
  return { page, asked, signs, close: () => context.close() };
};

await test("the script is for the registry's pages and lib.rs, and for no others", async () => {
  const matches = [...userScript.matchAll(/^\/\/ @(?:match|include) +(.*)$/gm)].map(([, value]) => value);
  assert.equal(matches.length, 2);
  assert.match(matches[0], /^https:\/\/[a-z]+\.[a-z]+\/\*$/);
  assert.equal(matches[1], "https://lib.rs/*");
});

await test("a crate's page on the registry has a sign beside its version", async () => {
  const { page, signs, asked, close } = await visit("https://crates.test/crates/honest", "registry-crate.html");
  assert.deepEqual(await signs(), [["v1.0.0", "bit-for-bit"]]);
  assert.deepEqual(asked, [`${address}honest/1.0.0.json`]);
  const sign = page.locator(".recrate-sign");
  assert.equal(await sign.getAttribute("href"), `${address}honest/1.0.0.html`);
  assert.match(await sign.getAttribute("title"), /^honest 1\.0\.0: The same bytes.*\nsha256 [0-9a-f]{64}\ncommit [0-9a-f]{40}\nchecked /s);
  await page.screenshot({ path: join(shots, "sign-registry.png") });
  // Such pages show another crate without being loaded again.
  await page.evaluate(() => {
    history.pushState({}, "", "/crates/backdoor");
    document.querySelector("h1 span").textContent = "backdoor";
  });
  await page.waitForTimeout(400);
  assert.deepEqual(await signs(), [["v1.0.0", "differs"]]);
  await page.evaluate(() => { document.querySelector("h1 small").remove(); });
  await page.waitForTimeout(400);
  await close();
});

await test("lists on the registry have a sign where the version is known, and each of them is honest", async () => {
  const search = await visit("https://crates.test/search?q=h", "registry-search.html");
  assert.deepEqual((await search.signs()).map(([, sign]) => sign), [
    "bit-for-bit", "differs", "unverifiable", "same-contents", "unknown",
  ]);
  // Rows are used again for other crates.
  await search.page.evaluate(() => {
    const [first, second] = document.querySelectorAll(".name");
    first.href = "/crates/backdoor";
    second.nextElementSibling.textContent = "yanked";
  });
  await search.page.waitForTimeout(400);
  assert.deepEqual((await search.signs()).map(([, sign]) => sign), ["differs", "unverifiable", "same-contents", "unknown"]);
  await search.page.screenshot({ path: join(shots, "sign-search.png") });
  await search.close();
  const versions = await visit("https://crates.test/crates/honest/versions", "registry-versions.html");
  assert.deepEqual(await versions.signs(), [["Version", "bit-for-bit"], ["Version", "bit-for-bit"]]);
  await versions.close();
});

await test("pages of lib.rs have signs", async () => {
  const crate = await visit("https://lib.rs/crates/honest", "lib-rs-crate.html");
  assert.deepEqual(await crate.signs(), [["honest", "bit-for-bit"]]);
  await crate.page.screenshot({ path: join(shots, "sign-lib-rs.png") });
  await crate.close();
  const list = await visit("https://lib.rs/data-structures", "lib-rs-list.html");
  assert.deepEqual(await list.signs(), [["honest", "bit-for-bit"], ["backdoor", "differs"]]);
  await list.close();
});

await test("what the site does not answer as documented is unknown", async () => {
  const honest = { schema: 1, registry: "default", sha256: "0".repeat(64), name: "honest", version: "1.0.0", sign: "bit-for-bit", meaning: "<b onclick=x>", conditions: [] };
  const answers = [
    ["{", "unknown"], [{ ...honest, schema: 2 }, "unknown"], [{ ...honest, name: "other" }, "unknown"], [{ ...honest, version: "0.9.0" }, "unknown"],
    [{ ...honest, registry: "sparse+https://other.test/" }, "unknown"], [{ ...honest, sha256: null }, "unknown"],
    [{ ...honest, sign: "trusted" }, "unknown"], [{ ...honest, sign: "toString" }, "unknown"], [null, "unknown"], [honest, "bit-for-bit"],
  ];
  for (const [json, sign] of answers) {
    const responseText = typeof json === "string" ? json : JSON.stringify(json);
    const { page, signs, close } = await visit("https://crates.test/crates/honest", "registry-crate.html", { answer: { status: 200, responseText } });
    assert.deepEqual(await signs(), [["v1.0.0", sign]], responseText);
    assert.equal(await page.locator(".recrate-sign *").count(), 0);
    await close();
  }
  const gone = await visit("https://crates.test/crates/honest", "registry-crate.html", { where: "http://127.0.0.1:1/" });
  assert.deepEqual(await gone.signs(), [["v1.0.0", "unknown"]]);
  assert.match(await gone.page.locator(".recrate-sign").getAttribute("title"), /can't be reached/);
  await gone.close();
});

await test("what a crate's author wrote gets no sign and changes none", async () => {
  const written = async (url, copy, script) => {
    const { page, signs, close } = await visit(url, copy);
    await page.evaluate(script);
    await page.waitForTimeout(400);
    const found = await signs();
    await close();
    return found;
  };
  const readme = `document.querySelector("article, main").insertAdjacentHTML("beforeend", \`<article class="readme">
    <h1>x <small>1.0.0</small></h1><a href="/crates/honest/1.0.0">backdoor is fine</a> <a class="name" href="/crates/honest">it</a><b>1.0.0</b>
    <ol><li><a href="/crates/honest">z <span class="meta"><span class="version">1.0.0</span></span></a></li></ol>
    <h2 id="package"><span property="name">honest</span></h2></article>\`)`;
  assert.deepEqual(await written("https://crates.test/crates/backdoor", "registry-crate.html", readme), [["v1.0.0", "differs"]]);
  assert.deepEqual(await written("https://lib.rs/crates/backdoor", "lib-rs-crate.html", readme), [["honest", "differs"]]);
  // The address has a version that the heading does not.
  assert.deepEqual(await written("https://crates.test/crates/honest/0.9.0", "registry-crate.html", readme), []);
});

await test("without an address, or with one that is not https, nothing is asked and nothing is shown", async () => {
  for (const where of ["", "http://site.example/", "javascript:alert(1)", "not an address"]) {
    const { signs, asked, close } = await visit("https://crates.test/crates/honest", "registry-crate.html", { where });
    assert.deepEqual([await signs(), asked], [[], []], where);
    await close();
  }
});

site.close();
await browser.close();
console.log(`${done} checks of pages; screenshots are in ${shots}`);
