// Shows only the rows that a reader asks for. The page is whole without it.
"use strict";
const form = document.querySelector("form");
const rows = [...document.querySelectorAll(".crate")].map((row) => {
  const text = (row.querySelector("summary") ?? row).textContent.toLowerCase();
  return { row, text, sign: row.dataset.sign, decision: row.dataset.decision };
});
const groups = [...document.querySelectorAll(".group, .cause")].map((group) => {
  return { group, wasOpen: group.open, rows: group.getElementsByClassName("crate") };
});
const count = document.querySelector("output");
const apply = () => {
  const words = form.q.value.toLowerCase().split(/\s+/).filter(Boolean);
  const [sign, decision] = [form.sign.value, form.decision?.value ?? ""];
  let shown = 0;
  for (const one of rows) {
    const fits = (!sign || one.sign === sign) && (!decision || one.decision === decision)
      && words.every((word) => one.text.includes(word));
    one.row.hidden = !fits;
    shown += fits;
  }
  const asked = words.length || sign || decision;
  for (const { group, wasOpen, rows } of groups) {
    const some = [...rows].some((row) => !row.hidden);
    group.hidden = !some;
    if ("open" in group) group.open = asked ? some : wasOpen;
  }
  count.textContent = `${shown} of ${rows.length} shown`;
};
// What a link leads to is opened.
const open = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  target.scrollIntoView();
};
if (form) {
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();
}
addEventListener("hashchange", open);
open();
