// SPDX-License-Identifier: Apache-2.0
// Keys, folded text and live hints for pages that are whole without them. Nothing is fetched but the
// desk's own hints; no text of a report passes through here.
(() => {
  "use strict";
  const all = (selector, within = document) => Array.from(within.querySelectorAll(selector));
  const typing = (target) => target.closest("input, textarea, select, [contenteditable]") !== null;

  // -- rows: one is selected, j and k move, Enter opens its first link ------------------------------

  const rows = all("[data-rows] > tbody > tr");
  let selected = -1;
  const select = (index) => {
    if (!rows.length) return;
    if (selected >= 0) rows[selected].removeAttribute("aria-selected");
    selected = Math.max(0, Math.min(rows.length - 1, index));
    rows[selected].setAttribute("aria-selected", "true");
    const link = rows[selected].querySelector("a");
    if (link) link.focus();
  };

  // A table wider than the screen is moved with the arrow keys.
  for (const wide of all(".scroll")) if (wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0;

  // -- keys --------------------------------------------------------------------------------------

  const list = document.getElementById("keys");
  let before = "";
  const go = (path) => {
    const link = document.querySelector(`.rooms a[href$="/${path}"]`);
    if (link) link.click();
  };
  const marked = (key) => document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || typing(event.target)) return;
    const { key } = event;
    const after = before;
    before = "";
    if (list && list.open) return;
    if (after === "g" && key === "q") return void go("queue");
    if (key === "g") return void (before = "g");
    if (key === "j") return void select(selected + 1);
    if (key === "k") return void select(selected - 1);
    if (key === "?" && list) return void list.showModal();
    if (key === "/") {
      const field = document.querySelector("input[type=search]");
      event.preventDefault();
      return void (field ? field.focus() : go("search"));
    }
    const control = marked(key);
    if (!control) return;
    event.preventDefault();
    if (control.matches("summary")) {
      // A form opens and is ready to be typed in; it is never closed over what was typed.
      const field = control.parentElement.querySelector("form :is(input:not([type=hidden]), select, textarea)");
      if (field) control.parentElement.open = true;
      else control.click();
      (field || control).focus();
    } else if (control.matches("details")) control.open = !control.open;
    else if (control.matches("input, textarea, select")) control.focus();
    else control.click();
  });

  // -- forms: only what belongs to the chosen category or action ----------------------------------

  // A hidden field keeps what was typed; the desk leaves out what belongs to something else.
  const has = (list, word) => list.split(" ").includes(word);
  for (const judge of all("[data-judge]")) {
    const category = judge.querySelector("[data-questions]");
    const show = () => {
      for (const field of all("[data-asked]", judge)) {
        field.hidden = !has(field.dataset.asked, category.value);
      }
    };
    category.addEventListener("change", show);
    show();
  }
  for (const form of all("form")) {
    const parts = all("[data-for]", form);
    if (!parts.length) continue;
    const show = () => {
      const chosen = form.querySelector("input[type=radio][name=action]:checked, input[type=radio][name=side]:checked");
      for (const part of parts) part.hidden = !chosen || !has(part.dataset.for, chosen.value);
    };
    form.addEventListener("change", show);
    show();
  }
  const wrong = document.querySelector("main .errors[tabindex], main [autofocus]");
  if (wrong) wrong.focus();

  // -- live: a hint that something changed; a list that nobody types in shows it by itself -----------

  const { live } = document.body.dataset;
  const news = document.getElementById("news");
  const watched = document.querySelector("[data-watch]");
  if (live && watched && window.EventSource) {
    const source = new EventSource(`${live}?${new URLSearchParams({ of: watched.dataset.watch, since: watched.dataset.since })}`);
    source.addEventListener("changed", () => {
      const busy = document.querySelector("form:focus-within, dialog[open]");
      if (watched.dataset.reload === "yes" && !busy && !document.hidden) location.reload();
      else if (news) {
        news.querySelector("a").href = location.href;
        news.hidden = false;
      }
    });
    // Whoever is on the way to another page is not called back by what their own act changed.
    for (const end of ["beforeunload", "pagehide"]) window.addEventListener(end, () => source.close());
  }

  // -- breaks: the header says when, the page reminds once ------------------------------------------

  const due = document.querySelector("[data-break]");
  if (due) setTimeout(() => { due.hidden = false; }, Math.min(Number(due.dataset.break) * 1000, 2 ** 31 - 1));
})();
