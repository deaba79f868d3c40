// ==UserScript==
// @name         recrate: are crates what their commits give?
// @namespace    recrate
// @version      1
// @description  Shows beside crates whether they are what their git commits give, as a site made by `recrate site` has it.
// @match        https://REGISTRY-HOST/*
// @match        https://lib.rs/*
// @grant        GM_getValue
// @grant        GM_setValue
// @grant        GM_registerMenuCommand
// @grant        GM_xmlhttpRequest
// @connect      *
// ==/UserScript==

// `recrate site` writes this script with the host of the registry's pages into each site: install it from there. The address of the
// site is yours to set: in the menu of your user script manager. Only that site is asked, for the crates whose
// version stands on the page. What each sign means, and what the site's JSON is, is in docs/SIGN.md.
"use strict";

const SIGNS = {
  "bit-for-bit": { mark: "✓", word: "bit for bit", colour: "#176b2c" },
  "same-contents": { mark: "✓", word: "same contents", colour: "#00616b" },
  "differs": { mark: "✗", word: "differs", colour: "#b3141f" },
  "unverifiable": { mark: "?", word: "unverifiable", colour: "#6b4a00" },
  "unknown": { mark: "·", word: "unknown", colour: "#59616b" },
};
const SCHEMA = 1;
const NAME = /^[A-Za-z_][A-Za-z0-9_-]{0,63}$/;
const VERSION = /^v?(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?)$/;

