// SPDX-License-Identifier: Apache-2.0
// Improves pages that are whole without it: leaving fast, errors in focus, long texts, the work
// asked under a flood. Plain ES2015 for old phones; no request but to forget; texts are in the page.
(() => {
  "use strict";
  const root = document.documentElement;
  const { leave, neutral } = document.body.dataset;
  const says = document.getElementById("says");
  const texts = says ? says.dataset : {};
  const all = (selector) => Array.from(document.querySelectorAll(selector));
  const say = (text) => {
    if (says) says.textContent = text || "";
  };

  // -- leaving: blank first, forget second, and do not wait for us on a slow network --------------

  const exit = () => {
    root.hidden = true;
    document.title = new URL(neutral).hostname;
    all("form").forEach((form) => form.reset());
    if (!window.fetch) return location.replace(leave);
    fetch(leave, { method: "POST", keepalive: true, redirect: "manual" }).catch(() => {});
    return location.replace(neutral);
  };

  // Shift alone, pressed and let go, three times: not as part of typing, of a click that selects, or
  // of Alt+Shift, which changes the keyboard between Arabic and French.
  const PATIENCE = 5000;
  let presses = 0;
  let bare = false;
  let timer = 0;
  const forget = () => {
    if (presses) say("");
    clearTimeout(timer);
    presses = 0;
    bare = false;
  };
  const onKeyDown = (event) => {
    if (event.key !== "Shift") return forget();
    if (event.ctrlKey || event.altKey || event.metaKey) return forget();
    if (!event.repeat) bare = true;
    return undefined;
  };
  const onKeyUp = (event) => {
    if (event.key !== "Shift" || !bare) return undefined;
    bare = false;
    clearTimeout(timer);
    presses += 1;
    if (presses === 3) {
      say(texts.leaving);
      return exit();
    }
    timer = setTimeout(forget, PATIENCE);
    return say(presses === 1 ? texts.two : texts.one);
  };

  if (leave && neutral) {
    const link = document.getElementById("exit");
    if (link) {
      link.addEventListener("click", (event) => {
        event.preventDefault();
        exit();
      });
    }
    document.addEventListener("keydown", onKeyDown, true);
    document.addEventListener("keyup", onKeyUp, true);
    document.addEventListener("mousedown", forget, true);
  }

  // What the browser kept of a page is not shown again: it is asked for anew.
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    root.hidden = true;
    location.replace(location.pathname);
  });

  // -- the page ----------------------------------------------------------------------------------

  all(".scripted[hidden]").forEach((element) => {
    element.hidden = false;
  });
  const errors = document.querySelector(".errors");
  if (errors) errors.focus();

  all("textarea[maxlength]").forEach((area) => {
    const most = Number(area.getAttribute("maxlength"));
    const left = document.createElement("p");
    left.className = "hint left";
    left.setAttribute("aria-hidden", "true");
    area.insertAdjacentElement("afterend", left);
    let wait = 0;
    const count = () => {
      const rest = most - area.value.length;
      const text = rest < most / 5 && texts.left ? texts.left.replace("{n}", rest) : "";
      left.textContent = text;
      left.classList.toggle("wrong", rest <= 0);
      clearTimeout(wait);
      if (text) wait = setTimeout(() => say(text), 1000);
    };
    area.addEventListener("input", count);
    count();
  });

  // Once for an impatient double click. A second try a little later is always let through.
  const AGAIN = 3000;
  let sent = null;
  document.addEventListener("submit", (event) => {
    if (sent === event.target) {
      event.preventDefault();
      return;
    }
    sent = event.target;
    setTimeout(() => {
      sent = null;
    }, AGAIN);
  });

  // -- work instead of waiting: see static/work.js -------------------------------------------------

  const address = (text) =>
    window.trustedTypes
      ? window.trustedTypes.createPolicy("wasl", { createScriptURL: (url) => url }).createScriptURL(text)
      : text;

  // Asked to wait: a bar, for numbers that change would be read aloud each second; then the end.
  const waiting = document.querySelector("[data-wait]");
  let ready = () => {};
  if (waiting) {
    const bar = document.createElement("progress");
    bar.max = Number(waiting.dataset.wait);
    bar.value = 0;
    bar.setAttribute("aria-hidden", "true");
    waiting.appendChild(bar);
    const begin = Date.now();
    const tick = setInterval(() => {
      bar.value = (Date.now() - begin) / 1000;
      if (bar.value >= bar.max) ready();
    }, 250);
    ready = () => {
      clearInterval(tick);
      Array.from(waiting.children).forEach((child) => {
        child.hidden = child.className !== "ready";
      });
    };
  }

  const form = document.querySelector("form[data-challenge][data-work]");
  const answer = form && form.querySelector('input[name="answer"]');
  if (answer && window.Worker && Number(form.dataset.difficulty)) {
    let begun = false;
    const begin = () => {
      if (begun) return;
      begun = true;
      const worker = new Worker(address(form.dataset.work));
      worker.onmessage = (event) => {
        worker.terminate();
        if (!event.data.answer) return;
        answer.value = event.data.answer;
        ready();
      };
      worker.postMessage({
        token: form.dataset.challenge,
        difficulty: Number(form.dataset.difficulty),
      });
    };
    form.addEventListener("focusin", begin);
    setTimeout(begin, waiting ? 0 : 1000);
  }
})();