const site = () => {
  try {
    const address = new URL(GM_getValue("site", ""));
    const isLocal = ["localhost", "127.0.0.1", "[::1]"].includes(address.hostname);
    if (address.protocol !== "https:" && !(address.protocol === "http:" && isLocal)) return null;
    address.search = address.hash = "";
    return address.href.replace(/\/*$/, "/");
  } catch {
    return null;
  }
};

GM_registerMenuCommand("Set the address of the site", () => {
  const address = prompt("The address of a site made by `recrate site`:", GM_getValue("site", ""));
  if (address === null) return;
  GM_setValue("site", address.trim());
  if (address.trim() && !site()) alert("That is not an https address.");
  location.reload();
});

const get = (url) =>
  new Promise((resolve) => {
    const unreached = () => resolve({ status: 0 });
    GM_xmlhttpRequest({
      method: "GET", url, anonymous: true, timeout: 20000,
      onload: ({ status, responseText }) => resolve({ status, responseText }),
      onerror: unreached, ontimeout: unreached, onabort: unreached,
    });
  });

const unknown = (why) => ({ sign: "unknown", title: why });

// What the site says of a crate; whatever can't be understood is unknown.
const ask = async (name, version) => {
  const { status, responseText } = await get(`${site()}${name}/${encodeURIComponent(version)}.json`);
  if (status === 404) return unknown("The site has not looked at it.");
  if (status !== 200) return unknown("The site can't be reached.");
  try {
    const found = JSON.parse(responseText);
    const fits = found.schema === SCHEMA && found.registry === "default" && found.name === name && found.version === version
      && /^[0-9a-f]{64}$/.test(found.sha256)
      && found.sign !== "unknown" && Object.hasOwn(SIGNS, found.sign);
    if (!fits) return unknown("The site's answer can't be understood.");
    const conditions = Array.isArray(found.conditions) ? found.conditions.map(String) : [];
    const lines = [
      `${name} ${version}: ${String(found.meaning)}`, ...conditions.map((one) => `condition: ${one}`),
      `sha256 ${found.sha256}`, `commit ${found.commit ?? "unknown"}`, `checked ${found.checked} by ${new URL(site()).host}`,
    ];
    return { sign: found.sign, conditional: conditions.length > 0, title: lines.join("\n") };
  } catch {
    return unknown("The site's answer can't be understood.");
  }
};

const answers = new Map();
const answer = (name, version) => {
  const key = `${name}@${version}`;
  if (!answers.has(key)) answers.set(key, ask(name, version));
  return answers.get(key);
};

// Puts the sign of a crate behind an element, once.
const show = async (element, name, version) => {
  const key = `${name}@${version}`;
  if (element.dataset.recrate === key) return;
  element.dataset.recrate = key;
  const { sign, conditional, title } = await answer(name, version);
  // The page may show something else by now.
  if (element.dataset.recrate !== key || !element.isConnected) return;
  signOf(element)?.remove();
  const { mark, word, colour } = SIGNS[sign];
  const link = document.createElement("a");
  link.className = "recrate-sign";
  link.dataset.sign = sign;
  link.textContent = `${mark} ${word}${conditional ? ", with conditions" : ""}`;
  link.title = title;
  link.rel = "noreferrer";
  link.target = "_blank";
  if (sign !== "unknown") link.href = `${site()}${name}/${encodeURIComponent(version)}.html`;
  link.style.cssText = `margin-left:.5em;padding:0 .4em;border-radius:.3em;font:600 12px/1.6 sans-serif;white-space:nowrap;`
    + `text-decoration:none;color:#fff;background:${colour}`;
  element.after(link);
};

const signOf = (element) => {
  const next = element.nextElementSibling;
  return next?.classList.contains("recrate-sign") ? next : null;
};
// Takes back what was shown behind an element that is about something else now.
const clear = (element) => {
  signOf(element)?.remove();
  delete element.dataset.recrate;
};

const versionIn = (element) => VERSION.exec(element?.textContent.trim() ?? "")?.[1];

// The parts of the address of a crate's page: `/crates/NAME` and `/crates/NAME/VERSION`.
const parts = (path) => {
  const [, crates, name, version, ...rest] = path.split("/");
  if (crates !== "crates" || !NAME.test(name ?? "")) return null;
  return { name, version: VERSION.exec(version ?? "")?.[1], rest };
};

// The crate that the page is about: its version stands in the page's own heading, which is before any text of the crate's, or is the
// newest of the list of versions. Where the address has a version, it has to be that one.
const heading = () => {
  const own = parts(location.pathname);
  const place = document.querySelector("h1")?.querySelector("small") ?? document.querySelector("#package h2 [property=name]");
  if (!place) return;
  const version = versionIn(place) ?? softwareVersion();
  if (own && version && (own.version ?? version) === version) show(place, own.name, version);
  else clear(place);
};
const softwareVersion = () => {
  const place = document.querySelector("#versions [property=softwareVersion]");
  return VERSION.exec(place?.getAttribute("content") ?? "")?.[1];
};

// Links that stand in the lists of these pages, and nowhere in what a crate's author wrote: in the registry's lists of crates and of
// versions, and in lists of lib.rs.
const LISTED = ".crate-row .crate-spec > a.name, .row > .version > a.num-link, main ol > li > a";
const WRITTEN = "article, .readme, #readme, #lib_intro";

const links = () => {
  for (const link of document.querySelectorAll(LISTED)) {
    const { origin, pathname } = new URL(link.href, location.href);
    const crate = origin === location.origin ? parts(pathname) : null;
    if (!crate || crate.rest.some(Boolean) || link.closest(WRITTEN)) continue;
    const beside = link.nextElementSibling;
    if (crate.version) {
      show(link, crate.name, crate.version);
    } else if (versionIn(beside)) {
      show(beside, crate.name, versionIn(beside));
    } else {
      const inside = versionIn(link.querySelector(".meta > .version"));
      if (inside) show(link, crate.name, inside);
      else for (const element of [link, beside]) if (element?.dataset.recrate) clear(element);
    }
  }
};

let waiting = false;
const look = () => {
  if (waiting || !site()) return;
  waiting = true;
  setTimeout(() => {
    waiting = false;
    heading();
    links();
  }, 100);
};
new MutationObserver(look).observe(document.documentElement, {
  childList: true, subtree: true, characterData: true, attributes: true, attributeFilter: ["href"],
});
look();
